package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"edged.dev/edge/bench/front"
	"edged.dev/edge/bench/load"
	"edged.dev/edge/bench/server"
)

// side is a server that takes part in a comparison.
type side struct {
	name      string
	isolation string // what one request is protected from the others by
	server    *server.Server
}

// startEdged starts a daemon with these apps. They are deployed to one that may use all cores, because compiling takes a
// while; what is measured is one that was started anew on the servers' core.
func (l *Lab) startEdged(ctx context.Context, config string, apps ...string) (*side, error) {
	home, err := l.home(config, nil)
	if err != nil {
		return nil, err
	}
	s, err := home.Start(ctx)
	if err != nil {
		return nil, err
	}
	patient, cancel := context.WithTimeout(ctx, l.patience())
	defer cancel()
	if err := home.Deploy(patient, apps...); err != nil {
		s.Kill() // it may be compiling
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	home.CPUs = l.serverCPUs
	if s, err = home.Start(ctx); err != nil {
		return nil, err
	}
	return &side{"edged", "fresh instance", s}, nil
}

// peerRow says how a peer is started.
type peerRow struct {
	name, isolation, program string
	args                     []string
}

// The peers of the basic app, by name.
const (
	peerGnet      = "bare gnet"
	peerNative    = "net/http, native Go"
	peerPooled    = "wasmtime, pooling allocator"
	peerOnDemand  = "wasmtime, on demand"
	peerWazero    = "wazero"
	peerReused    = "wazero, reused"
	peerWasmEdge  = "WasmEdge-go, plain"
	peerForkExec  = "fork and exec"
	peerWasmtimeT = "wasmtime, pooling allocator, net/http"
	peerWazeroT   = "wazero, net/http"
)

func (l *Lab) peers() []peerRow {
	module := []string{"-module", l.path("basic", "basic.wasm")}
	with := func(args ...string) []string { return append(append([]string{}, module...), args...) }
	return []peerRow{
		{peerGnet, "none", "gnet", nil},
		{peerNative, "none", "nethttp", nil},
		{peerPooled, "fresh instance", "wasmtime", module},
		{peerOnDemand, "fresh instance", "wasmtime", with("-on-demand")},
		{peerWazero, "fresh instance", "wazero", module},
		{peerReused, "none: instance reused", "wazero", with("-reuse")},
		{peerWasmEdge, "fresh instance", "wasmedge", []string{"-module", l.path("basic", "basic.so")}},
		{peerForkExec, "fresh process", "forkexec", []string{"-program", l.path("program")}},
		{peerWasmtimeT, "fresh instance", "wasmtime", with("-front", front.Threads)},
		{peerWazeroT, "fresh instance", "wazero", with("-front", front.Threads)},
	}
}

// startPeers starts peers of the basic app.
func (l *Lab) startPeers(ctx context.Context, names ...string) ([]*side, error) {
	var sides []*side
	for _, name := range names {
		for _, row := range l.peers() {
			if row.name != name {
				continue
			}
			s, err := l.startPeer(ctx, row)
			if err != nil {
				return nil, errors.Join(err, stop(sides))
			}
			sides = append(sides, s)
		}
	}
	return sides, nil
}

func (l *Lab) startPeer(ctx context.Context, row peerRow) (*side, error) {
	program, err := l.peer(ctx, row.program)
	if err != nil {
		return nil, err
	}
	if compiled := l.path("basic", "basic.so"); row.program == "wasmedge" {
		if _, err := os.Stat(compiled); err != nil {
			if err := l.run(ctx, l.dir, nil, program, "-module", l.path("basic", "basic.wasm"), "-compile", compiled); err != nil {
				return nil, err
			}
		}
	}
	s, err := server.Start(ctx, server.Options{Command: append([]string{program}, row.args...), CPUs: l.serverCPUs, Log: l.path("peers.log")})
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", row.name, err)
	}
	return &side{row.name, row.isolation, s}, nil
}

// stop ends servers.
func stop(sides []*side) error {
	var list []error
	for _, s := range sides {
		list = append(list, s.server.Close())
	}
	return errors.Join(list...)
}

// spec is one measurement.
type spec struct {
	workload, setup string
	round           int
	options         load.Options
}

// measure runs a load against a side and returns a sample for each class, all of which have the server's consumption.
func (l *Lab) measure(ctx context.Context, s *side, m spec) ([]*sample, error) {
	var before, after server.Usage
	var failed error
	note := func(usage *server.Usage) func() {
		return func() {
			var err error
			if *usage, err = s.server.Usage(); err != nil {
				failed = err
			}
		}
	}
	o := m.options
	o.Address, o.CPU, o.Seed = s.server.Address(), l.loadCPU, uint64(m.round)
	if o.Warmup == 0 {
		o.Warmup = warmup
	}
	o.Begin, o.End = note(&before), note(&after)
	if err := s.server.ResetPeak(); err != nil {
		return nil, err
	}
	result, err := load.Run(ctx, o)
	if err = errors.Join(err, failed); err != nil {
		return nil, fmt.Errorf("measure %s: %w", s.name, err)
	}
	var samples []*sample
	var requests uint64
	for _, stream := range o.Streams {
		for _, tally := range result.Streams[stream.Name] {
			requests += tally.Total() - tally.Unanswered
			samples = append(samples, &sample{
				workload: m.workload, setup: m.setup, side: s.name, class: strings.Trim(stream.Name+" "+tally.Name, " "), round: m.round,
				elapsed: result.Elapsed, tally: tally, usage: after.Sub(before), busy: result.CPU.Seconds() / result.Elapsed.Seconds(),
			})
		}
	}
	for _, s := range samples {
		s.requests = requests
		if n := s.tally.Errors(); n > 0 {
			l.say("%s: %s: %d requests %sfailed, %d were answered", m.workload, s.side, n, strings.TrimLeft(s.class+" ", " "), s.tally.OK)
		}
	}
	return samples, l.keep(samples)
}

// check requires that a side answers a request rightly, before anything is measured.
func (l *Lab) check(ctx context.Context, s *side, class load.Class) error {
	class.Deadline = 0 // only what is answered matters here
	o := load.Options{Address: s.server.Address(), CPU: -1, Duration: quickLook, Streams: []load.Stream{{Connections: 1, Classes: []load.Class{class}}}}
	for ; o.Duration < time.Minute; o.Duration *= 2 { // an answer may take longer than one look
		result, err := load.Run(ctx, o)
		if err != nil {
			return err
		}
		t := result.Stream("")
		if t.OK > 0 && t.OK == t.Total() {
			return nil
		}
		if t.Total() > 0 {
			return fmt.Errorf("%w: %s: of %d answers to %.60q %d were right", ErrAnswer, s.name, t.Total(), class.Request, t.OK)
		}
	}
	return fmt.Errorf("%w: %s did not answer %.60q", ErrAnswer, s.name, class.Request)
}
