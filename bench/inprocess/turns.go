package main

import (
	"context"
	"fmt"

	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/bench/inprocess/report"
	"edged.dev/edge/bench/inprocess/stats"
	"edged.dev/edge/bench/polybench"
)

// mode is how two guests share a core.
type mode struct{ title, job string }

func modes() []mode {
	return []mode{
		{"one after the other", "none/0"},
		{"taking turns, 5 ms", "turns/5000"},
		{"taking turns, 2 ms", "turns/2000"},
		{"taking turns, 1 ms", "turns/1000"},
		{"stopped and sent on by a spare thread, 1 ms", "self/1000"},
		{"stopped and sent on from another core, 1 ms", "signal/1000"},
	}
}

// preemption is B8: two guests that compute on one core, taking turns, against one after the other.
func preemption(ctx context.Context, b *bench) (*report.Table, error) {
	wasm, err := b.folder.Wasm(ctx, "kernels", polybench.Sources(), polybench.Flags()...)
	if err != nil {
		return nil, err
	}
	setup, err := b.edgedSetup(ctx, wasm)
	if err != nil {
		return nil, err
	}
	setup.Kind = "edged-turns"
	contestant, err := b.contestant("edged", setup, -1)
	if err != nil {
		return nil, err
	}
	kernels := []string{"gemm", "floyd", "seidel2d"} // bound by the caches, by instructions, by latency
	var turns []contest.Turn
	for _, kernel := range kernels {
		for _, m := range modes() {
			turns = append(turns, contest.Turn{Contestant: "edged", Job: kernel + "/" + m.job, Count: b.pick(2, 1)})
		}
	}
	results, err := b.run(ctx, "b8", []contest.Contestant{contestant}, turns, b.pick(9, 2))
	if err != nil {
		return nil, err
	}
	return preemptionTable(kernels, results), nil
}

func preemptionTable(kernels []string, results [][]contest.Round) *report.Table {
	table := &report.Table{
		Name: "b8", Title: "B8: two guests that compute, on one core: total time against one after the other",
		Columns: []string{"how", "switches a run", "us a switch"},
	}
	table.Columns = append(table.Columns, kernels...)
	table.Columns = append(table.Columns, "geometric mean", "of CPU time", "spread of wall time")
	over := make(map[string]float64)
	for m, mode := range modes() {
		var wall, cpu []float64
		var cells []any
		switches, extra, spread := 0.0, 0.0, 0.0
		for k := range kernels {
			base, rounds := results[k*len(modes())], results[k*len(modes())+m]
			s, ratio := summarise(rounds), relative(rounds, base, contest.Round.PerOp)
			wall, cpu = append(wall, ratio), append(cpu, relative(rounds, base, contest.Round.OwnCPUPerOp))
			cells = append(cells, fmt.Sprintf("%.3f", ratio))
			switches += s.switches
			extra, spread = extra+(ratio-1)*summarise(base).wall, max(spread, s.spread)
		}
		over[mode.job] = 100 * (stats.GeometricMean(wall) - 1)
		cost := 0.0
		if switches > 0 {
			cost = extra / 1000 / switches
		}
		row := append([]any{mode.title, fmt.Sprintf("%.0f", switches/float64(len(kernels))), cost}, cells...)
		table.Add(append(row, fmt.Sprintf("%.3f", stats.GeometricMean(wall)), fmt.Sprintf("%.3f", stats.GeometricMean(cpu)), percent(spread))...)
	}
	table.Verdicts = []report.Verdict{
		{What: "time lost to turns of 1 ms", Got: over["turns/1000"], Target: 5, Unit: " %"},
		{What: "the same, stretch", Got: over["turns/1000"], Target: 2, Unit: " %"},
	}
	table.Notes = []string{
		"A turn ends as a worker's does: a signal parks the guest where it is, a spare thread of the core is woken, takes the next guest " +
			"from the queue and lets it go on. \"us a switch\" is the whole loss divided by the switches, what the guests lose in the caches included. " +
			"CPU time is without the thread that counts the slices, on another core. Where other work competes for the core, look at the CPU time: the " +
			"kernel gives two guests that take turns more of the core than one that does not.",
	}
	return table
}

// scaling is B19: a guest that computes, on one core and on two at once.
func scaling(ctx context.Context, b *bench) (*report.Table, error) {
	if len(b.cpus) < 2 {
		return nil, fmt.Errorf("this process may use %d core; scaling needs two", len(b.cpus))
	}
	wasm, err := b.folder.Wasm(ctx, "echo", []string{"inprocess/testdata/echo/echo.c"})
	if err != nil {
		return nil, err
	}
	setup, err := b.edgedSetup(ctx, wasm)
	if err != nil {
		return nil, err
	}
	setup.Kind = "edged-scale"
	contestant, err := b.contestant("edged", setup, -1)
	if err != nil {
		return nil, err
	}
	workers := []string{"1", "2"}
	var turns []contest.Turn
	for _, n := range workers {
		turns = append(turns, contest.Turn{Contestant: "edged", Job: n, Count: b.pick(200, 50)})
	}
	results, err := b.run(ctx, "b19", []contest.Contestant{contestant}, turns, b.pick(15, 3))
	if err != nil {
		return nil, err
	}
	table := &report.Table{
		Name: "b19", Title: "B19: fib(27) with one worker and with two, each on a core of its own",
		Columns: []string{"workers", "calls", "calls a second", "CPU us a call", "spread", "against one"},
	}
	one := summarise(results[0])
	for i, n := range workers {
		s := summarise(results[i])
		table.Add(n, s.ops, 1e9/s.wall, s.cpu/1000, percent(s.spread), one.wall/s.wall)
	}
	two := summarise(results[1])
	table.Verdicts = []report.Verdict{{What: "throughput of two workers against one", Got: one.wall / two.wall, Target: 1.9, AtLeast: true}}
	table.Notes = []string{"Every call is put back to its template afterwards. Both cores must be idle otherwise: whatever else runs takes from the second worker."}
	return table, nil
}
