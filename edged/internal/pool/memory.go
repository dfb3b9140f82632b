package pool

import (
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/wasmedge"
)

// memory counts the bytes of the linear memories of all instances, those that run and those that lie idle. What a guest
// grows by while it runs is counted when it has ended, so that the sum may exceed the limit by that for a while; the limit
// on one memory bounds it.
type memory struct {
	limit int64 // bytes
	used  atomic.Int64
}

// take counts bytes in; false when they do not fit.
func (m *memory) take(bytes int64) bool {
	if m.used.Add(bytes) <= m.limit {
		return true
	}
	m.used.Add(-bytes)
	return false
}

func (m *memory) give(bytes int64) { m.used.Add(-bytes) }

// correct counts bytes that are there already.
func (m *memory) correct(bytes int64) { m.used.Add(bytes) }

// MemoryBytes returns how many bytes the linear memories of all instances have, and how many they may.
func (p *Pool) MemoryBytes() (used, limit int64) { return p.memory.used.Load(), p.memory.limit }

// reserve counts the memory of a new instance in, for which idle instances of any app make room.
func (p *Pool) reserve(bytes int64) error {
	for left := true; ; {
		switch {
		case p.memory.take(bytes):
			return nil
		case !left:
			used, limit := p.MemoryBytes()
			return &invoke.Error{Kind: invoke.ErrQueueFull, RetryAfter: time.Second, Detail: fmt.Sprintf(
				"the functions that run hold %d MiB of memory, one more needs %d MiB and limits.memory of this node is %d MiB",
				mebibytes(used), mebibytes(bytes), limit>>20)}
		}
		left = p.evict() // without one left there is one more try: somebody else may have closed one meanwhile
	}
}

// mebibytes rounds up.
func mebibytes(bytes int64) int64 { return (bytes + 1<<20 - 1) >> 20 }

// room lets idle instances go until the sum is within the limit again.
func (p *Pool) room() {
	for p.memory.used.Load() > p.memory.limit && p.evict() {
	}
}

// evict closes the idle instance that was used longest ago, of whatever app; false when there is none.
func (p *Pool) evict() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		var from *App
		oldest := int64(math.MaxInt64)
		for app := range p.apps {
			if at := app.idle.oldest(); at < oldest {
				from, oldest = app, at
			}
		}
		if from == nil {
			return false
		}
		if from.idle.evict(oldest) {
			return true
		} // else it has just been taken
	}
}

// make makes an instance of a program and counts it in; from says whether it has to be started up. When all linear memories are in use, idle
// instances make room for it.
func (w *worker) make(a *App, p *Program) (c *cell, from origin, err error) {
	w.pool.know(a)
	reserved := p.bytes.Load()
	if err := w.pool.reserve(reserved); err != nil {
		return nil, bare, err
	}
	c = &cell{pool: w.pool, program: p, entries: make([]entry, len(a.functions)), bytes: reserved}
	for left := true; ; {
		if template := p.template.Load(); template != nil && !a.spec.Reuse {
			from = made
			c.instance, err = w.thread.InstantiateFrom(template)
		} else {
			from = bare
			c.instance, err = w.thread.Instantiate(p.Module)
		}
		if !errors.Is(err, wasmedge.ErrTooManyMemories) || !left {
			break
		}
		left = w.pool.evict() // as in reserve
	}
	if err != nil {
		w.pool.memory.give(reserved)
		return nil, bare, err
	}
	if reserved == 0 { // the first of its program
		if err := w.weigh(c); err != nil {
			c.close()
			return nil, bare, err
		}
	}
	return c, from, nil
}

// weigh finds out how large the instances of a program are.
func (w *worker) weigh(c *cell) error {
	bytes := int64(len(c.instance.Memory()))
	if err := w.pool.reserve(bytes); err != nil {
		return err
	}
	c.bytes = bytes
	c.program.bytes.Store(bytes)
	return nil
}
