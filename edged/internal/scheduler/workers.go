package scheduler

import (
	"math"
	"slices"
	"time"
)

// born is told by a thread that has begun. It is bound to the core with the fewest.
func (m *machine) born(now time.Duration, w *worker) {
	m.making--
	m.threads++
	c := slices.MinFunc(m.cores, func(a, b *core) int { return a.threads - b.threads })
	w.core = c
	c.threads++
	m.do.pin(w)
	m.rest(now, w)
}

// unborn is told when a thread could not be made.
func (m *machine) unborn() { m.making-- }

// rest lets a worker without a task and without a core wait for something to do, or end.
func (m *machine) rest(now time.Duration, w *worker) {
	if m.closed {
		m.end(w)
	} else {
		m.shelve(w)
	}
	for _, c := range m.cores { // one of them may have been without a thread
		if !c.waiting() {
			continue
		}
		if c.idle() {
			m.dispatch(now, c, math.MaxInt64)
		} else {
			m.interrupt(now, c)
		}
	}
}

// shelve puts a worker among the spares.
func (m *machine) shelve(w *worker) {
	w.role = spare
	w.core.spares = append(w.core.spares, w)
	m.spares++
}

func (m *machine) end(w *worker) {
	w.role = ended
	w.core.threads--
	m.threads--
}

// spare takes a thread that waits, for core c; nil when there is none. It sees to it that there will be one next time.
func (m *machine) spare(c *core) *worker {
	from := c
	if len(from.spares) == 0 {
		from = slices.MaxFunc(m.cores, func(a, b *core) int { return len(a.spares) - len(b.spares) })
	}
	last := len(from.spares) - 1
	if last < 0 {
		m.want()
		return nil
	}
	w := from.spares[last]
	from.spares[last] = nil
	from.spares = from.spares[:last]
	m.spares--
	m.least = min(m.least, m.spares)
	m.move(w, c)
	m.want()
	return w
}

// want asks for another thread when there are fewer to spare than cores.
func (m *machine) want() {
	if !m.closed && m.spares+m.making < len(m.cores) && m.threads+m.making < m.maxThreads {
		m.making++
		m.do.needThread()
	}
}

// move binds a worker's thread to a core.
func (m *machine) move(w *worker, c *core) {
	if w.core == c {
		return
	}
	w.core.threads--
	c.threads++
	w.core = c
	m.do.pin(w)
}

// surplus ends half of the threads that nothing has needed since the last call; true when there may be more to end.
func (m *machine) surplus() bool {
	floor := len(m.cores) * m.options.MinThreads
	n := (min(m.least-len(m.cores), m.threads-floor) + 1) / 2
	for ; n > 0; n-- {
		c := slices.MaxFunc(m.cores, func(a, b *core) int { return len(a.spares) - len(b.spares) })
		w := c.spares[0] // the one that has waited longest
		c.spares = slices.Delete(c.spares, 0, 1)
		m.spares--
		m.end(w)
		m.do.wake(w)
	}
	m.least = m.spares
	return m.threads > floor
}

// close ends all threads that wait, and the others when they have no task any more.
func (m *machine) close() {
	m.closed = true
	for _, c := range m.cores {
		for _, w := range c.spares {
			m.end(w)
			m.do.wake(w)
		}
		c.spares = nil
		if w := m.tenderOf(c); w != nil {
			m.end(w)
			m.do.wake(w)
		}
	}
	m.spares = 0
}
