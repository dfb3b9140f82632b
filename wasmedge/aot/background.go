package aot

import (
	"context"
	"errors"
	"slices"
)

// maxBehind bounds the modules that wait for their optimised code: each is held in memory. A further one is served from its O0
// artifact until a Get after there is room, at the latest at the next start of the daemon.
const maxBehind = 32

// errDropped is the cause of a background compilation whose key was removed.
var errDropped = errors.New("removed while it was compiled")

// background is the queue of the background worker. All of it is guarded by Cache.mu.
type background struct {
	queue   []improvement
	wake    chan struct{} // one element when the queue may have work; capacity 1, never closed
	tried   map[Key]bool  // failed for now: not tried again in this life
	running Key
	cancel  context.CancelCauseFunc // of the running one; nil when none runs
	stopped chan struct{}           // of the running one; closed at its end
}

// improvement is a module that waits for its optimised code.
type improvement struct {
	key  Key
	code []byte
}

func newBackground() background {
	return background{wake: make(chan struct{}, 1), tried: map[Key]bool{}}
}

// improve queues the module for the best level, unless it is there already or has failed in this life.
func (c *Cache) improve(key Key, code []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.behind
	queued := slices.ContainsFunc(b.queue, func(i improvement) bool { return i.key == key })
	running := b.cancel != nil && b.running == key
	if c.closed || queued || running || b.tried[key] {
		return
	}
	if len(b.queue) >= maxBehind {
		c.log.Warn("too many modules wait for optimised code; this one stays unoptimised for now", "key", key.String())
		return
	}
	b.queue = append(b.queue, improvement{key, code})
	select {
	case b.wake <- struct{}{}:
	default: // a wake-up is pending
	}
}

// workBehind compiles one queued module after the other until root ends.
func (c *Cache) workBehind(root context.Context) {
	for {
		next, ctx, done, ok := c.nextBehind(root)
		if !ok {
			select {
			case <-c.behind.wake:
				continue
			case <-root.Done():
				return
			}
		}
		c.improveNow(ctx, next)
		done()
		if root.Err() != nil {
			return
		}
	}
}

// nextBehind takes the head of the queue and marks it as running; done ends that.
func (c *Cache) nextBehind(root context.Context) (next improvement, ctx context.Context, done func(), ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := &c.behind
	if len(b.queue) == 0 {
		return next, nil, nil, false
	}
	next = b.queue[0]
	b.queue = slices.Delete(b.queue, 0, 1)
	ctx, cancel := context.WithCancelCause(root)
	b.running, b.cancel, b.stopped = next.key, cancel, make(chan struct{})
	return next, ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		cancel(nil)
		close(b.stopped)
		b.cancel = nil
	}, true
}

// improveNow makes the optimised artifact of one module and announces it.
func (c *Cache) improveNow(ctx context.Context, next improvement) {
	j := job{code: next.code, level: c.options.Best, idle: true, limits: c.options.Limits, wall: c.options.Limits.Wall, stage: func(string) {}}
	artifact, err := c.compile(ctx, next.key, j)
	if err != nil {
		c.notImproved(ctx, next.key, err)
		return
	}
	c.log.Info("optimised code stored", "key", next.key.String(), "level", artifact.Level.String())
	c.mu.Lock()
	announce := c.onBetter
	c.mu.Unlock()
	if announce != nil {
		announce(next.key, artifact)
	}
}

func (c *Cache) notImproved(ctx context.Context, key Key, err error) {
	if ctx.Err() != nil {
		return // closed or removed
	}
	c.mu.Lock()
	c.behind.tried[key] = true
	c.mu.Unlock()
	var failure *CompileError
	if errors.As(err, &failure) {
		c.remember(key, c.options.Best, failure)
		return
	}
	c.log.Error("optimised code could not be stored", "key", key.String(), "reason", err)
}

// dropBehind takes a key out of the queue and, when it is being compiled, ends that and waits for its end.
func (c *Cache) dropBehind(key Key) error {
	c.mu.Lock()
	if c.closed {
		c.mu.Unlock()
		return ErrClosed
	}
	b := &c.behind
	b.queue = slices.DeleteFunc(b.queue, func(i improvement) bool { return i.key == key })
	delete(b.tried, key)
	var stopped chan struct{}
	if b.cancel != nil && b.running == key {
		b.cancel(errDropped)
		stopped = b.stopped
	}
	c.mu.Unlock()
	if stopped != nil {
		<-stopped
	}
	return nil
}
