package edged

import (
	"errors"
	"iter"

	"edged.dev/edge/sdk/go/internal/abi"
)

// KV is the app's space of the key-value store. Keys are 1 to 1,024 bytes, values at most 16 MiB; beyond that the error
// is [ErrInvalid] or [ErrTooLarge]. Writes return when they are as durable as the manifest's kv.durability says; their
// further errors are [ErrLimit] when the disk or the quota is full, and [ErrTimeout] at the call's deadline, after which
// they may or may not have been done. Without a space all answer [ErrDenied]. Other calls read and write the same space meanwhile; to change a value that depends
// on itself use [Store.CAS] or [Store.Update].
var KV Store

// Store is a space. The zero value is the app's own; there is nothing to open or close.
type Store struct{}

// Get returns a value, a new slice that is the caller's. [ErrNotFound].
func (Store) Get(key string) ([]byte, error) { return read(abi.KVGet, "kv get", key) }

// Set writes a value. A nil one is stored as an empty one.
func (Store) Set(key string, value []byte) error {
	return check(int64(abi.KVSet(key, value)), "kv set", key)
}

// Delete deletes a key and reports whether there was one.
func (Store) Delete(key string) (bool, error) {
	n := abi.KVDelete(key)
	return n > 0, check(int64(n), "kv delete", key)
}

// CAS writes value if the key's value is old, in one step. A nil old expects that there is no such key; a nil value
// deletes it. An empty slice that is not nil is an empty value. [ErrConflict] when it is something else by now.
func (Store) CAS(key string, old, value []byte) error {
	return check(int64(abi.KVCAS(key, old, value)), "kv cas", key)
}

// Update replaces a value by what change makes of it, and tries again with the new one for as long as others are faster,
// so change must have no other effect. It gets nil for a key that is not there, and deletes the key when it returns nil.
// An error of change ends it with nothing written.
func (s Store) Update(key string, change func(old []byte) ([]byte, error)) error {
	for {
		old, err := s.Get(key)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		value, err := change(old)
		if err != nil {
			return err
		}
		if err := s.CAS(key, old, value); !errors.Is(err, ErrConflict) {
			return err
		}
	}
}

// Pair is a key with its value.
type Pair struct {
	Key   string
	Value []byte
}

// scanPage is how much of a scan is asked for at once, unless one entry needs more.
const scanPage = 16 << 10

// Scan walks over the keys that begin with prefix, in byte order. The pair is the caller's. An error is the last element,
// with a zero pair; more than 16 walks at once make the oldest fail with [ErrInvalid]. Keys set or deleted meanwhile may or may not be seen; no key is seen twice.
func (Store) Scan(prefix string) iter.Seq2[Pair, error] {
	return func(yield func(Pair, error) bool) {
		var cursor [16]byte
		page := make([]byte, scanPage)
		for {
			n := abi.KVScan(prefix, &cursor, page)
			if err := check(int64(n), "kv scan", prefix); err != nil {
				yield(Pair{}, err)
				return
			}
			if int(n) > len(page) {
				page = make([]byte, n)
				continue
			}
			if !yieldPage(page[:n], yield) || n == 0 || cursor == [16]byte{} {
				return
			}
		}
	}
}

// yieldPage unpacks entries of {u32 key length, key, u32 value length, value}; false when the caller wants no more.
func yieldPage(page []byte, yield func(Pair, error) bool) bool {
	for len(page) > 0 {
		key, rest := unpack(page)
		value, next := unpack(rest)
		page = next
		if !yield(Pair{Key: string(key), Value: append([]byte{}, value...)}, nil) {
			return false
		}
	}
	return true
}

// unpack cuts a length-prefixed field off. The host wrote it, so the lengths are right.
func unpack(b []byte) (field, rest []byte) {
	n := 4 + littleEndian(b)
	return b[4:n], b[n:]
}

func littleEndian(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}
