// Package metric counts what the daemon does and writes it in the Prometheus text format. It names every series in one
// place, so that dashboards and alerts depend on this package and on nothing else.
//
// Nothing on the way of a request formats a string or takes a lock: counters and histograms are resolved when the daemon
// starts, those of a function when it is deployed (see [Function]), and each update is one or two atomic additions. The
// number of series is bounded: a function has at most one per source and per listed status, and one of its time on cores;
// [Registry.Remove] takes them away with the app.
//
// Histograms have cumulative `le` buckets, which every Prometheus-compatible store understands; those of the library
// underneath have ranges of their own instead, so this package brings [Histogram]. What somebody watches live is counted
// finer, in a [Latency] for each function, and read through [Registry.FunctionCounts].
package metric

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/VictoriaMetrics/metrics"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// Stage is a part of an invocation's way; the value of the stage label.
type Stage uint8

// The stages of an invocation, in order. Each is the time between two of its stamps.
const (
	StageAdmit       Stage = iota // arrived -> queued
	StageQueue                    // queued -> taken by a worker
	StageInstantiate              // taken -> entry entered: load, instance, start-up
	StageRun                      // entry entered -> entry returned
	StageSend                     // entry returned -> reply handed to the socket
	StageTotal                    // arrived -> reply handed to the socket
	stageCount
)

// String returns the label value.
func (s Stage) String() string {
	switch s {
	case StageAdmit:
		return "admit"
	case StageQueue:
		return "queue"
	case StageInstantiate:
		return "instantiate"
	case StageRun:
		return "run"
	case StageSend:
		return "send"
	case StageTotal:
		return "total"
	case stageCount:
	}
	return "unknown"
}

// Rejection is why an invocation was not admitted; the value of the reason label.
type Rejection uint8

// The reasons to refuse an invocation.
const (
	RejectQueueFull   Rejection = iota // the run queue is full
	RejectConcurrency                  // the app's own concurrency limit is reached
	RejectDraining                     // the daemon is stopping
	RejectCapacity                     // the deadlines already promised leave no room
	rejectionCount
)

// String returns the label value.
func (r Rejection) String() string {
	switch r {
	case RejectQueueFull:
		return "queue_full"
	case RejectConcurrency:
		return "concurrency"
	case RejectCapacity:
		return "capacity"
	case RejectDraining:
		return "draining"
	case rejectionCount:
	}
	return "unknown"
}

// Probes are values that are read when metrics are written. Each may be called from any goroutine and must not block; a
// nil probe reads as 0.
type Probes struct {
	LiveInstances func() float64 // instances that exist now
	QueueLength   func() float64 // invocations admitted and not yet running
	Connections   func() float64 // open connections of the data ports
	Apps          func() float64 // deployed apps
	// Cores returns the scheduler's numbers, one entry a core. They are counted there, under its own locks.
	Cores func() []Core
	// KV returns the store's numbers. They are counted there, so that the store needs to know nothing of metrics.
	KV func() kvstore.Stats
	// Triggers returns what the triggers have done and have to do, one entry a function.
	Triggers func() []Trigger
}

// Trigger is the numbers of the triggers of one function, together.
type Trigger struct {
	App                invoke.AppName
	Function           invoke.FunctionName
	Done, Failed, Dead uint64 // attempts by their outcome
	Pending, Letters   int64  // events that wait or run, and dead letters, now
}

// Registry holds every metric of one daemon. All of it may be used from any goroutine.
type Registry struct {
	ColdStarts     *metrics.Counter // instances made from nothing rather than from a template
	DeadlineMisses *metrics.Counter // invocations that ended after their deadline

	TriggerLag *Histogram // a change or a timer's moment -> its invocation queued
	Restore    *Histogram // putting an instance back to its template

	set      *metrics.Set
	stages   [stageCount]*Histogram
	rejected [rejectionCount]*metrics.Counter
	probes   atomic.Pointer[Probes]

	mu        sync.Mutex
	functions map[functionKey]*Function // guarded by mu
	offloads  map[string]struct{}       // guarded by mu; label pairs in use
}

type functionKey struct {
	app invoke.AppName
	fn  invoke.FunctionName
}

// maxOffloadSeries bounds the pairs of decision and reason; the cost model has fewer than twenty.
const maxOffloadSeries = 64

// New returns a registry in which every counter is 0.
func New() *Registry {
	set := metrics.NewSet()
	r := &Registry{
		set:            set,
		ColdStarts:     set.NewCounter("edged_cold_starts_total"),
		DeadlineMisses: set.NewCounter("edged_deadline_misses_total"),
		TriggerLag:     newHistogram("edged_trigger_lag_seconds", ""),
		Restore:        newHistogram("edged_restore_seconds", ""),
		functions:      make(map[functionKey]*Function),
		offloads:       make(map[string]struct{}),
	}
	for s := range stageCount {
		r.stages[s] = newHistogram("edged_stage_seconds", fmt.Sprintf("stage=%q", s))
	}
	for reason := range rejectionCount {
		r.rejected[reason] = set.NewCounter(fmt.Sprintf("edged_admission_rejected_total{reason=%q}", reason))
	}
	r.gauge("edged_live_instances", func(p *Probes) func() float64 { return p.LiveInstances })
	r.gauge("edged_queue_length", func(p *Probes) func() float64 { return p.QueueLength })
	r.gauge("edged_connections", func(p *Probes) func() float64 { return p.Connections })
	r.gauge("edged_apps", func(p *Probes) func() float64 { return p.Apps })
	return r
}

// gauge registers a gauge that asks the probe chosen by pick.
func (r *Registry) gauge(name string, pick func(*Probes) func() float64) {
	r.set.NewGauge(name, func() float64 {
		p := r.probes.Load()
		if p == nil {
			return 0
		}
		read := pick(p)
		if read == nil {
			return 0
		}
		return read()
	})
}

// Probe sets where the gauges are read from, in place of what was set before.
func (r *Registry) Probe(p Probes) { r.probes.Store(&p) }

// Reject counts an invocation that was not admitted.
func (r *Registry) Reject(reason Rejection) {
	if reason < rejectionCount {
		r.rejected[reason].Inc()
	}
}

// Observe adds one stage of an invocation.
func (r *Registry) Observe(s Stage, seconds float64) {
	if s < stageCount {
		r.stages[s].Observe(seconds)
	}
}

// ObserveStamps adds every stage of an invocation of which both ends were reached.
func (r *Registry) ObserveStamps(s *invoke.Stamps) {
	spans := [stageCount]struct{ from, to time.Time }{
		StageAdmit:       {s.Arrived, s.Queued},
		StageQueue:       {s.Queued, s.Picked},
		StageInstantiate: {s.Picked, s.Started},
		StageRun:         {s.Started, s.Ended},
		StageSend:        {s.Ended, s.Sent},
		StageTotal:       {s.Arrived, s.Sent},
	}
	for stage, span := range spans {
		if !span.from.IsZero() && !span.to.IsZero() {
			r.stages[stage].Observe(span.to.Sub(span.from).Seconds())
		}
	}
}

// Offload counts one decision of where an invocation runs. Both words come from the daemon's own fixed lists; should
// they ever not, pairs beyond 64 are counted as other/other, so that the number of series stays bounded.
func (r *Registry) Offload(decision, reason string) {
	name := fmt.Sprintf("edged_offload_decisions_total{decision=%q,reason=%q}", decision, reason)
	r.mu.Lock()
	if _, known := r.offloads[name]; !known {
		if len(r.offloads) >= maxOffloadSeries {
			name = `edged_offload_decisions_total{decision="other",reason="other"}`
		}
		r.offloads[name] = struct{}{}
	}
	r.mu.Unlock()
	r.set.GetOrCreateCounter(name).Inc()
}

// Function returns the counters of a function; the same one for the same names until they are removed. Keep it with the
// deployed function: looking it up takes a lock.
func (r *Registry) Function(app invoke.AppName, fn invoke.FunctionName) *Function {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := functionKey{app, fn}
	if f, ok := r.functions[key]; ok {
		return f
	}
	f := &Function{app: app, fn: fn, set: r.set}
	r.functions[key] = f
	return f
}

// Remove takes every series of the app away. A [Function] still held by an invocation in flight may be used on: it counts
// nothing that is written any more.
func (r *Registry) Remove(app invoke.AppName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for key, f := range r.functions {
		if key.app == app {
			f.remove()
			delete(r.functions, key)
		}
	}
}

// WritePrometheus writes every metric, and those of the process and the Go runtime, in the Prometheus text format. It
// reads while others count: a histogram's parts agree with each other, different metrics may be some updates apart.
func (r *Registry) WritePrometheus(w io.Writer) error {
	out := &errorWriter{w: w}
	r.set.WritePrometheus(out)
	writeFamily(out, "edged_stage_seconds", r.stages[:]...)
	writeFamily(out, "edged_trigger_lag_seconds", r.TriggerLag)
	writeFamily(out, "edged_restore_seconds", r.Restore)
	r.writeCores(out)
	r.writeFunctions(out)
	r.writeKV(out)
	r.writeTriggers(out)
	metrics.WriteProcessMetrics(out)
	if out.err != nil {
		return fmt.Errorf("write metrics: %w", out.err)
	}
	return nil
}

// writeKV writes what the key-value store counted. Commit time is a sum, writing and fsync together: its rate divided by
// that of the commits is the mean.
func (r *Registry) writeKV(w io.Writer) {
	p := r.probes.Load()
	if p == nil || p.KV == nil {
		return
	}
	kv := p.KV()
	metrics.WriteCounterUint64(w, "edged_kv_reads_total", kv.Gets)
	metrics.WriteCounterUint64(w, "edged_kv_writes_total", kv.Writes)
	metrics.WriteCounterUint64(w, "edged_kv_commits_total", kv.Commits)
	metrics.WriteCounterUint64(w, "edged_kv_commit_errors_total", kv.CommitErrors)
	metrics.WriteCounterFloat64(w, "edged_kv_commit_seconds_total", kv.CommitTime.Seconds())
	metrics.WriteCounterUint64(w, "edged_kv_written_bytes_total", kv.BytesWritten)
	metrics.WriteCounterUint64(w, "edged_kv_corrupt_values_total", kv.CorruptValues)
	metrics.WriteGaugeFloat64(w, "edged_kv_file_bytes", float64(kv.FileBytes))
	metrics.WriteGaugeFloat64(w, "edged_kv_queued_writes", float64(kv.QueuedWrites))
}

// writeTriggers writes what triggers have done and have to do.
func (r *Registry) writeTriggers(w io.Writer) {
	p := r.probes.Load()
	if p == nil || p.Triggers == nil {
		return
	}
	for _, t := range p.Triggers() {
		labels := fmt.Sprintf("app=%q,fn=%q", t.App, t.Function)
		for outcome, n := range map[string]uint64{"done": t.Done, "failed": t.Failed, "dead": t.Dead} {
			metrics.WriteCounterUint64(w, fmt.Sprintf("edged_trigger_events_total{%s,outcome=%q}", labels, outcome), n)
		}
		metrics.WriteGaugeUint64(w, fmt.Sprintf("edged_trigger_pending{%s}", labels), uint64(max(t.Pending, 0)))
		metrics.WriteGaugeUint64(w, fmt.Sprintf("edged_trigger_dead_letters{%s}", labels), uint64(max(t.Letters, 0)))
	}
}

// errorWriter keeps the first error, which the library's writers drop, and stops writing after it.
type errorWriter struct {
	w   io.Writer
	err error
}

// Write passes p on unless a write has failed before.
func (e *errorWriter) Write(p []byte) (int, error) {
	if e.err != nil {
		return 0, e.err
	}
	n, err := e.w.Write(p)
	e.err = err
	return n, err
}
