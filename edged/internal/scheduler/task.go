package scheduler

import (
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Times are durations since the scheduler was made; a task's own times are core time where that is said.

const (
	// unknownExpect is what a function is given that has not run often enough to be known.
	unknownExpect = 10 * time.Millisecond
	// unknownSlack is how much later it is due than one that is known to take that: it may as well take long.
	unknownSlack = 10 * time.Millisecond
	// unknownPart is the part of its time that it is taken to need when one is declared.
	unknownPart = 4
	// softFloor and softMultiple make the due time of a function that declares none: the floor keeps functions of some
	// microseconds from interrupting each other, the multiple lets short ones go before long ones. A floor of 10 ms let a
	// function of 3 ms hold up one of 30 us; with 2 ms the shorter one waits for what would cost more to interrupt.
	softFloor    = 2 * time.Millisecond
	softMultiple = 3
	// A task is long when it has used budgetMultiple times its expectation and budgetFloor: three of ten are above the
	// expectation by definition, few are at twice that.
	// The floor is a slice of the kernel's: what that takes from a thread for others counts as the task's core time.
	budgetMultiple = 2
	budgetFloor    = 3 * time.Millisecond
	// nearlyDone is what is left of a task that is not worth an interruption: a park and a resumption cost 30-40 us, and
	// the estimate is no better than that.
	nearlyDone = 100 * time.Microsecond
	// inherit is for how long what is waited for is due as if it had come with who waits: before what came later, so that what has
	// begun ends, and gives its threads back, before more of its kind begins. Later it is one of many, for who calls without end would
	// go before all others without end.
	inherit = 100 * time.Millisecond
)

// state is where a task is.
type state uint8

const (
	ready      state = iota // in a queue, not begun
	kept                    // not begun, kept back because its app holds its share of threads
	running                 // has a core
	preempting              // has a core and has been asked to park
	parked                  // in a queue, interrupted; its thread sleeps
	blocked                 // waits in the host without a core
	returning               // in a queue, to go on in the host; its thread sleeps
)

// arrival is what is known of an invocation when it arrives.
type arrival struct {
	inv      *invoke.Invocation
	job      Job
	app      invoke.AppName
	fn       invoke.FunctionName
	history  *History
	arrived  time.Duration
	deadline time.Duration // the caller's; 0: none
	relative time.Duration // declared by the function; 0: none
	timeout  time.Duration // 0: none
	expect   time.Duration // p70 of core time
	mean     time.Duration
	known    bool // expect and mean are more than guesses
	// inner: another invocation has started it with a call, and may wait for it with a thread of its own. It is always admitted,
	// for one that was admitted needs it, and begins even when its app keeps all the threads that it may. Who starts such ones bounds
	// how many there are, and how many wait.
	inner   bool
	awaited time.Duration // when that arrived which waits for it; 0: nothing does
}

// task is an admitted invocation. It is used again for another one as soon as it has ended.
type task struct {
	arrival
	tenant *tenant
	state  state
	asked  bool    // to park, since its worker last took that back
	long   bool    // it has used up its budget: it runs in the long class
	core   *core   // where it is queued, runs, or ran before it blocked
	worker *worker // whose thread it is bound to; nil until it begins

	seq      uint64
	due      time.Duration
	declared bool          // due has been promised by admission
	key      time.Duration // its place in a queue
	weight   time.Duration // what it counts in a queue's work
	density  float64       // what it counts in the load

	used   time.Duration // core time up to since
	since  time.Duration // when it got its core, or was looked at last
	paced  time.Duration // core time when due was set
	turn   time.Duration // core time at which its turn began, for round robin
	joined time.Duration // when its turn to wait began, for first come, first served
}

// expectation sets what admission and order go by.
func (a *arrival) expectation() {
	if a.known {
		return
	}
	a.expect = unknownExpect
	if a.relative > 0 {
		a.expect = min(a.expect, a.relative/unknownPart)
	}
	if a.deadline > 0 {
		a.expect = min(a.expect, max(a.deadline-a.arrived, 0)/unknownPart)
	}
	a.mean = a.expect
}

// cost is what admission reckons with.
func (a *arrival) cost() time.Duration { return max(a.expect, a.mean) }

// budget is the core time after which a task is long.
func (t *task) budget() time.Duration { return max(budgetMultiple*t.expect, t.expect+budgetFloor) }

// left is the core time that a task is expected to need still. One that is above its expectation is taken to exceed it by as
// much again: the longer something has gone on, the longer it goes on.
func (t *task) left() time.Duration { return t.leftAt(t.since) }

// leftAt is what left will be when the time of a running task up to now has been accounted for.
func (t *task) leftAt(now time.Duration) time.Duration {
	used := t.used + max(now-t.since, 0)
	if used < t.expect {
		return t.expect - used
	}
	return max(used-t.expect, t.expect/16)
}
