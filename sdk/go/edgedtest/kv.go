//go:build !wasip1

package edgedtest

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"
	"time"
)

// checkKey returns the code for a key that no store takes, else 0.
func checkKey(key string) int32 {
	switch {
	case key == "":
		return invalid
	case len(key) > MaxKey:
		return tooLarge
	default:
		return 0
	}
}

func (c *call) KVGet(key string, buf []byte) int32 {
	if code := checkKey(key); code != 0 {
		return code
	}
	value, found := c.host.KV[key]
	return give(string(value), found, buf)
}

func (c *call) KVSet(key string, value []byte) int32 {
	if code := checkKey(key); code != 0 {
		return code
	}
	if len(value) > MaxValue {
		return tooLarge
	}
	c.host.KV[key] = append([]byte{}, value...)
	return 0
}

func (c *call) KVDelete(key string) int32 {
	if code := checkKey(key); code != 0 {
		return code
	}
	if _, found := c.host.KV[key]; !found {
		return 0
	}
	delete(c.host.KV, key)
	return 1
}

func (c *call) KVCAS(key string, old, value []byte) int32 {
	if code := checkKey(key); code != 0 {
		return code
	}
	now, found := c.host.KV[key]
	if found != (old != nil) || !bytes.Equal(now, old) {
		return conflict
	}
	if value == nil {
		delete(c.host.KV, key)
		return 0
	}
	return c.KVSet(key, value)
}

// KVScan keeps its place as the number of keys already given, which serves as long as the store stands still.
func (c *call) KVScan(prefix string, cursor *[16]byte, buf []byte) int32 {
	keys := slices.Sorted(maps.Keys(c.host.KV))
	keys = slices.DeleteFunc(keys, func(key string) bool { return !strings.HasPrefix(key, prefix) })
	at := min(binary.LittleEndian.Uint64(cursor[:]), uint64(len(keys)))
	var page []byte
	for ; at < uint64(len(keys)); at++ {
		entry := appendField(appendField(nil, []byte(keys[at])), c.host.KV[keys[at]])
		if len(page) == 0 && len(entry) > len(buf) {
			return int32(len(entry))
		}
		if len(page)+len(entry) > len(buf) {
			break
		}
		page = append(page, entry...)
	}
	if at == uint64(len(keys)) {
		at = 0
	}
	binary.LittleEndian.PutUint64(cursor[:], at)
	return int32(copy(buf, page))
}

func appendField(to, field []byte) []byte {
	return append(binary.LittleEndian.AppendUint32(to, uint32(len(field))), field...)
}

// maxLease is 24 hours in milliseconds.
const maxLease = 24 * 60 * 60 * 1000

// The operations of a batch.
const (
	batchGet    = 1
	batchSet    = 2
	batchDelete = 3
	batchCAS    = 4
)

// absent is the length of no value in a compare-and-set.
const absent = 1<<32 - 1

// KVBatch runs the operations on a copy of the store, which replaces it when all of them went well.
func (c *call) KVBatch(ops, out []byte) int32 {
	if len(ops) > 0 {
		before := maps.Clone(c.host.KV)
		results, code := c.runBatch(ops)
		if code < 0 {
			c.host.KV = before
			return code
		}
		c.results = results
	}
	return give(string(c.results), true, out)
}

func (c *call) runBatch(ops []byte) (results []byte, code int32) {
	for len(ops) > 0 {
		op, rest, ok := unpackOp(ops)
		if !ok {
			return nil, invalid
		}
		ops = rest
		var value []byte
		switch op.kind {
		case batchGet:
			if code = checkKey(op.key); code == 0 {
				value, code = c.host.KV[op.key], notFound
				if _, found := c.host.KV[op.key]; found {
					code = 0
				}
			}
		case batchSet:
			code = c.KVSet(op.key, op.a)
		case batchDelete:
			code = c.KVDelete(op.key)
		case batchCAS:
			code = c.KVCAS(op.key, op.a, op.b)
		default:
			code = invalid
		}
		if code < 0 && (op.kind != batchGet || code != notFound) {
			return nil, code
		}
		results = appendField(binary.LittleEndian.AppendUint32(results, uint32(code)), value)
	}
	return results, 0
}

// batchOp is one operation; a and b are nil when absent.
type batchOp struct {
	kind byte
	key  string
	a, b []byte
}

// unpackOp reads the first operation of a packed batch.
func unpackOp(ops []byte) (op batchOp, rest []byte, ok bool) {
	const head = 16
	if len(ops) < head || ops[1]|ops[2]|ops[3] != 0 {
		return op, nil, false
	}
	rest = ops[head:]
	var fields [3][]byte
	for i := range fields {
		n := binary.LittleEndian.Uint32(ops[4+4*i:])
		if n == absent && i > 0 && ops[0] == batchCAS {
			continue
		}
		if uint64(n) > uint64(len(rest)) {
			return op, nil, false
		}
		fields[i], rest = rest[:n:n], rest[n:]
	}
	return batchOp{kind: ops[0], key: string(fields[0]), a: fields[1], b: fields[2]}, rest, true
}

// KVLock does not wait: nobody else could give the lock back, so a held one answers as the deadline would.
func (c *call) KVLock(key string, ttlMillis int32) int64 {
	if code := checkKey(key); code != 0 {
		return int64(code)
	}
	if ttlMillis <= 0 || ttlMillis > maxLease {
		return invalid
	}
	now := c.host.now()
	if held, found := c.host.leases[key]; found && now.Before(held.until) {
		return timedOut
	}
	c.host.token++
	until := now.Add(time.Duration(ttlMillis) * time.Millisecond)
	c.host.leases[key] = lease{token: c.host.token, until: until}
	return c.host.token
}

func (c *call) KVUnlock(key string, token int64) int32 {
	held, found := c.host.leases[key]
	if !found || held.token != token || !c.host.now().Before(held.until) {
		return conflict
	}
	delete(c.host.leases, key)
	return 0
}
