package scheduler

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
)

// named is a job of an app.
type named struct {
	job
	app invoke.AppName
}

// Name implements invoke.Target.
func (n *named) Name() (invoke.AppName, invoke.FunctionName) { return n.app, "fn" }

// TestGreedyAppsLeaveRoom: apps whose invocations do not end hold no more workers than their share, whatever waits, and
// one that comes later runs at once. When they end, everything is answered.
func TestGreedyAppsLeaveRoom(t *testing.T) {
	release := make(chan struct{})
	var running sync.Map // of *atomic.Int64 by app
	count := func(app invoke.AppName) *atomic.Int64 {
		n, _ := running.LoadOrStore(app, new(atomic.Int64))
		return n.(*atomic.Int64) //nolint:forcetypeassert // nothing else is stored
	}
	s := start(t, Options{Workers: 16}, func(inv *invoke.Invocation) invoke.Result {
		app, _ := inv.Target.Name()
		if app != "modest" {
			count(app).Add(1)
			<-release
		}
		return invoke.Result{}
	})
	var answers sync.WaitGroup
	submit := func(app invoke.AppName) {
		answers.Add(1)
		inv := &invoke.Invocation{Target: &named{job{limit: 1000}, app}, Done: func(*invoke.Invocation, invoke.Result) { answers.Done() }}
		if err := s.Submit(inv); err != nil {
			t.Error(err)
		}
	}
	for range 100 {
		submit("greedy")
	}
	for count("greedy").Load() < 12 {
	}
	for range 100 {
		submit("as-greedy")
	}
	for count("as-greedy").Load() < 3 {
	}
	done := make(chan struct{})
	inv := &invoke.Invocation{Target: &named{job{limit: 1}, "modest"}, Done: func(*invoke.Invocation, invoke.Result) { close(done) }}
	if err := s.Submit(inv); err != nil {
		t.Fatal(err)
	}
	<-done
	if greedy, asGreedy := count("greedy").Load(), count("as-greedy").Load(); greedy != 12 || asGreedy != 3 {
		t.Errorf("%d and %d run, want 12 and 3", greedy, asGreedy)
	}
	if queued, now := s.Load(); queued != 185 || now != 15 {
		t.Errorf("%d wait and %d run, want 185 and 15", queued, now)
	}
	close(release)
	answers.Wait()
}

// TestSharesModel submits from several apps at random, with invocations that take their time, and wants every one answered
// and no app above its share at any moment.
func TestSharesModel(t *testing.T) {
	for _, workers := range []int{1, 2, 3, 4, 7, 16} {
		apps := []invoke.AppName{"a", "b", "c"}
		var now [3]atomic.Int64
		most := int64(3*workers+3) / 4 // alone: three for each one that is free, rounded up
		s := start(t, Options{Workers: workers}, func(inv *invoke.Invocation) invoke.Result {
			app, _ := inv.Target.Name()
			n := &now[app[0]-'a']
			if got := n.Add(1); got > most {
				t.Errorf("%d workers: %d run of one app, %d is its share", workers, got, most)
			}
			for range inv.ID % 1000 {
				_ = n.Load()
			}
			n.Add(-1)
			return invoke.Result{}
		})
		var answers, clients sync.WaitGroup
		for client := range 4 {
			clients.Go(func() {
				random := rand.New(rand.NewPCG(uint64(client), uint64(workers)))
				for range 500 {
					answers.Add(1)
					app := apps[random.IntN(len(apps))]
					inv := &invoke.Invocation{
						ID: random.Uint64(), Target: &named{job{limit: 1}, app},
						Done: func(*invoke.Invocation, invoke.Result) { answers.Done() },
					}
					if err := s.Submit(inv); err != nil {
						t.Error(err)
						answers.Done()
					}
				}
			})
		}
		clients.Wait()
		answers.Wait()
		if queued, _ := s.Load(); queued != 0 {
			t.Errorf("%d workers: %d wait although all is answered", workers, queued)
		}
	}
}

// TestDefaultWorkers: the spare workers are those that an app alone cannot have.
func TestDefaultWorkers(t *testing.T) {
	for cores := 1; cores <= 64; cores++ {
		var s shares
		workers, alone := DefaultWorkers(cores), 0
		for s.mayRun("app", workers-alone) {
			s.began("app")
			alone++
		}
		if alone != cores*DefaultWorkersPerCore || alone >= workers {
			t.Errorf("%d cores: an app alone gets %d of %d workers, want %d", cores, alone, workers, cores*DefaultWorkersPerCore)
		}
	}
}

// TestDrainDropsWhatIsHeld: what waits for its app's share is answered too when the daemon stops.
func TestDrainDropsWhatIsHeld(t *testing.T) {
	release := make(chan struct{})
	s := start(t, Options{Workers: 4}, func(*invoke.Invocation) invoke.Result {
		<-release
		return invoke.Result{}
	})
	var answers sync.WaitGroup
	var dropped atomic.Int64
	for range 10 {
		answers.Add(1)
		inv := &invoke.Invocation{Target: &named{job{limit: 1}, "app"}, Done: func(_ *invoke.Invocation, r invoke.Result) {
			if r.Err != nil {
				dropped.Add(1)
			}
			answers.Done()
		}}
		if err := s.Submit(inv); err != nil {
			t.Fatal(err)
		}
	}
	for queued, running := s.Load(); queued != 7 || running != 3; queued, running = s.Load() {
	}
	ended := make(chan error)
	go func() { ended <- s.Close() }()
	for dropped.Load() < 7 {
	}
	close(release)
	answers.Wait()
	if err := <-ended; err != nil || dropped.Load() != 7 {
		t.Errorf("%d dropped, %v", dropped.Load(), err)
	}
}
