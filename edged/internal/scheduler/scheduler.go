package scheduler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// surplusAfter is how long a thread beyond the first ones is kept without being needed, at least.
const surplusAfter = 10 * time.Second

// Scheduler admits, orders and runs invocations. Make it with New, Start it once, Close it.
type Scheduler struct {
	options Options
	born    time.Time
	threads Threads // set by Start
	// holdBack is after what time answers are let go that a worker holds back while it runs what takes longer than it should: sooner
	// the threads of its loops are there.
	holdBack time.Duration
	needed   chan struct{} // of one place: a thread is to be made
	stop     chan struct{} // closed by Close
	maker    sync.WaitGroup
	workers  sync.WaitGroup

	mu      sync.Mutex
	machine *machine      // guarded by mu
	quiet   *sync.Cond    // on mu: nothing is admitted that has not ended
	toWake  *worker       // guarded by mu: to be woken by unlock
	putOff  []*worker     // guarded by mu: to be woken by Flush
	empty   []*worker     // guarded by mu: the other half of putOff, in use while Flush works it off
	waits   atomic.Bool   // there is something in putOff
	slice   *timer        // guarded by mu: runs tick; nil before Start and after Close
	calmly  *time.Timer   // guarded by mu: runs tick too, where nobody waits for it but by mistake; as slice
	calm    time.Duration // from what time on calmly is used
	slicing time.Duration // guarded by mu: to what either has been set; 0: to nothing
	idle    *time.Timer   // guarded by mu: runs shrink; nil until there is surplus
}

// New returns a scheduler without threads.
func New(options Options) *Scheduler {
	options = options.orDefaults()
	s := &Scheduler{options: options, born: options.Now(), needed: make(chan struct{}, 1), stop: make(chan struct{})}
	s.machine = newMachine(options, s)
	if s.holdBack = options.Slice; options.Loops != nil {
		s.holdBack = calmSlices * options.Slice
	}
	s.quiet = sync.NewCond(&s.mu)
	return s
}

// Start makes the first threads. After a failure the caller closes the scheduler.
func (s *Scheduler) Start(threads Threads) error {
	s.threads = threads
	slice, err := newTimer(s.tick)
	if err != nil {
		return err
	}
	first := s.options.Cores * s.options.MinThreads
	s.mu.Lock()
	s.slice, s.calm = slice, calmSlices*s.options.Slice
	s.calmly = time.AfterFunc(time.Hour, s.tick)
	s.calmly.Stop()
	s.machine.making += first
	s.mu.Unlock()
	for n := range first {
		if err := s.makeThread(); err != nil {
			return fmt.Errorf("start worker %d: %w", n, err)
		}
	}
	s.maker.Go(s.makeThreads)
	return nil
}

// makeThread makes a thread that the machine counts among those being made.
func (s *Scheduler) makeThread() error {
	s.workers.Add(1)
	err := s.threads.Go(func(r Runner) {
		defer s.workers.Done()
		s.work(&worker{runner: r, shell: s})
	})
	if err != nil {
		s.workers.Done()
		s.mu.Lock()
		s.machine.unborn()
		s.mu.Unlock()
	}
	return err
}

// makeThreads makes threads as they are needed. After a failure it takes a rest: the machine asks again.
func (s *Scheduler) makeThreads() {
	const rest = time.Second
	for {
		select {
		case <-s.stop:
			return
		case <-s.needed:
		}
		s.mu.Lock()
		missing := s.machine.making
		s.mu.Unlock()
		for ; missing > 0; missing-- {
			if s.makeThread() == nil {
				s.watchSurplus()
				continue
			}
			select {
			case <-s.stop:
				return
			case <-time.After(rest):
			}
		}
	}
}

// now is the machine's time.
func (s *Scheduler) now() time.Duration { return s.options.Now().Sub(s.born) }

// unlock ends what one event has set going: it sees to the timer, and wakes a thread without the lock, which the thread
// will want at once.
func (s *Scheduler) unlock() {
	if pace := s.machine.pace; pace > 0 && s.slice != nil && (s.slicing == 0 || pace < s.slicing) {
		s.slicing = pace
		if pace >= s.calm {
			s.calmly.Reset(pace)
		} else {
			s.slice.set(pace)
		}
	}
	w := s.toWake
	s.toWake = nil
	s.mu.Unlock()
	if w != nil {
		s.rouse(w)
	}
}

// tick is run by the timer of slices.
func (s *Scheduler) tick() {
	flush := false
	s.mu.Lock()
	s.slicing = 0
	s.machine.tick(s.now())
	for _, w := range s.takePutOff() { // by somebody who has not called Flush within a slice
		s.rouse(w)
	}
	for _, c := range s.machine.cores {
		flush = flush || c.unflushed
		c.unflushed = false
	}
	s.unlock()
	if flush {
		s.options.Flush()
	}
}

// watchSurplus sets the idle timer unless it is set.
func (s *Scheduler) watchSurplus() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.idle == nil {
		s.idle = time.AfterFunc(surplusAfter, s.shrink)
	}
}

// shrink is run by the idle timer.
func (s *Scheduler) shrink() {
	s.mu.Lock()
	defer s.unlock()
	if s.machine.closed {
		return
	}
	if s.machine.surplus() {
		s.idle.Reset(surplusAfter)
		return
	}
	s.idle = nil
}

// Submit implements trigger.Submitter. The invocation's target must be a [Job].
func (s *Scheduler) Submit(inv *invoke.Invocation) error { return s.submit(inv, false) }

// SubmitMore implements trigger.Batcher.
func (s *Scheduler) SubmitMore(inv *invoke.Invocation) error { return s.submit(inv, true) }

// Flush implements trigger.Batcher.
func (s *Scheduler) Flush() {
	if !s.waits.Load() {
		return
	}
	s.mu.Lock()
	list := s.takePutOff()
	s.mu.Unlock()
	for _, w := range list {
		s.rouse(w)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.empty == nil {
		s.empty = list[:0]
	}
}

// takePutOff takes out the workers whose waking has been put off. Called with mu held.
func (s *Scheduler) takePutOff() []*worker {
	list := s.putOff
	s.putOff, s.empty = s.empty, nil
	s.waits.Store(false)
	return list
}

// submit admits an invocation; more says that Flush will be called soon, which then wakes whom this one needs.
func (s *Scheduler) submit(inv *invoke.Invocation, more bool) error {
	job, ok := inv.Target.(Job)
	if !ok {
		return &invoke.Error{Kind: invoke.ErrNotFound, Detail: "the invocation has no target"}
	}
	if err := inv.Cause.Check(inv.App, inv.Function); err != nil {
		return err
	}
	if err := job.Acquire(); err != nil {
		if errors.Is(err, invoke.ErrQueueFull) {
			s.options.Rejected(RejectConcurrency)
		}
		return err
	}
	inv.Stamps.Queued = s.options.Now()
	now := inv.Stamps.Queued.Sub(s.born)
	a := s.arrival(inv, job, now)
	s.mu.Lock()
	refused := s.machine.arrive(now, &a)
	if w := s.toWake; more && w != nil && w.loop.Load() == nil {
		s.putOff, s.toWake = append(s.putOff, w), nil
		s.waits.Store(true)
	}
	s.unlock()
	if refused != nil {
		job.Release()
		s.options.Rejected(refused.why)
		return refused.err()
	}
	return nil
}

// arrival gathers what the machine wants to know.
func (s *Scheduler) arrival(inv *invoke.Invocation, job Job, now time.Duration) arrival {
	a := arrival{inv: inv, job: job, history: job.History(), relative: job.Relative(), timeout: job.Timeout(), arrived: now}
	if a.inner = inv.Source == invoke.SourceCall; a.inner && !inv.Since.IsZero() {
		a.awaited = max(inv.Since.Sub(s.born), 1)
	}
	a.app, a.fn = job.Name()
	a.expect, a.known = a.history.Expect()
	a.mean = a.history.Mean()
	if !inv.Stamps.Arrived.IsZero() {
		a.arrived = inv.Stamps.Arrived.Sub(s.born)
	}
	if !inv.Deadline.IsZero() {
		a.deadline = max(inv.Deadline.Sub(s.born), 1)
	}
	return a
}

// Load returns how many invocations wait and have not begun, and how many have begun and not ended.
func (s *Scheduler) Load() (queued, running int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.machine.waiting, s.machine.live - s.machine.waiting
}

// Stats returns what each core does and has done.
func (s *Scheduler) Stats() []CoreStats {
	s.mu.Lock()
	defer s.unlock()
	return s.machine.stats(s.now())
}

// Drain stops admitting and waits until everything admitted has been answered, or until ctx ends: then what has not begun
// is answered with ErrDraining, and what has is left to the caller.
func (s *Scheduler) Drain(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.quiet.Broadcast()
	})
	defer stop()
	s.mu.Lock()
	s.machine.drained = true
	s.mu.Unlock()
	s.Flush() // whoever was to do it may have been ended first
	s.mu.Lock()
	for s.machine.live > 0 && ctx.Err() == nil {
		s.quiet.Wait()
	}
	dropped := s.machine.drop(s.now())
	s.unlock()
	for _, t := range dropped {
		t.job.Release()
		t.inv.Done(t.inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrDraining}})
	}
	return ctx.Err()
}

// Close drains without waiting, ends the threads and waits for them; what runs runs to its end first. Closing again does
// nothing.
func (s *Scheduler) Close() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	_ = s.Drain(now) // its error says that it did not wait, as asked
	s.mu.Lock()
	if !s.machine.closed {
		close(s.stop)
		s.machine.close()
	}
	s.unlock()
	s.maker.Wait()
	s.workers.Wait()
	s.mu.Lock()
	slice := s.slice
	s.slice = nil
	if s.calmly != nil {
		s.calmly.Stop()
	}
	if s.idle != nil {
		s.idle.Stop()
	}
	s.mu.Unlock()
	if slice != nil {
		slice.close()
	}
	return nil
}
