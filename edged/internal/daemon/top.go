package daemon

import (
	"context"
	"os"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/scheduler"
)

var _ admin.Load = (*Daemon)(nil)

// Top implements admin.Load.
func (d *Daemon) Top(context.Context) (admin.Top, error) {
	queued, _ := d.scheduler.Load()
	top := admin.Top{
		Node: d.node(), Version: d.version, PID: os.Getpid(), Started: d.started, Time: time.Now(), Uptime: time.Since(d.started),
		Draining: d.draining.Load(), Queued: queued, LiveInstances: d.engine.LiveMemories(),
		Connections: d.http.Connections() + d.uds.Connections(), MemoryBytes: residentBytes(),
		DeadlineMisses: d.metrics.DeadlineMisses.Get(), Rejected: make(map[string]uint64), LatencyBounds: metric.LatencyBounds(),
	}
	cores := d.scheduler.Stats()
	top.Cores, top.Functions = d.coresAtWork(cores), d.functionLoads(cores)
	for _, reason := range metric.Rejections() {
		top.Rejected[reason.String()] = d.metrics.Rejected(reason)
	}
	return top, nil
}

func (d *Daemon) coresAtWork(stats []scheduler.CoreStats) []admin.CoreLoad {
	loads := make([]admin.CoreLoad, len(stats))
	for i := range stats {
		c := &stats[i]
		loads[i] = admin.CoreLoad{
			Core: c.Core, CPU: d.pool.CPU(c.Core), Queued: c.Queued, Parked: c.Parked, Blocked: c.Blocked, Threads: c.Threads, Busy: c.Busy,
			Preemptions: c.Preemptions, Resumes: c.Resumes, Steals: c.Steals,
		}
		if r := c.Running; r != nil {
			loads[i].Running = &admin.Running{App: r.App, Function: r.Function, For: r.Used, Long: r.Long}
		}
	}
	return loads
}

// functionLoads returns the numbers of the functions that serve now. The registry also has those that a newer version of
// their app dropped; they are left out once nothing of them is in flight. It counts time on cores when an invocation has
// ended, so that of those that still run is added here: one of some seconds shows from the first on.
func (d *Daemon) functionLoads(cores []scheduler.CoreStats) []admin.FunctionLoad {
	apps := d.deployed()
	used := make(map[functionKey]time.Duration)
	for i := range cores {
		if r := cores[i].Running; r != nil {
			used[functionKey{r.App, r.Function}] += r.Used
		}
		for _, r := range cores[i].Begun {
			used[functionKey{r.App, r.Function}] += r.Used
		}
	}
	var loads []admin.FunctionLoad
	for _, c := range d.metrics.FunctionCounts() {
		if c.InFlight == 0 && !serves(apps, c.App, c.Function) {
			continue
		}
		loads = append(loads, admin.FunctionLoad{
			App: c.App, Function: c.Function, Answered: c.Answered, Errors: c.Errors, Refused: c.Refused, ColdStarts: c.ColdStarts,
			Core: c.Core + used[functionKey{c.App, c.Function}], InFlight: c.InFlight, LatencyFirst: c.LatencyFirst, Latency: c.Latency,
		})
	}
	return loads
}

type functionKey struct {
	app invoke.AppName
	fn  invoke.FunctionName
}

// serves reports whether a deployed app has the function.
func serves(apps map[invoke.AppName]*deployed, app invoke.AppName, fn invoke.FunctionName) bool {
	one := apps[app]
	return one != nil && one.app.Function(fn) != nil
}
