package scheduler

import (
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// CoreStats is what one core is doing, and what it has done since Start.
type CoreStats struct {
	Core    int
	Running *RunningStats  // nil: the core is idle, or between two invocations
	Begun   []RunningStats // parked ones, with their core time so far
	Queued  int            // invocations that wait for this core and have not begun
	Parked  int            // interrupted ones that wait for it
	Blocked int            // that gave it to others to wait in the host, or wait to have it back
	Threads int            // pinned to it
	Spare   int            // of these, waiting for something to do

	Busy        time.Duration // for how long an invocation had the core
	Finished    uint64        // invocations that ended on it
	Preemptions uint64        // invocations parked for another
	Resumes     uint64        // parked ones that went on
	Steals      uint64        // invocations taken over from other cores, whether they had begun or not
}

// RunningStats is an invocation that has a core.
type RunningStats struct {
	App      invoke.AppName
	Function invoke.FunctionName
	Used     time.Duration // core time
	Long     bool          // it has used up what its function is given, and goes behind the others
}

// stats returns the numbers of all cores.
func (m *machine) stats(now time.Duration) []CoreStats {
	out := make([]CoreStats, 0, len(m.cores))
	for _, c := range m.cores {
		m.settle(now, c)
		s := c.counted
		s.Core, s.Blocked, s.Threads, s.Spare = c.id, c.blocked, c.threads, len(c.spares)
		if t := c.running; t != nil {
			s.Running = &RunningStats{App: t.app, Function: t.fn, Used: t.used, Long: t.long}
		}
		for i := range c.tasks.len() {
			c.tasks.at(i).count(&s)
		}
		for _, t := range c.long.tasks {
			t.count(&s)
		}
		out = append(out, s)
	}
	for _, n := range m.keeping {
		for i := range n.kept.len() {
			out[n.kept.at(i).core.id].Queued++
		}
	}
	return out
}

func (t *task) count(s *CoreStats) {
	switch t.state {
	case ready, kept:
		s.Queued++
	case parked:
		s.Parked++
		s.Begun = append(s.Begun, RunningStats{App: t.app, Function: t.fn, Used: t.used, Long: t.long})
	case returning, blocked, running, preempting: // the first is among the blocked, the others are in no queue
	}
}
