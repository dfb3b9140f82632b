package pool

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// never is a moment that does not come.
const never = math.MaxInt64

// watch ends the invocations whose time is over. One timer serves all workers: it is armed for the earliest end that it
// knows of, and an invocation only arms it when it ends before that. Almost all end long before the timer fires, and cost
// it nothing.
type watch struct {
	base  time.Time    // moments are nanoseconds since then
	armed atomic.Int64 // the moment for which the timer is set; never when it is not

	mu      sync.Mutex
	timer   *time.Timer          // guarded by mu; nil before the first use
	workers map[*worker]struct{} // guarded by mu
}

// moment is a point in time as the watch counts it.
func (w *watch) moment(t time.Time) int64 { return int64(t.Sub(w.base)) }

// add has the watch look after a worker until forget.
func (w *watch) add(one *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.workers[one] = struct{}{}
}

func (w *watch) forget(one *worker) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.workers, one)
}

// expect sees to it that somebody looks at the workers at that moment. Call it after the worker's end has been stored: a
// look that is under way either finds it there, or has unset armed before.
func (w *watch) expect(moment int64) {
	if moment >= w.armed.Load() {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if moment < w.armed.Load() {
		w.arm(moment)
	}
}

// arm sets the timer. Called with mu held.
func (w *watch) arm(moment int64) {
	w.armed.Store(moment)
	after := time.Until(w.base.Add(time.Duration(moment)))
	if w.timer == nil {
		w.timer = time.AfterFunc(after, w.look)
		return
	}
	w.timer.Reset(after)
}

// look ends what is over and arms the timer for the earliest of the others.
func (w *watch) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed.Store(never)
	now, earliest := w.moment(time.Now()), int64(never)
	for one := range w.workers {
		ends := one.ends.Load()
		if ends <= now {
			one.expire(now, invoke.ErrTimeout)
			continue
		}
		earliest = min(earliest, ends)
	}
	if earliest != never {
		w.arm(earliest)
	}
}

// all calls f for every worker.
func (w *watch) all(f func(*worker)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for one := range w.workers {
		f(one)
	}
}
