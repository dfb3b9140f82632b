package scheduler

import (
	"container/heap"

	"edged.dev/edge/edged/internal/invoke"
)

// shareOfFree is how many times the free workers one app may hold and still get another. With 16 workers one app alone
// runs on 12 at most, a second one beside it on 3.
const shareOfFree = 3

// DefaultWorkers returns how many workers so many cores should have: DefaultWorkersPerCore each for any app alone, and
// those that it must leave to others.
func DefaultWorkers(cores int) int {
	return cores * DefaultWorkersPerCore * (shareOfFree + 1) / shareOfFree
}

// shares keeps any app from taking every worker. The zero value is empty. It is not safe for concurrent use.
type shares struct {
	running map[invoke.AppName]int      // no zeros
	held    map[invoke.AppName]runQueue // invocations that wait for their app's others to end; none empty
	waiting int                         // in held
}

// mayRun reports whether the app may take one of so many free workers.
func (s *shares) mayRun(app invoke.AppName, free int) bool { return s.running[app] < shareOfFree*free }

func (s *shares) began(app invoke.AppName) {
	if s.running == nil {
		s.running = make(map[invoke.AppName]int)
	}
	s.running[app]++
}

func (s *shares) ended(app invoke.AppName) {
	if s.running[app]--; s.running[app] == 0 {
		delete(s.running, app)
	}
}

// hold keeps an invocation back until release gives it out again.
func (s *shares) hold(app invoke.AppName, w waiting) {
	if s.held == nil {
		s.held = make(map[invoke.AppName]runQueue)
	}
	q := s.held[app]
	heap.Push(&q, w)
	s.held[app] = q
	s.waiting++
}

// release gives out the most urgent invocation of every app that may run one now. Call it whenever a worker has become
// free: one worker more never makes room for two of an app.
func (s *shares) release(free int) []waiting {
	var out []waiting
	for app, q := range s.held {
		if !s.mayRun(app, free) {
			continue
		}
		out = append(out, heap.Pop(&q).(waiting)) //nolint:forcetypeassert // the queue holds nothing else
		s.waiting--
		if len(q) == 0 {
			delete(s.held, app)
			continue
		}
		s.held[app] = q
	}
	return out
}

// drop gives out everything that is held.
func (s *shares) drop() []waiting {
	var out []waiting
	for _, q := range s.held {
		out = append(out, q...)
	}
	s.held, s.waiting = nil, 0
	return out
}
