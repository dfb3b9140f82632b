package edged

import (
	"time"

	"edged.dev/edge/sdk/go/internal/abi"
)

// Lease is a held lock.
type Lease struct {
	key   string
	token int64
}

// maxTTL is the longest lease that the interface can express; the host takes up to 24 hours.
const maxTTL = 1<<31 - 1

// Lock waits for the lock on a key, which need not have a value, and takes it for ttl: 1 ms to 24 h, else [ErrInvalid].
// The lease ends by itself after ttl and not with the call, so unlock it, and keep the work under it shorter or fence it
// with [Lease.Token]. [ErrTimeout] when the call's deadline comes first, [ErrLimit] when too many wait.
func (Store) Lock(key string, ttl time.Duration) (*Lease, error) {
	token := abi.KVLock(key, int32(max(0, min(ttl.Milliseconds(), maxTTL))))
	if err := check(token, "kv lock", key); err != nil {
		return nil, err
	}
	return &Lease{key: key, token: token}, nil
}

// Token returns the number of this lease, above zero; a later lease of the same lock has another.
func (l *Lease) Token() int64 { return l.token }

// Unlock gives the lock back. [ErrConflict] when the lease had ended already.
func (l *Lease) Unlock() error { return check(int64(abi.KVUnlock(l.key, l.token)), "kv unlock", l.key) }
