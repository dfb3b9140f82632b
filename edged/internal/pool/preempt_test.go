//go:build cgo

package pool_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
)

// forever is more guests than ever meet: who waits for them goes on until the number is changed.
const forever = 1 << 30

// oneCore makes a scheduler with one core beside the world's, and has guests go on in test.more until so many have met.
func oneCore(t *testing.T, meet int32) *scheduler.Scheduler {
	t.Helper()
	world.met.Store(0)
	world.meet.Store(meet)
	s := scheduler.New(scheduler.Options{Cores: 1})
	t.Cleanup(func() {
		world.meet.Store(0)
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Start(world.pool); err != nil {
		t.Fatal(err)
	}
	return s
}

// submitTo starts an invocation with a scheduler.
func submitTo(t *testing.T, s *scheduler.Scheduler, app *pool.App, fn invoke.FunctionName, change func(*invoke.Invocation)) <-chan invoke.Result {
	t.Helper()
	results := make(chan invoke.Result, 1)
	inv := &invoke.Invocation{
		App: "app", Function: fn, Source: invoke.SourceHTTP, Target: app.Function(fn), Stamps: invoke.Stamps{Arrived: time.Now()},
		Done: func(_ *invoke.Invocation, r invoke.Result) { results <- r },
	}
	if change != nil {
		change(inv)
	}
	if err := s.Submit(inv); err != nil {
		results <- invoke.Result{Err: err}
	}
	return results
}

// metAre waits until so many guests have met.
func metAre(t *testing.T, n int32) {
	t.Helper()
	eventually(t, "guests run", func() bool { return world.met.Load() >= n })
}

// TestShortBesideLong: on one core, short invocations are answered while a long one runs that does not end before they have.
func TestShortBesideLong(t *testing.T) {
	s, app := oneCore(t, forever), loaded(t, build(t, 1))
	long := submitTo(t, s, app, "until", nil)
	metAre(t, 1)
	for range 50 {
		want(t, receive(t, submitTo(t, s, app, "version", nil)), "1", nil)
	}
	select {
	case got := <-long:
		t.Fatalf("the long one has ended with %q and error %v", got.Body, got.Err)
	default:
	}
	world.meet.Store(0)
	want(t, receive(t, long), "1", nil)
}

// TestPreemptedSeeTheirOwn: invocations of one app that interrupt each other in the middle of using their memory see nothing
// of each other. None ends before all have begun, which on one core takes a preemption of each.
func TestPreemptedSeeTheirOwn(t *testing.T) {
	const guests = 6
	for _, resettable := range []bool{true, false} {
		t.Run(fmt.Sprintf("resettable %v", resettable), func(t *testing.T) {
			load := build(t, 1)
			app := newApp(t, func(s *pool.Spec) {
				s.Load = func() (*pool.Program, error) {
					p, err := load()
					if err == nil {
						p.Resettable = p.Resettable && resettable
					}
					return p, err
				}
			})
			for range 3 {
				s := oneCore(t, guests)
				var all []<-chan invoke.Result
				for n := range guests {
					all = append(all, submitTo(t, s, app, "own", func(inv *invoke.Invocation) { inv.Request.Body = []byte{byte(n + 1)} }))
				}
				for n, results := range all {
					want(t, receive(t, results), fmt.Sprint(n+1), nil)
				}
			}
		})
	}
}

// parked waits until so many invocations are parked.
func parked(t *testing.T, s *scheduler.Scheduler, n int) {
	t.Helper()
	eventually(t, "invocations are parked", func() bool { return s.Stats()[0].Parked >= n })
}

// TestTimeoutWhileParked: the clock of an invocation goes on while it is parked.
func TestTimeoutWhileParked(t *testing.T) {
	s, app := oneCore(t, forever), loaded(t, build(t, 1))
	short := newApp(t, func(s *pool.Spec) {
		s.Timeout = 50 * time.Millisecond
		s.Load = build(t, 2)
	})
	long := submitTo(t, s, app, "until", nil)
	metAre(t, 1)
	var all []<-chan invoke.Result
	for range 4 {
		all = append(all, submitTo(t, s, short, "spin", nil))
	}
	for _, results := range all {
		got := receive(t, results)
		want(t, got, "", invoke.ErrTimeout)
		if got.Err != nil && !strings.Contains(got.Err.Error(), "killed after 50ms, the app's limits.timeout") {
			t.Errorf("the error is %q", got.Err)
		}
	}
	world.meet.Store(0)
	want(t, receive(t, long), "1", nil)
	want(t, receive(t, submitTo(t, s, short, "version", nil)), "2", nil)
}

// TestKillAllWhileParked ends what runs and what is parked, each with the reason.
func TestKillAllWhileParked(t *testing.T) {
	s, app := oneCore(t, forever), loaded(t, build(t, 1))
	const guests = 4
	var all []<-chan invoke.Result
	for range guests {
		all = append(all, submitTo(t, s, app, "until", nil))
	}
	metAre(t, guests)
	parked(t, s, guests-2)
	world.pool.KillAll(invoke.ErrDraining)
	for _, results := range all {
		want(t, receive(t, results), "", invoke.ErrDraining)
	}
	want(t, receive(t, submitTo(t, s, app, "version", nil)), "1", nil)
}

// TestWaitingLeavesTheCore: on one core, others run while an invocation waits for its app to be loaded, for a client that
// takes its response slowly, or for time to pass. They would wait for ever otherwise.
func TestWaitingLeavesTheCore(t *testing.T) {
	load := build(t, 1)
	t.Run("for a module", func(t *testing.T) {
		s, app := oneCore(t, 0), loaded(t, load)
		loading, proceed := make(chan struct{}), make(chan struct{})
		slow := newApp(t, func(s *pool.Spec) {
			s.Load = func() (*pool.Program, error) {
				close(loading)
				<-proceed
				return load()
			}
		})
		waits := submitTo(t, s, slow, "version", nil)
		receive(t, loading)
		want(t, receive(t, submitTo(t, s, app, "version", nil)), "1", nil)
		close(proceed)
		want(t, receive(t, waits), "1", nil)
	})
	t.Run("for a client", func(t *testing.T) {
		s, app := oneCore(t, 0), loaded(t, load)
		offered, taken := make(chan struct{}), make(chan struct{})
		waits := submitTo(t, s, app, "flood", func(inv *invoke.Invocation) {
			inv.Stream = func(*invoke.Invocation, int, []invoke.Header, []byte) error {
				close(offered)
				<-taken
				return nil
			}
		})
		receive(t, offered)
		want(t, receive(t, submitTo(t, s, app, "version", nil)), "1", nil)
		close(taken)
		want(t, receive(t, waits), "", nil)
	})
	t.Run("for time to pass", func(t *testing.T) {
		s, app := oneCore(t, 0), loaded(t, load)
		waits := submitTo(t, s, app, "sleep", func(inv *invoke.Invocation) { inv.Deadline = time.Now().Add(100 * time.Millisecond) })
		metAre(t, 1)
		want(t, receive(t, submitTo(t, s, app, "version", nil)), "1", nil)
		want(t, receive(t, waits), "", invoke.ErrTimeout)
	})
}

// TestHammerOnOneCore has guests of every kind preempt each other, end, trap, exit and be killed, and at the end no linear
// memory is left.
func TestHammerOnOneCore(t *testing.T) {
	s, app := oneCore(t, 0), loaded(t, build(t, 1))
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for n := range rounds {
		var spins, others []<-chan invoke.Result
		for range 3 {
			spins = append(spins, submitTo(t, s, app, "spin", func(inv *invoke.Invocation) {
				inv.Deadline = time.Now().Add(time.Duration(1+n%5) * time.Millisecond)
			}))
			for _, fn := range []invoke.FunctionName{"version", "trap", "quit"} {
				others = append(others, submitTo(t, s, app, fn, nil))
			}
		}
		for _, results := range spins {
			// Once it is known that a spin does not keep its deadline it need not be admitted.
			if got := receive(t, results); !errors.Is(got.Err, invoke.ErrTimeout) && !errors.Is(got.Err, invoke.ErrQueueFull) {
				t.Errorf("spin: %q and error %v", got.Body, got.Err)
			}
		}
		for i := 0; i < len(others); i += 3 {
			want(t, receive(t, others[i]), "1", nil)
			want(t, receive(t, others[i+1]), "", invoke.ErrGuest)
			want(t, receive(t, others[i+2]), "7", nil)
		}
	}
}
