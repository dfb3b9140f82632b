package aot

import (
	"context"
	"errors"
	"slices"
	"sync"
)

// errAbandoned is the cause of a flight that nobody waits for any more.
var errAbandoned = errors.New("nobody waits for this compilation")

// flight is one compilation that any number of calls of Get wait for.
type flight struct {
	cancel context.CancelCauseFunc
	ready  chan struct{} // closed by the first waiter once it listens, so that it hears every stage
	done   chan struct{} // closed when artifact and err are set
	leave  func()        // called by a waiter that gives up

	artifact *Artifact
	err      error

	waiting int // guarded by Cache.mu

	mu        sync.Mutex
	stage     string // guarded by mu; "" before the first
	listeners map[*listener]struct{}
}

// listener is one waiter's progress function.
type listener struct {
	progress func(stage string, done, total int64)
}

// join returns the flight of a key, a new one when there is none, with the caller counted among its waiters. The caller
// must wait for it and, when it is the first, so let it start.
func (c *Cache) join(key Key, code []byte) (f *flight, first bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, false, ErrClosed
	}
	// A flight whose last waiter has left is on its way down; a new caller must not share its end.
	if f := c.flights[key]; f != nil && f.waiting > 0 {
		f.waiting++
		return f, false, nil
	}
	if len(c.flights) >= maxFlights {
		return nil, false, ErrBusy
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	f = &flight{
		cancel: cancel, ready: make(chan struct{}), done: make(chan struct{}), waiting: 1, listeners: map[*listener]struct{}{},
	}
	f.leave = func() { c.leave(f) }
	before := c.flights[key]
	c.flights[key] = f
	c.workers.Go(func() { c.fly(ctx, key, code, f, before) })
	return f, true, nil
}

// leave counts a waiter out and ends the compilation after the last one.
func (c *Cache) leave(f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	f.waiting--
	if f.waiting == 0 {
		f.cancel(errAbandoned)
	}
}

// fly compiles for the waiters of f. before is an abandoned flight of the same key that is still ending, or nil.
func (c *Cache) fly(ctx context.Context, key Key, code []byte, f, before *flight) {
	defer f.cancel(nil)
	f.artifact, f.err = c.first(ctx, key, code, f, before)
	c.mu.Lock()
	if c.flights[key] == f {
		delete(c.flights, key)
	}
	c.mu.Unlock()
	if f.err == nil && !f.artifact.Final {
		c.improve(key, code)
	}
	close(f.done)
}

// first waits for a slot and makes the artifact that a deploy waits for.
func (c *Cache) first(ctx context.Context, key Key, code []byte, f, before *flight) (*Artifact, error) {
	<-f.ready
	f.report(StageQueued)
	if before != nil {
		<-before.done
	}
	select {
	case c.slots <- struct{}{}:
		defer func() { <-c.slots }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	// Between the caller's look and its joining, an earlier flight of the same key may have landed.
	if artifact, ok := c.lookup(key); ok {
		return artifact, nil
	}
	return c.firstArtifact(ctx, key, job{code: code, limits: c.options.Limits, wall: c.options.Limits.FirstWall, stage: f.report})
}

// firstArtifact compiles small code at the best level and falls back to O0 when that takes too much; large code, and
// code whose optimisation has failed before, is compiled at O0 at once.
func (c *Cache) firstArtifact(ctx context.Context, key Key, j job) (*Artifact, error) {
	best := c.options.Best
	failed := c.store.hasFailed(key, best, c.options.Limits.String())
	if best != O0 && !failed && len(j.code) <= c.options.LargeBytes {
		j.level = best
		artifact, err := c.compile(ctx, key, j)
		var failure *CompileError
		if !errors.As(err, &failure) || !failure.Reason.lighter() {
			return artifact, err
		}
		c.remember(key, best, failure)
	}
	j.level = O0
	return c.compile(ctx, key, j)
}

// wait returns the flight's result, or the cause of ctx when that ends first. The first waiter starts the flight.
func (f *flight) wait(ctx context.Context, first bool, progress func(stage string, done, total int64)) (*Artifact, error) {
	if progress != nil {
		defer f.listen(progress)()
	}
	if first {
		close(f.ready)
	}
	defer f.leave()
	select {
	case <-f.done:
		if f.err != nil {
			return nil, f.err
		}
		artifact := *f.artifact
		return &artifact, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// listen tells progress the present stage and every later one, until the returned function is called.
func (f *flight) listen(progress func(stage string, done, total int64)) (stop func()) {
	l := &listener{progress}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.listeners[l] = struct{}{}
	if f.stage != "" {
		l.tell(f.stage)
	}
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.listeners, l)
	}
}

// report tells every listener that a stage begins. A stage that does not exist is left out: the child chose the word.
func (f *flight) report(stage string) {
	if !slices.Contains(stages, stage) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stage = stage
	for l := range f.listeners {
		l.tell(stage)
	}
}

func (l *listener) tell(stage string) {
	l.progress(stage, int64(slices.Index(stages, stage)), int64(len(stages)-1))
}
