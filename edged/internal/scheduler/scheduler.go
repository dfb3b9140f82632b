// Package scheduler decides which admitted invocation runs next and on which worker. Policy only: what running means is the
// [Runner]'s business, so this package builds and tests without an engine.
//
// One bounded run queue feeds a fixed number of workers, each an OS thread of its own. The queue is ordered by the
// earliest deadline; an invocation whose function states none is taken to want its answer within [DefaultRelative], so an
// urgent one overtakes and none waits for ever. An app that holds three times as many workers as are free gets no more of
// them: its further invocations are held back, so that an app whose requests take long leaves room for others.
//
// Locks: Scheduler.mu alone; Done and Release are called without it.
package scheduler

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Defaults of [Options].
const (
	// DefaultRelative orders invocations of functions without a deadline of their own. It only sets who goes first.
	DefaultRelative = 50 * time.Millisecond
	// DefaultWorkersPerCore is how many invocations of one app run at once on a core: the operating system shares it among
	// them, so that a long one does not hold up all others behind it. See [DefaultWorkers].
	DefaultWorkersPerCore = 8
	// DefaultQueue is how many invocations wait at most; at a millisecond each on two cores that is two seconds' worth.
	DefaultQueue = 4096
	// retryAfter is what a client is told to wait when the queue is full: by then a good part of it has been run.
	retryAfter = time.Second
)

// ErrRetired is returned by [Job.Acquire] when the function's version has been taken out of service and nothing of it is
// left. Who submitted the invocation routes it again.
var ErrRetired = errors.New("this version has been taken out of service")

// Runner runs invocations on one worker's thread, one at a time.
type Runner interface {
	// Run runs the invocation to its end, which is bounded by the function's own timeout. It is called on the thread that
	// the runner was made for.
	Run(inv *invoke.Invocation) invoke.Result
	// Recycle is called on the same thread after the invocation that ran last has been answered: the time to put right what
	// it left, which nobody has to wait for.
	Recycle()
	// Wait blocks the runner's thread until Wake has been called since the last Wait returned.
	Wait()
	// Wake makes one Wait return; any goroutine may call it, and it does not block.
	Wake()
}

// Threads makes workers' threads.
type Threads interface {
	// Go starts an OS thread and runs work on it with the runner of that thread; the thread ends when work returns. It
	// returns when the thread runs.
	Go(work func(Runner)) error
}

// Job is what the scheduler asks of an invocation's target. Its methods do not block and may be called from any goroutine.
type Job interface {
	invoke.Target
	// Acquire counts an invocation of the function in. The error is ErrRetired or an [*invoke.Error] that wraps
	// ErrQueueFull when the app's own limit is reached.
	Acquire() error
	// Release counts it out. It is called once for every successful Acquire.
	Release()
	// Relative returns how long after its arrival an answer is wanted; zero when the function does not say.
	Relative() time.Duration
}

// Rejection is why an invocation was not admitted.
type Rejection uint8

// The reasons to refuse an invocation.
const (
	RejectQueueFull Rejection = iota
	RejectConcurrency
	RejectDraining
)

// Options configures [New]. Zero fields mean the defaults.
type Options struct {
	// Workers is how many invocations run at once at most. Required.
	Workers int
	// Queue bounds the waiting ones.
	Queue int
	// Rejected, when not nil, is told of every refusal. It must not block.
	Rejected func(Rejection)
}

// Scheduler admits, orders and runs invocations. Make it with New, Start it once, Close it.
type Scheduler struct {
	options Options

	mu      sync.Mutex
	quiet   *sync.Cond // on mu: nothing queued, nothing running
	queue   runQueue   // guarded by mu
	running int        // guarded by mu
	shares  shares     // guarded by mu
	drained bool       // guarded by mu: no more admissions
	closed  bool       // guarded by mu: workers end
	idle    []Runner   // guarded by mu: workers that wait; the last one to fall idle is the first to be woken, its caches are warm
	waking  bool       // guarded by mu: one has been woken and has not looked at the queue yet

	workers sync.WaitGroup
}

// New returns a scheduler without workers.
func New(options Options) *Scheduler {
	if options.Queue == 0 {
		options.Queue = DefaultQueue
	}
	s := &Scheduler{options: options}
	s.quiet = sync.NewCond(&s.mu)
	return s
}

// Start starts the workers. After a failure the caller closes the scheduler.
func (s *Scheduler) Start(threads Threads) error {
	for n := range s.options.Workers {
		s.workers.Add(1)
		work := func(r Runner) {
			defer s.workers.Done()
			s.work(r)
		}
		if err := threads.Go(work); err != nil {
			s.workers.Done()
			return fmt.Errorf("start worker %d: %w", n, err)
		}
	}
	return nil
}

// Submit implements trigger.Submitter. The invocation's target must be a [Job].
func (s *Scheduler) Submit(inv *invoke.Invocation) error {
	job, ok := inv.Target.(Job)
	if !ok {
		return &invoke.Error{Kind: invoke.ErrNotFound, Detail: "the invocation has no target"}
	}
	if inv.Depth > invoke.MaxDepth {
		return &invoke.Error{Kind: invoke.ErrDepth, Detail: fmt.Sprintf(
			"%d functions have started each other in a row, %d is the limit; look for a cycle", inv.Depth, invoke.MaxDepth)}
	}
	if err := job.Acquire(); err != nil {
		if errors.Is(err, invoke.ErrQueueFull) {
			s.reject(RejectConcurrency)
		}
		return err
	}
	if err := s.admit(inv, job); err != nil {
		job.Release()
		return err
	}
	return nil
}

func (s *Scheduler) admit(inv *invoke.Invocation, job Job) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.drained {
		s.reject(RejectDraining)
		return &invoke.Error{Kind: invoke.ErrDraining, RetryAfter: retryAfter}
	}
	if waiting := s.waiting(); waiting >= s.options.Queue {
		s.reject(RejectQueueFull)
		return &invoke.Error{
			Kind: invoke.ErrQueueFull, RetryAfter: retryAfter,
			Detail: fmt.Sprintf("%d invocations wait already", waiting),
		}
	}
	inv.Stamps.Queued = time.Now()
	heap.Push(&s.queue, waiting{inv: inv, due: due(inv, job)})
	s.wakeOne()
	return nil
}

// wakeOne wakes an idle worker for what is queued, unless one is on its way already: that one wakes the next if there is
// more than it takes itself. So short invocations that come in a row are run by few workers, without a wake-up each. Called
// with mu held.
func (s *Scheduler) wakeOne() {
	last := len(s.idle) - 1
	if s.waking || last < 0 || len(s.queue) == 0 {
		return
	}
	runner := s.idle[last]
	s.idle[last] = nil
	s.idle = s.idle[:last]
	s.waking = true
	runner.Wake()
}

func (s *Scheduler) reject(reason Rejection) {
	if s.options.Rejected != nil {
		s.options.Rejected(reason)
	}
}

// due is when an answer is wanted.
func due(inv *invoke.Invocation, job Job) time.Time {
	from := inv.Stamps.Arrived
	if from.IsZero() {
		from = inv.Stamps.Queued
	}
	relative := job.Relative()
	if relative == 0 {
		relative = DefaultRelative
	}
	at := from.Add(relative)
	if !inv.Deadline.IsZero() && inv.Deadline.Before(at) {
		return inv.Deadline
	}
	return at
}

// work is the life of one worker.
func (s *Scheduler) work(r Runner) {
	for {
		inv := s.next(r)
		if inv == nil {
			return
		}
		s.finish(inv, run(r, inv))
		r.Recycle()
	}
}

// run runs an invocation unless its caller has given it up while it waited.
func run(r Runner, inv *invoke.Invocation) invoke.Result {
	if !inv.Deadline.IsZero() && !time.Now().Before(inv.Deadline) {
		return invoke.Result{Err: &invoke.Error{Kind: invoke.ErrTimeout, Detail: "its deadline passed while it waited for a worker"}}
	}
	return r.Run(inv)
}

// next waits for an invocation and marks it as running; nil when the worker is to end.
func (s *Scheduler) next(r Runner) *invoke.Invocation {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		if inv := s.take(); inv != nil {
			s.wakeOne()
			return inv
		}
		if s.closed {
			return nil
		}
		s.idle = append(s.idle, r)
		s.mu.Unlock()
		r.Wait()
		s.mu.Lock()
		s.waking = false
	}
}

// take takes the most urgent invocation whose app may have a worker out of the queue and marks it as running; nil when there
// is none. Called with mu held.
func (s *Scheduler) take() *invoke.Invocation {
	for len(s.queue) > 0 {
		w := heap.Pop(&s.queue).(waiting) //nolint:forcetypeassert // the queue holds nothing else
		app, _ := w.inv.Target.Name()
		if s.shares.mayRun(app, s.options.Workers-s.running) {
			s.running++
			s.shares.began(app)
			return w.inv
		}
		s.shares.hold(app, w)
	}
	return nil
}

// waiting returns how many invocations wait. Called with mu held.
func (s *Scheduler) waiting() int { return len(s.queue) + s.shares.waiting }

// finish answers an invocation that has run. The job is released first: who gets the answer may count on it.
func (s *Scheduler) finish(inv *invoke.Invocation, result invoke.Result) {
	inv.Target.(Job).Release() //nolint:forcetypeassert // Submit has checked it
	inv.Done(inv, result)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running--
	app, _ := inv.Target.Name()
	s.shares.ended(app)
	for _, w := range s.shares.release(s.options.Workers - s.running) {
		heap.Push(&s.queue, w) // for this worker, which looks at the queue next and wakes another if there is more
	}
	s.signalQuiet()
}

func (s *Scheduler) signalQuiet() {
	if s.running == 0 && s.waiting() == 0 {
		s.quiet.Broadcast()
	}
}

// Load returns how many invocations wait and how many run now.
func (s *Scheduler) Load() (queued, running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting(), s.running
}

// Drain stops admitting and waits until everything admitted has been answered, or until ctx ends: then what still waits is
// answered with ErrDraining, and what runs is left to the caller.
func (s *Scheduler) Drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.quiet.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	s.drained = true
	for (s.running > 0 || s.waiting() > 0) && ctx.Err() == nil {
		s.quiet.Wait()
	}
	dropped := slices.Concat(s.queue, s.shares.drop())
	s.queue = nil
	s.mu.Unlock()
	for _, w := range dropped {
		w.inv.Target.(Job).Release() //nolint:forcetypeassert // Submit has checked it
		w.inv.Done(w.inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrDraining}})
	}
	return ctx.Err()
}

// Close drains without waiting, ends the workers and waits for them; what runs runs to its end first. Closing again does
// nothing.
func (s *Scheduler) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Drain(now) // its error says that it did not wait, as asked
	s.mu.Lock()
	s.closed = true
	for _, runner := range s.idle {
		runner.Wake()
	}
	s.idle = nil
	s.mu.Unlock()
	s.workers.Wait()
	return nil
}

// waiting is an entry of the run queue.
type waiting struct {
	inv *invoke.Invocation
	due time.Time
}

// runQueue is a heap by due time.
type runQueue []waiting

func (q runQueue) Len() int           { return len(q) }
func (q runQueue) Less(i, j int) bool { return q[i].due.Before(q[j].due) }
func (q runQueue) Swap(i, j int)      { q[i], q[j] = q[j], q[i] }

// Push adds an entry; package heap calls it.
func (q *runQueue) Push(x any) { *q = append(*q, x.(waiting)) } //nolint:forcetypeassert // heap.Push is called in one place

// Pop removes the last entry; package heap calls it.
func (q *runQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = waiting{}
	*q = old[:len(old)-1]
	return last
}
