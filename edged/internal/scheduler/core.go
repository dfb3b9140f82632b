package scheduler

import (
	"sync/atomic"
	"time"
)

// core is one run queue and what runs from it.
type core struct {
	id    int
	tasks queue // new, parked and returning ones, by key
	long  longClass

	// holder has the core, or has been woken to take it; nil when the core is idle. running is nil between its tasks.
	holder  *worker
	running *task
	// successor has been reserved to take over when running, which is preempting then, has parked.
	successor *worker
	tender    *worker   // attends to loop, because the core is idle
	loop      Loop      // nil: its own thread is always at it
	spares    []*worker // that wait pinned to this core; the last one to come is the first to go, its caches are warm

	unflushed bool          // its holder runs something while answers with More are not flushed yet
	standing  time.Duration // when tasks was last empty
	blocked   int           // left it to wait in the host, or wait to return
	threads   int           // pinned to it
	counted   CoreStats
}

// worker is one thread.
type worker struct {
	runner Runner
	core   *core // pinned to
	role   role
	task   *task // bound to it
	shell  *Scheduler

	naps    uint64               // guarded by Scheduler.mu: number of the last nap
	napping bool                 // guarded by Scheduler.mu: it has not been ended
	asleep  bool                 // guarded by Scheduler.mu: in Sleep, to be woken
	loop    atomic.Pointer[Loop] // that it attends to; nil when it does not
	// summoned makes it leave that loop.
	summoned atomic.Bool

	// Used on its own thread only.
	unflushed      int           // answers with More since the last flush
	unflushedSince time.Duration // the first of them
	yielded        time.Duration // when it passed through the Go scheduler last
}

// role is what a worker's thread does without a task.
type role uint8

const (
	holding   role = iota // runs a task, or ends one
	spare                 // waits, in spares of its core
	tending               // waits for events, as tender of its core
	called                // has been woken to take its core, or will have been by a park
	successor             // waits for the park of what runs on its core
	ended
)

// settle accounts for the time that the running task had the core.
func (c *core) settle(now time.Duration) {
	t := c.running
	if t == nil || now <= t.since {
		return
	}
	ran := now - t.since
	t.since = now
	t.used += ran
	c.counted.Busy += ran
	c.long.settle(t.long, ran)
}

// waiting reports whether anything is queued.
func (c *core) waiting() bool { return c.tasks.len() > 0 || len(c.long.tasks) > 0 }

// idle reports whether nobody has the core.
func (c *core) idle() bool { return c.holder == nil }
