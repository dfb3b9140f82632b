package hostfn

import (
	"context"
	"encoding/binary"
	"math"
	"time"

	"edged.dev/edge/kvstore"
)

// Space is what host functions need of a key-value space; [*kvstore.Space] is one. No method keeps or reads a slice it was
// given after it has returned, whatever the reason it returned for: the slices are the guest's memory. Methods with a
// context may block until it ends; the others do not wait for anyone. Who blocks asks the context for its Done channel
// first, on the caller's goroutine: that is when the guest's core goes to others.
type Space interface {
	// Get appends the value to dst; kvstore.ErrNotFound when there is none.
	Get(key, dst []byte) ([]byte, error)
	Set(ctx context.Context, key, value []byte) error
	// Delete reports whether the key was there.
	Delete(ctx context.Context, key []byte) (bool, error)
	// CompareAndSwap: a nil old expects no value, a nil new deletes; kvstore.ErrConflict.
	CompareAndSwap(ctx context.Context, key, old, new []byte) error
	// Scan calls fn in key order for keys with the prefix, those above after when it is not empty, until fn returns false.
	// The slices are valid until fn returns.
	Scan(prefix, after []byte, fn func(key, value []byte) bool) error
	// Apply runs all operations or none.
	Apply(ctx context.Context, ops []kvstore.Op) ([]kvstore.OpResult, error)
	// Lock waits for the lock and returns a token above 0; the lock is given up after ttl.
	Lock(ctx context.Context, key []byte, ttl time.Duration) (uint64, error)
	Unlock(key []byte, token uint64) error
}

var _ Space = (*kvstore.Space)(nil)

// kvFuncs are the functions of the app's key-value space. Keys and values are bytes. All of them answer Denied without a
// space, TooLarge for a key or a value above the store's limits, Invalid for an empty key, Limit when the disk is full,
// and Internal when the store fails. Those that write block until the write is durable in the space's class, and end with
// TimedOut at the deadline; whether the write is done is then open.
func kvFuncs() []native {
	return []native{
		{"kv_get", "iiii i", kvGet},
		{"kv_set", "iiii i", kvSet},
		{"kv_delete", "ii i", kvDelete},
		{"kv_cas", "iiiiii i", kvCas},
		{"kv_scan", "iiiii i", kvScan},
		{"kv_batch", "iiii i", kvBatch},
		{"kv_lock", "iii I", kvLock},
		{"kv_unlock", "iiI i", kvUnlock},
	}
}

// absent is the length -1: no value, which is not the same as an empty one.
const absent = math.MaxUint32

// kvGet reads a value.
//
// Parameters: k, kl, the key; buf, cap, where the value goes.
// Result: the value's full length, copied when it fits; NotFound.
func kvGet(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("buf", p[2], p[3]); err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	value, err := e.space().Get(key, e.scratch[:0])
	if err != nil {
		return e.result(err), nil
	}
	e.scratch = value
	return e.give(p[2], p[3], value)
}

// kvSet stores a value.
//
// Parameters: k, kl, the key; v, vl, the value. Result: 0.
func kvSet(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	value, err := e.bytes("v", p[2], p[3])
	if err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	ctx := e.patient()
	defer ctx.back()
	return e.result(e.space().Set(ctx, key, value)), nil
}

// kvDelete removes a key.
//
// Parameters: k, kl, the key. Result: 1 when it was there, 0 when not.
func kvDelete(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	ctx := e.patient()
	defer ctx.back()
	existed, err := e.space().Delete(ctx, key)
	if err != nil {
		return e.result(err), nil
	}
	if existed {
		return 1, nil
	}
	return 0, nil
}

// kvCas replaces a value that is as expected.
//
// Parameters: k, kl, the key; old, oldl, the expected value, oldl -1 for none; new, newl, the new one, newl -1 to delete.
// Result: 0; Conflict when the value is another.
func kvCas(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	old, err := e.optional("old", p[2], p[3])
	if err != nil {
		return 0, err
	}
	value, err := e.optional("new", p[4], p[5])
	if err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	ctx := e.patient()
	defer ctx.back()
	return e.result(e.space().CompareAndSwap(ctx, key, old, value)), nil
}

// optional returns a copy of a value that may be absent: nil for the length -1, never nil for an empty value.
func (e *Env) optional(arg string, ptr, n uint64) ([]byte, error) {
	if n == absent {
		return nil, nil
	}
	b, err := e.bytes(arg, ptr, n)
	if err != nil {
		return nil, err
	}
	return append([]byte{}, b...), nil
}

// maxLockTTL keeps a lease a duration; the store has its own, smaller limit.
const maxLockTTL = math.MaxInt64 / int64(time.Millisecond)

// kvLock waits for a lock on a key, which need not have a value. The lock ends with kv_unlock or after ttl_ms, not with the
// invocation.
//
// Parameters: k, kl, the key; ttl_ms u32, the lease.
// Result: a token above 0; Invalid for a lease the store does not give, Limit when too many wait, TimedOut, Cancelled.
func kvLock(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	ttl := time.Duration(min(int64(p[2]), maxLockTTL)) * time.Millisecond
	ctx := e.patient()
	defer ctx.back()
	token, err := e.space().Lock(ctx, key, ttl)
	if err != nil {
		return e.result(err), nil
	}
	return Result(token), nil
}

// kvUnlock gives a lock back.
//
// Parameters: k, kl, the key; token i64 from kv_lock.
// Result: 0; Conflict when the token does not hold the lock, for instance because its lease is over.
func kvUnlock(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("k", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	return e.result(e.space().Unlock(key, p[2])), nil
}

// The operations of kv_batch.
const (
	batchGet    = 1
	batchSet    = 2
	batchDelete = 3
	batchCas    = 4
)

// Sizes of the heads of a batch's records.
const (
	sizeBatchOp     = 16
	sizeBatchResult = 8
)

// kvBatch runs several operations as one: all or, when one fails, none. An operation sees what those before it did.
//
// Parameters: ops, opsl, the packed operations; out, cap, where the packed results go. Numbers are little-endian, records
// follow each other without a gap, and nothing is aligned.
//
//	operation, 16 bytes and two or three byte strings:
//	  0 op u8        1 get, 2 set, 3 delete, 4 compare and swap
//	  1 reserved     3 bytes, 0
//	  4 klen u32     length of the key
//	  8 alen u32     get, delete: 0. set: length of the value. cas: of the expected value, 0xffffffff for none
//	 12 blen u32     get, set, delete: 0. cas: length of the new value, 0xffffffff to delete
//	 16 key, a, b
//
//	result, 8 bytes and a byte string, one for each operation in the same order:
//	  0 code i32     get: 0, or -1 when the key is absent. delete: 1, or 0 when it was absent. set, cas: 0
//	  4 vlen u32     get: length of the value, else 0
//	  8 value
//
// Result: the length of the packed results, copied when they fit. When they do not, the batch has been applied all the
// same: ask again with opsl 0, which runs nothing and gives the results of the latest batch (0 without one).
// Conflict when a cas found another value; Invalid for operations that are not packed as above; Limit above
// Limits.BatchOps; TooLarge when the operations or the values they read are above Limits.BatchBytes. After these nothing
// has been applied.
func kvBatch(e *Env, p []uint64) (Result, error) {
	raw, err := e.bytes("ops", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("out", p[2], p[3]); err != nil {
		return 0, err
	}
	switch {
	case e.space() == nil:
		return Denied, nil
	case len(raw) == 0:
		return e.give(p[2], p[3], e.results)
	case len(raw) > e.app.Limits.BatchBytes:
		return TooLarge, nil
	}
	ops, result := unpackBatch(raw, e.app.Limits.BatchOps)
	if result != 0 {
		return result, nil
	}
	if !e.resultsFit(ops) {
		return TooLarge, nil
	}
	ctx := e.patient()
	defer ctx.back()
	results, err := e.space().Apply(ctx, ops)
	if err != nil {
		return e.result(err), nil
	}
	packed, ok := packResults(keep(e.results), ops, results)
	if !ok {
		return Internal, nil
	}
	e.results = packed
	return e.give(p[2], p[3], packed)
}

// resultsFit reports whether the values that the operations read stay within Limits.BatchBytes: a batch of few bytes could
// name one large value again and again. It goes by what is there now and what the batch itself writes, and looks only
// when there are enough reads for it to matter. It reads no more than the limit itself before it says no.
func (e *Env) resultsFit(ops []kvstore.Op) bool {
	reads := 0
	for _, op := range ops {
		if op.Kind == kvstore.OpGet {
			reads++
		}
	}
	if reads <= e.app.Limits.BatchBytes/kvstore.MaxValueBytes {
		return true
	}
	written := make(map[string]int)
	for _, op := range ops {
		written[string(op.Key)] = max(written[string(op.Key)], len(op.Value))
	}
	stored := make(map[string]int)
	total := 0
	for _, op := range ops {
		if op.Kind != kvstore.OpGet {
			continue
		}
		size, known := stored[string(op.Key)]
		if !known {
			// An error shows again, and counts, when the batch runs.
			e.scratch, _ = e.space().Get(op.Key, e.scratch[:0])
			size = max(written[string(op.Key)], len(e.scratch))
			stored[string(op.Key)] = size
		}
		if total += size; total > e.app.Limits.BatchBytes {
			return false
		}
	}
	return true
}

// unpackBatch reads packed operations; Invalid or Limit when it cannot. Keys and values alias raw; expected values, which
// are compared when the batch is its turn, are copies.
func unpackBatch(raw []byte, limit int) ([]kvstore.Op, Result) {
	var ops []kvstore.Op
	for len(raw) > 0 {
		if len(raw) < sizeBatchOp || raw[1]|raw[2]|raw[3] != 0 {
			return nil, Invalid
		}
		if len(ops) == limit {
			return nil, Limit
		}
		kind, head := raw[0], raw[4:sizeBatchOp]
		raw = raw[sizeBatchOp:]
		var fields [3][]byte
		for i := range fields {
			n := binary.LittleEndian.Uint32(head[i*4:])
			if i > 0 && kind == batchCas && n == absent {
				continue
			}
			if uint64(n) > uint64(len(raw)) {
				return nil, Invalid
			}
			fields[i], raw = raw[:n:n], raw[n:]
		}
		op, ok := unpackOp(kind, fields)
		if !ok {
			return nil, Invalid
		}
		ops = append(ops, op)
	}
	return ops, 0
}

// unpackOp makes an operation of its key and its strings a and b; a nil one is absent.
func unpackOp(kind byte, fields [3][]byte) (kvstore.Op, bool) {
	key, a, b := fields[0], fields[1], fields[2]
	switch kind {
	case batchGet:
		return kvstore.Op{Kind: kvstore.OpGet, Key: key}, len(a)+len(b) == 0
	case batchSet:
		return kvstore.Op{Kind: kvstore.OpSet, Key: key, Value: a}, len(b) == 0
	case batchDelete:
		return kvstore.Op{Kind: kvstore.OpDelete, Key: key}, len(a)+len(b) == 0
	case batchCas:
		if a != nil {
			a = append([]byte{}, a...)
		}
		return kvstore.Op{Kind: kvstore.OpCompareAndSwap, Key: key, Old: a, Value: b}, true
	}
	return kvstore.Op{}, false
}

// packResults appends one record a result to dst; false when there is not one for each operation or a value is too long.
func packResults(dst []byte, ops []kvstore.Op, results []kvstore.OpResult) ([]byte, bool) {
	if len(results) != len(ops) {
		return dst, false
	}
	for i, r := range results {
		code := Result(0)
		switch {
		case ops[i].Kind == kvstore.OpGet && !r.Found:
			code = NotFound
		case ops[i].Kind == kvstore.OpDelete && r.Found:
			code = 1
		}
		if len(dst)+sizeBatchResult+len(r.Value) > math.MaxInt32 {
			return dst, false
		}
		dst = binary.LittleEndian.AppendUint32(dst, uint32(code))
		dst = binary.LittleEndian.AppendUint32(dst, uint32(len(r.Value)))
		dst = append(dst, r.Value...)
	}
	return dst, true
}
