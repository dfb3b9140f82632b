package kvstore

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// Space is one ordered namespace. All methods may be called from any goroutine; none keeps a slice it was given.
type Space struct {
	store   *Store
	name    string
	bucket  []byte
	seal    seal
	watches watchList
	locks   lockTable

	// classMu is held for reading during every write and for writing while the class changes or the space is dropped.
	classMu sync.RWMutex
	class   atomic.Uint32              // Durability; changes under classMu only
	dropped atomic.Bool                // set under classMu, for good
	rules   atomic.Pointer[spaceRules] // nil: nothing is triggered by this space

	mu    sync.RWMutex
	table table      // guarded by mu; everything of a Memory space, what is not on disk yet of a Batched one
	log   []logEntry // guarded by mu; Batched: accepted and not on disk, in order
	seq   uint64     // guarded by mu; of the last accepted buffered write
}

func newSpace(s *Store, name string, d Durability) *Space {
	sp := &Space{store: s, name: name, bucket: bucketOf(name), seal: newSeal(name)}
	sp.class.Store(uint32(d))
	if set := s.outbox.rules.Load(); set != nil {
		sp.rules.Store(set.spaces[name])
	}
	sp.locks.init(s.fence, s.life.Done())
	return sp
}

// Name returns the name of the space.
func (sp *Space) Name() string { return sp.name }

// Durability returns the current class.
func (sp *Space) Durability() Durability { return Durability(sp.class.Load()) }

// Get appends the value of key to dst and returns the result; on an error it returns dst as it was. It sees every
// acknowledged write. ErrNotFound, bare, when the key is absent; *CorruptError when what is stored is not what was written.
func (sp *Space) Get(key, dst []byte) (value []byte, err error) {
	if err := checkKey(key); err != nil {
		return dst, err
	}
	if err := sp.usable(); err != nil {
		return dst, err
	}
	sp.store.counters.gets.Add(1)
	if sp.Durability() != Sync {
		// The table first: what leaves it is on disk by then, so a transaction begun afterwards sees it.
		sp.mu.RLock()
		e, hit := sp.table.find(key)
		sp.mu.RUnlock()
		if hit || sp.Durability() == Memory {
			return sp.appendValue(dst, key, e.rec, e.rec != nil)
		}
	}
	if value, err = sp.readDisk(key, dst); err != nil {
		return dst, err
	}
	return value, nil
}

func (sp *Space) readDisk(key, dst []byte) (value []byte, err error) {
	defer catch("get", &err)()
	tx, err := sp.store.db.Begin(false)
	if err != nil {
		return dst, boltError("get", err)
	}
	defer func() { _ = tx.Rollback() }() // of a read transaction: nothing to lose
	b := tx.Bucket(sp.bucket)
	if b == nil {
		return dst, ErrDropped
	}
	rec := b.Get(key)
	return sp.appendValue(dst, key, rec, rec != nil)
}

// appendValue verifies rec and appends its value.
func (sp *Space) appendValue(dst, key, rec []byte, found bool) ([]byte, error) {
	if !found {
		return dst, ErrNotFound
	}
	v, ok := sp.seal.decode(key, rec)
	if !ok {
		return dst, sp.corrupt(key)
	}
	return append(dst, v...), nil
}

func (sp *Space) corrupt(key []byte) error {
	sp.store.counters.corrupt.Add(1)
	return &CorruptError{Space: sp.name, Key: bytes.Clone(key)}
}

// Set stores value under key. A nil value is stored as an empty one.
func (sp *Space) Set(ctx context.Context, key, value []byte) error {
	_, err := sp.one(ctx, Op{Kind: OpSet, Key: key, Value: value})
	return err
}

// Delete removes key and reports whether it was there. A key whose value is damaged can be deleted.
func (sp *Space) Delete(ctx context.Context, key []byte) (existed bool, err error) {
	res, err := sp.one(ctx, Op{Kind: OpDelete, Key: key})
	return res.Found, err
}

// CompareAndSwap stores newValue when the key's value is old, else returns ErrConflict. old nil means "expect absent" (an
// empty value is not absent), newValue nil means "delete".
func (sp *Space) CompareAndSwap(ctx context.Context, key, old, newValue []byte) error {
	_, err := sp.one(ctx, Op{Kind: OpCompareAndSwap, Key: key, Old: old, Value: newValue})
	return err
}

func (sp *Space) one(ctx context.Context, o Op) (OpResult, error) {
	return sp.oneBy(ctx, o, author{})
}

func (sp *Space) oneBy(ctx context.Context, o Op, by author) (OpResult, error) {
	res, err := sp.write(ctx, []Op{o}, by)
	if err != nil {
		return OpResult{}, unwrapOp(err)
	}
	return res[0], nil
}

// Apply runs ops in order as one atomic batch: each sees the effects of those before it, and either all take effect, at one
// moment and on disk together, or none. The error says which operation failed (*OpError). Results are in the order of ops. At most
// MaxBatchOps operations and MaxBatchBytes of keys and values.
func (sp *Space) Apply(ctx context.Context, ops []Op) ([]OpResult, error) {
	if len(ops) == 0 {
		return nil, nil
	}
	return sp.write(ctx, ops, author{})
}

func (sp *Space) write(ctx context.Context, ops []Op, by author) ([]OpResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	prepared, weight, err := sp.prepare(ops)
	if err != nil {
		return nil, err
	}
	sp.classMu.RLock()
	defer sp.classMu.RUnlock()
	if err := sp.usable(); err != nil {
		return nil, err
	}
	sp.store.counters.writes.Add(1)
	if sp.Durability() == Sync {
		return sp.store.commit.write(ctx, &request{sp: sp, ops: prepared, weight: weight, by: by})
	}
	return sp.writeBuffered(ctx, prepared, weight, by)
}

func (sp *Space) usable() error {
	if sp.store.closing.Load() {
		return ErrClosed
	}
	if sp.dropped.Load() {
		return ErrDropped
	}
	return nil
}

func checkKey(key []byte) error {
	if len(key) == 0 {
		return ErrEmptyKey
	}
	if len(key) > MaxKeyBytes {
		return &LimitError{What: "key", Size: int64(len(key)), Limit: MaxKeyBytes}
	}
	return nil
}

// setDurability moves the space between Sync and Batched. The caller holds Store.spacesMu.
func (sp *Space) setDurability(d Durability) error {
	if d == sp.Durability() {
		return nil
	}
	if d == Memory || sp.Durability() == Memory {
		return fmt.Errorf("%w (it is %s, wanted %s)", ErrDurability, sp.Durability(), d)
	}
	sp.classMu.Lock() // waits for the writes under way
	defer sp.classMu.Unlock()
	if err := sp.store.commit.flush(sp); err != nil {
		return err
	}
	sp.class.Store(uint32(d))
	return nil
}

// beginDrop keeps writers out until the returned function is called with the outcome of the drop.
func (sp *Space) beginDrop() (release func(error)) {
	sp.classMu.Lock()
	var backlog int64
	sp.mu.Lock()
	sp.store.commit.forget(sp)
	for _, e := range sp.log {
		backlog += e.weight
	}
	kept, keptLog := sp.table, sp.log
	sp.table, sp.log = table{}, nil
	sp.mu.Unlock()
	return func(err error) {
		defer sp.classMu.Unlock()
		if err != nil { // nothing was dropped: put back what was not on disk
			sp.mu.Lock()
			sp.table, sp.log = kept, keptLog
			sp.mu.Unlock()
			if len(keptLog) > 0 {
				sp.store.commit.markDirty(sp)
			}
			return
		}
		sp.dropped.Store(true)
		for _, e := range keptLog {
			sp.store.outbox.lose(e.deliveries)
		}
		sp.store.commit.backlog.Release(backlog)
		sp.watches.closeAll(ErrDropped)
		sp.locks.drop()
	}
}

func (sp *Space) memorySize() (keys int, size int64) {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	return sp.table.count, sp.table.bytes
}

// bucketIn returns the space's bucket in a transaction.
func (sp *Space) bucketIn(tx *bbolt.Tx) (*bbolt.Bucket, error) {
	if b := tx.Bucket(sp.bucket); b != nil {
		return b, nil
	}
	return nil, ErrDropped
}
