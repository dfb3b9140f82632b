package suite

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os/exec"
	"strings"
	"time"

	"edged.dev/edge/bench/load"
)

// overload is B7: twice as many requests as can be answered.
func (l *Lab) overload(ctx context.Context) (tables []*table, err error) {
	const n = 27 // about a millisecond
	f := function{"compute", n, 50 * time.Millisecond}
	if err := l.functions("overload", []function{f}); err != nil {
		return nil, err
	}
	s, err := l.startEdged(ctx, "", l.path("overload"))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.server.Close()) }()
	class := f.class("overload")
	if err := l.check(ctx, s, class); err != nil {
		return nil, err
	}
	l.say("b7: capacity")
	closed, err := l.measure(ctx, s, spec{"b7", "capacity", 0, load.Options{Duration: l.long(5), Streams: []load.Stream{{Connections: 16, Classes: []load.Class{class}}}}})
	if err != nil {
		return nil, err
	}
	capacity := closed[0].rate()
	t := &table{
		title: fmt.Sprintf("B7: overload, fib(%d) with a deadline of 50 ms", n),
		notes: []string{fmt.Sprintf("Requests come as a Poisson process on 1,000 connections, whether or not earlier ones were answered; latencies count from the time at which a request was to be "+
			"sent. The capacity, %s requests/s, was measured before with 16 connections that wait for their answers. Latencies are of admitted requests; those that were turned away got 429.", thousands(capacity))},
		columns: []string{"load:", "sent/s:", "answered/s:", "p50:", "p99:", "p99.9:", "max:", "in deadline:", "429:", "504:", "failed, unanswered:", "p99 : p99 at 0.9:"},
	}
	var base float64
	for _, m := range []struct {
		factor  float64
		seconds int
	}{{.9, 15}, {2, 60}} {
		l.say("b7: %.1f times the capacity for %v", m.factor, l.long(m.seconds))
		samples, err := l.measure(ctx, s, spec{"b7", fmt.Sprintf("%.1f", m.factor), 0, load.Options{
			Duration: l.long(m.seconds), Streams: []load.Stream{{Connections: 1000, Rate: m.factor * capacity, Classes: []load.Class{class}}},
		}})
		if err != nil {
			return nil, err
		}
		x := samples[0]
		against := "1"
		if p99 := x.quantile(.99); base == 0 {
			base = p99
		} else {
			against = fmt.Sprintf("%.2f", p99/base)
		}
		t.add(append(append([]string{fmt.Sprintf("%.1f", m.factor), thousands(float64(x.tally.Total()) / x.elapsed.Seconds())}, deadlineCells(x)...), against)...)
	}
	return []*table{t}, nil
}

// tenants is B9: a noisy app beside a quiet one.
func (l *Lab) tenants(ctx context.Context) (tables []*table, err error) {
	quiet, noisy, err := l.twins()
	if err != nil {
		return nil, err
	}
	s, err := l.startEdged(ctx, "", quiet, noisy)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.server.Close()) }()
	class := rename(fib(22), "/basic/", "/quiet/")
	if err := l.check(ctx, s, class); err != nil {
		return nil, err
	}
	capacity, err := l.measure(ctx, s, spec{"b9", "capacity", 0, load.Options{Duration: l.options.Duration, Streams: []load.Stream{{Name: "quiet", Connections: 16, Classes: []load.Class{class}}}}})
	if err != nil {
		return nil, err
	}
	// The quiet app asks for a fifth of the core, which is below its share of a half; the noisy one for all that it can get.
	stream := load.Stream{Name: "quiet", Connections: 64, Rate: capacity[0].rate() / 5, Classes: []load.Class{class}}
	noise := load.Stream{Name: "noisy", Connections: 64, Pause: patience, Classes: []load.Class{rename(fib(27), "/basic/", "/noisy/")}}
	var samples []*sample
	for round := range l.options.Rounds {
		l.say("b9: round %d of %d", round+1, l.options.Rounds)
		for _, m := range []struct {
			name    string
			streams []load.Stream
		}{{"alone", []load.Stream{stream}}, {"beside", []load.Stream{stream, noise}}} {
			got, err := l.measure(ctx, s, spec{"b9", m.name, round, load.Options{Duration: 2 * l.options.Duration, Streams: m.streams}})
			if err != nil {
				return nil, err
			}
			samples = append(samples, got...)
		}
	}
	return []*table{tenantsTable(samples, stream.Rate)}, nil
}

func tenantsTable(samples []*sample, rate float64) *table {
	t := &table{
		title: "B9: a quiet app beside a noisy one",
		notes: []string{fmt.Sprintf("The quiet app gets %s requests/s of fib(22), a fifth of what the core can answer, as a Poisson process. The noisy one gets as many of fib(27) as 64 connections "+
			"can send. Latencies of the quiet one count from the time at which a request was to be sent.", thousands(rate))},
		columns: []string{"app", "load", "answered/s:", "p50:", "p99:", "p99.9:", "max:", "429:", "504:", "failed, unanswered:", "answered/s : alone:"},
	}
	alone := pick(samples, "alone", "", "quiet")
	for _, row := range [][2]string{{"quiet", "alone"}, {"quiet", "beside"}, {"noisy", "beside"}} {
		list := pick(samples, row[1], "", row[0])
		at := func(q float64) string {
			return duration(median(list, func(s *sample) float64 { return s.quantile(q) }))
		}
		against := ""
		if row[0] == "quiet" {
			against = spread(ratio(list, alone, (*sample).rate))
		}
		t.add(row[0], row[1], thousands(median(list, (*sample).rate)), at(.5), at(.99), at(.999),
			duration(median(list, func(s *sample) float64 { return micros(s.tally.Latency.Max()) })),
			itoa(sum(list, func(s *sample) uint64 { return s.tally.Rejected })), itoa(sum(list, func(s *sample) uint64 { return s.tally.TimedOut })),
			itoa(sum(list, func(s *sample) uint64 { return s.tally.Errors() + s.tally.Unanswered })), against)
	}
	return t
}

// twins makes two apps of the basic module.
func (l *Lab) twins() (quiet, noisy string, err error) {
	quiet, noisy = l.path("quiet"), l.path("noisy")
	return quiet, noisy, errors.Join(l.app(quiet, "quiet", nil), l.app(noisy, "noisy", nil))
}

// rename sends a class to another path.
func rename(c load.Class, from, to string) load.Class {
	c.Request = []byte(strings.Replace(string(c.Request), from, to, 1))
	return c
}

// shortAndLong lets wrk load functions of 1 ms and 2 s: an impression with a tool that everybody has.
func (l *Lab) shortAndLong(ctx context.Context) (tables []*table, err error) {
	s, err := l.startEdged(ctx, "", l.path("basic"))
	if err != nil {
		return nil, err
	}
	short, err := l.lasting(ctx, s, time.Millisecond)
	if err != nil {
		return nil, err
	}
	long, err := l.lasting(ctx, s, 2*time.Second)
	if err = errors.Join(err, s.server.Close()); err != nil {
		return nil, err
	}
	// Functions of their own: edged learns how long each takes.
	if err := l.functions("lengths", []function{{"short", short, 0}, {"long", long, 0}}); err != nil {
		return nil, err
	}
	if s, err = l.startEdged(ctx, "", l.path("lengths")); err != nil {
		return nil, err
	}
	defer s.server.Kill() // what is long is not waited for
	t := &table{
		title: "wrk on a function of 1 ms and one of 2 s",
		notes: []string{fmt.Sprintf("`wrk -t1 -c4` on fib(%d), about 1 ms, alone and while another `wrk -t1 -c4 --timeout 60s` keeps four fib(%d), about 2 s each, going on the same core. No deadlines are "+
			"given. The short ones use the core wholly when they can, so their rate beside falls by the share that the long ones are guaranteed; what has to stay is their latency.", short, long)},
		columns: []string{"function", "load", "requests/s:", "p50:", "p75:", "p90:", "p99:", "requests:"},
	}
	target := func(name string, n uint32) string {
		return fmt.Sprintf("http://%s/lengths/%s?%d", s.server.Address(), name, n)
	}
	seconds := fmt.Sprintf("%.0fs", l.long(10).Seconds())
	l.say("wrk: alone")
	alone, err := l.wrk(ctx, "-t1", "-c4", "-d"+seconds, target("short", short))
	if err != nil {
		return nil, err
	}
	l.say("wrk: beside")
	type outcome struct {
		cells []string
		err   error
	}
	beside := make(chan outcome, 1)
	go func() {
		cells, err := l.wrk(ctx, "-t1", "-c4", "-d"+fmt.Sprintf("%.0fs", l.long(10).Seconds()+3), "--timeout", "60s", target("long", long))
		beside <- outcome{cells, err}
	}()
	select {
	case <-time.After(time.Second): // the long ones run by then
	case <-ctx.Done():
	}
	with, err := l.wrk(ctx, "-t1", "-c4", "-d"+seconds, target("short", short))
	other := <-beside
	if err := errors.Join(err, other.err); err != nil {
		return nil, err
	}
	t.add(append([]string{"1 ms", "alone"}, alone...)...)
	t.add(append([]string{"1 ms", "beside"}, with...)...)
	t.add(append([]string{"2 s", "beside"}, other.cells...)...)
	return []*table{t}, nil
}

// lasting returns the n for which fib(n) takes about that long on the side.
func (l *Lab) lasting(ctx context.Context, s *side, want time.Duration) (uint32, error) {
	const golden = 1.618
	n := uint32(27)
	took, err := l.calibrate(ctx, s, fib(n))
	if err != nil {
		return 0, err
	}
	for ; float64(took) < float64(want)/1.3; n++ {
		took = time.Duration(float64(took) * golden)
	}
	return n, nil
}

// wrk runs wrk on the generator's core and returns requests/s, p50, p75, p90, p99 and the number of requests.
func (l *Lab) wrk(ctx context.Context, args ...string) ([]string, error) {
	for _, arg := range args {
		if _, err := url.Parse(arg); err != nil {
			return nil, err
		}
	}
	command := exec.CommandContext(ctx, "taskset", append([]string{"-c", itoa(l.loadCPU), "wrk", "--latency"}, args...)...) //nolint:gosec // as above
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("run wrk (Debian has it): %w", err)
	}
	return readWrk(string(out)), nil
}

// readWrk finds the figures in what wrk prints; those that it does not print are "-".
func readWrk(out string) []string {
	cells := []string{"-", "-", "-", "-", "-", "-"}
	for line := range strings.SplitSeq(out, "\n") {
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		for i, name := range []string{"Requests/sec:", "50%", "75%", "90%", "99%"} {
			if fields[0] == name {
				cells[i] = fields[1]
			}
		}
		if fields[1] == "requests" {
			cells[5] = fields[0]
		}
		if strings.HasPrefix(strings.TrimSpace(line), "Non-2xx") {
			cells[5] += " (some failed)"
		}
	}
	return cells
}
