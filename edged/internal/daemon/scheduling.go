package daemon

import (
	"runtime"
	"runtime/debug"
	"time"

	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
)

// gcPercent lets the Go heap, which is some megabytes here, grow to five times what is alive before it is collected. Go's own
// 100 would collect dozens of times a second under load, on the cores that guests run on.
const gcPercent = 400

// processorsPerCore is how many processors the Go scheduler has for each core that runs guests. A host function that calls back
// into Go needs one at once, also while other threads of the core are in guests, running or parked; with too few of them it
// waits for milliseconds.
const processorsPerCore = 12

// relaxGC applies gcPercent unless GOGC asks for something else.
func relaxGC() {
	const goDefault = 100
	if before := debug.SetGCPercent(gcPercent); before != goDefault {
		debug.SetGCPercent(before)
	}
}

func (d *Daemon) openScheduler(Options) error {
	relaxGC()
	policy, err := scheduler.ParsePolicy(d.config.Scheduler.Policy)
	if err != nil {
		return err
	}
	preempt, err := scheduler.ParsePreemption(d.config.Scheduler.Preempt)
	if err != nil {
		return err
	}
	runtime.GOMAXPROCS(max(runtime.GOMAXPROCS(0), processorsPerCore*d.config.Cores))
	d.pool = pool.Open(d.engine, pool.Options{
		Logger: d.logger, MemoryBytes: int64(d.config.Limits.Memory),
		Hooks: pool.Hooks{
			ColdStart: d.metrics.ColdStarts.Inc,
			Restored:  func(took time.Duration) { d.metrics.Restore.Observe(took.Seconds()) },
		},
	})
	var loops []scheduler.Loop
	for _, one := range d.http.Attendants() {
		loops = append(loops, one)
	}
	d.scheduler = scheduler.New(scheduler.Options{
		Cores: d.config.Cores, Queue: d.config.Limits.Queue * d.config.Cores,
		Policy: policy, Preempt: preempt, Slice: d.config.Scheduler.Slice, Rejected: d.rejected, Flush: d.flush, Loops: loops,
	})
	d.closing(d.scheduler.Close)
	return d.scheduler.Start(d.pool)
}

// flush lets the answers go that workers have held back for others to follow. What waits to be flushed came through a data
// port, so both are there by then.
func (d *Daemon) flush() {
	d.http.Flush()
	d.uds.Flush()
}

func (d *Daemon) rejected(reason scheduler.Rejection) {
	switch reason {
	case scheduler.RejectQueueFull:
		d.metrics.Reject(metric.RejectQueueFull)
	case scheduler.RejectConcurrency:
		d.metrics.Reject(metric.RejectConcurrency)
	case scheduler.RejectOverload:
		d.metrics.Reject(metric.RejectCapacity)
	case scheduler.RejectDraining:
		d.metrics.Reject(metric.RejectDraining)
	}
}

// coreLoads are the scheduler's numbers as metrics want them.
func (d *Daemon) coreLoads() []metric.Core {
	stats := d.scheduler.Stats()
	loads := make([]metric.Core, len(stats))
	for i, s := range stats {
		loads[i] = metric.Core{
			Queued: s.Queued, Parked: s.Parked, Blocked: s.Blocked, Threads: s.Threads,
			Busy: s.Busy, Preemptions: s.Preemptions, Resumes: s.Resumes, Steals: s.Steals,
		}
	}
	return loads
}
