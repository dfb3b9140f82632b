package scheduler

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// TestThreadsComeAndGo: waits in the host take threads, which are made as they are needed up to the bound, and end again
// when nothing needs them.
func TestThreadsComeAndGo(t *testing.T) {
	s := newSim(t, Options{Cores: 2, MaxThreads: 8}).real()
	calls := make([]*simCall, 20)
	for i := range calls {
		calls[i] = call("waits", 50*us).then(time.Second, 50*us)
		s.submit(time.Duration(i)*100*us, calls[i])
	}
	s.run(500 * ms)
	if s.m.threads != 14 || len(s.threads) != 14 { // 12 are what one app may keep, and 2 are spare
		t.Errorf("there are %d threads, want 14", s.m.threads)
	}
	s.run(-1)
	for _, c := range calls {
		if !c.over {
			t.Error("a call has not ended")
		}
	}
	for more := true; more; {
		more = s.m.surplus()
		s.run(-1)
	}
	if s.m.threads != 4 || len(s.threads) != 4 || s.m.spares != 4 {
		t.Errorf("%d threads are left, %d of them spare, want 4", s.m.threads, s.m.spares)
	}
}

// TestOneAppLeavesThreads: an app whose invocations all wait in the host leaves threads for others, and goes on when its
// waits end.
func TestOneAppLeavesThreads(t *testing.T) {
	s := newSim(t, Options{Cores: 1, MaxThreads: 8}).real()
	for range 50 {
		s.submit(0, call("greedy", 50*us).of("greedy").then(time.Second, 50*us))
	}
	modest := call("modest", 50*us).of("modest")
	s.submit(500*ms, modest)
	s.run(600 * ms)
	if !modest.over || modest.ended-modest.arrived > 200*us {
		t.Errorf("the modest one has ended: %v, after %v", modest.over, modest.ended-modest.arrived)
	}
	if held := s.m.bound; held != 6 {
		t.Errorf("the greedy one holds %d of 8 threads, want 6", held)
	}
	s.run(-1)
	if s.m.live != 0 {
		t.Errorf("%d have not ended", s.m.live)
	}
}

// TestThreadsCannotBeMade: without another thread what runs is not interrupted, and everything is answered all the same.
func TestThreadsCannotBeMade(t *testing.T) {
	var threads *fakeThreads
	var hold atomic.Bool
	hold.Store(true)
	s := New(Options{Cores: 1, MinThreads: 1})
	threads = &fakeThreads{t: t, run: func(r *fakeRunner, inv *invoke.Invocation, core Core) invoke.Result {
		for inv.ID == 1 && hold.Load() {
			r.look()
		}
		return invoke.Result{}
	}}
	if err := s.Start(threads); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	threads.fail.Store(true)
	done := make(chan uint64, 2)
	answer := func(inv *invoke.Invocation, _ invoke.Result) { done <- inv.ID }
	for id := range uint64(2) {
		if err := s.Submit(invocation(1+id, &job{limit: 1, relative: time.Second >> id}, answer)); err != nil {
			t.Fatal(err)
		}
		until(s, func(_, running int) bool { return running == 1 })
	}
	hold.Store(false)
	if first, second := <-done, <-done; first != 1 || second != 2 {
		t.Errorf("answered %d before %d", first, second)
	}
	if made := threads.made.Load(); made != 1 {
		t.Errorf("%d threads", made)
	}
}

func TestStartFails(t *testing.T) {
	s, threads := New(Options{Cores: 2}), &fakeThreads{t: t}
	threads.fail.Store(true)
	if err := s.Start(threads); !errors.Is(err, errNoThread) {
		t.Errorf("Start: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
