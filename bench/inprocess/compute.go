package main

import (
	"context"
	"fmt"
	"strings"

	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/bench/inprocess/engines"
	"edged.dev/edge/bench/inprocess/report"
	"edged.dev/edge/bench/inprocess/stats"
	"edged.dev/edge/bench/polybench"
)

// runner is one column of the table of kernels.
type runner struct {
	name  string
	setup engines.Setup // Kind empty: a native program
}

// native is what all others are measured by; nativeClang tells what is the price of WebAssembly from what is LLVM's, which
// WasmEdge compiles with.
const (
	native      = "gcc -O3"
	nativeClang = "clang -O3"
)

// Names of runners that targets are about.
const (
	edgedPreempted     = "edged, 1 ms"
	edgedPreemptedSIMD = "edged, SIMD, 1 ms"
	wasmtimeEpochs     = "wasmtime, epochs"
)

// sliceMicroseconds is how often the preempted guests are stopped.
const sliceMicroseconds = 1000

// compute is B4: kernels compiled ahead of time against native ones.
func compute(ctx context.Context, b *bench) (*report.Table, error) {
	contestants, runners, err := computeRunners(ctx, b)
	if err != nil {
		return nil, err
	}
	var turns []contest.Turn
	for _, kernel := range polybench.Kernels() {
		for _, r := range runners {
			turns = append(turns, contest.Turn{Contestant: r.name, Job: kernel, Count: 1})
		}
	}
	results, err := b.run(ctx, "b4", contestants, turns, b.pick(5, 1))
	if err != nil {
		return nil, err
	}
	return computeTable(runners, results)
}

// computeRunners builds the kernels in every form and says who runs them.
func computeRunners(ctx context.Context, b *bench) ([]contest.Contestant, []runner, error) {
	scalar, err := b.folder.Wasm(ctx, "kernels", polybench.Sources(), polybench.Flags()...)
	if err != nil {
		return nil, nil, err
	}
	vector, err := b.folder.Wasm(ctx, "kernels-simd", polybench.Sources(), append(polybench.Flags(), "-msimd128")...)
	if err != nil {
		return nil, nil, err
	}
	mine, err := b.edgedSetup(ctx, scalar)
	if err != nil {
		return nil, nil, err
	}
	mineSIMD, err := b.edgedSetup(ctx, vector)
	if err != nil {
		return nil, nil, err
	}
	mine.Kind, mineSIMD.Kind = "edged-kernels", "edged-kernels"
	sliced := func(setup engines.Setup) engines.Setup { setup.Slice = sliceMicroseconds; return setup }
	peer := func(kind, wasm string, interruptible bool) engines.Setup {
		return engines.Setup{Kind: kind, Wasm: wasm, Interruptible: interruptible}
	}
	runners := []runner{
		{native, engines.Setup{}},
		{nativeClang, engines.Setup{}},
		{"edged", mine},
		{edgedPreempted, sliced(mine)},
		{"edged, SIMD", mineSIMD},
		{edgedPreemptedSIMD, sliced(mineSIMD)},
		{"wasmtime", peer("wasmtime-kernels", scalar, false)},
		{wasmtimeEpochs, peer("wasmtime-kernels", scalar, true)},
		{"wasmtime, SIMD", peer("wasmtime-kernels", vector, false)},
		{"wasmtime, SIMD, epochs", peer("wasmtime-kernels", vector, true)},
		{"wazero", peer("wazero-kernels", scalar, false)},
	}
	contestants, err := nativeKernels(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	for _, r := range runners[len(contestants):] {
		cpu := b.core()
		if r.setup.Kind == mine.Kind {
			cpu = -1 // it puts the guest on that core itself, and what counts the slices on another
		}
		contestant, err := b.contestant(r.name, r.setup, cpu)
		if err != nil {
			return nil, nil, err
		}
		contestants = append(contestants, contestant)
	}
	return contestants, runners, nil
}

// nativeKernels builds the kernels with both compilers.
func nativeKernels(ctx context.Context, b *bench) ([]contest.Contestant, error) {
	var contestants []contest.Contestant
	for _, name := range []string{native, nativeClang} {
		compiler, _, _ := strings.Cut(name, " ")
		sources := append(polybench.Sources(), polybench.NativeMain())
		program, err := b.folder.Native(ctx, compiler, "kernels-"+compiler, sources, polybench.Flags()...)
		if err != nil {
			return nil, err
		}
		contestants = append(contestants, contest.Contestant{Name: name, Command: []string{program}, CPU: b.core()})
	}
	return contestants, nil
}

// computeTable writes one row a kernel: the native time, and everybody else's as a multiple of it.
func computeTable(runners []runner, results [][]contest.Round) (*report.Table, error) {
	table := &report.Table{Name: "b4", Title: "B4: kernels compiled ahead of time, time as a multiple of native code", Columns: []string{"kernel", native + " ms"}}
	for _, r := range runners[1:] {
		table.Columns = append(table.Columns, r.name)
	}
	wall, cpu := make(map[string][]float64), make(map[string][]float64)
	spread := 0.0
	for k, kernel := range polybench.Kernels() {
		rows := results[k*len(runners) : (k+1)*len(runners)]
		if err := sameChecks(kernel, runners, rows); err != nil {
			return nil, err
		}
		cells := []any{kernel, summarise(rows[0]).wall / 1e6}
		for i, r := range runners {
			spread = max(spread, summarise(rows[i]).spread)
			ratio := relative(rows[i], rows[0], contest.Round.PerOp)
			wall[r.name] = append(wall[r.name], ratio)
			cpu[r.name] = append(cpu[r.name], relative(rows[i], rows[0], contest.Round.CPUPerOp))
			if i > 0 {
				cells = append(cells, ratio)
			}
		}
		table.Add(cells...)
	}
	means := func(title string, ratios map[string][]float64) {
		cells := []any{title, ""}
		for _, r := range runners[1:] {
			cells = append(cells, stats.GeometricMean(ratios[r.name]))
		}
		table.Add(cells...)
	}
	means("geometric mean", wall)
	means("the same of CPU time", cpu)
	mean := func(name string) float64 { return stats.GeometricMean(wall[name]) }
	table.Verdicts = []report.Verdict{
		{What: "edged stopped every millisecond against native code", Got: mean(edgedPreempted), Target: 1.2},
		{What: "the same against wasmtime with epochs", Got: mean(edgedPreempted) / mean(wasmtimeEpochs), Target: 0.6},
		{What: "the same against native code, SIMD guests (stretch)", Got: mean(edgedPreemptedSIMD), Target: 1},
	}
	table.Notes = []string{
		"Our own kernels in the manner of PolyBench (polybench/kernels); all forms computed the same bits. \"1 ms\": the guest is stopped every " +
			"millisecond by a signal, another thread takes the core over and lets it go on. \"epochs\": code that looks at a counter, which advances every " +
			fmt.Sprintf("millisecond, and is never stopped. Largest spread of a cell over the rounds: %s.", percent(spread)),
	}
	return table, nil
}

// sameChecks compares the hashes of one kernel's results.
func sameChecks(kernel string, runners []runner, rows [][]contest.Round) error {
	want := rows[0][0].Check
	for i, rounds := range rows {
		for _, round := range rounds {
			if round.Check != want || want == "" {
				return fmt.Errorf("%s: %s computed %q, %s %q", kernel, runners[i].name, round.Check, native, want)
			}
		}
	}
	return nil
}
