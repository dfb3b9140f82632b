package hostfn

import (
	"context"
	"sync/atomic"
)

// Core is the processor core that an invocation occupies while it runs. Both methods are called on the guest's thread, in
// turn, and only between Begin and Finish.
type Core interface {
	// Leave gives the core to others: the invocation is about to wait for something else. It does not block.
	Leave()
	// Return waits until the invocation has a core again. It may have been killed meanwhile, which is noticed when the
	// host function returns.
	Return()
}

// RunOn says which core the invocation runs on, so that host functions that wait leave it to others meanwhile. Without a
// call, or with nil, they keep it. Call it after Begin, which forgets it.
func (e *Env) RunOn(core Core) { e.core = core }

// away runs f, which is sure to wait for something else than the processor, without the core.
func (e *Env) away(f func()) {
	if e.core == nil {
		f()
		return
	}
	e.core.Leave()
	defer e.core.Return()
	f()
}

// patient is the invocation's context for a call that waits only sometimes. Who asks a context for its Done channel is about
// to wait for it, and hardly anybody else asks, so that is when the core is left. back takes it again.
//
// Each call has one of its own, because what was derived from it may ask again after the call has returned; then it is
// nothing but the context.
type patient struct {
	context.Context //nolint:containedctx // it is one, for the length of one call

	core  Core
	state atomic.Uint32
}

// The states of a patient context.
const (
	patientHere uint32 = iota // the call runs and has the core
	patientAway               // the call runs and has left the core
	patientOver               // the call has returned
)

// patient returns the context for one call. defer its back at once.
func (e *Env) patient() *patient { return &patient{Context: e.ctx, core: e.core} }

// Done implements context.Context.
func (p *patient) Done() <-chan struct{} {
	if p.core != nil && p.state.CompareAndSwap(patientHere, patientAway) {
		p.core.Leave()
	}
	return p.Context.Done()
}

// back ends the call and waits for the core if it was left.
func (p *patient) back() {
	if p.state.Swap(patientOver) == patientAway {
		p.core.Return()
	}
}
