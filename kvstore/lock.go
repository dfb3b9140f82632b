package kvstore

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Bounds of a lock.
const (
	MinLockTTL = time.Millisecond
	MaxLockTTL = 24 * time.Hour
	// maxLockWaiters bounds the callers that wait for one key.
	maxLockWaiters = 4096
	// maxLeases bounds the keys of one space that are locked: leases outlive who took them, and each is memory.
	maxLeases = 16384
)

// Lock acquires the leased lock of key and blocks, first come first served, until it is free or ctx is done. The lease ends at
// Unlock or after ttl, whatever comes first. token is the fencing token: within a store it is greater than every token handed out
// before, also across restarts, so a resource that remembers the greatest one it saw can refuse a holder whose lease has
// run out. Locks have a name space of their own beside the keys, in every durability class. They live in memory: after a restart all are free.
func (sp *Space) Lock(ctx context.Context, key []byte, ttl time.Duration) (token uint64, err error) {
	if err := checkKey(key); err != nil {
		return 0, err
	}
	if ttl < MinLockTTL || ttl > MaxLockTTL {
		return 0, ErrBadTTL
	}
	if err := sp.usable(); err != nil {
		return 0, err
	}
	return sp.locks.lock(ctx, string(key), ttl)
}

// Unlock ends the lease that token stands for. ErrNotHeld when it has run out or was never one.
func (sp *Space) Unlock(key []byte, token uint64) error {
	if err := checkKey(key); err != nil {
		return err
	}
	return sp.locks.unlock(string(key), token)
}

// lease is one held lock. It is in the table exactly as long as somebody holds it or is about to.
type lease struct {
	token   uint64      // 0 while the owner fetches its token
	expiry  *time.Timer // set together with token
	waiters []chan struct{}
}

// lockTable holds the locks of one space.
type lockTable struct {
	fence  *fence
	closed <-chan struct{} // the store's: closed when it closes

	mu      sync.Mutex
	leases  map[string]*lease // guarded by mu
	dropped chan struct{}     // closed under mu when the space is dropped
	gone    bool              // guarded by mu
}

func (t *lockTable) init(f *fence, closed <-chan struct{}) {
	t.fence, t.closed = f, closed
	t.leases, t.dropped = make(map[string]*lease), make(chan struct{})
}

func (t *lockTable) lock(ctx context.Context, key string, ttl time.Duration) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	t.mu.Lock()
	if t.gone {
		t.mu.Unlock()
		return 0, ErrDropped
	}
	l := t.leases[key]
	if l == nil {
		if len(t.leases) >= maxLeases {
			t.mu.Unlock()
			return 0, ErrTooManyLocks
		}
		l = &lease{}
		t.leases[key] = l
		t.mu.Unlock()
		return t.own(ctx, key, l, ttl)
	}
	if len(l.waiters) >= maxLockWaiters {
		t.mu.Unlock()
		return 0, ErrTooManyWaiters
	}
	turn := make(chan struct{})
	l.waiters = append(l.waiters, turn)
	t.mu.Unlock()
	var err error
	select {
	case <-turn:
		return t.own(ctx, key, l, ttl)
	case <-ctx.Done():
		err = ctx.Err()
	case <-t.closed:
		err = ErrClosed
	case <-t.dropped:
		err = ErrDropped
	}
	t.giveUp(key, l, turn)
	return 0, err
}

// own completes a lock that the caller was given: it fetches the token and starts the lease.
func (t *lockTable) own(ctx context.Context, key string, l *lease, ttl time.Duration) (uint64, error) {
	token, err := t.fence.token(ctx)
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil && t.gone {
		err = ErrDropped
	}
	if err != nil {
		t.pass(key, l)
		return 0, err
	}
	l.token = token
	l.expiry = time.AfterFunc(ttl, func() { _ = t.unlock(key, token) }) // ErrNotHeld: released just now
	return token, nil
}

func (t *lockTable) unlock(key string, token uint64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.leases[key]
	if l == nil || token == 0 || l.token != token {
		return ErrNotHeld
	}
	l.expiry.Stop()
	t.pass(key, l)
	return nil
}

// pass gives the lock to the first waiter, or frees it. The caller holds mu.
func (t *lockTable) pass(key string, l *lease) {
	l.token, l.expiry = 0, nil
	if len(l.waiters) == 0 {
		delete(t.leases, key)
		return
	}
	close(l.waiters[0])
	l.waiters = slices.Delete(l.waiters, 0, 1)
}

// giveUp takes a waiter out of the queue, or passes the lock on when it was given to the waiter just now.
func (t *lockTable) giveUp(key string, l *lease, turn chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(l.waiters, turn); i >= 0 {
		l.waiters = slices.Delete(l.waiters, i, i+1)
		return
	}
	t.pass(key, l)
}

// stop ends all timers; waiters end by the closed channels.
func (t *lockTable) stop() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.gone = true
	for _, l := range t.leases {
		if l.expiry != nil {
			l.expiry.Stop()
		}
	}
}

func (t *lockTable) drop() {
	t.stop()
	close(t.dropped)
}
