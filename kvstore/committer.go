package kvstore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"
)

// flushRetry is the pause after a failed flush of Batched writes: long enough not to hammer a full disk, short enough that
// freeing space helps at once.
const flushRetry = 500 * time.Millisecond

// A request is in exactly one of these states; only its writer withdraws it and only the committer takes it.
const (
	requestQueued = iota
	requestTaken
	requestWithdrawn
)

// request is one write that waits for the committer.
type request struct {
	sp     *Space
	ops    []op
	weight int64
	by     author
	admin  func(*bbolt.Tx) error // instead of sp and ops: a change of the file itself

	state atomic.Int32
	done  chan struct{} // closed by the committer when the fields below are set

	changes    []change
	deliveries []*Delivery
	results    []OpResult
	err        error // the request's own, else the commit's
}

// flush is the oldest part of a Batched space's log.
type flush struct {
	sp         *Space
	changes    []change
	deliveries []*Delivery
	entries    int
	upto       uint64
	weight     int64
}

// group is what one transaction commits.
type group struct {
	reqs    []*request
	flushes []flush
	settled []settlement
}

func (g *group) parts() int { return len(g.reqs) + len(g.flushes) + min(len(g.settled), 1) }

// changeSet is the committed effect of one request or flush on its space, in order.
type changeSet struct {
	sp         *Space
	changes    []change
	deliveries []*Delivery
	accepted   bool // a flush: watchers saw it when it was accepted
}

// committer owns the write transactions. One goroutine runs it.
type committer struct {
	store   *Store
	room    *semaphore.Weighted // bytes of queued requests
	backlog *semaphore.Weighted // bytes of Batched writes accepted and not on disk
	wake    chan struct{}       // capacity 1: "look again"
	stopped chan struct{}       // closed when the goroutine has ended
	ballast *ballast            // only its goroutine uses it
	deaths  map[*backlog]int64  // only its goroutine uses it; by how much a transaction changes dead letters

	failed   atomic.Pointer[error] // set once: why the store does not write any more
	flushErr atomic.Pointer[error] // of the last flush; nil when it succeeded

	mu       sync.Mutex
	queue    []*request // guarded by mu
	dirty    []*Space   // guarded by mu; spaces with a log, each once
	due      time.Time  // guarded by mu; when dirty spaces are flushed at the latest
	stopping bool       // guarded by mu

	settled    []settlement // guarded by mu; to be written along with the next commit
	settledDue time.Time    // guarded by mu; when they are written at the latest
}

func newCommitter(s *Store) *committer {
	return &committer{
		store: s, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
		room: semaphore.NewWeighted(s.opts.QueueBytes), backlog: semaphore.NewWeighted(s.opts.QueueBytes),
		ballast: newBallast(s.path), deaths: make(map[*backlog]int64),
	}
}

func (c *committer) poke() {
	select {
	case c.wake <- struct{}{}:
	default: // a wake-up is already under way
	}
}

// write queues r and waits for its outcome. When the context ends first, r is withdrawn if the committer does not have it yet.
func (c *committer) write(ctx context.Context, r *request) ([]OpResult, error) {
	r.done = make(chan struct{})
	weight := min(r.weight, c.store.opts.QueueBytes)
	if err := c.store.acquire(ctx, c.room, weight); err != nil {
		return nil, err
	}
	defer c.room.Release(weight)
	c.mu.Lock()
	if c.stopping {
		c.mu.Unlock()
		return nil, ErrClosed
	}
	c.queue = append(c.queue, r)
	c.mu.Unlock()
	c.poke()
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(requestQueued, requestWithdrawn) {
			return nil, ctx.Err()
		}
		<-r.done
	}
	return r.results, r.err
}

// admin runs fn in a transaction of the committer.
func (c *committer) admin(ctx context.Context, fn func(*bbolt.Tx) error) error {
	_, err := c.write(ctx, &request{admin: fn, weight: weightOverhead})
	return err
}

// flush brings everything sp has accepted to disk. No write of the space may be under way.
func (c *committer) flush(sp *Space) error {
	for sp.hasBacklog() {
		if err := c.backlogError(); err != nil {
			return err
		}
		// Every group takes accepted writes along, so an empty one is enough.
		if err := c.admin(context.Background(), nil); err != nil {
			return err
		}
	}
	return nil
}

// backlogError is the reason why Batched writes are not accepted, or nil.
func (c *committer) backlogError() error {
	if err := c.failed.Load(); err != nil {
		return *err
	}
	if err := c.flushErr.Load(); err != nil {
		return *err
	}
	return nil
}

func (c *committer) markDirty(sp *Space) {
	c.mu.Lock()
	first := !slices.Contains(c.dirty, sp)
	if first {
		if len(c.dirty) == 0 {
			c.due = time.Now().Add(c.store.opts.BatchDelay)
		}
		c.dirty = append(c.dirty, sp)
	}
	c.mu.Unlock()
	if first {
		c.poke()
	}
}

// note takes what has become of a delivery, to be written along with the next commit, or when BatchDelay is over.
func (c *committer) note(s settlement) {
	c.mu.Lock()
	first := len(c.settled) == 0
	if first {
		c.settledDue = time.Now().Add(c.store.opts.BatchDelay)
	}
	c.settled = append(c.settled, s)
	c.mu.Unlock()
	if first {
		c.poke()
	}
}

// takeSettled moves notes into g when something else is committed, or when they are due, and returns how long they are not. The caller
// holds mu.
func (c *committer) takeSettled(g *group, now time.Time, along bool) (wait time.Duration) {
	if len(c.settled) == 0 {
		return 0
	}
	if !along && now.Before(c.settledDue) {
		return c.settledDue.Sub(now)
	}
	n := min(len(c.settled), settledGroup)
	g.settled = c.settled[:n:n]
	c.settled = c.settled[n:]
	c.settledDue = now // the rest does not wait any longer
	return 0
}

// unsettle puts notes back that could not be written. When the store closes they are given up: what they are of will be delivered again.
func (c *committer) unsettle(list []settlement) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return
	}
	c.settled = append(list, c.settled...)
	c.settledDue = time.Now().Add(flushRetry)
}

func (c *committer) forget(sp *Space) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.dirty, sp); i >= 0 {
		c.dirty = slices.Delete(c.dirty, i, i+1)
	}
}

// stop makes the goroutine commit what is there and end. It returns why accepted writes could not be brought to disk.
func (c *committer) stop() error {
	c.mu.Lock()
	c.stopping = true
	c.mu.Unlock()
	c.flushErr.Store(nil) // try once more, whatever happened before
	c.poke()
	<-c.stopped
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.dirty) == 0 {
		return nil
	}
	return fmt.Errorf("close key-value store: batched writes are lost: %w", c.backlogError())
}

func (c *committer) run() {
	defer close(c.stopped)
	for {
		g, wait, end := c.next()
		switch {
		case g.parts() > 0:
			c.process(g)
			// The writers released just now are about to queue their next request. Let them run first, or they would always
			// miss the next group and the writers fall into two halves that wait for each other's commits.
			runtime.Gosched()
		case end:
			return
		default:
			c.sleep(wait)
		}
	}
}

// sleep waits for work, or for the given time when it is positive.
func (c *committer) sleep(wait time.Duration) {
	if wait <= 0 {
		<-c.wake
		runtime.Gosched() // where one writer queues, others are about to
		return
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-c.wake:
	case <-t.C:
	}
}

// next collects the next group. When it is empty, wait says how long nothing is due (0: until somebody pokes) and end that the
// committer is stopping and has nothing left that it could do.
func (c *committer) next() (g *group, wait time.Duration, end bool) {
	g = &group{}
	c.mu.Lock()
	size := c.takeQueued(g)
	failing := c.flushErr.Load() != nil
	now := time.Now()
	var dirty []*Space
	if len(c.dirty) > 0 {
		if (len(g.reqs) > 0 && !failing) || c.stopping || !now.Before(c.due) {
			dirty = slices.Clone(c.dirty)
		}
		wait = c.due.Sub(now)
	}
	along := len(dirty) > 0 || c.stopping || len(g.reqs) > 0
	if rest := c.takeSettled(g, now, along); rest > 0 && (wait <= 0 || rest < wait) {
		wait = rest
	}
	end = c.stopping && (len(c.dirty) == 0 || failing) && len(c.settled) == 0
	c.mu.Unlock()
	if end && g.parts() == 0 {
		return g, 0, true
	}
	for _, sp := range dirty { // without mu: Space.mu is the outer lock
		if f, ok := sp.pendingFlush(c.store.opts.GroupBytes - size); ok && (g.parts() == 0 || size+f.weight <= c.store.opts.GroupBytes) {
			g.flushes = append(g.flushes, f)
			size += f.weight
		}
	}
	if len(dirty) > 0 && g.parts() == 0 {
		c.settle(nil, dirty) // they have nothing left
		return g, time.Nanosecond, false
	}
	return g, wait, end
}

// takeQueued moves requests from the queue into g, within the bounds of a group. The caller holds mu.
func (c *committer) takeQueued(g *group) (size int64) {
	n := 0
	for _, r := range c.queue {
		if len(g.reqs) > 0 && (len(g.reqs) >= c.store.opts.GroupRequests || size+r.weight > c.store.opts.GroupBytes) {
			break
		}
		n++
		if !r.state.CompareAndSwap(requestQueued, requestTaken) {
			continue // withdrawn
		}
		g.reqs = append(g.reqs, r)
		size += r.weight
	}
	clear(c.queue[:n])
	c.queue = c.queue[n:]
	if len(c.queue) == 0 {
		c.queue = nil
	}
	return size
}

// process commits g and tells everybody. When the commit fails, its parts are committed one by one: what does not fit on the disk, or
// runs into a damaged page, must not fail its neighbours.
func (c *committer) process(g *group) {
	err := c.commit(g)
	if err != nil && g.parts() > 1 && c.failed.Load() == nil {
		for _, r := range g.reqs {
			one := &group{reqs: []*request{r}}
			c.finish(one, c.commitOne(one))
		}
		for _, f := range g.flushes {
			one := &group{flushes: []flush{f}}
			c.finish(one, c.commitOne(one))
		}
		if len(g.settled) > 0 {
			one := &group{settled: g.settled}
			c.finish(one, c.commitOne(one))
		}
		return
	}
	if errors.Is(err, ErrFull) {
		err = c.makeRoom(g, err)
	}
	if err == nil {
		c.ballast.take()
	}
	c.finish(g, err)
}

// commitOne commits a group of one part.
func (c *committer) commitOne(g *group) error {
	err := c.commit(g)
	if errors.Is(err, ErrFull) {
		return c.makeRoom(g, err)
	}
	return err
}

// makeRoom tries again to commit a group that the disk had no room for, if it deletes keys only: there is a ballast for that.
func (c *committer) makeRoom(g *group, cause error) error {
	if c.failed.Load() != nil || !g.shrinks() || !c.ballast.drop() {
		return cause
	}
	return c.commit(g)
}

func (c *committer) finish(g *group, err error) {
	var spaces []*Space
	for _, f := range g.flushes {
		if err == nil {
			if removed, _ := f.sp.flushed(f); removed {
				c.backlog.Release(f.weight)
			}
		}
		spaces = append(spaces, f.sp)
	}
	if len(spaces) > 0 {
		c.settle(err, spaces)
	}
	if err != nil && len(g.settled) > 0 {
		c.unsettle(g.settled)
	}
	for _, r := range g.reqs {
		if err != nil {
			r.err, r.results = err, nil
			release(r.deliveries)
		}
		close(r.done)
	}
}

// settle updates the dirty list after an attempt to flush spaces.
func (c *committer) settle(err error, spaces []*Space) {
	more := make(map[*Space]bool, len(spaces))
	for _, sp := range spaces {
		more[sp] = sp.hasBacklog()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.flushErr.Store(&err)
		c.due = time.Now().Add(flushRetry)
		return
	}
	c.flushErr.Store(nil)
	c.dirty = slices.DeleteFunc(c.dirty, func(sp *Space) bool {
		left, asked := more[sp]
		return asked && !left
	})
	c.due = time.Now().Add(c.store.opts.BatchDelay)
	if slices.ContainsFunc(c.dirty, func(sp *Space) bool { return more[sp] }) {
		c.due = time.Now() // only a part fitted into the group
	}
}

// beforeCommit is called with everything the transaction is about to commit, in order. An error aborts the group. Events are written
// to a bucket of their own in tx, so they are committed exactly when their cause is.
func (c *committer) beforeCommit(tx *bbolt.Tx, sets []changeSet, g *group) error {
	return c.store.outbox.write(tx, sets, g.settled, c.deaths)
}

// afterCommit is called when the group is on disk, before its writers are told.
func (c *committer) afterCommit(sets []changeSet, g *group) {
	for _, set := range sets {
		if !set.accepted {
			set.sp.watches.publish(set.sp, set.changes)
			c.store.outbox.publish(set.deliveries)
		}
	}
	if c.store.outbox.rules.Load() != nil {
		c.store.outbox.committed(len(g.settled), c.deaths)
	}
}

// commit runs one transaction. Every part of the group has its own error or shares the returned one.
func (c *committer) commit(g *group) (err error) {
	if failed := c.failed.Load(); failed != nil {
		return *failed
	}
	committing := false
	defer func() {
		if err != nil {
			for _, f := range g.flushes {
				c.store.outbox.unrecord(f.deliveries)
			}
		}
		if committing && errors.Is(err, ErrCorrupt) {
			// bbolt panicked with pages already allocated; its view of the free pages is not to be trusted again.
			err = fmt.Errorf("%w: %w", ErrFailed, err)
			c.failed.Store(&err)
		}
	}()
	defer catch("commit", &err)()
	tx, err := c.store.db.Begin(true)
	if err != nil {
		return boltError("commit", err)
	}
	defer func() { _ = tx.Rollback() }() // does nothing after a commit
	sets, dirty, err := c.stage(tx, g)
	if err != nil || !dirty {
		return asDiskError(err)
	}
	if err := c.beforeCommit(tx, sets, g); err != nil {
		return asDiskError(err)
	}
	info, id, start := describe(g, sets), tx.ID(), time.Now()
	committing = true
	err = asDiskError(tx.Commit())
	committing = false
	info.Duration, info.Err = time.Since(start), err
	c.report(info)
	if err != nil {
		return c.afterFailure(id, err)
	}
	c.afterCommit(sets, g)
	return nil
}

// stage evaluates the group and puts its changes into tx. A request's own failure stays with the request; the returned
// error is of the file. dirty is false when there is nothing to commit.
func (c *committer) stage(tx *bbolt.Tx, g *group) (sets []changeSet, dirty bool, err error) {
	for _, f := range g.flushes {
		b := tx.Bucket(f.sp.bucket)
		if b == nil {
			continue // dropped meanwhile
		}
		if err := put(b, f.changes); err != nil {
			return nil, false, err
		}
		sets = append(sets, changeSet{sp: f.sp, changes: f.changes, deliveries: f.deliveries, accepted: true})
	}
	for _, r := range g.reqs {
		release(r.deliveries) // of an attempt before
		r.err, r.results, r.changes, r.deliveries = nil, nil, nil, nil
		if r.sp == nil {
			if r.admin != nil {
				r.err, dirty = r.admin(tx), true
			}
			if r.err != nil {
				return nil, false, r.err
			}
			continue
		}
		if err := r.stage(tx); err != nil {
			return nil, false, err
		}
		if len(r.changes) > 0 {
			sets = append(sets, changeSet{sp: r.sp, changes: r.changes, deliveries: r.deliveries})
		}
	}
	return sets, dirty || len(sets) > 0 || len(g.settled) > 0, nil
}

// stage evaluates the request and puts its changes into tx. What is the request's own fault goes to r.err.
func (r *request) stage(tx *bbolt.Tx) error {
	b := tx.Bucket(r.sp.bucket)
	if b == nil {
		r.err = ErrDropped
		return nil
	}
	base := func(key []byte) ([]byte, error) { return b.Get(key), nil }
	rules := r.sp.rules.Load()
	r.changes, r.results, r.err = r.sp.evaluate(r.ops, base, r.sp.watches.any() || rules.wantsFresh())
	if r.err == nil {
		r.deliveries, r.err = rules.match(r.sp, r.changes, r.by)
	}
	if r.err != nil {
		r.changes, r.results = nil, nil
		return nil //nolint:nilerr // it fails its own request; the group goes on
	}
	return put(b, r.changes)
}

func put(b *bbolt.Bucket, changes []change) error {
	for _, ch := range changes {
		var err error
		if ch.rec == nil {
			err = b.Delete(ch.key)
		} else {
			err = b.Put(ch.key, ch.rec)
		}
		if err != nil {
			return fmt.Errorf("kv put: %w", err)
		}
	}
	return nil
}

// afterFailure decides what a failed commit means. When the commit record itself is already visible the disk failed between writing
// and syncing it: nobody can say what a power cut would leave, so the store stops writing.
func (c *committer) afterFailure(id int, cause error) (err error) {
	defer catch("commit", &err)()
	tx, err := c.store.db.Begin(false)
	if err == nil {
		visible := tx.ID() >= id
		_ = tx.Rollback() // of a read transaction: nothing to lose
		if !visible {
			return fmt.Errorf("kv commit: %w", cause)
		}
	}
	err = fmt.Errorf("%w: %w", ErrFailed, cause)
	c.failed.Store(&err)
	return err
}
