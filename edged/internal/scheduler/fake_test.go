package scheduler

import (
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/internal/testutil"
)

// job counts what the scheduler does with it.
type job struct {
	app      invoke.AppName
	limit    int64
	relative time.Duration
	timeout  time.Duration
	held     atomic.Int64
	retired  bool
	history  History
}

func (j *job) Name() (invoke.AppName, invoke.FunctionName) { return j.app, "fn" }
func (j *job) Relative() time.Duration                     { return j.relative }
func (j *job) Timeout() time.Duration                      { return j.timeout }
func (j *job) History() *History                           { return &j.history }
func (j *job) Ran(core time.Duration)                      { j.history.Observe(core) }
func (j *job) Release()                                    { j.held.Add(-1) }
func (j *job) Acquire() error {
	if j.retired {
		return ErrRetired
	}
	if j.held.Add(1) > j.limit {
		j.held.Add(-1)
		return &invoke.Error{Kind: invoke.ErrQueueFull}
	}
	return nil
}

// fakeThreads runs workers on goroutines and counts how many guests run on each core.
type fakeThreads struct {
	t    testing.TB
	run  func(*fakeRunner, *invoke.Invocation, Core) invoke.Result
	fail atomic.Bool
	on   [16]atomic.Int64 // by core: who runs
	made atomic.Int64
}

var errNoThread = errors.New("no more threads")

func (f *fakeThreads) Go(work func(Runner)) error {
	if f.fail.Load() {
		return errNoThread
	}
	f.made.Add(1)
	go work(&fakeRunner{threads: f, token: make(chan struct{}, 1), goOn: make(chan struct{}, 1)})
	return nil
}

// fakeRunner is a thread whose guests stop where they look (see look).
type fakeRunner struct {
	threads *fakeThreads
	token   chan struct{} // of one place: several wake-ups count as one
	goOn    chan struct{}
	core    atomic.Int64
	left    bool // the core, on the thread itself

	mu        sync.Mutex
	successor *fakeRunner // guarded by mu: of a request that stands
	parked    bool        // guarded by mu
	roused    bool        // guarded by mu
	doomed    bool        // guarded by mu: kill was called
}

func (r *fakeRunner) Run(inv *invoke.Invocation, core Core) invoke.Result {
	r.enter()
	defer r.exit()
	return r.threads.run(r, inv, core)
}

func (r *fakeRunner) enter() {
	if n := r.threads.on[r.core.Load()].Add(1); n != 1 {
		r.threads.t.Errorf("%d run on core %d", n, r.core.Load())
	}
	r.left = false
}

func (r *fakeRunner) exit() {
	if !r.left {
		r.threads.on[r.core.Load()].Add(-1)
	}
	r.left = true
}

func (r *fakeRunner) Recycle() {}
func (r *fakeRunner) Wait()    { <-r.token }
func (r *fakeRunner) Wake() {
	select {
	case r.token <- struct{}{}:
	default:
		r.threads.t.Error("a thread is woken twice")
	}
}
func (r *fakeRunner) Pin(core int) { r.core.Store(int64(core)) }

func (r *fakeRunner) Park(successor Runner) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.successor != nil || r.parked || r.roused {
		return false
	}
	r.successor = successor.(*fakeRunner)
	return true
}

func (r *fakeRunner) Poke() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.successor != nil
}

func (r *fakeRunner) CancelPark() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	kept := !r.roused
	r.successor, r.roused = nil, false
	return kept
}

func (r *fakeRunner) Resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.parked {
		r.parked = false
		r.goOn <- struct{}{}
	}
}

// kill ends what runs, parked or not: look reports it.
func (r *fakeRunner) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doomed = true
	if r.parked {
		r.parked, r.roused = false, true
		r.goOn <- struct{}{}
	}
}

// look is where a guest may be parked and killed; it reports whether it has been killed.
func (r *fakeRunner) look() bool {
	r.mu.Lock()
	s := r.successor
	if s == nil || r.doomed {
		defer r.mu.Unlock()
		return r.doomed
	}
	r.successor, r.parked = nil, true
	r.mu.Unlock()
	r.exit()
	s.Wake()
	<-r.goOn
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.roused {
		r.enter()
	}
	return r.doomed
}

func (r *fakeRunner) leave(core Core) { r.exit(); core.Leave() }
func (r *fakeRunner) back(core Core)  { core.Return(); r.enter() }

func start(t testing.TB, options Options, run func(*fakeRunner, *invoke.Invocation, Core) invoke.Result) *Scheduler {
	t.Helper()
	if tt, ok := t.(*testing.T); ok {
		testutil.NoLeaks(tt)
	}
	s, threads := New(options), &fakeThreads{t: t, run: run}
	if err := s.Start(threads); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func invocation(id uint64, j *job, done func(*invoke.Invocation, invoke.Result)) *invoke.Invocation {
	return &invoke.Invocation{ID: id, Target: j, Done: done, Stamps: invoke.Stamps{Arrived: time.Now()}}
}

// until waits for a condition that other goroutines bring about.
func until(s *Scheduler, condition func(queued, running int) bool) {
	for !condition(s.Load()) {
		runtime.Gosched()
	}
}
