package scheduler

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

func ignore(*invoke.Invocation, invoke.Result) {}

func TestRefusals(t *testing.T) {
	block := make(chan struct{})
	var rejected [4]atomic.Int64
	s := start(t, Options{Cores: 1, Queue: 2, Preempt: Off, Rejected: func(r Rejection) { rejected[r].Add(1) }},
		func(*fakeRunner, *invoke.Invocation, Core) invoke.Result { <-block; return invoke.Result{} })
	j := &job{limit: 100}
	if err := s.Submit(invocation(1, j, ignore)); err != nil {
		t.Fatal(err)
	}
	until(s, func(_, running int) bool { return running == 1 })
	tight := &job{limit: 100, relative: time.Millisecond}
	if err := s.Submit(invocation(8, tight, ignore)); !errors.Is(err, invoke.ErrQueueFull) {
		t.Errorf("behind an unknown one, within a millisecond: %v", err)
	}
	for id := range uint64(2) {
		if err := s.Submit(invocation(2+id, j, ignore)); err != nil {
			t.Fatal(err)
		}
	}
	deep := invocation(9, j, ignore)
	deep.Cause.Depth = invoke.MaxDepth + 1
	for name, test := range map[string]struct {
		inv  *invoke.Invocation
		want error
	}{
		"queue full":  {invocation(4, j, ignore), invoke.ErrQueueFull},
		"app's limit": {invocation(5, &job{limit: 0}, ignore), invoke.ErrQueueFull},
		"too deep":    {deep, invoke.ErrDepth},
		"no target":   {&invoke.Invocation{}, invoke.ErrNotFound},
		"retired":     {invocation(6, &job{retired: true}, ignore), ErrRetired},
	} {
		if err := s.Submit(test.inv); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	for reason, want := range []int64{RejectQueueFull: 1, RejectConcurrency: 1, RejectDraining: 0, RejectOverload: 1} {
		if got := rejected[reason].Load(); got != want {
			t.Errorf("told %d times of reason %d, want %d", got, reason, want)
		}
	}
	if held := j.held.Load() + tight.held.Load(); held != 3 {
		t.Errorf("%d invocations are counted in, want 3", held)
	}
	close(block)
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
	if err := s.Submit(invocation(7, j, ignore)); !errors.Is(err, invoke.ErrDraining) {
		t.Errorf("after Drain: %v", err)
	}
	if held := j.held.Load(); held != 0 {
		t.Errorf("%d invocations are still counted in", held)
	}
}

// TestSubmitMore: no worker is woken for what comes together before Flush, and then one for all of it.
func TestSubmitMore(t *testing.T) {
	var ran atomic.Int64
	s := start(t, Options{Cores: 1, WakeCost: time.Hour}, func(*fakeRunner, *invoke.Invocation, Core) invoke.Result {
		ran.Add(1)
		return invoke.Result{}
	})
	j := &job{limit: 99}
	for s.Stats()[0].Spare < DefaultMinThreads { // one that begins only then needs no waking
		runtime.Gosched()
	}
	for round := range 100 {
		answers := make(chan struct{}, 3)
		done := func(*invoke.Invocation, invoke.Result) { answers <- struct{}{} }
		for id := range 3 {
			if err := s.SubmitMore(invocation(uint64(id), j, done)); err != nil {
				t.Fatal(err)
			}
		}
		s.mu.Lock()
		if len(s.putOff) > 1 {
			t.Errorf("%d workers are to be woken for one core", len(s.putOff))
		}
		if round == 0 && ran.Load() != 0 {
			t.Error("a worker that slept has not waited for Flush")
		}
		s.mu.Unlock()
		s.Flush()
		for range 3 {
			<-answers
		}
	}
	if err := s.SubmitMore(invocation(9, j, func(*invoke.Invocation, invoke.Result) {})); err != nil {
		t.Fatal(err)
	}
	if err := s.Drain(t.Context()); err != nil { // nobody has called Flush
		t.Error(err)
	}
	if n := ran.Load(); n != 301 {
		t.Errorf("%d ran", n)
	}
}

func TestDeadlineWhileWaiting(t *testing.T) {
	block := make(chan struct{})
	var ran, clock atomic.Int64
	begin := time.Now()
	now := func() time.Time { return begin.Add(time.Duration(clock.Load())) }
	s := start(t, Options{Cores: 1, Preempt: Off, Now: now}, func(*fakeRunner, *invoke.Invocation, Core) invoke.Result {
		ran.Add(1)
		<-block
		return invoke.Result{}
	})
	defer close(block)
	results := make(chan invoke.Result, 2)
	done := func(_ *invoke.Invocation, r invoke.Result) { results <- r }
	if err := s.Submit(invocation(1, &job{limit: 9}, done)); err != nil {
		t.Fatal(err)
	}
	until(s, func(int, int) bool { return ran.Load() == 1 })
	late := invocation(2, &job{limit: 9}, done)
	late.Deadline = begin.Add(time.Second)
	if err := s.Submit(late); err != nil {
		t.Fatal(err)
	}
	clock.Store(int64(2 * time.Second))
	block <- struct{}{}
	<-results
	if r := <-results; !errors.Is(r.Err, invoke.ErrTimeout) {
		t.Errorf("answered %v", r.Err)
	}
	if ran.Load() != 1 {
		t.Error("an invocation ran after its deadline")
	}
}

func TestDrainGivesUp(t *testing.T) {
	block := make(chan struct{})
	s := start(t, Options{Cores: 1, Preempt: Off}, func(*fakeRunner, *invoke.Invocation, Core) invoke.Result {
		<-block
		return invoke.Result{}
	})
	results := make(chan invoke.Result, 2)
	for id := range uint64(2) {
		if err := s.Submit(invocation(id, &job{limit: 9}, func(_ *invoke.Invocation, r invoke.Result) { results <- r })); err != nil {
			t.Fatal(err)
		}
	}
	until(s, func(_, running int) bool { return running == 1 })
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Drain(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Drain: %v", err)
	}
	if r := <-results; !errors.Is(r.Err, invoke.ErrDraining) {
		t.Errorf("the waiting one was answered %v", r.Err)
	}
	close(block)
	if r := <-results; r.Err != nil {
		t.Errorf("the running one was answered %v", r.Err)
	}
}

// TestPreempts parks a guest for one that is due earlier, runs that on another thread, and lets the first one go on.
func TestPreempts(t *testing.T) {
	release := make(chan struct{})
	s := start(t, Options{Cores: 1}, func(r *fakeRunner, inv *invoke.Invocation, _ Core) invoke.Result {
		if inv.ID == 2 {
			close(release)
			return invoke.Result{}
		}
		for {
			select {
			case <-release:
				return invoke.Result{}
			default:
				r.look()
			}
		}
	})
	done := make(chan uint64, 2)
	answer := func(inv *invoke.Invocation, _ invoke.Result) { done <- inv.ID }
	if err := s.Submit(invocation(1, &job{limit: 9}, answer)); err != nil {
		t.Fatal(err)
	}
	until(s, func(_, running int) bool { return running == 1 })
	quick := &job{limit: 9}
	for range historyKnown {
		quick.history.Observe(10 * time.Microsecond)
	}
	if err := s.Submit(invocation(2, quick, answer)); err != nil {
		t.Fatal(err)
	}
	if first, second := <-done, <-done; first != 2 || second != 1 {
		t.Errorf("answered %d before %d", first, second)
	}
	until(s, func(_, running int) bool { return running == 0 })
	stats := s.Stats()[0]
	if stats.Preemptions != 1 || stats.Resumes != 1 || stats.Finished != 2 || stats.Parked != 0 || stats.Busy == 0 {
		t.Errorf("counted %+v", stats)
	}
}

// TestKilledWhileParked: what is killed while it is parked ends on its own thread, without a core, while another runs.
func TestKilledWhileParked(t *testing.T) {
	var victim atomic.Pointer[fakeRunner]
	over := make(chan struct{})
	s := start(t, Options{Cores: 1}, func(r *fakeRunner, inv *invoke.Invocation, _ Core) invoke.Result {
		if inv.ID == 1 {
			victim.Store(r)
			for !r.look() {
			}
			return invoke.Result{Err: invoke.ErrTimeout}
		}
		victim.Load().kill()
		<-over
		return invoke.Result{}
	})
	quick := &job{limit: 9}
	for range historyKnown {
		quick.history.Observe(10 * time.Microsecond)
	}
	done := make(chan struct{})
	if err := s.Submit(invocation(1, &job{limit: 9}, func(*invoke.Invocation, invoke.Result) { close(over) })); err != nil {
		t.Fatal(err)
	}
	until(s, func(int, int) bool { return victim.Load() != nil })
	if err := s.Submit(invocation(2, quick, func(*invoke.Invocation, invoke.Result) { close(done) })); err != nil {
		t.Fatal(err)
	}
	<-done
	if err := s.Drain(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestModel submits at random from many goroutines guests that run, wait in the host and are killed, and checks what must
// always hold: one runs on a core, everything admitted is answered once, and every Acquire has its Release.
func TestModel(t *testing.T) {
	for _, options := range []Options{
		{Cores: 1, Slice: 500 * time.Microsecond},
		{Cores: 2, Slice: 500 * time.Microsecond, Queue: 50},
		{Cores: 3, MaxThreads: 3, Slice: 500 * time.Microsecond},
		{Cores: 2, Policy: FIFO, Slice: 500 * time.Microsecond},
		{Cores: 2, Policy: SJF, Preempt: OnTimer, Slice: 500 * time.Microsecond},
		{Cores: 2, Preempt: Off},
	} {
		var answered, admitted, flushed, more atomic.Int64
		options.Flush = func() { flushed.Add(1) }
		s := start(t, options, func(r *fakeRunner, inv *invoke.Invocation, core Core) invoke.Result {
			random := rand.New(rand.NewPCG(3, inv.ID))
			r.mu.Lock()
			r.doomed = false
			r.mu.Unlock()
			for range random.IntN(4) {
				switch random.IntN(3) {
				case 0:
					r.leave(core)
					for range random.IntN(1000) { // a wait in the host
						runtime.Gosched()
					}
					r.back(core)
				case 1:
					if random.IntN(8) == 0 {
						go r.kill() // it may hit a later guest of the thread, which serves as well
					}
				}
				for end := time.Now().Add(time.Duration(random.IntN(1<<random.IntN(11))) * time.Microsecond); time.Now().Before(end); {
					if r.look() {
						return invoke.Result{Status: int(inv.ID)}
					}
				}
			}
			return invoke.Result{Status: int(inv.ID)}
		})
		jobs := []*job{
			{app: "a", limit: 5}, {app: "a", limit: 20, relative: 5 * time.Millisecond}, {app: "b", limit: 1000, relative: time.Second}, {app: "c", limit: 1000},
		}
		var group sync.WaitGroup
		for seed := range uint64(4) {
			group.Go(func() {
				random := rand.New(rand.NewPCG(7, seed))
				for n := range uint64(200) {
					var once atomic.Int64
					id := seed*1000 + n + 1
					inv := invocation(id, jobs[random.IntN(len(jobs))], func(_ *invoke.Invocation, r invoke.Result) {
						if once.Add(1) != 1 || (r.Err == nil && r.Status != int(id)) {
							t.Errorf("invocation %d was answered %+v", id, r)
						}
						if r.More {
							more.Add(1)
						}
						answered.Add(1)
					})
					if s.Submit(inv) == nil {
						admitted.Add(1)
					}
				}
			})
		}
		group.Wait()
		if err := s.Drain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if answered.Load() != admitted.Load() || admitted.Load() == 0 {
			t.Errorf("%d admitted, %d answered", admitted.Load(), answered.Load())
		}
		if more.Load() > 0 && flushed.Load() == 0 {
			t.Errorf("%d answers were put off and never flushed", more.Load())
		}
		for i, j := range jobs {
			if held := j.held.Load(); held != 0 {
				t.Errorf("job %d still counts %d", i, held)
			}
		}
	}
}

// BenchmarkSubmit takes one invocation after the other from the submitter to a worker and back.
func BenchmarkSubmit(b *testing.B) {
	s := start(b, Options{Cores: 1}, func(*fakeRunner, *invoke.Invocation, Core) invoke.Result { return invoke.Result{} })
	done := make(chan struct{}, 1)
	inv := invocation(1, &job{limit: 1}, func(*invoke.Invocation, invoke.Result) { done <- struct{}{} })
	b.ReportAllocs()
	for b.Loop() {
		if err := s.Submit(inv); err != nil {
			b.Fatal(err)
		}
		<-done
	}
}

// BenchmarkContention submits from several goroutines to several cores: what the one lock costs.
func BenchmarkContention(b *testing.B) {
	for _, submitters := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint(submitters), func(b *testing.B) {
			s := start(b, Options{Cores: 2, Queue: 1 << 20}, func(*fakeRunner, *invoke.Invocation, Core) invoke.Result { return invoke.Result{} })
			var group sync.WaitGroup
			b.ReportAllocs()
			b.ResetTimer()
			for range submitters {
				group.Go(func() {
					const window = 16 // that many are on their way, as of a client with as many connections
					free := make(chan *invoke.Invocation, window)
					j := &job{limit: window}
					for range window {
						free <- invocation(1, j, func(inv *invoke.Invocation, _ invoke.Result) { free <- inv })
					}
					for range b.N / submitters {
						if err := s.Submit(<-free); err != nil {
							b.Error(err)
							return
						}
					}
					for range window {
						<-free
					}
				})
			}
			group.Wait()
		})
	}
}

// BenchmarkMachine is what the lock is held for: an arrival and an end, without threads.
func BenchmarkMachine(b *testing.B) {
	for _, waiting := range []int{0, 16, 256} {
		b.Run(fmt.Sprint(waiting), func(b *testing.B) {
			m := newMachine(Options{Cores: 2, Preempt: Off}.orDefaults(), still{})
			workers := []*worker{new(worker), new(worker)}
			m.making = len(workers)
			for _, w := range workers {
				m.born(0, w)
			}
			a := arrival{app: "app", known: true, expect: 30 * us, mean: 30 * us, timeout: time.Second}
			now := time.Duration(0)
			for range waiting + 2 {
				m.arrive(now, &a)
			}
			for _, w := range workers {
				if w.role == called {
					m.woken(now, w)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				now += 20 * us
				m.arrive(now, &a)
				for _, w := range workers {
					if w.role == called {
						m.woken(now, w)
					} else if w.task != nil {
						m.ended(now, w, true)
						break
					}
				}
			}
		})
	}
}

// still has no effects.
type still struct{}

func (still) wake(*worker)           {}
func (still) pin(*worker)            {}
func (still) park(_, _ *worker) bool { return true }
func (still) poke(*worker)           {}
func (still) resume(*worker)         {}
func (still) needThread()            {}

// TestNoAllocations: an invocation that comes, runs and is answered allocates nothing in this package.
func TestNoAllocations(t *testing.T) {
	s := start(t, Options{Cores: 1}, func(*fakeRunner, *invoke.Invocation, Core) invoke.Result { return invoke.Result{} })
	done := make(chan struct{}, 1)
	inv := invocation(1, &job{limit: 1}, func(*invoke.Invocation, invoke.Result) { done <- struct{}{} })
	n := testing.AllocsPerRun(1000, func() {
		if err := s.Submit(inv); err != nil {
			t.Fatal(err)
		}
		<-done
	})
	if n != 0 {
		t.Errorf("%v allocations an invocation", n)
	}
}
