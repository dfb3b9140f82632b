package scheduler

import (
	"fmt"
	"time"
)

// Defaults of [Options].
const (
	// DefaultQueue is how many invocations wait at most; at a millisecond each on two cores that is two seconds' worth.
	DefaultQueue = 4096
	// DefaultMinThreads is one thread that runs and one that takes over when it is parked or waits in the host.
	DefaultMinThreads = 2
	// DefaultMaxThreads bounds parked and blocked invocations: each keeps a thread, and its guest's memory with it.
	DefaultMaxThreads = 64
	// DefaultSlice is ten to thirty times what a park and its resumption cost.
	DefaultSlice = time.Millisecond
	// DefaultWakeCost is what it takes to wake a thread on another core, measured.
	DefaultWakeCost = 20 * time.Microsecond
)

// Policy is the order in which invocations get a core.
type Policy uint8

// The policies.
const (
	EDF  Policy = iota // earliest deadline first
	FIFO               // first come, first served
	SJF                // shortest expected rest first
)

// String returns the name that ParsePolicy reads.
func (p Policy) String() string { return [...]string{"edf", "fifo", "sjf"}[p] }

// ParsePolicy reads a policy by its name.
func ParsePolicy(name string) (Policy, error) {
	for p := EDF; p <= SJF; p++ {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is no policy; there are edf, fifo and sjf", name)
}

// Preemption is when a running invocation has to make room for one that goes before it.
type Preemption uint8

// The kinds of preemption.
const (
	OnArrival Preemption = iota // at once, and at the end of time slices
	OnTimer                     // at the end of time slices
	Off                         // never
)

// String returns the name that ParsePreemption reads.
func (p Preemption) String() string { return [...]string{"arrival", "timer", "off"}[p] }

// ParsePreemption reads a kind of preemption by its name.
func ParsePreemption(name string) (Preemption, error) {
	for p := OnArrival; p <= Off; p++ {
		if p.String() == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is no kind of preemption; there are arrival, timer and off", name)
}

// Rejection is why an invocation was not admitted.
type Rejection uint8

// The reasons to refuse an invocation.
const (
	RejectQueueFull   Rejection = iota // Options.Queue invocations wait already
	RejectConcurrency                  // the app has as many as its limits.concurrency allows
	RejectDraining                     // the daemon is stopping
	RejectOverload                     // by all estimates it, or another that was admitted, would be late
)

// Options configures [New]. Zero fields mean the defaults.
type Options struct {
	// Cores is how many invocations run at once, each on a core of its own. Required.
	Cores int
	// MinThreads a core are made at the start, and MaxThreads a core at most. What was made beyond the first and has not
	// been needed for some seconds ends again.
	MinThreads, MaxThreads int
	// Queue bounds the invocations that wait and have not begun.
	Queue   int
	Policy  Policy
	Preempt Preemption
	// Slice is how often running invocations are looked at while others wait.
	Slice time.Duration
	// WakeCost is what it costs to wake an idle core: an invocation rather waits for a busy one that will be free sooner.
	WakeCost time.Duration
	// Rejected, when not nil, is told of every refusal. It is called without a lock and must not block.
	Rejected func(Rejection)
	// Flush makes the triggers send what was answered with Result.More. It is called without a lock from any goroutine and
	// must not block. Without it More is never set.
	Flush func()
	// Loops are the event loops that workers attend to, the first one with the first core, and so on. Nil: they attend to none.
	Loops []Loop
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// orDefaults returns the options with their zero fields filled in.
func (o Options) orDefaults() Options {
	setDefault(&o.Cores, 1)
	setDefault(&o.MinThreads, DefaultMinThreads)
	setDefault(&o.MaxThreads, DefaultMaxThreads)
	setDefault(&o.Queue, DefaultQueue)
	setDefault(&o.Slice, DefaultSlice)
	setDefault(&o.WakeCost, DefaultWakeCost)
	o.MaxThreads = max(o.MaxThreads, o.MinThreads)
	if o.Rejected == nil {
		o.Rejected = func(Rejection) {}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

func setDefault[T int | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
