package metric

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Core is the numbers of one core that runs functions, as the scheduler counts them.
type Core struct {
	Queued  int // invocations in its run queue
	Parked  int // invocations interrupted in the middle
	Blocked int // invocations that wait in a host function and have given the core to others
	Threads int // threads of workers

	Busy        time.Duration // for how long an invocation had the core
	Preemptions uint64        // invocations parked for another
	Resumes     uint64        // parked ones that went on
	Steals      uint64        // invocations taken over from other cores
}

// coreGauges and coreCounters are the series of each core; their order is that of the text.
var coreGauges = [...]struct {
	name string
	read func(*Core) int
}{
	{"edged_core_queued", func(c *Core) int { return c.Queued }},
	{"edged_core_parked", func(c *Core) int { return c.Parked }},
	{"edged_core_blocked", func(c *Core) int { return c.Blocked }},
	{"edged_core_threads", func(c *Core) int { return c.Threads }},
}

// coreTotals are sums over all cores: which core it was says nothing that lasts.
var coreTotals = [...]struct {
	name string
	read func(*Core) uint64
}{
	{"edged_preemptions_total", func(c *Core) uint64 { return c.Preemptions }},
	{"edged_resumes_total", func(c *Core) uint64 { return c.Resumes }},
	{"edged_steals_total", func(c *Core) uint64 { return c.Steals }},
}

// writeCores writes what the scheduler counted.
func (r *Registry) writeCores(w io.Writer) {
	var cores []Core
	if p := r.probes.Load(); p != nil && p.Cores != nil {
		cores = p.Cores()
	}
	var text strings.Builder
	for i := range cores {
		fmt.Fprintf(&text, "edged_core_busy_seconds_total{core=\"%d\"} %s\n", i, strconv.FormatFloat(cores[i].Busy.Seconds(), 'g', -1, 64))
	}
	for _, gauge := range coreGauges {
		for i := range cores {
			fmt.Fprintf(&text, "%s{core=\"%d\"} %d\n", gauge.name, i, gauge.read(&cores[i]))
		}
	}
	for _, total := range coreTotals {
		var sum uint64
		for i := range cores {
			sum += total.read(&cores[i])
		}
		fmt.Fprintf(&text, "%s %d\n", total.name, sum)
	}
	_, _ = io.WriteString(w, text.String()) // w keeps its own error
}

// writeFunctions writes the time on cores of every function that had any: what an app costs.
func (r *Registry) writeFunctions(w io.Writer) {
	var text strings.Builder
	for _, f := range r.byName() {
		if core := time.Duration(f.load.coreNanos.Load()); core > 0 {
			fmt.Fprintf(&text, "edged_function_core_seconds_total{app=%q,fn=%q} %s\n", f.app, f.fn,
				strconv.FormatFloat(core.Seconds(), 'g', -1, 64))
		}
	}
	_, _ = io.WriteString(w, text.String()) // w keeps its own error
}
