package pool

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"edged.dev/edge/wasmedge"
)

// counted makes instances that are nothing but an entry in an account.
type counted struct {
	pool  Pool
	owned sync.Map // *cell -> *atomic.Bool: somebody has it
}

func (m *counted) cell(p *Program) *cell {
	m.pool.memory.correct(1)
	c := &cell{pool: &m.pool, program: p, instance: new(wasmedge.Instance), bytes: 1}
	owner := new(atomic.Bool)
	owner.Store(true)
	m.owned.Store(c, owner)
	return c
}

// hold notes that somebody has an instance, or has it no more; false when that was so already.
func (m *counted) hold(c *cell, have bool) bool {
	owner, _ := m.owned.Load(c)
	return owner.(*atomic.Bool).CompareAndSwap(!have, have)
}

// newIdle returns an idle with two shelves whose janitor does not come by itself.
func newIdle() *idle {
	i := &idle{shelves: make([]shelf, 2)}
	i.watched.Store(true)
	return i
}

// TestIdleModel runs random operations against a list of what there must be.
func TestIdleModel(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 9))
		m, i, p := new(counted), newIdle(), new(Program)
		var there []*cell // oldest first
		for now := range int64(400) {
			switch op := random.IntN(10); {
			case op < 4:
				c := m.cell(p)
				kept := i.put(random.IntN(4), c, now)
				if len(there) < maxIdle && !kept {
					t.Fatalf("seed %d: not kept beside %d", seed, len(there))
				}
				if kept {
					there = append(there, c)
				} else {
					c.close()
				}
			case op < 8:
				c := i.take(random.IntN(4))
				n := slices.Index(there, c)
				if (c == nil) != (len(there) == 0) || c != nil && n < 0 {
					t.Fatalf("seed %d: took %p of %d", seed, c, len(there))
				}
				if c != nil {
					there = slices.Delete(there, n, n+1)
					c.close()
				}
			case op < 9:
				if i.evict(i.oldest()) != (len(there) > 0) {
					t.Fatalf("seed %d: closed one of %d", seed, len(there))
				}
				there = there[min(1, len(there)):]
			case random.IntN(20) == 0:
				p = new(Program)
				i.drop(p)
				there = nil
			}
			if i.size() != len(there) || m.pool.memory.used.Load() != int64(len(there)) {
				t.Fatalf("seed %d: %d there and %d open, want %d", seed, i.size(), m.pool.memory.used.Load(), len(there))
			}
		}
	}
}

// TestIdleHammer: whatever is done at once, no instance is had by two, none is closed twice, and none is lost.
func TestIdleHammer(t *testing.T) {
	m, i := new(counted), newIdle()
	var program atomic.Pointer[Program]
	program.Store(new(Program))
	var all sync.WaitGroup
	for n := range 6 {
		all.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 11))
			for now := range int64(5000) {
				c := i.take(n)
				switch {
				case c == nil:
					c = m.cell(program.Load())
				case !m.hold(c, true):
					t.Error("an instance is had by two")
					return
				}
				m.hold(c, false)
				if random.IntN(8) == 0 || !i.put(n, c, now) {
					c.close()
				}
			}
		})
	}
	all.Go(func() {
		for n := range 2000 {
			if n%100 == 0 {
				program.Store(new(Program))
			}
			i.drop(program.Load())
			i.evict(i.oldest())
		}
	})
	all.Wait()
	i.drop(nil)
	if left, open := i.size(), m.pool.memory.used.Load(); left != 0 || open != 0 {
		t.Errorf("%d are left and %d are open", left, open)
	}
}
