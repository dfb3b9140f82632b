package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"

	"edged.dev/edge/bench/inprocess/build"
	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/bench/inprocess/engines"
	"edged.dev/edge/bench/inprocess/report"
	"edged.dev/edge/bench/inprocess/stats"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
)

// bench is what all benchmarks share.
type bench struct {
	folder *build.Folder
	cpus   []int
	quick  bool
	rounds int    // 0: the benchmark's own number
	out    string // folder for CSV; empty: none
	self   string
	stderr io.Writer
}

// benchmarks returns every benchmark by its name.
func benchmarks() map[string]func(context.Context, *bench) (*report.Table, error) {
	return map[string]func(context.Context, *bench) (*report.Table, error){
		"b2": freshRequest, "b2b": freshGoRequest, "b4": compute, "b8": preemption, "b19": scaling,
	}
}

func order() []string { return []string{"b2", "b2b", "b4", "b8", "b19"} }

// newBench completes b, of which the caller has set what the command line says.
func newBench(ctx context.Context, b bench) (*bench, error) {
	var err error
	if b.cpus, err = contest.CPUs(); err != nil {
		return nil, err
	}
	if b.self, err = os.Executable(); err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	b.folder, err = build.Open(ctx, aot.O3)
	return &b, err
}

// one runs a benchmark and writes its table.
func (b *bench) one(ctx context.Context, name string, stdout io.Writer) error {
	table, err := benchmarks()[name](ctx, b)
	if err != nil {
		return err
	}
	table.Notes = append(table.Notes, b.machine())
	if err := table.Markdown(stdout); err != nil || b.out == "" {
		return err
	}
	return table.Save(b.out)
}

// core is where a contestant of one thread runs: the last one, which the system uses least.
func (b *bench) core() int { return b.cpus[len(b.cpus)-1] }

// pick returns the first number, or the second when it is to be quick.
func (b *bench) pick(full, quick int) int {
	if b.quick {
		return quick
	}
	return full
}

// contestant returns a contestant of this binary. cpu is below 0 for one that puts its threads on cores itself.
func (b *bench) contestant(name string, setup engines.Setup, cpu int) (contest.Contestant, error) {
	setup.CPUs = b.cpus
	argument, err := setup.Argument()
	return contest.Contestant{Name: name, Command: []string{b.self, contestantCommand, argument}, CPU: cpu}, err
}

// run starts the contestants, lets them take turns and ends them. rounds is the benchmark's own number of them.
func (b *bench) run(ctx context.Context, name string, contestants []contest.Contestant, turns []contest.Turn, rounds int) (results [][]contest.Round, err error) {
	if b.rounds > 0 {
		rounds = b.rounds
	}
	field, err := contest.Start(ctx, contestants)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, field.Close()) }()
	results, err = field.Rounds(turns, rounds, func(done, total int) {
		_, _ = fmt.Fprintf(b.stderr, "%s: round %d of %d\n", name, done, total)
	})
	if err != nil || b.out == "" {
		return results, err
	}
	return results, roundsTable(name, turns, results).Save(b.out)
}

// roundsTable holds every round as it was measured, for those who want to look closer.
func roundsTable(name string, turns []contest.Turn, results [][]contest.Round) *report.Table {
	table := &report.Table{
		Name:    name + "-rounds",
		Columns: []string{"contestant", "job", "round", "operations", "wall ns", "cpu ns", "clock cpu ns", "p50 ns", "p99 ns", "max ns", "switches"},
	}
	for i, rounds := range results {
		for n, r := range rounds {
			table.Add(turns[i].Contestant, turns[i].Job, n+1, r.Ops, r.Wall, r.CPU, r.Clock, r.P50, r.P99, r.Max, r.Switches)
		}
	}
	return table
}

// summary is the middle of a turn's rounds. Times are of one operation, in nanoseconds.
type summary struct {
	ops                 int // of all rounds
	wall, cpu, p50, p99 float64
	spread              float64 // of wall
	switches            float64 // of one operation
}

func summarise(rounds []contest.Round) summary {
	var wall, cpu, p50, p99, switches []float64
	s := summary{}
	for _, r := range rounds {
		s.ops += r.Ops
		wall, cpu = append(wall, r.PerOp()), append(cpu, r.CPUPerOp())
		p50, p99 = append(p50, float64(r.P50)), append(p99, float64(r.P99))
		switches = append(switches, float64(r.Switches)/float64(max(r.Ops, 1)))
	}
	s.wall, s.cpu, s.p50, s.p99 = stats.Median(wall), stats.Median(cpu), stats.Median(p50), stats.Median(p99)
	s.spread, s.switches = stats.Spread(wall), stats.Median(switches)
	return s
}

// relative returns the median, over the rounds, of what a turn took as a multiple of what another one took in the same round:
// what slows the machine down for a while slows both.
func relative(turn, base []contest.Round, of func(contest.Round) float64) float64 {
	ratios := make([]float64, len(turn))
	for i := range turn {
		ratios[i] = of(turn[i]) / of(base[i])
	}
	return stats.Median(ratios)
}

// percent writes a share.
func percent(share float64) string { return fmt.Sprintf("%.1f %%", 100*share) }

// machine says what the numbers were taken on. The load average tells a busy machine from a quiet one.
func (b *bench) machine() string {
	load := "unknown"
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		load = strings.Join(strings.Fields(string(text))[:3], " ")
	}
	model := runtime.GOARCH
	if text, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		for line := range bytes.Lines(text) {
			if name, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(name) == "model name" {
				model = strings.TrimSpace(value)
				break
			}
		}
	}
	quick := ""
	if b.quick {
		quick = " A quick run: too few operations for conclusions."
	}
	return fmt.Sprintf("%s, %d cores, WasmEdge %s, %s; load average at the end %s.%s", model, len(b.cpus), wasmedge.Version(), runtime.Version(), load, quick)
}
