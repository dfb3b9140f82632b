package main

import (
	"context"
	"path/filepath"
	"runtime"

	"edged.dev/edge/bench/inprocess/build"
	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/bench/inprocess/engines"
	"edged.dev/edge/bench/inprocess/report"
)

// entrant is one row of the tables of fresh requests.
type entrant struct {
	name, isolation string
	setup           engines.Setup
	command         []string // another program than this one; setup is not used then
	count           int      // operations a round
}

// wasmtimeModule brings wasmtime's library.
const wasmtimeModule = "github.com/bytecodealliance/wasmtime-go/v37"

// Isolation of a row: what of the request before the guest can still see.
const (
	freshInstance = "fresh instance"
	putBack       = "put back to its template"
	reused        = "none: instance reused"
	freshProcess  = "fresh process"
)

// freshRequest is B2: one request of 1 KiB to a guest that no other request has touched.
func freshRequest(ctx context.Context, b *bench) (*report.Table, error) {
	entrants, err := freshEntrants(ctx, b)
	if err != nil {
		return nil, err
	}
	summaries, err := b.race(ctx, "b2", entrants, b.pick(10, 2))
	if err != nil {
		return nil, err
	}
	table := freshTable(entrants, summaries, "wasmtime, pooling, C", "b2", "B2: one fresh request in process, 1 KiB in and out")
	pooling, warm, cold := summaries["wasmtime, pooling, C"], summaries["edged"], summaries["edged, no pool"]
	table.Verdicts = []report.Verdict{
		{What: "edged against wasmtime's pooling allocator, median", Got: warm.p50 / pooling.p50, Target: 0.8},
		{What: "the same, stretch", Got: warm.p50 / pooling.p50, Target: 0.5},
		{What: "a new instance each time, median", Got: cold.p50 / 1000, Target: 30, Unit: " us"},
	}
	table.Notes = []string{
		"One guest source (testdata/echo) with two host functions; every answer is compared byte by byte, and the guest says by " +
			"its answer whether it was fresh. \"C\" is a program in C over wasmtime's C interface with host functions in C (testdata/pooling): no Go " +
			"anywhere. \"from Go\" is one crossing into C a request, host functions in C (package wasmtime). All others call from Go and answer host " +
			"calls in Go. \"its own host functions\" are those of the daemon, with all that they keep for a request. Each contestant is a process on the same core.",
	}
	return table, nil
}

// freshEntrants builds what B2 compares.
func freshEntrants(ctx context.Context, b *bench) ([]entrant, error) {
	wasm, err := b.folder.Wasm(ctx, "echo", []string{"inprocess/testdata/echo/echo.c"})
	if err != nil {
		return nil, err
	}
	inDaemon, err := b.folder.Wasm(ctx, "echo-edged", []string{"inprocess/testdata/echo/echo.c", "inprocess/testdata/echo/edged.c"}, "-DEDGED_ABI")
	if err != nil {
		return nil, err
	}
	edged, err := b.edgedSetup(ctx, wasm)
	if err != nil {
		return nil, err
	}
	daemon, err := b.edgedSetup(ctx, inDaemon)
	if err != nil {
		return nil, err
	}
	plain, err := b.folder.Plain(ctx, wasm, b.self, plainCommand)
	if err != nil {
		return nil, err
	}
	program, err := b.folder.Native(ctx, "gcc", "echo", []string{"inprocess/testdata/echo/echo.c", "inprocess/testdata/echo/process.c"}, "-static")
	if err != nil {
		return nil, err
	}
	pooling, err := poolingProgram(ctx, b)
	if err != nil {
		return nil, err
	}
	kind := func(name string, setup engines.Setup) engines.Setup { setup.Kind = name; return setup }
	peer := engines.Setup{Wasm: wasm}
	many, few := b.pick(10_000, 1_000), b.pick(200, 50)
	return []entrant{
		{"edged", putBack, kind("edged-reset", edged), nil, many},
		{"edged, its own host functions", putBack, kind("edged-daemon", daemon), nil, many},
		{"edged, no pool", freshInstance, kind("edged-new", edged), nil, many},
		{"wasmtime, pooling, C", freshInstance, engines.Setup{}, []string{pooling, wasm, "1048576", "64"}, many},
		{"wasmtime, pooling, from Go", freshInstance, engines.Setup{Kind: "wasmtime-pooling", Wasm: inDaemon}, nil, many},
		{"wasmtime-go, on demand", freshInstance, kind("wasmtime-new", peer), nil, many},
		{"wazero", freshInstance, kind("wazero-new", peer), nil, many},
		{"wazero, reused", reused, kind("wazero-reused", peer), nil, many},
		{"WasmEdge-go", freshInstance, engines.Setup{Kind: "wasmedge-new", Artifact: plain}, nil, many},
		{"fork and exec", freshProcess, engines.Setup{Kind: "process", Program: program}, nil, few},
	}, nil
}

// poolingProgram builds wasmtime's contestant in C with the library that wasmtime-go brings.
func poolingProgram(ctx context.Context, b *bench) (string, error) {
	dir, err := build.ModuleDir(ctx, wasmtimeModule)
	if err != nil {
		return "", err
	}
	machine := map[string]string{"amd64": "linux-x86_64", "arm64": "linux-aarch64"}[runtime.GOARCH]
	return b.folder.Native(ctx, "gcc", "pooling", []string{"inprocess/testdata/pooling/pooling.c"},
		"-I"+filepath.Join(dir, "build", "include"), filepath.Join(dir, "build", machine, "libwasmtime.a"), "-lpthread", "-ldl", "-lm")
}

// freshGoRequest is the half of B2b that needs no network: one request to a guest of stock Go that no other has touched.
func freshGoRequest(ctx context.Context, b *bench) (*report.Table, error) {
	reactor, err := b.folder.GoGuest(ctx, "inprocess/testdata/gohello/reactor", true)
	if err != nil {
		return nil, err
	}
	command, err := b.folder.GoGuest(ctx, "inprocess/testdata/gohello/command", false)
	if err != nil {
		return nil, err
	}
	edged, err := b.edgedSetup(ctx, reactor)
	if err != nil {
		return nil, err
	}
	edged.Kind = "edged-go"
	few := b.pick(50, 10)
	entrants := []entrant{
		{"edged, reactor", putBack, edged, nil, b.pick(5_000, 500)},
		{"wasmtime-go, command", freshInstance, engines.Setup{Kind: "wasmtime-command", Wasm: command}, nil, few},
		{"wazero, command", freshInstance, engines.Setup{Kind: "wazero-command", Wasm: command}, nil, few},
	}
	summaries, err := b.race(ctx, "b2b", entrants, b.pick(10, 2))
	if err != nil {
		return nil, err
	}
	table := freshTable(entrants, summaries, "wasmtime-go, command", "b2b", "B2b in process: a stock Go guest with fmt and a map, fresh for every request")
	mine := summaries["edged, reactor"]
	table.Verdicts = []report.Verdict{
		{What: "requests of edged in the time of one of wasmtime-go", Got: summaries["wasmtime-go, command"].wall / mine.wall, Target: 30, AtLeast: true},
		{What: "requests of edged in the time of one of wazero", Got: summaries["wazero, command"].wall / mine.wall, Target: 30, AtLeast: true},
	}
	table.Notes = []string{
		"The same Go code (testdata/gohello/greet), once as a reactor that edged starts from its template, once as a WASI command, which " +
			"is how the peers get a fresh instance of stock Go. edged answers with the daemon's own host functions. Each contestant is a process on the same core.",
	}
	return table, nil
}

// edgedSetup makes what edged's engine needs to run a module.
func (b *bench) edgedSetup(ctx context.Context, wasm string) (engines.Setup, error) {
	keeper, err := b.folder.Keeper(ctx)
	if err != nil {
		return engines.Setup{}, err
	}
	artifact, err := b.folder.Artifact(ctx, wasm)
	return engines.Setup{Wasm: wasm, Artifact: artifact, Keeper: keeper}, err
}

// race lets entrants of one job each take turns and returns what they did by their names.
func (b *bench) race(ctx context.Context, name string, entrants []entrant, rounds int) (map[string]summary, error) {
	var contestants []contest.Contestant
	var turns []contest.Turn
	for _, e := range entrants {
		contestant := contest.Contestant{Name: e.name, Command: e.command, CPU: b.core()}
		if len(e.command) == 0 {
			var err error
			if contestant, err = b.contestant(e.name, e.setup, b.core()); err != nil {
				return nil, err
			}
		}
		contestants = append(contestants, contestant)
		turns = append(turns, contest.Turn{Contestant: e.name, Job: "request", Count: e.count})
	}
	results, err := b.run(ctx, name, contestants, turns, rounds)
	if err != nil {
		return nil, err
	}
	summaries := make(map[string]summary)
	for i, rounds := range results {
		summaries[entrants[i].name] = summarise(rounds)
	}
	return summaries, nil
}

// freshTable writes one row an entrant; the last column compares with one of them.
func freshTable(entrants []entrant, summaries map[string]summary, against, name, title string) *report.Table {
	table := &report.Table{
		Name: name, Title: title,
		Columns: []string{"contestant", "isolation", "calls", "median us", "p99 us", "CPU us a call", "spread", "median against " + against},
	}
	for _, e := range entrants {
		s := summaries[e.name]
		table.Add(e.name, e.isolation, s.ops, s.p50/1000, s.p99/1000, s.cpu/1000, percent(s.spread), s.p50/summaries[against].p50)
	}
	return table
}
