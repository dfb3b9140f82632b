package scheduler

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/internal/testutil"
)

// job counts what the scheduler does with it.
type job struct {
	limit    int64
	relative time.Duration
	held     atomic.Int64
	retired  bool
}

func (*job) Name() (invoke.AppName, invoke.FunctionName) { return "app", "fn" }
func (j *job) Relative() time.Duration                   { return j.relative }
func (j *job) Release()                                  { j.held.Add(-1) }
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

// threads runs workers on goroutines.
type threads struct {
	run func(*invoke.Invocation) invoke.Result
}

// runner is a worker on a goroutine.
type runner struct {
	threads
	token chan struct{} // of one place: several wake-ups count as one
}

func (r *runner) Run(inv *invoke.Invocation) invoke.Result { return r.run(inv) }
func (r *runner) Recycle()                                 {}
func (r *runner) Wait()                                    { <-r.token }
func (r *runner) Wake() {
	select {
	case r.token <- struct{}{}:
	default:
	}
}

func (t threads) Go(work func(Runner)) error {
	go work(&runner{t, make(chan struct{}, 1)})
	return nil
}

func start(t *testing.T, options Options, run func(*invoke.Invocation) invoke.Result) *Scheduler {
	t.Helper()
	testutil.NoLeaks(t)
	s := New(options)
	if err := s.Start(threads{run}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func invocation(id uint64, j *job, done func(*invoke.Invocation, invoke.Result)) *invoke.Invocation {
	return &invoke.Invocation{ID: id, Target: j, Done: done, Stamps: invoke.Stamps{Arrived: time.Now()}}
}

// TestOrder queues invocations behind one that holds the only worker and looks in what order they then run.
func TestOrder(t *testing.T) {
	release := make(chan struct{})
	var order []uint64
	s := start(t, Options{Workers: 1}, func(inv *invoke.Invocation) invoke.Result {
		if inv.ID == 0 {
			<-release
		}
		order = append(order, inv.ID)
		return invoke.Result{}
	})
	var done sync.WaitGroup
	submit := func(id uint64, j *job, deadline time.Duration) {
		done.Add(1)
		inv := invocation(id, j, func(*invoke.Invocation, invoke.Result) { done.Done() })
		if deadline > 0 {
			inv.Deadline = inv.Stamps.Arrived.Add(deadline)
		}
		if err := s.Submit(inv); err != nil {
			t.Error(err)
		}
	}
	submit(0, &job{limit: 1}, 0)
	for queued, running := s.Load(); queued != 0 || running != 1; queued, running = s.Load() {
	}
	submit(1, &job{limit: 9, relative: time.Hour}, 0)
	submit(2, &job{limit: 9}, 0)                                // DefaultRelative
	submit(3, &job{limit: 9, relative: time.Millisecond}, 0)    // most urgent
	submit(4, &job{limit: 9, relative: time.Hour}, time.Minute) // its caller is more impatient than the function
	close(release)
	done.Wait()
	want := []uint64{0, 3, 2, 4, 1}
	for i := range want {
		if order[i] != want[i] {
			t.Fatalf("ran in order %v, want %v", order, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	block := make(chan struct{})
	var rejected [3]atomic.Int64
	s := start(t, Options{Workers: 1, Queue: 2, Rejected: func(r Rejection) { rejected[r].Add(1) }},
		func(*invoke.Invocation) invoke.Result { <-block; return invoke.Result{} })
	ignore := func(*invoke.Invocation, invoke.Result) {}
	j := &job{limit: 100}
	if err := s.Submit(invocation(1, j, ignore)); err != nil {
		t.Fatal(err)
	}
	for _, running := s.Load(); running != 1; _, running = s.Load() {
	}
	for id := range uint64(2) {
		if err := s.Submit(invocation(2+id, j, ignore)); err != nil {
			t.Fatal(err)
		}
	}
	deep := invocation(9, j, ignore)
	deep.Depth = invoke.MaxDepth + 1
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
	if rejected[RejectQueueFull].Load() != 1 || rejected[RejectConcurrency].Load() != 1 {
		t.Errorf("told of %d full queues and %d reached limits", rejected[0].Load(), rejected[1].Load())
	}
	if held := j.held.Load(); held != 3 {
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

func TestDeadlineWhileWaiting(t *testing.T) {
	block := make(chan struct{})
	var ran atomic.Int64
	s := start(t, Options{Workers: 1}, func(inv *invoke.Invocation) invoke.Result {
		ran.Add(1)
		<-block
		return invoke.Result{}
	})
	results := make(chan invoke.Result, 2)
	done := func(_ *invoke.Invocation, r invoke.Result) { results <- r }
	if err := s.Submit(invocation(1, &job{limit: 9}, done)); err != nil {
		t.Fatal(err)
	}
	for ran.Load() != 1 {
	}
	late := invocation(2, &job{limit: 9}, done)
	late.Deadline = time.Now()
	if err := s.Submit(late); err != nil {
		t.Fatal(err)
	}
	close(block)
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
	s := start(t, Options{Workers: 1}, func(*invoke.Invocation) invoke.Result { <-block; return invoke.Result{} })
	results := make(chan invoke.Result, 2)
	for id := range uint64(2) {
		if err := s.Submit(invocation(id, &job{limit: 9}, func(_ *invoke.Invocation, r invoke.Result) { results <- r })); err != nil {
			t.Fatal(err)
		}
	}
	for _, running := s.Load(); running != 1; _, running = s.Load() {
	}
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

// TestModel submits at random from many goroutines and checks what must always hold: everything admitted is answered once,
// never more than Workers run, and every Acquire has its Release.
func TestModel(t *testing.T) {
	const workers, submitters, each = 3, 8, 2000
	var running, answered, admitted atomic.Int64
	s := start(t, Options{Workers: workers, Queue: 50}, func(inv *invoke.Invocation) invoke.Result {
		if running.Add(1) > workers {
			t.Error("more run than there are workers")
		}
		defer running.Add(-1)
		return invoke.Result{Status: int(inv.ID)}
	})
	jobs := []*job{{limit: 5}, {limit: 20, relative: time.Millisecond}, {limit: 1000, relative: time.Second}}
	var group sync.WaitGroup
	for seed := range uint64(submitters) {
		group.Go(func() {
			random := rand.New(rand.NewPCG(7, seed))
			for n := range uint64(each) {
				var once atomic.Int64
				id := seed*each + n
				inv := invocation(id, jobs[random.IntN(len(jobs))], func(_ *invoke.Invocation, r invoke.Result) {
					if once.Add(1) != 1 || (r.Err == nil && r.Status != int(id)) {
						t.Errorf("invocation %d was answered %+v", id, r)
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
	if answered.Load() != admitted.Load() || admitted.Load() == 0 {
		t.Errorf("%d admitted, %d answered", admitted.Load(), answered.Load())
	}
	for i, j := range jobs {
		if held := j.held.Load(); held != 0 {
			t.Errorf("job %d still counts %d", i, held)
		}
	}
}

func BenchmarkSubmit(b *testing.B) {
	s := New(Options{Workers: 1})
	if err := s.Start(threads{func(*invoke.Invocation) invoke.Result { return invoke.Result{} }}); err != nil {
		b.Fatal(err)
	}
	defer s.Close()
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
