package scheduler

import (
	"cmp"
	"slices"
	"time"
)

const (
	// Long tasks that wait get a twentieth (1/longShare) of a core that others would take all of, together, in slices of 250 us: so
	// one of twenty short calls meets one and waits for its end. They are not to starve, and who wants short answers is not to
	// pay much for that: with a twentieth for each, up to three, the short ones lost an eighth.
	longShare = 20
	// longDebt is how much of what they took beyond their share counts against it: the end of a slice, not what they ran
	// while nobody else wanted the core.
	longDebt = 2 * time.Millisecond
	// longQuantum is how many slices a long task runs before the next long one: an exchange costs 30-40 us and nobody
	// waits for it, so five times a slice.
	longQuantum = 5
)

// longClass is the tasks of a core that have used up their budget. They run when nothing else wants the core, one after
// the other, and get a share when something always does.
//
// Half of the times the one that has had the least goes first: most tasks that are called long need only little more, above all
// those from which the kernel took the core for a while. The other half of the times it is the one that has waited longest,
// so that none waits for ever for what has come after it.
type longClass struct {
	tasks []*task // the one that has waited longest first
	turns uint    // how often one of them was taken
	// credit is the core time that is due to them; it grows while they wait and others run.
	credit time.Duration
	// shielded is until when a long task runs in its share: others do not interrupt it before.
	shielded time.Duration
}

// settle accounts for core time, of a long task or another.
func (l *longClass) settle(long bool, ran time.Duration) {
	switch {
	case long:
		l.credit = max(-longDebt, l.credit-ran)
	case len(l.tasks) > 0:
		l.credit += ran / longShare
	default:
		l.credit = 0
	}
}

// owed reports whether a slice is due to them.
func (l *longClass) owed(slice time.Duration) bool { return len(l.tasks) > 0 && l.credit >= slice }

// add puts a task back that had the core, to the end when its turn is over.
func (l *longClass) add(t *task, slice time.Duration) {
	if t.turnOver(longQuantum * slice) {
		t.turn = t.used
		l.tasks = append(l.tasks, t)
		return
	}
	l.tasks = slices.Insert(l.tasks, 0, t)
}

// next returns the one that is to go on; nil when there is none.
func (l *longClass) next() *task {
	if len(l.tasks) == 0 {
		return nil
	}
	if l.turns%2 == 0 {
		return l.tasks[0]
	}
	return slices.MinFunc(l.tasks, func(a, b *task) int { return cmp.Compare(a.used, b.used) })
}

func (l *longClass) remove(t *task) {
	l.turns++
	i := slices.Index(l.tasks, t)
	l.tasks = slices.Delete(l.tasks, i, i+1)
}

// turnOver reports whether the task has run for so long since its turn began, or nearly: the timer that asks comes too
// early by what handing the core over took.
func (t *task) turnOver(quantum time.Duration) bool { return t.used-t.turn >= quantum-quantum/10 }
