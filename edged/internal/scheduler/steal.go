package scheduler

import "time"

const (
	// worthWaking is the work that has to wait elsewhere before an idle core is woken for it: some wake-ups' worth.
	worthWaking = 100 * time.Microsecond
	// exchange is what an arrival costs that interrupts another task: a signal, a park, a wake-up and a resumption.
	exchange = 40 * time.Microsecond
)

// backlog is the core time that waits in a core's queues. What has become long is known only to be long.
func (c *core) backlog() time.Duration {
	return c.tasks.work + time.Duration(len(c.long.tasks))*unknownExpect
}

// victim returns the core from which c may take something: the one with the largest backlog; nil when none has worth of it.
func (m *machine) victim(c *core, worth time.Duration) *core {
	var most *core
	for _, v := range m.cores {
		if v != c && v.waiting() && v.backlog() >= worth && (most == nil || v.backlog() > most.backlog()) {
			most = v
		}
	}
	return most
}

// place returns the core on which a new task is expected to get a core first. An idle one has to be woken, so tasks that
// take less than that follow each other on one core while they are few.
func (m *machine) place(now time.Duration, t *task) *core {
	var best *core
	var least time.Duration
	for _, c := range m.cores {
		if wait := m.wait(now, c, t); best == nil || wait < least {
			best, least = c, wait
		}
	}
	return best
}

// wait estimates how long a new task would wait for a core.
func (m *machine) wait(now time.Duration, c *core, t *task) time.Duration {
	ahead := c.tasks.ahead(t)
	r := c.running
	switch {
	case r == nil && c.loop != nil && c.loop.Awake(): // its thread is the one that asks, or will look at once
		return ahead
	case c.idle():
		return ahead + m.options.WakeCost
	case r == nil: // its thread is on its way
		return ahead + m.options.WakeCost/2
	}
	rest := r.leftAt(now)
	if r.long || m.precedes(t, r) {
		switch m.options.Preempt {
		case OnArrival:
			rest = min(rest, exchange)
		case OnTimer:
			rest = min(rest, m.options.Slice)
		case Off:
		}
	}
	return ahead + rest
}

// spread wakes an idle core for what waits on c, if there is one and enough waits.
func (m *machine) spread(now time.Duration, c *core) {
	if c.backlog() < worthWaking {
		return
	}
	for _, other := range m.cores {
		if other.idle() {
			m.dispatch(now, other, worthWaking)
			return
		}
	}
}
