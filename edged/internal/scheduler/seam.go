package scheduler

import (
	"errors"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// ErrRetired is returned by [Job.Acquire] when the function's version has been taken out of service and nothing of it is
// left. Who submitted the invocation routes it again.
var ErrRetired = errors.New("this version has been taken out of service")

// Runner is one worker's thread. Everything but Run, Recycle, Wait and CancelPark may be called from any goroutine. Pin,
// Park, Poke, CancelPark and Resume are called with the scheduler's lock held: a system call is all right, waiting is not.
type Runner interface {
	// Run runs the invocation to its end, which is bounded by the function's own timeout, on the runner's thread.
	Run(inv *invoke.Invocation, core Core) invoke.Result
	// Recycle is called on the same thread after the invocation that ran last has been answered: the time to put right what
	// it left, which nobody has to wait for.
	Recycle()
	// Wait blocks the runner's thread until Wake has been called since the last Wait returned.
	Wait()
	// Wake makes one Wait return.
	Wake()
	// Pin binds the thread to a core, of 0 to Options.Cores-1, until it is bound to another.
	Pin(core int)
	// Park asks what runs on this thread to stop where it is; when it has stopped, the successor is woken as by Wake. The
	// request stands until it has taken effect or CancelPark takes it back. It returns false, and nothing is asked, when the
	// thread cannot be asked now.
	Park(successor Runner) bool
	// Poke interrupts again when a request still stands and reports whether it does.
	Poke() bool
	// CancelPark is called on the thread itself, after Run or amid it by Core.Leave, when a park has been asked for. True: no
	// request stands any more and its successor will not be woken. False: the guest had been parked, the successor was woken,
	// and the guest came back by a kill, without Resume.
	CancelPark() bool
	// Resume makes a parked guest go on. When a kill was faster it does nothing, now and later.
	Resume()
}

// Core is what an invocation may do with its core: on its own thread, while Run runs, Leave and Return in turns. Between
// them the thread must not enter the guest.
type Core interface {
	// Leave gives the core to others: the invocation is about to wait in the host.
	Leave()
	// Return queues for a core, with the due time that the invocation has, and returns when it has one.
	Return()
}

// Threads makes workers' threads.
type Threads interface {
	// Go starts an OS thread and runs work on it with the runner of that thread; the thread ends when work returns. It
	// returns when the thread runs. It is called from Start and later from a goroutine, until Close has returned.
	Go(work func(Runner)) error
}

// Job is what the scheduler asks of an invocation's target. Its methods do not block and may be called from any goroutine.
type Job interface {
	invoke.Target
	// Acquire counts an invocation of the function in. The error is ErrRetired or an [*invoke.Error] that wraps
	// ErrQueueFull when the app's own limit is reached.
	Acquire() error
	// Release counts it out. It is called once for every successful Acquire.
	Release()
	// Relative returns how long after its arrival an answer is wanted; zero when the function does not say.
	Relative() time.Duration
	// Timeout returns after how long an invocation is killed; zero when never.
	Timeout() time.Duration
	// History returns what has been learnt of the function, the same each time.
	History() *History
	// Ran tells for how long an invocation of the function had a core, when it has ended; the job's History learns from it.
	// It is called with a lock held.
	Ran(core time.Duration)
}
