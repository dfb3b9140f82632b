package scheduler

import "time"

// patience is by what part of its time a promised answer may be late before the rest of it is treated as long: a late one
// must not make the others late, but what is late by a little is best finished.
const patience = 10

// beats reports whether the first task of a core's queue goes before the one that runs, so that it is worth an
// interruption.
func (m *machine) beats(now time.Duration, c *core) bool {
	r, t := c.running, c.tasks.first()
	if r == nil || t == nil || r.state != running {
		return false
	}
	if r.long {
		return now >= c.long.shielded
	}
	return r.left() > nearlyDone && m.precedes(t, r)
}

// precedes reports whether a waiting task goes before one that runs and is not long.
func (m *machine) precedes(t, r *task) bool {
	switch m.options.Policy {
	case EDF:
		return t.due < r.due
	case SJF:
		return t.left() < r.left()
	case FIFO:
	}
	return false
}

// interrupt preempts the running task of a core at once if one that waits goes before it.
func (m *machine) interrupt(now time.Duration, c *core) {
	if m.options.Preempt != OnArrival {
		return
	}
	m.settle(now, c)
	if m.beats(now, c) {
		m.preempt(c)
	}
}

// preempt asks the running task of a core to park, if there is a thread to take over. Its successor looks by itself for
// what to run when the park has taken effect.
func (m *machine) preempt(c *core) {
	r := c.running
	if !m.mayKeep(r.tenant) {
		return
	}
	s := m.spare(c)
	if s == nil {
		return
	}
	r.asked = true
	if !m.do.park(r.worker, s) {
		m.shelve(s)
		return
	}
	r.state = preempting
	m.stirred = true
	c.successor, s.role = s, successor
}

// expires reports whether the running task of a core has had its time, at the end of a slice.
func (m *machine) expires(now time.Duration, c *core) bool {
	r := c.running
	if r.state != running || !c.waiting() {
		return false
	}
	m.lapse(now, c)
	switch {
	case r.long && now < c.long.shielded:
		return false
	case r.long:
		return c.tasks.len() > 0 || r.turnOver(longQuantum*m.options.Slice)
	case c.long.owed(m.options.Slice):
		return r.left() > nearlyDone
	case m.options.Policy == FIFO:
		return r.turnOver(m.options.Slice)
	}
	return m.beats(now, c)
}

// lapse deals with a running task that is past its due time while others wait: it would go before all of them to its end.
// A due time that was nobody's promise is set anew; what has broken its promise is long.
func (m *machine) lapse(now time.Duration, c *core) {
	r := c.running
	if m.options.Policy != EDF || r.long || now <= r.due || r.left() <= m.options.Slice {
		return
	}
	if !r.declared {
		r.due = now + softFloor + time.Duration((softMultiple+m.slowdown(r.tenant))*float64(r.left()))
		return
	}
	if now > r.due+(r.due-r.arrived)/patience {
		m.lengthen(r)
	}
}
