package scheduler

import "time"

// patience is the part of its time by which a promised answer may be late before it is given up: what is late by a little is
// best finished.
const patience = 10

const (
	// calmSlices is after how many slices a core is looked at on which one short task follows the other: each of them ends by
	// itself long before, and a timer costs Go some tens of microseconds. It is the longest that one which does not end is
	// taken for short.
	calmSlices = 4
	// shareParts is into how many parts a slice is cut in which long tasks take their share of a core that others want: as
	// long may one of those have to wait for it.
	shareParts = 4
)

// share is how long a long task runs undisturbed in its share.
func (m *machine) share() time.Duration { return m.options.Slice / shareParts }

// stir has tick called after that time at the latest.
func (m *machine) stir(after time.Duration) {
	if m.pace == 0 || after < m.pace {
		m.pace = after
	}
}

// watch has tick called when the tasks that wait for a core may have a claim to it that nothing but time brings about.
func (m *machine) watch(now time.Duration, c *core) {
	r := c.running
	if r == nil || !c.waiting() {
		return
	}
	switch {
	case r.long && now < c.long.shielded:
		m.stir(c.long.shielded - now)
	case r.long || !r.known || r.left() > m.options.Slice || m.anyIdle():
		m.stir(m.options.Slice)
	default:
		m.stir(calmSlices * m.options.Slice)
	}
}

func (m *machine) anyIdle() bool {
	for _, c := range m.cores {
		if c.idle() {
			return true
		}
	}
	return false
}

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
	if c.running == nil || c.running.state != running {
		return
	}
	m.settle(now, c)
	m.lapse(now, c)
	if m.beats(now, c) {
		m.preempt(c)
	}
}

// preempt asks the running task of a core to park, if there is a thread to take over. Its successor looks by itself for
// what to run when the park has taken effect.
func (m *machine) preempt(c *core) {
	r := c.running
	if t := c.tasks.first(); !m.mayKeep(r.tenant) && (t == nil || t.tenant == r.tenant && !m.mayBegin(t)) {
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
	m.stir(m.options.Slice)
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
	case c.long.owed(m.share()):
		return r.left() > nearlyDone
	case m.options.Policy == FIFO:
		return r.turnOver(m.options.Slice)
	}
	return m.beats(now, c)
}

// lapse deals with a running task that does not make its due time while others wait: it would go before all of them to its
// end. A due time that was nobody's promise is set anew, when the task has got on a little: so it cannot be put off for
// ever. A promise that will be broken by too much is given up, so that it does not break others.
func (m *machine) lapse(now time.Duration, c *core) {
	r, little := c.running, m.options.Slice/4
	switch {
	case m.options.Policy != EDF || r.long || r.left() <= little:
	case !r.declared && now+softFloor > r.due && r.used-r.paced >= little:
		r.due, r.paced = m.softDue(now, r.tenant, r.left()), r.used
	case r.declared && now+r.left() > r.due+r.grace():
		m.lengthen(r)
	}
}

// grace is by how much a promise may be broken before it is given up.
func (t *task) grace() time.Duration { return (t.due - t.arrived) / patience }
