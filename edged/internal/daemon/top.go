package daemon

import (
	"context"
	"os"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/metric"
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
		Functions: d.functionLoads(),
	}
	for _, reason := range metric.Rejections() {
		top.Rejected[reason.String()] = d.metrics.Rejected(reason)
	}
	return top, nil
}

// functionLoads returns the numbers of the functions that serve now. The registry also has those that a newer version of
// their app dropped; they are left out once nothing of them is in flight.
func (d *Daemon) functionLoads() []admin.FunctionLoad {
	apps := d.deployed()
	var loads []admin.FunctionLoad
	for _, c := range d.metrics.FunctionCounts() {
		if c.InFlight == 0 && !serves(apps, c.App, c.Function) {
			continue
		}
		loads = append(loads, admin.FunctionLoad{
			App: c.App, Function: c.Function, Answered: c.Answered, Errors: c.Errors, Refused: c.Refused, ColdStarts: c.ColdStarts,
			Core: c.Core, InFlight: c.InFlight, LatencyFirst: c.LatencyFirst, Latency: c.Latency,
		})
	}
	return loads
}

// serves reports whether a deployed app has the function.
func serves(apps map[invoke.AppName]*deployed, app invoke.AppName, fn invoke.FunctionName) bool {
	one := apps[app]
	return one != nil && one.app.Function(fn) != nil
}
