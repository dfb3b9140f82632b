package scheduler

import (
	"container/heap"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

const (
	us = time.Microsecond
	ms = time.Millisecond
)

// call returns a call of a function that is known to take so long.
func call(name string, run time.Duration) *simCall {
	c := &simCall{name: name, steps: []time.Duration{run}}
	return c.expects(run)
}

func (c *simCall) expects(d time.Duration) *simCall {
	c.known, c.expect, c.mean = d > 0, d, d
	return c
}

func (c *simCall) within(d time.Duration) *simCall {
	c.relative = d
	return c
}

func (c *simCall) of(app invoke.AppName) *simCall {
	c.app = app
	return c
}

// then adds a wait in the host and core time after it.
func (c *simCall) then(wait, run time.Duration) *simCall {
	c.steps = append(c.steps, wait, run)
	return c
}

func (s *sim) killAt(at time.Duration, c *simCall) {
	s.seq++
	heap.Push(&s.events, simEvent{at, s.seq, func() { s.kill(c) }})
}

// TestSchedules plays named cases where nothing takes time but the calls, and wants the exact schedule: when which call
// runs on which core.
func TestSchedules(t *testing.T) {
	type at struct {
		when time.Duration
		call *simCall
	}
	for _, test := range []struct {
		name    string
		options Options
		calls   []at
		kill    time.Duration // the first call, then
		prepare func(*sim)
		want    string
	}{
		{
			name:  "short behind long",
			calls: []at{{0, call("long", 100*ms)}, {5 * ms, call("short", ms)}},
			want:  "0s@0 long, 5ms@0 short, 6ms@0 long",
		},
		{
			name:  "two short ones",
			calls: []at{{0, call("a", ms)}, {100 * us, call("b", ms)}, {200 * us, call("c", ms)}},
			want:  "0s@0 a, 1ms@0 b, 2ms@0 c",
		},
		{
			name:  "nearly done is not interrupted",
			calls: []at{{0, call("long", 20*ms)}, {20*ms - 50*us, call("short", ms)}},
			want:  "0s@0 long, 20ms@0 short",
		},
		{
			name:  "an unknown one becomes long",
			calls: []at{{0, call("new", 30*ms).expects(0)}, {15 * ms, call("late", 12*ms)}, {26 * ms, call("later", 20*ms).expects(100 * ms)}},
			want: "0s@0 new, 20ms@0 late, 25ms@0 new, 25.25ms@0 late, 30.25ms@0 new, 30.5ms@0 late, 32.5ms@0 later, 35.5ms@0 new, " +
				"35.75ms@0 later, 39.75ms@0 new, 40ms@0 later, 45ms@0 new, 45.25ms@0 later, 50.25ms@0 new, 50.5ms@0 later, 53.5ms@0 new",
		},
		{
			name:  "long ones take turns",
			calls: []at{{0, call("a", 40*ms).expects(ms)}, {0, call("b", 14*ms).expects(ms)}},
			want:  "0s@0 a, 4ms@0 b, 14ms@0 a, 19ms@0 a, 24ms@0 b, 28ms@0 a",
		},
		{
			name: "declared before due by its size",
			calls: []at{
				{0, call("first", 2*ms)}, {0, call("patient", ms).within(time.Second)}, {0, call("plain", ms)}, {0, call("urgent", ms).within(4 * ms)},
			},
			want: "0s@0 urgent, 1ms@0 plain, 2ms@0 first, 4ms@0 patient",
		},
		{
			name:    "an idle core takes what waits",
			options: Options{Cores: 2},
			calls:   []at{{0, call("a", 10*ms)}, {0, call("b", 2*ms)}, {0, call("c", 2*ms)}, {0, call("d", 2*ms)}},
			want:    "0s@0 b, 0s@1 c, 2ms@0 d, 2ms@1 a",
		},
		{
			name:    "a parked one goes on elsewhere",
			options: Options{Cores: 2},
			calls:   []at{{0, call("a", 30*ms)}, {ms, call("b", 2*ms)}, {2 * ms, call("c", 9*ms).within(12 * ms)}},
			want:    "0s@0 a, 1ms@1 b, 2ms@0 c, 3ms@1 a",
		},
		{
			name:  "the core of one that waits in the host",
			calls: []at{{0, call("a", ms).then(5*ms, ms)}, {0, call("b", 3*ms)}, {0, call("c", 20*ms)}},
			want:  "0s@0 a, 1ms@0 b, 4ms@0 c, 6ms@0 a, 7ms@0 c",
		},
		{
			name:    "no thread to take over",
			options: Options{MinThreads: 1, MaxThreads: 1},
			calls:   []at{{0, call("long", 20*ms)}, {ms, call("short", ms)}},
			want:    "0s@0 long, 20ms@0 short",
		},
		{
			name:  "killed while parked",
			calls: []at{{0, call("long", 100*ms)}, {5 * ms, call("short", 4*ms)}, {5 * ms, call("shorter", ms)}},
			kill:  7 * ms,
			want:  "0s@0 long, 5ms@0 shorter, 6ms@0 short",
		},
		{
			name:  "its deadline passes while it waits",
			calls: []at{{0, call("a", 10*ms).within(11 * ms)}, {0, &simCall{name: "b", steps: []time.Duration{ms}, arrival: arrival{deadline: 5 * ms}}}},
			want:  "0s@0 a",
		},
		{
			name: "an app with a queue behind one without",
			calls: []at{
				{0, call("n1", 5*ms).of("noisy")},
				{0, call("n2", 5*ms).of("noisy")},
				{0, call("n3", 5*ms).of("noisy")},
				{0, call("n4", 5*ms).of("noisy")},
				{6 * ms, call("q1", 5*ms).of("quiet")},
				{12 * ms, call("q2", 5*ms).of("quiet")},
			},
			want: "0s@0 n1, 5ms@0 n2, 6ms@0 q1, 11ms@0 n2, 12ms@0 q2, 17ms@0 n2, 20ms@0 n3, 25ms@0 n4",
		},
		{
			name: "a promise that would make another late",
			calls: []at{
				{0, call("big", 10*ms).within(12 * ms)}, {ms, call("no", 5*ms).within(6 * ms)}, {ms, call("yes", ms).within(6 * ms)}, {2 * ms, call("later", 5*ms).within(20 * ms)},
			},
			want: "0s@0 big, 1ms@0 yes, 2ms@0 big, 11ms@0 later",
		},
		{
			name:  "a soft due time goes behind a promise",
			calls: []at{{0, call("promised", 18*ms).within(19 * ms)}, {ms, call("soft", 2*ms)}},
			want:  "0s@0 promised, 18ms@0 soft",
		},
		{
			name: "a share for the long ones",
			calls: []at{
				{0, call("long", 10*ms).expects(ms)}, {3 * ms, call("a", 30*ms).within(time.Second)}, {3 * ms, call("b", 30*ms).within(time.Second)},
			},
			want: "0s@0 long, 4ms@0 a, 9ms@0 long, 9.25ms@0 a, 14.25ms@0 long, 14.5ms@0 a, 19.5ms@0 long, 19.75ms@0 a, 23.75ms@0 long, " +
				"24ms@0 a, 29ms@0 long, 29.25ms@0 a, 34.25ms@0 long, 34.5ms@0 a, 35.5ms@0 b, 38.5ms@0 long, 38.75ms@0 b, 43.75ms@0 long, " +
				"44ms@0 b, 48ms@0 long, 48.25ms@0 b, 53.25ms@0 long, 53.5ms@0 b, 58.5ms@0 long, 58.75ms@0 b, 62.75ms@0 long, 63ms@0 b, " +
				"67ms@0 long",
		},
		{
			name:    "fifo takes turns",
			options: Options{Policy: FIFO, Slice: 2 * ms},
			calls:   []at{{0, call("long", 5*ms)}, {0, call("a", ms)}, {ms, call("b", 3*ms)}},
			want:    "0s@0 long, 2ms@0 a, 3ms@0 b, 6ms@0 long",
		},
		{
			name:    "fifo without preemption",
			options: Options{Policy: FIFO, Preempt: Off},
			calls:   []at{{0, call("long", 5*ms)}, {0, call("a", ms)}, {ms, call("b", 3*ms)}},
			want:    "0s@0 long, 5ms@0 a, 6ms@0 b",
		},
		{
			name:    "shortest first",
			options: Options{Policy: SJF},
			calls:   []at{{0, call("long", 9*ms)}, {0, call("mid", 3*ms)}, {ms, call("tiny", ms)}},
			want:    "0s@0 mid, 1ms@0 tiny, 2ms@0 mid, 4ms@0 long",
		},
		{
			name:    "edf without preemption",
			options: Options{Preempt: Off},
			calls:   []at{{0, call("long", 100*ms)}, {5 * ms, call("mid", 10*ms)}, {6 * ms, call("short", ms)}},
			want:    "0s@0 long, 100ms@0 short, 101ms@0 mid",
		},
		{
			name:    "edf at the end of slices",
			options: Options{Preempt: OnTimer, Slice: 4 * ms},
			calls:   []at{{0, call("long", 100*ms)}, {5 * ms, call("short", ms)}},
			want:    "0s@0 long, 9ms@0 short, 10ms@0 long",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newSim(t, test.options)
			s.traced = true
			for _, a := range test.calls {
				s.submit(a.when, a.call)
			}
			if test.kill > 0 {
				s.killAt(test.kill, test.calls[0].call)
			}
			s.run(-1)
			if got := s.told(); got != test.want {
				t.Errorf("\ngot  %s\nwant %s", got, test.want)
			}
			for _, a := range test.calls {
				if !a.call.over {
					t.Errorf("%s has not ended", a.call.name)
				}
			}
		})
	}
}
