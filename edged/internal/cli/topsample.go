package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

// topSample is what happened between two snapshots of the daemon, and how it was at the second. It is what "edged top
// --json" prints; docs/OPERATING.md documents its fields. Rates are per second. Quantiles are left out when nothing was
// answered. An interval of 0 means that there is no earlier snapshot to compare with: rates are unknown then, not 0.
type topSample struct {
	Time     time.Time     `json:"time"`
	Interval time.Duration `json:"interval_ns"`
	Node     string        `json:"node"`
	Version  string        `json:"version"`
	PID      int           `json:"pid"`
	Uptime   time.Duration `json:"uptime_ns"`
	Draining bool          `json:"draining"`

	activity
	Late     float64            `json:"deadline_misses_per_s"`
	Rejected map[string]float64 `json:"rejected_per_s"` // by reason: what was not admitted

	Queued        int   `json:"queued"`
	LiveInstances int   `json:"live_instances"`
	Connections   int   `json:"connections"`
	MemoryBytes   int64 `json:"memory_bytes"`

	Cores     []topCore     `json:"cores"`
	Functions []topFunction `json:"functions"`
}

// activity is what is known of one function and of all together.
type activity struct {
	Rate     float64       `json:"rate"` // answers
	Errors   float64       `json:"errors_per_s"`
	Refused  float64       `json:"refused_per_s"` // answers with 429
	P50      time.Duration `json:"p50_ns,omitempty"`
	P99      time.Duration `json:"p99_ns,omitempty"`
	InFlight int           `json:"in_flight"`
	CPU      float64       `json:"cpu"` // cores in use: 1 is one core for all the time
}

// topCore is one core. Busy is between 0 and 1.
type topCore struct {
	Core        int            `json:"core"`
	CPU         int            `json:"cpu"`
	Busy        float64        `json:"busy"`
	Running     *admin.Running `json:"running,omitempty"`
	Queued      int            `json:"queued"`
	Parked      int            `json:"parked"`
	Blocked     int            `json:"blocked"`
	Threads     int            `json:"threads"`
	Preemptions float64        `json:"preemptions_per_s"`
	Resumes     float64        `json:"resumes_per_s"`
	Steals      float64        `json:"steals_per_s"`
}

// topFunction is one function.
type topFunction struct {
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function"`
	activity
	ColdStarts    uint64  `json:"cold_starts"` // since its app was deployed or the daemon started
	ColdStartRate float64 `json:"cold_starts_per_s"`
}

// name is how the function is called on the command line.
func (f *topFunction) name() string { return string(f.App) + "/" + string(f.Function) }

// newTopSample compares two snapshots. before may be nil; it does not count when the daemon has been started anew since.
func newTopSample(before *admin.Top, now *admin.Top) *topSample {
	if before == nil || !before.Started.Equal(now.Started) || before.PID != now.PID || before.Uptime >= now.Uptime {
		before = &admin.Top{Uptime: now.Uptime}
	}
	d := &comparison{bounds: now.LatencyBounds, interval: now.Uptime - before.Uptime}
	s := &topSample{
		Time: now.Time, Interval: d.interval, Node: now.Node, Version: now.Version, PID: now.PID, Uptime: now.Uptime, Draining: now.Draining,
		Queued: now.Queued, LiveInstances: now.LiveInstances, Connections: now.Connections, MemoryBytes: now.MemoryBytes,
		Late: d.rate(before.DeadlineMisses, now.DeadlineMisses), Rejected: make(map[string]float64, len(now.Rejected)),
		Cores: make([]topCore, len(now.Cores)), Functions: make([]topFunction, len(now.Functions)),
	}
	for reason, n := range now.Rejected {
		s.Rejected[reason] = d.rate(before.Rejected[reason], n)
	}
	for i := range now.Cores {
		s.Cores[i] = d.core(before.Cores, &now.Cores[i])
	}
	d.functions(before.Functions, now.Functions, s)
	if len(s.Cores) > 0 { // they know of what still runs, the functions only of what has ended
		s.CPU = 0
		for i := range s.Cores {
			s.CPU += s.Cores[i].Busy
		}
	}
	return s
}

// comparison is how two snapshots are compared.
type comparison struct {
	interval time.Duration // 0: there is nothing to compare with
	bounds   []time.Duration
}

// rate is the growth of a counter a second. One that has shrunk was set back: all of it is new.
func (d *comparison) rate(before, now uint64) float64 {
	if d.interval <= 0 {
		return 0
	}
	if now < before {
		before = 0
	}
	return float64(now-before) / d.interval.Seconds()
}

// share is the growth of a time as a part of the interval. The daemon reads the parts of a snapshot one after the other,
// so it may seem to be below nothing.
func (d *comparison) share(before, now time.Duration) float64 {
	if d.interval <= 0 {
		return 0
	}
	return max(0, float64(now-before)/float64(d.interval))
}

func (d *comparison) core(before []admin.CoreLoad, now *admin.CoreLoad) topCore {
	var old admin.CoreLoad
	if at := slices.IndexFunc(before, func(c admin.CoreLoad) bool { return c.Core == now.Core }); at >= 0 {
		old = before[at]
	}
	return topCore{
		Core: now.Core, CPU: now.CPU, Busy: min(1, d.share(old.Busy, now.Busy)), Running: now.Running, Queued: now.Queued,
		Parked: now.Parked, Blocked: now.Blocked, Threads: now.Threads, Preemptions: d.rate(old.Preemptions, now.Preemptions),
		Resumes: d.rate(old.Resumes, now.Resumes), Steals: d.rate(old.Steals, now.Steals),
	}
}

// functions fills in the functions and their sums.
func (d *comparison) functions(before, now []admin.FunctionLoad, s *topSample) {
	type key struct {
		app invoke.AppName
		fn  invoke.FunctionName
	}
	olds := make(map[key]*admin.FunctionLoad, len(before))
	for i := range before {
		olds[key{before[i].App, before[i].Function}] = &before[i]
	}
	all := make([]uint64, len(d.bounds))
	for i := range now {
		f := &now[i]
		old := olds[key{f.App, f.Function}]
		if old == nil || old.Answered > f.Answered {
			old = &admin.FunctionLoad{} // not deployed before, or removed and deployed again
		}
		latency := d.latency(old, f)
		for bucket, n := range latency {
			all[bucket] += n
		}
		row := topFunction{
			App: f.App, Function: f.Function, ColdStarts: f.ColdStarts, ColdStartRate: d.rate(old.ColdStarts, f.ColdStarts),
			activity: activity{
				Rate: d.rate(old.Answered, f.Answered), Errors: d.rate(old.Errors, f.Errors), Refused: d.rate(old.Refused, f.Refused),
				P50: d.quantile(latency, 0.5), P99: d.quantile(latency, 0.99), InFlight: f.InFlight, CPU: d.share(old.Core, f.Core),
			},
		}
		s.Rate += row.Rate
		s.Errors += row.Errors
		s.Refused += row.Refused
		s.InFlight += row.InFlight
		s.CPU += row.CPU
		s.Functions[i] = row
	}
	s.P50, s.P99 = d.quantile(all, 0.5), d.quantile(all, 0.99)
}

// latency returns how many answers fell into each bucket in between. It is nil without an earlier snapshot.
func (d *comparison) latency(before, now *admin.FunctionLoad) []uint64 {
	if d.interval <= 0 {
		return nil
	}
	counts := make([]uint64, len(d.bounds))
	for i, n := range now.Latency {
		if at := now.LatencyFirst + i; at >= 0 && at < len(counts) {
			counts[at] = n
		}
	}
	for i, n := range before.Latency {
		if at := before.LatencyFirst + i; at >= 0 && at < len(counts) {
			counts[at] -= min(n, counts[at])
		}
	}
	return counts
}

// quantile returns the duration that the part q of all does not exceed, taking those in one bucket to be spread evenly
// over it; 0 when there are none. The last bucket has no end, so its begin is returned.
func (d *comparison) quantile(counts []uint64, q float64) time.Duration {
	var total uint64
	for _, n := range counts {
		total += n
	}
	rest := q * float64(total)
	low := time.Duration(0)
	for i, n := range counts {
		if n > 0 && rest <= float64(n) {
			if i == len(counts)-1 {
				return low
			}
			return low + time.Duration(rest/float64(n)*float64(d.bounds[i]-low))
		}
		rest -= float64(n)
		low = d.bounds[i]
	}
	return 0
}

// topOrder is what the functions are sorted by.
type topOrder string

// The orders; all but the last are from the largest value down.
const (
	byRate topOrder = "rate"
	byP99  topOrder = "p99"
	byCPU  topOrder = "cpu"
	byName topOrder = "name"
)

// parseTopOrder reads an order.
func parseTopOrder(text string) (topOrder, error) {
	names := []string{string(byCPU), string(byRate), string(byP99), string(byName)}
	if slices.Contains(names, text) {
		return topOrder(text), nil
	}
	return "", &usageError{
		text:   fmt.Sprintf("--sort %q is not one of %s", text, strings.Join(names, ", ")),
		remedy: didYouMean(text, names, "edged top"),
	}
}

// sortBy sorts the functions; those that are equal go by name, so that rows do not jump about.
func (s *topSample) sortBy(order topOrder) {
	slices.SortFunc(s.Functions, func(a, b topFunction) int {
		first := 0
		switch order {
		case byRate:
			first = cmp.Compare(b.Rate, a.Rate)
		case byP99:
			first = cmp.Compare(b.P99, a.P99)
		case byCPU:
			first = cmp.Compare(b.CPU, a.CPU)
		case byName:
		}
		return cmp.Or(first, cmp.Compare(a.App, b.App), cmp.Compare(a.Function, b.Function))
	})
}
