package scheduler

import (
	"slices"
	"time"
)

// Loop is an event loop that workers attend to while their core has nothing to run: a request is then read, run and answered
// on one thread, without a wake-up. One thread at a time is at a loop. It has a thread of its own too, which comes by itself when no
// worker is at it: beside a guest that computes. Loops belong to cores by their place in [Options.Loops].
//
// All methods may be called from any goroutine; none but Tend waits.
type Loop interface {
	// Enter makes the caller the one who is at the loop; false when another is. Tend ends what it began.
	Enter() bool
	// Tend serves the loop, waiting for events, until stop returns true, the loop ends, or its own thread is to have it. It
	// asks stop before each wait.
	Tend(stop func() bool)
	// Rouse makes a Tend that waits ask stop again.
	Rouse()
	// Awake reports whether somebody is at the loop and does not wait.
	Awake() bool
	// Attend writes the answers that are there, and when poll is set looks for new requests too, unless another thread is at
	// the loop. It does nothing when there is no answer to write.
	Attend(poll bool)
	// Relieve calls the loop's own thread if nobody is at the loop: no worker will be for a while.
	Relieve()
}

// shortly is what a worker is expected to run at most when it will be back at its loop by itself.
const shortly = time.Millisecond

// tends lets a worker that waits attend to the loop of its core, if that is idle and nobody is at the loop.
func (m *machine) tends(w *worker) bool {
	c := w.core
	if m.closed || w.role != spare || c.loop == nil || c.tender != nil || !c.idle() || !c.loop.Enter() {
		return false
	}
	at := slices.Index(c.spares, w)
	c.spares = slices.Delete(c.spares, at, at+1)
	m.spares--
	m.least = min(m.least, m.spares)
	c.tender, w.role = w, tending
	return true
}

// tended is told by a worker that has left the loop: its core has been given to it, or it waits like any other.
func (m *machine) tended(w *worker) {
	if w.role != tending {
		return
	}
	w.core.tender = nil
	if m.closed {
		m.end(w)
		return
	}
	m.shelve(w)
}

// suspended returns how many tasks have begun and wait for a core to go on.
func (m *machine) suspended() int {
	n := m.bound
	for _, c := range m.cores {
		n -= c.blocked
		if c.running != nil {
			n--
		}
	}
	return n
}

// tenderOf takes the worker that attends to the core's loop away from it; nil when there is none.
func (m *machine) tenderOf(c *core) *worker {
	w := c.tender
	if w == nil {
		return nil
	}
	c.tender = nil
	return w
}

// tend serves the loop of the worker's core until the worker is wanted. It is called with mu held and returns so.
func (s *Scheduler) tend(w *worker) {
	loop := w.core.loop
	w.summoned.Store(false)
	w.loop.Store(&loop)
	s.unlock()
	s.flush(w, false)
	loop.Tend(w.isSummoned)
	s.mu.Lock()
	w.loop.Store(nil)
	s.machine.tended(w)
}

func (w *worker) isSummoned() bool { return w.summoned.Load() }

// rouse wakes a worker, wherever it waits. A wake-up that comes late, when the worker has found out by itself, ends one later
// wait too early, which all of them bear.
func (s *Scheduler) rouse(w *worker) {
	if loop := w.loop.Load(); loop != nil {
		w.summoned.Store(true)
		(*loop).Rouse()
		return
	}
	w.runner.Wake()
}

// Tended reports whether a worker will be at the loop of that place soon by itself: its core runs what is short, or is about
// to. The loop's own thread asks, to know whether it may leave.
func (s *Scheduler) Tended(place int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.machine.closed || s.machine.drained || place >= len(s.machine.cores) {
		return false
	}
	c := s.machine.cores[place]
	r := c.running
	if c.holder == nil || r != nil && (r.long || !r.known || r.left() > shortly) {
		return false
	}
	return s.machine.suspended() == 0 // else one of those goes on next, and not at the loop
}
