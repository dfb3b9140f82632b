// Package scheduler decides which admitted invocation runs when and on which core, and who has to wait. Policy only: what
// running, parking and going on mean is the [Runner]'s business, so this package builds and tests without an engine.
//
// # Cores
//
// One core has one run queue and runs one invocation at a time, on a worker: an OS thread of its own that is pinned to the
// core. An invocation stays on the thread on which it began. When it is interrupted (parked) or waits in the host (see
// [Core]), another thread takes its core over; threads that have nothing to do are spares. There are as many as have been
// needed lately, within bounds: without a spare thread nothing is interrupted.
//
// # Order
//
// Earliest deadline first. A function's manifest declares within what time an answer is wanted, or its caller does; that
// is a promise once it is admitted. For all others a due time is made up from what the function has taken so far (see
// [History]) and from what its app has waiting (see softDue), so that short ones go before long ones, and apps get the same
// part of the cores, without configuration. What arrives and is due before that which runs interrupts it, unless that is
// nearly done. What has used up its expectation goes behind everything else, into the long class, where tasks take turns;
// while others would take the whole core they have a twentieth of it together. A core without work takes it from the core with the
// most, threads of parked invocations included.
//
// # Admission
//
// The queue is bounded. A promise is given only when everything that is due before it and itself are expected to be done
// in time, and when no promise given before is broken by it. What has no promise is refused when the estimates of all that
// is there add up to more than the cores can do within the times after which it is killed.
//
// # Inside
//
// A pure state machine (machine) takes events with the time at which they happen and calls effects; the [Scheduler] around
// it has the lock, the clock and the workers' loops. There is one lock for all cores. An event takes some hundred
// nanoseconds under it and two of them make an invocation, so that two cores contend at rates that guests and HTTP do not
// reach (see BenchmarkContention); per-core locks would have to be taken in pairs for every choice of a core, theft and
// hand-over. System calls under it are those that must not be late for another invocation: the signal of a park, the
// resumption and the re-pinning of a parked thread. Waking is done after it is released: a token waits for its thread.
//
// Locks: Scheduler.mu alone. Job, Done, Flush and Rejected are called without it, Runner as its methods say.
package scheduler
