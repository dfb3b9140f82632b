package pool

import (
	"fmt"
	"slices"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// The exports with which a guest gives its state away and takes it back, both () -> (); see docs/ABI.md.
const (
	saveExport = "edged_save"
	loadExport = "edged_load"
)

// Close implements what invoke.Resident asks of an instance.
func (c *cell) Close() { c.close() }

// has reports whether the module exports a function () -> () of that name.
func (p *Program) has(name string) bool {
	t, found := p.Entries[name]
	return found && t.Equal(wasmedge.FuncType{})
}

// resident is call for an invocation with an instance of its own. When it fails the instance is given up, so that what it has left half
// done is not found by the next one.
func (w *worker) resident(inv *invoke.Invocation, fn *Function, s *seat) error {
	r := inv.Resident
	c, err := w.settle(inv, fn, s)
	if err != nil {
		return err
	}
	failed := true
	defer func() {
		if failed {
			r.Instance, r.State = nil, nil
			c.close()
		}
	}()
	entry, err := c.entry(fn)
	if err != nil {
		return err
	}
	s.env.Begin(w.life, &s.request)
	s.env.RunOn(w.core)
	w.stack[0] = 0
	inv.Stamps.Started = time.Now()
	if err := w.enter(c.instance, entry.fn, s.env, w.stack[:]); err != nil {
		if endingOf(err) == exited { // which would be a good end of any other function
			return fmt.Errorf("%w: an actor's function has to return, it ended by %s, and what it changed is not kept", errReturned, err.Error())
		}
		return err
	}
	if entry.result && uint32(w.stack[0]) != 0 {
		return fmt.Errorf("%w: %d", errReturned, int32(uint32(w.stack[0])))
	}
	if s.env.Reported() {
		return nil // Finish makes it an error
	}
	if err := w.save(inv, fn, c); err != nil {
		return err
	}
	failed = false
	c.measure()
	return nil
}

// settle returns the instance of a resident, a new one with the state that was saved last when there is none of this version.
func (w *worker) settle(inv *invoke.Invocation, fn *Function, s *seat) (*cell, error) {
	r := inv.Resident
	if c, ok := r.Instance.(*cell); ok && c.program == fn.app.program.Load() {
		return c, nil
	}
	if r.Instance != nil {
		r.Instance.Close()
		r.Instance, r.State = nil, nil
	}
	var state []byte
	var err error
	w.away(func() { state, err = r.Load(w.life) })
	if err != nil {
		return nil, fmt.Errorf("load the state: %w", err)
	}
	c, _, err := w.instance(inv, fn.app, fn.Metric, s.env)
	if err != nil {
		return nil, err
	}
	if state != nil && c.program.has(loadExport) {
		if err := w.load(inv, c, s.env, state); err != nil {
			c.close()
			return nil, err
		}
	}
	r.Instance, r.State = c, state
	return c, nil
}

// save has the guest write its state, and keeps it if it has changed.
func (w *worker) save(inv *invoke.Invocation, fn *Function, c *cell) error {
	r := inv.Resident
	if !c.program.has(saveExport) {
		return nil
	}
	s := fn.app.seats.Get().(*seat) //nolint:forcetypeassert // the pool's New makes nothing else
	defer fn.app.seats.Put(s)
	call, err := c.instance.Func(saveExport, wasmedge.FuncType{})
	if err != nil {
		return err
	}
	s.env.Begin(w.life, stateRequest{})
	s.env.RunOn(w.core)
	s.env.WriteAs(inv) // what it does to keys is the message's doing
	err = w.enter(c.instance, call, s.env, nil)
	out := s.env.Finish(err)
	if out.Err != nil {
		return &startError{export: saveExport, guest: out.GuestError, cause: out.Err}
	}
	if r.State != nil && slices.Equal(r.State, out.Body) {
		return nil
	}
	state := append([]byte{}, out.Body...)
	w.away(func() { err = r.Save(w.life, state) })
	if err != nil {
		return fmt.Errorf("save the state of %d bytes: %w", len(state), err)
	}
	r.State = state
	return nil
}

// load has the guest take back a state before a message.
func (w *worker) load(inv *invoke.Invocation, c *cell, env *hostfn.Env, state []byte) error {
	fn, err := c.instance.Func(loadExport, wasmedge.FuncType{})
	if err != nil {
		return err
	}
	env.Begin(w.life, stateRequest{state})
	env.RunOn(w.core)
	env.WriteAs(inv)
	err = w.enter(c.instance, fn, env, nil)
	if out := env.Finish(err); out.Err != nil {
		return &startError{export: loadExport, guest: out.GuestError, cause: out.Err}
	}
	return nil
}

// away runs f, which waits for the disk, without the core.
func (w *worker) away(f func()) {
	if w.core == nil {
		f()
		return
	}
	w.core.Leave()
	defer w.core.Return()
	f()
}

// stateRequest is a state as the body of a request.
type stateRequest struct{ state []byte }

// Meta implements hostfn.Request.
func (stateRequest) Meta(string) (string, bool) { return "", false }

// Headers implements hostfn.Request.
func (stateRequest) Headers(func(name, value string) bool) {}

// Origin implements hostfn.Request: saving and loading start nothing.
func (stateRequest) Origin() any { return nil }

// Body implements hostfn.Request.
func (r stateRequest) Body() []byte { return r.state }
