package scheduler

import (
	"errors"
	"sync/atomic"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
)

// TestCalleesOfWaitingCallers has more callers than threads, each of which starts a callee and waits for it without its core.
// Callers are kept back while their app holds its share of the threads; callees begin all the same, also when the queue is full.
func TestCalleesOfWaitingCallers(t *testing.T) {
	for name, wait := range map[string]func(r *fakeRunner, core Core, over chan struct{}, rouse *atomic.Pointer[func()]){
		"woken, then back": func(r *fakeRunner, core Core, over chan struct{}, _ *atomic.Pointer[func()]) {
			r.leave(core)
			<-over
			r.back(core)
		},
		"napping": func(r *fakeRunner, core Core, over chan struct{}, rouse *atomic.Pointer[func()]) {
			r.leave(core)
			w := core.(*worker) //nolint:forcetypeassert // there is no other
			nap := w.Nap()
			f := func() { w.Rouse(nap) }
			rouse.Store(&f)
			select {
			case <-over:
				f()
			default:
			}
			w.Sleep(nap)
			r.enter()
			f() // too late: it does nothing
		},
	} {
		t.Run(name, func(t *testing.T) { calleesOfCallers(t, wait) })
	}
}

func calleesOfCallers(t *testing.T, wait func(*fakeRunner, Core, chan struct{}, *atomic.Pointer[func()])) {
	t.Helper()
	const callers = 50
	var s *Scheduler
	var callees atomic.Int64
	j := &job{limit: 1000}
	run := func(r *fakeRunner, inv *invoke.Invocation, core Core) invoke.Result {
		if inv.Source == invoke.SourceCall {
			callees.Add(1)
			return invoke.Result{}
		}
		over := make(chan struct{})
		var rouse atomic.Pointer[func()]
		callee := invocation(1000+inv.ID, j, func(*invoke.Invocation, invoke.Result) {
			close(over)
			if f := rouse.Load(); f != nil {
				(*f)()
			}
		})
		callee.Source = invoke.SourceCall
		if err := s.Submit(callee); err != nil {
			return invoke.Result{Err: err}
		}
		wait(r, core, over, &rouse)
		return invoke.Result{}
	}
	s = start(t, Options{Cores: 1, MaxThreads: 4, Queue: callers}, run)
	results := make(chan error, callers)
	for id := range uint64(callers) {
		err := s.Submit(invocation(id+1, j, func(_ *invoke.Invocation, r invoke.Result) { results <- r.Err }))
		if err != nil {
			t.Fatal(err)
		}
	}
	for range callers {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	if n := callees.Load(); n != callers {
		t.Errorf("%d callees ran, want %d", n, callers)
	}
	if err := s.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	late := invocation(5000, j, ignore)
	late.Source = invoke.SourceCall
	if err := s.Submit(late); !errors.Is(err, invoke.ErrDraining) {
		t.Errorf("a call after everything has been drained: %v", err)
	}
}
