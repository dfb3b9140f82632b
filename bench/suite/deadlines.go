package suite

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/bench/load"
)

// policy is a setting of edged's scheduler.
type policy struct{ order, preempt string }

func (p policy) String() string { return p.order + ", preemption " + p.preempt }

func (p policy) config() string {
	return fmt.Sprintf("scheduler:\n  policy: %s\n  preempt: %s\n", p.order, p.preempt)
}

func policies() []policy {
	return []policy{{"edf", "arrival"}, {"edf", "off"}, {"fifo", "arrival"}, {"fifo", "off"}}
}

// rest a rejected client takes before it asks again.
const patience = 100 * time.Millisecond

// bimodal is B5: very short and very long functions at once.
func (l *Lab) bimodal(ctx context.Context) ([]*table, error) {
	functions := []function{{"short", 10, 20 * time.Millisecond}, {"long", 40, 20 * time.Second}}
	if err := l.functions("bimodal", functions); err != nil {
		return nil, err
	}
	short := load.Stream{Name: "fib(10)", Connections: 100, Pause: patience, Classes: []load.Class{functions[0].class("bimodal")}}
	long := load.Stream{Name: "fib(40)", Connections: 100, Pause: patience, Classes: []load.Class{functions[1].class("bimodal")}}
	t := &table{
		title: "B5: fib(10) with a deadline of 20 ms beside fib(40) with a deadline of 20 s, 100 connections each",
		notes: []string{"What the order of the queue and preemption are worth. Both kinds are sent without a pause, so the long ones alone would " +
			"keep the core busy, and so would the short ones. A client that got 429 comes back after 100 ms. In deadline: the share of admitted requests; one that was not answered when the measurement " +
			"ended has missed it when it was over. All rows are edged; only `scheduler.policy` and `scheduler.preempt` differ; the first one is the default."},
		columns: []string{"scheduler", "load", "function", "requests/s:", "p50:", "p99:", "p99.9:", "max:", "in deadline:", "429:", "504:", "failed, unanswered:", "p99 - p99 alone:"},
	}
	for _, p := range policies() {
		l.say("b5: %v", p)
		if err := l.bimodalOf(ctx, t, p, short, long); err != nil {
			return nil, err
		}
	}
	return []*table{t}, nil
}

func (l *Lab) bimodalOf(ctx context.Context, t *table, p policy, short, long load.Stream) error {
	s, err := l.startEdged(ctx, p.config(), l.path("bimodal"))
	if err != nil {
		return err
	}
	defer s.server.Kill() // up to 100 long calls are in it, which nobody waits for
	if err := errors.Join(l.check(ctx, s, short.Classes[0]), l.check(ctx, s, long.Classes[0])); err != nil {
		return err
	}
	var alone time.Duration
	for _, m := range []struct {
		name    string
		seconds int
		streams []load.Stream
	}{{"alone", 3, []load.Stream{short}}, {"together", 15, []load.Stream{short, long}}} {
		samples, err := l.measure(ctx, s, spec{"b5", p.String() + "; " + m.name, 0, load.Options{Duration: l.long(m.seconds), Drain: time.Millisecond, Streams: m.streams}})
		if err != nil {
			return err
		}
		for _, x := range samples {
			difference := ""
			switch p99 := x.tally.Latency.Quantile(.99); {
			case m.name == "alone":
				alone = p99
			case x.class == short.Name && x.tally.OK > 0:
				difference = signed(p99 - alone)
			}
			t.add(append([]string{p.String(), m.name, x.class}, append(deadlineCells(x), difference)...)...)
		}
	}
	return nil
}

// deadlineCells are requests/s, p50, p99, p99.9, max, share in deadline, 429, 504 and failed.
func deadlineCells(x *sample) []string {
	t := x.tally
	return []string{
		thousands(x.rate()), duration(x.quantile(.5)), duration(x.quantile(.99)), duration(x.quantile(.999)), duration(micros(t.Latency.Max())),
		met(t), thousands(float64(t.Rejected)), thousands(float64(t.TimedOut)), itoa(t.Errors() + t.Unanswered),
	}
}

// met is the share of admitted requests that met their deadline.
func met(t *load.Tally) string {
	if t.Admitted() == 0 {
		return "-"
	}
	return percent(t.MetShare())
}

func signed(d time.Duration) string {
	if d < 0 {
		return "-" + duration(micros(-d))
	}
	return "+" + duration(micros(d))
}

// sizes are the lengths of B6: each takes about four times as long as the one before, and the shortest about a millisecond, so
// that half of it is more than the noise of a machine.
func sizes() []uint32 { return []uint32{27, 30, 33, 36} }

// calibrate returns how long a request takes when nothing else runs.
func (l *Lab) calibrate(ctx context.Context, s *side, class load.Class) (time.Duration, error) {
	result, err := load.Run(ctx, load.Options{
		Address: s.server.Address(), CPU: l.loadCPU, Warmup: warmup, Duration: max(300*time.Millisecond, l.options.Duration/3),
		Streams: []load.Stream{{Connections: 1, Classes: []load.Class{class}}},
	})
	if err != nil {
		return 0, err
	}
	t := result.Stream("")
	if t.OK == 0 {
		return 0, fmt.Errorf("%w: %.60q has no answer within %v", ErrAnswer, class.Request, result.Elapsed)
	}
	return t.Latency.Quantile(.5), nil
}

// mix is B6: functions of four lengths whose deadlines are 1.5 to 4 times their run time.
func (l *Lab) mix(ctx context.Context) ([]*table, error) {
	t := &table{
		title: "B6: functions of four lengths with deadlines of 1.5 and 4 times their run time",
		notes: []string{"Whether an admitted request can rely on its deadline. Requests come as a Poisson process that would use 70 % and 95 % of the core; half of each length has a " +
			"deadline of 1.5, half of 4 times what it takes alone, as functions of their own with a `deadline` in the manifest. 80/20: the shortest and the third; odds: all four at 100:24:3:1. " +
			"Run times are measured first and include the way through HTTP. Late: answered after the deadline and a tenth; the share is of admitted requests."},
		columns: []string{"scheduler", "mix", "load:", "requests/s:", "in deadline:", "late by > 10 %:", "429:", "504:", "failed, unanswered:", "p99 of the shortest:", "p99 of the longest:"},
	}
	for _, p := range []policy{{"edf", "arrival"}, {"fifo", "off"}} {
		l.say("b6: %v", p)
		if err := l.mixOf(ctx, t, p); err != nil {
			return nil, err
		}
	}
	return []*table{t}, nil
}

func (l *Lab) mixOf(ctx context.Context, t *table, p policy) (err error) {
	home, err := l.home(p.config(), l.serverCPUs)
	if err != nil {
		return err
	}
	daemon, err := home.Start(ctx)
	if err != nil {
		return err
	}
	s := &side{"edged", "fresh instance", daemon}
	defer func() { err = errors.Join(err, daemon.Close()) }()
	if err := home.Deploy(ctx, l.path("basic")); err != nil {
		return err
	}
	runs := make([]time.Duration, len(sizes()))
	var functions []function
	for i, n := range sizes() {
		if runs[i], err = l.calibrate(ctx, s, fib(n)); err != nil {
			return err
		}
		functions = append(functions, function{fmt.Sprintf("tight%d", n), n, runs[i] * 3 / 2}, function{fmt.Sprintf("wide%d", n), n, runs[i] * 4})
	}
	if err := errors.Join(l.functions("mix", functions), home.Deploy(ctx, l.path("mix"))); err != nil {
		return err
	}
	for _, m := range []struct {
		name string
		odds []float64
	}{{"80/20", []float64{80, 0, 20, 0}}, {"100:24:3:1", []float64{100, 24, 3, 1}}} {
		for _, share := range []float64{.7, .95} {
			stream := mixed(functions, runs, m.odds, share)
			samples, err := l.measure(ctx, s, spec{"b6", fmt.Sprintf("%v; %s; %.0f %%", p, m.name, 100*share), 0, load.Options{Duration: l.long(6), Streams: []load.Stream{stream}}})
			if err != nil {
				return err
			}
			total := &load.Tally{}
			for _, x := range samples {
				total.Add(x.tally)
			}
			far := 0.0
			if total.Admitted() > 0 {
				far = float64(total.FarLate+total.TimedOut+total.Unanswered) / float64(total.Admitted())
			}
			last := samples[len(samples)-1]
			t.add(p.String(), m.name, fmt.Sprintf("%.0f %%", 100*share), thousands(float64(total.OK)/last.elapsed.Seconds()), met(total), percent(far),
				thousands(float64(total.Rejected)), thousands(float64(total.TimedOut)), itoa(total.Errors()+total.Unanswered),
				duration(samples[1].quantile(.99)), duration(last.quantile(.99)))
		}
	}
	return nil
}

// mixed is the stream of functions at those odds that uses a share of the core.
func mixed(functions []function, runs []time.Duration, odds []float64, share float64) load.Stream {
	stream := load.Stream{Name: "mix", Connections: 200}
	var weights, work float64
	for i := range sizes() {
		if odds[i] == 0 {
			continue
		}
		for _, f := range functions[2*i : 2*i+2] {
			c := f.class("mix")
			c.Name, c.Weight = f.name, odds[i]/2
			stream.Classes = append(stream.Classes, c)
		}
		weights += odds[i]
		work += odds[i] * runs[i].Seconds()
	}
	stream.Rate = share * weights / work
	return stream
}
