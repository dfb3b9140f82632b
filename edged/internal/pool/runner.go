package pool

import "edged.dev/edge/edged/internal/scheduler"

// Pin implements scheduler.Runner: the thread runs on the core's processor from now on. Where the system does not allow it, the
// thread runs where the system puts it, which is slower and no error; the log says so once.
func (w *worker) Pin(core int) {
	w.home.Store(int32(core))
	if core >= len(w.pool.cpus) {
		return
	}
	if err := w.thread.Pin(w.pool.cpus[core]); err != nil && w.pool.unpinned.CompareAndSwap(false, true) {
		w.pool.logger.Warn("workers are not bound to their cores", "core", core, "error", err)
	}
}

// Park implements scheduler.Runner.
func (w *worker) Park(successor scheduler.Runner) bool {
	return w.thread.Park(successor.(*worker).thread) //nolint:forcetypeassert // Go hands out nothing else
}

// Poke implements scheduler.Runner.
func (w *worker) Poke() bool { return w.thread.PokePark() }

// CancelPark implements scheduler.Runner.
func (w *worker) CancelPark() bool { return w.thread.CancelPark() }

// Resume implements scheduler.Runner.
func (w *worker) Resume() { w.thread.Resume() }
