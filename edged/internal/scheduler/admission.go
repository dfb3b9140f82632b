package scheduler

import (
	"fmt"
	"math"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Bounds of what a refused client is told to wait.
const (
	leastRetry = time.Second // the unit of Retry-After
	mostRetry  = time.Minute
)

// leastPatience is how long a caller without a deadline waits, if the app's timeout is not longer. It bounds the queue of
// functions that take long, before Options.Queue does.
const leastPatience = 10 * time.Second

const (
	// dust is the part of a promised time below which what else arrives is not held against it. A call of a second that may
	// take twenty would otherwise turn thousands of calls of microseconds away once its time has become short. They
	// can make it late, if they are so many that they would fill the cores: then it is the better one to lose.
	dust = 10000
	// A promise for a time that is much longer than the task is given only up to a part of that time, the rest is for what
	// will come and is more urgent.
	distant = 10
	reserve = 2
	// When more comes than can be done for longer than burst, a queue as long as promises allow helps nobody: then the
	// promise is for so many times the task's own cost, and for shortest at least, and the rest is refused at once.
	burst    = 100 * time.Millisecond
	shortest = 5 * time.Millisecond
)

// refusal is why an invocation is not admitted.
type refusal struct {
	why     Rejection
	waiting int
	retry   time.Duration
}

// err is what the client is told.
func (r *refusal) err() *invoke.Error {
	e := &invoke.Error{Kind: invoke.ErrQueueFull, RetryAfter: r.retry}
	switch r.why {
	case RejectDraining:
		e.Kind = invoke.ErrDraining
	case RejectOverload:
		e.Detail = "by its estimated run time it cannot be answered in time beside what has been admitted"
	case RejectQueueFull, RejectConcurrency:
		e.Detail = fmt.Sprintf("%d invocations wait already", r.waiting)
	}
	return e
}

func (m *machine) refuse(now time.Duration, why Rejection) *refusal {
	if why == RejectOverload {
		m.refused = now
	}
	var work time.Duration
	for _, c := range m.cores {
		work += c.backlog()
		if c.running != nil {
			work += c.running.leftAt(now)
		}
	}
	retry := work / time.Duration(len(m.cores))
	return &refusal{why: why, waiting: m.waiting, retry: min(max(retry, leastRetry), mostRetry)}
}

// admit returns the core whose queue a new task may join.
func (m *machine) admit(now time.Duration, t *task) (*core, *refusal) {
	switch {
	case t.inner && !m.dropped:
	case m.drained:
		return nil, m.refuse(now, RejectDraining)
	case m.waiting >= m.options.Queue:
		return nil, m.refuse(now, RejectQueueFull)
	case m.overloads(now, t):
		return nil, m.refuse(now, RejectOverload)
	}
	c := m.place(now, t)
	if m.options.Policy != EDF {
		return c, nil
	}
	if !t.declared {
		if behind := m.delays(now, c, t); behind > 0 {
			t.due = behind + 1 // behind what it would make late; nobody was promised its due time
		}
		return c, nil
	}
	if t.inner || m.fits(now, c, t) {
		return c, nil
	}
	for _, other := range m.cores {
		if other != c && m.fits(now, other, t) {
			return other, nil
		}
	}
	return nil, m.refuse(now, RejectOverload)
}

// overloads reports whether the cores have no room for another task by the sum of what each needs of its time. An app
// within its part of the cores is not refused for others; when nothing is there, anything may come.
func (m *machine) overloads(now time.Duration, t *task) bool {
	room := float64(len(m.cores))
	if m.live == 0 || m.load+t.density <= room {
		return false
	}
	return t.tenant.load+t.density > room/float64(m.apps(now, t.tenant))
}

// fits reports whether a task with a promised due time is done by then on a core, and delays nobody else's.
func (m *machine) fits(now time.Duration, c *core, t *task) bool {
	if c.idle() && !c.waiting() {
		return true
	}
	before := c.tasks.work
	for i := c.tasks.len() - 1; i >= 0 && c.tasks.at(i).due > t.due; i-- {
		before -= c.tasks.at(i).weight
	}
	by, within, near := t.due, t.due-now, distant*t.cost()
	if within > near {
		by = now + max(within/reserve, near)
	}
	if m.overloaded(now, c, within) {
		by = min(by, now+max(near, shortest))
	}
	return m.done(now, c, before+m.ahead(now, c, t.due)+t.cost()+exchange) <= by && m.delays(now, c, t) == 0
}

// delays returns the latest due time that has been promised on a core and would be missed for the new task; 0 when there
// is none. What will be late anyway does not count.
func (m *machine) delays(now time.Duration, c *core, t *task) time.Duration {
	cost := t.cost() + exchange
	sum := c.tasks.work // of the tasks up to the one looked at
	r := c.running
	for i := c.tasks.len() - 1; ; i-- {
		var u *task
		due := time.Duration(math.MinInt64)
		if i >= 0 {
			u = c.tasks.at(i)
			due = u.due
		}
		if r != nil && r.declared && !r.long && r.due > t.due && r.due > due {
			if m.misses(now, c, r, sum+r.leftAt(now), cost) {
				return r.due
			}
			r = nil
		}
		if u == nil || due <= t.due {
			return 0
		}
		if u.declared && m.misses(now, c, u, sum+m.ahead(now, c, due), cost) {
			return due
		}
		sum -= u.weight
	}
}

// misses reports whether a task that costs so much more makes the difference between a promise to u kept and broken. One that
// has been given up does not count, nor does what is next to nothing beside the time that u has.
func (m *machine) misses(now time.Duration, c *core, u *task, work, cost time.Duration) bool {
	if cost < (u.due-u.arrived)/dust {
		return false
	}
	return m.done(now, c, work) <= u.due+u.grace() && m.done(now, c, work+cost) > u.due
}

// ahead is what the running task of a core still takes from one that is due then.
func (m *machine) ahead(now time.Duration, c *core, due time.Duration) time.Duration {
	r := c.running
	if r == nil {
		return m.options.WakeCost
	}
	rest := r.leftAt(now)
	switch {
	case m.options.Preempt == Off || (!r.long && r.due <= due):
		return rest
	case m.options.Preempt == OnTimer:
		return min(rest, m.options.Slice)
	}
	return min(rest, nearlyDone)
}

// done is when a core has done so much work, with what the long class takes of it meanwhile.
func (m *machine) done(now time.Duration, c *core, work time.Duration) time.Duration {
	if len(c.long.tasks) > 0 || c.running != nil && c.running.long {
		work += work/(longShare-1) + m.options.Slice
	}
	return now + work
}

// overloaded reports whether more has come than could be admitted, and the queue of a core has not been empty, for longer
// than a burst takes that fits into the time promised.
func (m *machine) overloaded(now time.Duration, c *core, within time.Duration) bool {
	return c.tasks.len() > 0 && now-c.standing > max(burst, 2*within) && m.refused > 0 && now-m.refused < burst
}
