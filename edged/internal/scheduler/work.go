package scheduler

import (
	"runtime"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

const (
	// Answers are held back for the next ones up to that many, the first for so long, and not while something runs that is
	// expected to take longer than nearlyDone.
	mostUnflushed    = 16
	longestUnflushed = 200 * time.Microsecond
	// A thread that runs one invocation after the other passes through the Go scheduler that often. Go's monitor takes one that
	// does not for stuck, and then looks at it every 20 us: a tenth of the core under load.
	yieldEvery = 5 * time.Millisecond
)

// work is the life of one worker, on its thread.
func (s *Scheduler) work(w *worker) {
	s.mu.Lock()
	s.machine.born(s.now(), w)
	for t := s.rest(w); t != nil; {
		now, waiting := t.since, &t.core.tasks.size
		flush := w.unflushed > 0 && (t.expect > nearlyDone || now-w.unflushedSince > longestUnflushed)
		t.core.unflushed = w.unflushed > 0 && !flush
		if t.core.unflushed {
			s.machine.stir(s.holdBack)
		}
		s.unlock()
		if flush {
			s.flush(w, true)
		}
		if now-w.yielded > yieldEvery {
			w.yielded = now
			runtime.Gosched()
		}
		job := t.job
		ran := s.run(w, t, now, waiting)
		s.mu.Lock()
		next, used := s.machine.ended(s.now(), w, s.cancel(w, t))
		if s.machine.live == 0 {
			s.quiet.Broadcast()
		}
		if ran {
			job.Ran(used)
		}
		if t = next; t == nil {
			t = s.rest(w)
		}
	}
	s.unlock()
}

// rest waits until there is a task to run; nil when the thread is to end. It is called with mu held and returns so.
func (s *Scheduler) rest(w *worker) *task {
	for w.role != ended {
		if s.machine.tends(w) {
			s.tend(w)
		} else {
			loop := w.core.loop
			if w.core.idle() {
				loop = nil // another worker is at it, or nobody is left to come
			}
			s.unlock()
			s.flush(w, false)
			if loop != nil {
				loop.Relieve()
			}
			w.runner.Wait()
			s.mu.Lock()
		}
		t := s.machine.woken(s.now(), w)
		if w.core.unflushed { // by a worker that has been parked
			w.core.unflushed = false
			s.unlock()
			s.options.Flush()
			s.mu.Lock()
		}
		if t != nil {
			return t
		}
	}
	return nil
}

// run runs a task that has got its core now, unless its caller has given it up meanwhile, and answers it. waiting is how
// many more there are for this core. It reports whether it was run.
func (s *Scheduler) run(w *worker, t *task, now time.Duration, waiting *atomic.Int32) bool {
	inv, late := t.inv, t.deadline > 0 && now >= t.deadline
	var result invoke.Result
	if late {
		result.Err = &invoke.Error{Kind: invoke.ErrTimeout, Detail: "its deadline passed while it waited for a core"}
	} else {
		result = w.runner.Run(inv, w)
	}
	t.job.Release() // first: who gets the answer may count on it
	result.More = s.options.Flush != nil && waiting.Load() > 0 && w.unflushed < mostUnflushed
	if result.More {
		if w.unflushed == 0 {
			w.unflushedSince = now
		}
		w.unflushed++
	}
	more := result.More
	if !more && s.options.Loops != nil {
		w.unflushed++ // for nobody may be at its loop
	}
	inv.Done(inv, result)
	if !more {
		s.flush(w, waiting.Load() > 0)
	}
	if !late {
		w.runner.Recycle()
	}
	return !late
}

// flush lets go what the worker has answered and not yet flushed. poll says that it will not be at its loop for a while, so that
// it looks for new requests at this opportunity.
func (s *Scheduler) flush(w *worker, poll bool) {
	if w.unflushed == 0 {
		return
	}
	w.unflushed = 0
	for _, loop := range s.options.Loops {
		loop.Attend(poll)
	}
	s.options.Flush()
}

// cancel takes back what the worker's task was asked; see Runner.CancelPark. Called with mu held.
func (s *Scheduler) cancel(w *worker, t *task) bool {
	if !t.asked {
		return true
	}
	t.asked = false
	return w.runner.CancelPark()
}

var _ Core = (*worker)(nil)

// Leave implements Core.
func (w *worker) Leave() {
	s := w.shell
	s.flush(w, false)
	s.mu.Lock()
	w.task.core.unflushed = false
	s.machine.leave(s.now(), w, s.cancel(w, w.task))
	s.unlock()
}

// Return implements Core.
func (w *worker) Return() {
	s := w.shell
	s.mu.Lock()
	for has := s.machine.back(s.now(), w); !has; has = w.task.state != returning {
		s.unlock()
		w.runner.Wait()
		s.mu.Lock()
	}
	s.unlock()
}

var _ effects = (*Scheduler)(nil)

// wake implements effects. Called with mu held, as all of them: one is woken by unlock, others at once.
func (s *Scheduler) wake(w *worker) {
	if s.toWake == nil {
		s.toWake = w
		return
	}
	s.rouse(w)
}

func (s *Scheduler) pin(w *worker)                  { w.runner.Pin(w.core.id) }
func (s *Scheduler) park(w, successor *worker) bool { return w.runner.Park(successor.runner) }
func (s *Scheduler) poke(w *worker)                 { w.runner.Poke() }
func (s *Scheduler) resume(w *worker)               { w.runner.Resume() }

func (s *Scheduler) needThread() {
	select {
	case s.needed <- struct{}{}:
	default: // the maker has not looked yet: it makes as many as are missing then
	}
}
