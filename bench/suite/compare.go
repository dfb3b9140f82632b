package suite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"edged.dev/edge/bench/load"
)

// setup is one way to load all sides of a comparison.
type setup struct {
	name        string
	connections int
	class       load.Class
	sides       []string // that take part; nil for all
	reconnect   bool     // a new connection for each request
}

// compare lets the sides take turns in every set-up and round.
func (l *Lab) compare(ctx context.Context, workload string, sides []*side, setups []setup) ([]*sample, error) {
	var samples []*sample
	for _, u := range setups {
		for _, s := range sides {
			if err := l.check(ctx, s, u.class); err != nil {
				return nil, err
			}
		}
	}
	for round := range l.options.Rounds {
		l.say("%s: round %d of %d", workload, round+1, l.options.Rounds)
		for _, u := range setups {
			for _, s := range sides {
				if u.sides != nil && !slices.Contains(u.sides, s.name) {
					continue
				}
				got, err := l.measure(ctx, s, spec{workload, u.name, round, load.Options{
					Duration: l.options.Duration,
					Streams:  []load.Stream{{Connections: u.connections, Reconnect: u.reconnect, Classes: []load.Class{u.class}}},
				}})
				if err != nil {
					return nil, err
				}
				samples = append(samples, got...)
			}
		}
	}
	return samples, nil
}

// comparison makes the table of compare's samples, edged first; ratios are edged to the row's side.
func comparison(title string, notes []string, sides []*side, samples []*sample) *table {
	t := &table{title: title, notes: notes, columns: []string{
		"load", "server", "isolation of a request", "requests/s:", "p50:", "p99:", "max:", "CPU-s / 10k:", "peak memory:", "failed:",
		"edged's requests/s : its:", "edged's CPU : its:",
	}}
	var setups []string
	for _, s := range samples {
		if !slices.Contains(setups, s.setup) {
			setups = append(setups, s.setup)
		}
	}
	for _, name := range setups {
		own := pick(samples, name, "edged", "")
		for _, s := range sides {
			list := pick(samples, name, s.name, "")
			if len(list) == 0 {
				continue
			}
			rates, costs := "", ""
			if s.name != "edged" {
				rates = spread(ratio(own, list, (*sample).rate))
				costs = spread(ratio(own, list, (*sample).cost))
			}
			quantile := func(q float64) string {
				return duration(median(list, func(s *sample) float64 { return s.quantile(q) }))
			}
			t.add(name, s.name, s.isolation, rateCell(list), quantile(.5), quantile(.99),
				duration(median(list, func(s *sample) float64 { return micros(s.tally.Latency.Max()) })),
				fmt.Sprintf("%.3f", median(list, (*sample).cost)),
				mebibytes(median(list, func(s *sample) float64 { return float64(s.usage.PeakRSS) })),
				itoa(sum(list, func(s *sample) uint64 { return s.tally.Errors() + s.tally.Rejected + s.tally.TimedOut })), rates, costs)
		}
	}
	return t
}

// rateCell is the median rate, with a mark when the generator had nothing left and may have set it.
func rateCell(list []*sample) string {
	const nothingLeft = .97
	text := thousands(median(list, (*sample).rate))
	if median(list, func(s *sample) float64 { return s.busy }) > nothingLeft {
		return "> " + text
	}
	return text
}

const frontNote = "What is compared is what a request's isolation costs. The engines beside edged have the cheapest front there is (gnet's event loop, the guest runs on " +
	"it, hardly any HTTP is read) and run the same module with the same host functions; edged has all it has by default: strict HTTP, routing, queue, limits, logs, metrics. " +
	"The generator checks every answer; a rate with a > is what it could do at most."

// hello is B1: a greeting.
func (l *Lab) hello(ctx context.Context) (tables []*table, err error) {
	edged, err := l.startEdged(ctx, "", l.path("basic"))
	if err != nil {
		return nil, err
	}
	sides := []*side{edged}
	defer func() { err = errors.Join(err, stop(sides)) }()
	peers, err := l.startPeers(ctx, peerGnet, peerNative, peerPooled, peerOnDemand, peerWazero, peerReused, peerWasmEdge, peerForkExec)
	if err != nil {
		return nil, err
	}
	sides = append(sides, peers...)
	class := load.Class{Request: load.Request("/basic/hello", nil), Expect: []byte("hello, world\n")}
	few := []string{"edged", peerGnet, peerPooled}
	samples, err := l.compare(ctx, "b1", sides, []setup{
		{"c=16", 16, class, nil, false},
		{"c=1", 1, class, few, false},
		{"c=64", 64, class, few, false},
		{"c=16, connecting", 16, class, append(few, peerNative), true},
	})
	if err != nil {
		return nil, err
	}
	return []*table{comparison("B1: hello, a fresh instance for every request", []string{frontNote}, sides, samples)}, nil
}

// echo is B3: bodies there and back.
func (l *Lab) echo(ctx context.Context) (tables []*table, err error) {
	edged, err := l.startEdged(ctx, "", l.path("basic"))
	if err != nil {
		return nil, err
	}
	sides := []*side{edged}
	defer func() { err = errors.Join(err, stop(sides)) }()
	peers, err := l.startPeers(ctx, peerGnet, peerNative, peerPooled, peerWazero, peerReused, peerWasmEdge)
	if err != nil {
		return nil, err
	}
	sides = append(sides, peers...)
	var setups []setup
	for _, size := range []int{1, 64} {
		body := make([]byte, size<<10)
		for i := range body {
			body[i] = byte('a' + i%23)
		}
		class := load.Class{Request: load.Request("/basic/echo", body), Expect: body}
		setups = append(setups, setup{fmt.Sprintf("%d KiB, c=16", size), 16, class, nil, false})
	}
	samples, err := l.compare(ctx, "b3", sides, setups)
	if err != nil {
		return nil, err
	}
	return []*table{comparison("B3: echo of a body", []string{frontNote}, sides, samples)}, nil
}

// stockGo is B2b: a greeting by a guest in stock Go.
func (l *Lab) stockGo(ctx context.Context) (tables []*table, err error) {
	l.say("building the Go guests")
	app, command := l.path("gohello"), l.path("gocommand.wasm")
	wasip1 := []string{"GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0"}
	manifest := readText(l.options.Bench + "/apps/gohello/edged.yaml")
	if err := errors.Join(
		l.run(ctx, l.options.Bench, wasip1, "go", "build", "-ldflags=-s -w", "-buildmode=c-shared", "-o", app+"/gohello.wasm", "./apps/gohello"),
		l.run(ctx, l.options.Bench, wasip1, "go", "build", "-ldflags=-s -w", "-tags=command", "-o", command, "./apps/gohello"),
		writeText(app+"/edged.yaml", manifest),
	); err != nil {
		return nil, err
	}
	l.say("deploying the Go guest and waiting for its optimised build, which takes minutes")
	edged, err := l.startEdged(ctx, "", app)
	if errors.Is(err, context.DeadlineExceeded) && l.options.Quick {
		l.say("b2b: skipped, for the optimised build was not there after %v; without -quick this waits for longer", l.patience())
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	edged.isolation = "fresh instance, from a template"
	sides := []*side{edged}
	defer func() { err = errors.Join(err, stop(sides)) }()
	for _, row := range []peerRow{
		{"wasmtime, pooling allocator", "fresh instance, started up", "wasmtime", []string{"-command", "-module", command}},
		{"wazero", "fresh instance, started up", "wazero", []string{"-command", "-module", command}},
	} {
		s, err := l.startPeer(ctx, row)
		if err != nil {
			return nil, err
		}
		sides = append(sides, s)
	}
	class := load.Class{Request: load.Request("/gohello/hello", nil), Expect: []byte("hello, world\n")}
	samples, err := l.compare(ctx, "b2b", sides, []setup{{"c=16", 16, class, nil, false}})
	if err != nil {
		return nil, err
	}
	note := "Stock Go with `fmt` and a map. Go's runtime takes milliseconds to start up, and an engine alone has to do that for every request, as for " +
		"a command of WASI. edged runs the same code as a reactor and puts it back into the state after its start-up. So the ratio is what templates are worth to such a guest, not the speed of an engine."
	return []*table{comparison("B2b: hello of a stock Go guest, fresh for every request", []string{note}, sides, samples)}, nil
}

// patience is how long an optimised build of a large guest may take.
func (l *Lab) patience() time.Duration {
	if l.options.Quick {
		return 45 * time.Second
	}
	return 10 * time.Minute
}

// beside is B5b: hello beside a computation on every server core.
func (l *Lab) beside(ctx context.Context) (tables []*table, err error) {
	edged, err := l.startEdged(ctx, "", l.path("basic"))
	if err != nil {
		return nil, err
	}
	sides := []*side{edged}
	defer func() { err = errors.Join(err, stop(sides)) }()
	peers, err := l.startPeers(ctx, peerNative, peerWasmtimeT, peerWazeroT)
	if err != nil {
		return nil, err
	}
	sides = append(sides, peers...)
	hello := load.Stream{Name: "hello", Connections: 4, Classes: []load.Class{{Request: load.Request("/basic/hello", nil), Expect: []byte("hello, world\n")}}}
	compute := load.Stream{Name: "compute", Connections: 2 * len(l.serverCPUs), Classes: []load.Class{fib(38)}}
	var samples []*sample
	for _, s := range sides {
		if err := errors.Join(l.check(ctx, s, hello.Classes[0]), l.check(ctx, s, fib(20))); err != nil {
			return nil, err
		}
	}
	for round := range l.options.Rounds {
		l.say("b5b: round %d of %d", round+1, l.options.Rounds)
		for _, s := range sides {
			for _, m := range []struct {
				name    string
				streams []load.Stream
			}{{"alone", []load.Stream{hello}}, {"beside", []load.Stream{hello, compute}}} {
				got, err := l.measure(ctx, s, spec{"b5b", m.name, round, load.Options{Duration: 2 * l.options.Duration, Streams: m.streams}})
				if err != nil {
					return nil, err
				}
				samples = append(samples, got...)
			}
		}
	}
	return []*table{besideTable(sides, samples)}, nil
}

func besideTable(sides []*side, samples []*sample) *table {
	t := &table{
		title: "B5b: hello on 4 connections beside 2 computations for each server core (fib(38), one after the other)",
		notes: []string{"What a short request has to wait for. edged parks what computes when something more urgent comes. The others have net/http in front, a goroutine " +
			"for each connection, so that the schedulers of Go and Linux share the core; on an event loop their guests would hold up everything. "},
		columns: []string{"server", "isolation of a request", "requests/s alone:", "beside:", "p50 beside:", "p99 alone:", "p99 beside:", "p99.9 beside:", "max beside:", "fib(38) a second:", "failed:"},
	}
	for _, s := range sides {
		alone, beside := pick(samples, "alone", s.name, "hello"), pick(samples, "beside", s.name, "hello")
		at := func(list []*sample, q float64) string {
			return duration(median(list, func(s *sample) float64 { return s.quantile(q) }))
		}
		t.add(s.name, s.isolation, thousands(median(alone, (*sample).rate)), thousands(median(beside, (*sample).rate)), at(beside, .5), at(alone, .99), at(beside, .99),
			at(beside, .999), duration(median(beside, func(s *sample) float64 { return micros(s.tally.Latency.Max()) })),
			fmt.Sprintf("%.2f", median(pick(samples, "beside", s.name, "compute"), (*sample).rate)),
			itoa(sum(pick(samples, "", s.name, ""), func(s *sample) uint64 { return s.tally.Errors() + s.tally.Rejected + s.tally.TimedOut })))
	}
	return t
}

// fib is a request to the basic app that computes; the answer is checked.
func fib(n uint32) load.Class {
	return load.Class{Request: load.Request(fmt.Sprintf("/basic/fib?%d", n), nil), Expect: fmt.Append(nil, number(n))}
}

// number returns the n-th Fibonacci number.
func number(n uint32) uint32 {
	a, b := uint32(0), uint32(1)
	for range n {
		a, b = b, a+b
	}
	return a
}
