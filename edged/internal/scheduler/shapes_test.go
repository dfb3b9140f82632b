package scheduler

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// load is calls of one function, from clients that each wait for their answer, or at random at a rate.
type load struct {
	name     string
	app      invoke.AppName
	run      time.Duration
	relative time.Duration
	clients  int
	every    time.Duration // on average, when there are no clients
	spread   bool          // run is an average of exponential times; the estimate stays the same
	think    time.Duration // of a client between two calls
	calls    []*simCall
}

// play lets loads run together for so long.
func play(t *testing.T, o Options, d time.Duration, loads ...*load) {
	t.Helper()
	s := newSim(t, o).real()
	s.loose = true
	random := rand.New(rand.NewPCG(1, 2))
	for _, l := range loads {
		for range l.clients {
			s.after(time.Duration(random.IntN(1000))*us, func() { l.again(s, random, d) })
		}
		if l.clients == 0 {
			for at := time.Duration(0); at < d; at += time.Duration(random.ExpFloat64() * float64(l.every)) {
				s.submit(at, l.call(random))
			}
		}
	}
	s.run(d)
}

func (l *load) call(random *rand.Rand) *simCall {
	run := l.run
	if l.spread {
		run = max(us, time.Duration(random.ExpFloat64()*float64(l.run)))
	}
	c := call(fmt.Sprint(l.name, len(l.calls)), run).expects(l.run).of(l.app).within(l.relative)
	c.timeout = 60 * time.Second
	l.calls = append(l.calls, c)
	return c
}

// again submits the next call of a client; one that is refused tries again after a while.
func (l *load) again(s *sim, random *rand.Rand, until time.Duration) {
	if s.now >= until {
		return
	}
	c := l.call(random)
	c.done = func() {
		wait := l.think
		if c.refused != nil {
			wait += 10 * ms
		}
		s.after(wait, func() { l.again(s, random, until) })
	}
	s.arrive(c)
}

// took returns a quantile of how long the answered ones took, and how many were answered and refused.
func (l *load) took(q float64) (at time.Duration, answered, refused int) {
	var all []time.Duration
	for _, c := range l.calls {
		switch {
		case c.refused != nil:
			refused++
		case c.over:
			all = append(all, c.ended-c.arrived)
		}
	}
	if len(all) == 0 {
		return 0, 0, refused
	}
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))], len(all), refused
}

// late returns how many were answered after their deadline.
func (l *load) late() (n int) {
	for _, c := range l.calls {
		if c.refused == nil && c.over && l.relative > 0 && c.ended-c.arrived > l.relative {
			n++
		}
	}
	return n
}

// String tells how it went.
func (l *load) String() string {
	p50, n, no := l.took(0.5)
	p99, _, _ := l.took(0.99)
	most, _, _ := l.took(1)
	return fmt.Sprintf("%s: %d answered, %d refused, %d late, p50 %v, p99 %v, max %v", l.name, n, no, l.late(), p50, p99, most)
}

// TestShortBesideLong: calls of microseconds with a deadline beside calls of a second with one, a hundred clients. The
// short ones keep theirs, and hardly wait longer than alone.
func TestShortBesideLong(t *testing.T) {
	for _, cores := range []int{1, 2} {
		short := func() *load {
			return &load{name: "short", run: 30 * us, relative: 20 * ms, clients: 50, think: 2 * ms}
		}
		long := func() *load { return &load{name: "long", run: time.Second, relative: 20 * time.Second, clients: 50} }
		alone, beside, slow := short(), short(), long()
		play(t, Options{Cores: cores}, time.Second, alone)
		play(t, Options{Cores: cores}, 3*time.Second, beside, slow)
		t.Logf("%d cores: alone %v; beside %v, %v", cores, alone, beside, slow)
		before, _, _ := alone.took(0.99)
		after, answered, refused := beside.took(0.99)
		if met := answered - beside.late(); met*100 < (answered+refused)*99 {
			t.Errorf("%d cores: %v", cores, beside)
		}
		if after > before+2*ms {
			t.Errorf("%d cores: p99 is %v, alone %v", cores, after, before)
		}
		for _, o := range []Options{{Cores: cores, Policy: FIFO, Preempt: Off}, {Cores: cores, Preempt: Off}} {
			worse := short()
			play(t, o, 3*time.Second, worse, long())
			if _, n, _ := worse.took(0); n > answered/2 {
				t.Errorf("%d cores, %v without preemption: %v, which is as good", cores, o.Policy, worse)
			}
		}
	}
}

// TestHelloBesideLoad: calls of microseconds of which nothing is declared beside a load that fills every core.
func TestHelloBesideLoad(t *testing.T) {
	for _, cores := range []int{1, 2} {
		for _, run := range []time.Duration{2 * ms, 10 * ms, 200 * ms} {
			hello := &load{name: "hello", run: 20 * us, clients: 4, think: 100 * us}
			full := &load{name: "load", run: run, clients: 4 * cores}
			play(t, Options{Cores: cores}, 2*time.Second, hello, full)
			t.Logf("%d cores: %v, %v", cores, hello, full)
			if p99, _, _ := hello.took(0.99); p99 > ms || (run >= 10*ms && p99 > 300*us) {
				t.Errorf("%d cores: %v beside %v", cores, hello, run)
			}
			if _, answered, _ := full.took(0); answered == 0 {
				t.Errorf("%d cores: none of the load is done", cores)
			}
		}
	}
}

// TestOverload: when twice as much comes as can be done, what is admitted takes no longer than under a load that fits.
func TestOverload(t *testing.T) {
	for _, cores := range []int{1, 2} {
		for _, relative := range []time.Duration{10 * ms, 20 * ms, 50 * ms} {
			at := func(x float64) *load {
				l := &load{name: fmt.Sprint(x), run: ms, relative: relative, every: time.Duration(float64(ms) / x / float64(cores))}
				play(t, Options{Cores: cores}, 20*time.Second, l)
				return l
			}
			below, above := at(0.9), at(2)
			t.Logf("%d cores, within %v: %v, %v", cores, relative, below, above)
			fits, _, _ := below.took(0.99)
			p99, answered, refused := above.took(0.99)
			if p99 > fits*12/10 || above.late() > 0 {
				t.Errorf("%d cores, within %v: p99 is %v, below capacity %v; %d are late", cores, relative, p99, fits, above.late())
			}
			if answered*100 < (answered+refused)*45 {
				t.Errorf("%d cores: %d answered, %d refused", cores, answered, refused)
			}
		}
	}
}

// TestNoisyAndQuiet: an app that keeps 64 invocations waiting takes hardly anything from one that wants less than its part.
func TestNoisyAndQuiet(t *testing.T) {
	for _, cores := range []int{1, 2} {
		quiet := func() *load { return &load{name: "quiet", app: "quiet", run: ms, every: 5 * ms} }
		for _, run := range []time.Duration{100 * us, ms, 10 * ms} {
			alone, beside := quiet(), quiet()
			noisy := &load{name: "noisy", app: "noisy", run: run, clients: 64}
			play(t, Options{Cores: cores}, 3*time.Second, alone)
			play(t, Options{Cores: cores}, 3*time.Second, beside, noisy)
			t.Logf("%d cores: alone %v; beside %v, %v", cores, alone, beside, noisy)
			before, n, _ := alone.took(0.5)
			after, m, _ := beside.took(0.5)
			if m*100 < n*99 || after > before+before/20+exchange {
				t.Errorf("%d cores: alone %v; beside %v, %v", cores, alone, beside, noisy)
			}
		}
		// Two that both want more than there is get the same.
		few, many := &load{name: "few", app: "few", run: ms, clients: 10}, &load{name: "many", app: "many", run: ms, clients: 100}
		play(t, Options{Cores: cores}, 3*time.Second, few, many)
		_, a, _ := few.took(0)
		_, b, _ := many.took(0)
		if a*100 < b*90 || b*100 < a*90 {
			t.Errorf("%d cores: %v, %v", cores, few, many)
		}
	}
}

// TestLongShare: what has become long gets its share of a core that others would take whole.
func TestLongShare(t *testing.T) {
	busy := &load{name: "busy", run: 2 * ms, clients: 10}
	s := newSim(t, Options{Cores: 1}).real()
	stuck := call("stuck", time.Hour).expects(ms)
	s.submit(0, stuck)
	random := rand.New(rand.NewPCG(1, 2))
	for range busy.clients {
		s.after(10*ms, func() { busy.again(s, random, 10*time.Second) })
	}
	s.run(10 * time.Second)
	if share := stuck.used.Seconds() / 10; share < 0.04 || share > 0.07 {
		t.Errorf("it had %.3f of the core", share)
	}
}
