package scheduler

// Nap begins a wait that Rouse ends, from any goroutine, in place of Return: who has what the invocation waits for queues it for a core
// itself, so that its thread is woken once, when it has one. It is called after Leave, and Sleep follows. The number tells naps of
// this thread apart.
func (w *worker) Nap() uint64 {
	s := w.shell
	s.mu.Lock()
	defer s.unlock()
	w.naps++
	w.napping = true
	return w.naps
}

// Rouse ends the nap of that number; it does nothing when that has been ended. Any goroutine may call it.
func (w *worker) Rouse(nap uint64) {
	s := w.shell
	s.mu.Lock()
	defer s.unlock()
	if !w.napping || w.naps != nap {
		return
	}
	w.napping = false
	if w.asleep && s.machine.back(s.now(), w) { // else Sleep queues it itself
		s.wake(w)
	}
}

// Sleep waits until the nap has been ended and the invocation has a core.
func (w *worker) Sleep(nap uint64) {
	s := w.shell
	s.mu.Lock()
	if !w.napping || w.naps != nap {
		s.unlock()
		w.Return()
		return
	}
	w.asleep = true
	for w.napping || w.task.state == returning {
		s.unlock()
		w.runner.Wait()
		s.mu.Lock()
	}
	w.asleep = false
	s.unlock()
}
