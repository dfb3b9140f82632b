package scheduler

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// TestSimulatedModel lets calls of every kind arrive at random, in all policies and on threads that take their time, and
// checks after every event what must always hold (see sim.check). At the end everything has ended, and no core was idle
// for longer than it takes to notice while something waited.
func TestSimulatedModel(t *testing.T) {
	for seed := range uint64(60) {
		random := rand.New(rand.NewPCG(seed, 1))
		options := Options{
			Cores: 1 + random.IntN(4), MinThreads: 1 + random.IntN(2), MaxThreads: 1 + random.IntN(6), Queue: 1 + random.IntN(300),
			Policy: Policy(random.IntN(3)), Preempt: Preemption(random.IntN(3)), Slice: ms << random.IntN(3),
		}
		t.Run(fmt.Sprintf("%d %v %v", seed, options.Policy, options.Preempt), func(t *testing.T) {
			s := newSim(t, options).real()
			if random.IntN(3) == 0 {
				s.deaf = random
			}
			s.noThreads = random.IntN(4) == 0
			calls := make([]*simCall, 400)
			var at time.Duration
			for i := range calls {
				at += time.Duration(random.IntN(3000)) * us
				calls[i] = randomCall(random, i, at)
				s.submit(at, calls[i])
				if random.IntN(10) == 0 {
					s.killAt(at+time.Duration(random.IntN(20))*ms, calls[i])
				}
			}
			s.run(-1)
			ran := 0
			for _, c := range calls {
				var left time.Duration
				for _, step := range c.steps {
					left += step
				}
				switch {
				case !c.over:
					t.Errorf("%s has not ended", c.name)
				case c.refused == nil && !c.late && !c.killed:
					ran++
					if left != 0 {
						t.Errorf("%s has ended with %v left", c.name, left)
					}
				}
			}
			if ran == 0 || s.m.live != 0 || s.m.bound != 0 || s.m.waiting != 0 || s.m.load != 0 || s.m.active != 0 || len(s.m.keeping) != 0 {
				t.Errorf("%d ran; at the end there is %+v", ran, s.m)
			}
			for _, c := range s.m.cores {
				if c.blocked != 0 || c.holder != nil || c.successor != nil {
					t.Errorf("at the end core %d is left as %+v", c.id, c)
				}
			}
			for name, n := range s.m.tenants {
				if n.live != 0 || n.off != 0 || n.blocked != 0 {
					t.Errorf("at the end %s has %+v", name, n)
				}
			}
			if limit := s.m.options.Slice + s.threadTakes + 2*s.wakeTakes; s.worst > limit {
				t.Errorf("a core was idle for %v while something waited", s.worst)
			}
		})
	}
}

// randomCall makes a call of a kind that may meet any other.
func randomCall(random *rand.Rand, i int, at time.Duration) *simCall {
	run := time.Duration(1+random.IntN(1<<random.IntN(15))) * us
	c := call(fmt.Sprint("call ", i), run).of(invoke.AppName(rune('a' + random.IntN(3))))
	switch random.IntN(4) {
	case 0:
		c.expects(0)
	case 1:
		c.expects(run/time.Duration(1+random.IntN(20)) + 1)
	}
	switch random.IntN(4) {
	case 0:
		c.within(c.steps[0] * time.Duration(1+random.IntN(20)))
	case 1:
		c.deadline = at + time.Duration(random.IntN(30))*ms + 1
	}
	for range random.IntN(3) {
		c.then(time.Duration(random.IntN(5000))*us, time.Duration(1+random.IntN(1000))*us)
	}
	c.timeout = time.Second << random.IntN(4)
	return c
}

// TestPromises lets calls with declared deadlines arrive faster than they can be run, with estimates that are right, and
// wants no admitted one to be late by more than a tenth of its time.
func TestPromises(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 2))
		s := newSim(t, Options{Cores: 1 + int(seed%3)}).real()
		var calls []*simCall
		for at := time.Duration(0); at < 3*time.Second; {
			// Odds and sizes of a mix of functions: 100:24:3:1, within 1.5 to 4 times what they take.
			kind, sizes := pick(random, 100, 24, 3, 1), [...]time.Duration{ms, 4 * ms, 33 * ms, 100 * ms}
			run := sizes[kind]
			c := call(fmt.Sprint("size ", kind), run).within(run*3/2 + time.Duration(random.Float64()*2.5*float64(run)))
			at += time.Duration(random.ExpFloat64() * float64(2*ms) / float64(len(s.m.cores)))
			s.submit(at, c)
			calls = append(calls, c)
		}
		s.run(-1)
		admitted := 0
		for _, c := range calls {
			if c.refused != nil {
				continue
			}
			admitted++
			if took := c.ended - c.arrived; took > c.relative+c.relative/10 {
				t.Errorf("seed %d: %s was promised within %v and took %v", seed, c.name, c.relative, took)
			}
		}
		if admitted < len(calls)/3 {
			t.Errorf("seed %d: %d of %d admitted", seed, admitted, len(calls))
		}
	}
}

// pick returns an index with such odds.
func pick(random *rand.Rand, odds ...int) int {
	sum := 0
	for _, o := range odds {
		sum += o
	}
	n := random.IntN(sum)
	for i, o := range odds {
		if n -= o; n < 0 {
			return i
		}
	}
	return 0
}
