package kvstore

import (
	"context"
	"encoding/binary"

	"go.etcd.io/bbolt"
)

// fenceBlock is how many tokens one commit reserves: a lock then costs an fsync once in that many times, and a restart skips at
// most that many numbers of 2^64.
const fenceBlock = 1024

// fence hands out tokens that strictly increase, also across restarts and crashes: a token is only handed out below a bound
// that is already on disk, and a restart begins at that bound.
type fence struct {
	store *Store
	turn  chan struct{} // capacity 1: held while the fields below are used; a channel so that waiting can be given up

	next     uint64 // the next token
	reserved uint64 // tokens below it may be handed out
}

func newFence(s *Store, reserved uint64) *fence {
	first := max(reserved, 1)
	return &fence{store: s, turn: make(chan struct{}, 1), next: first, reserved: first}
}

func (f *fence) token(ctx context.Context) (uint64, error) {
	select {
	case f.turn <- struct{}{}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	defer func() { <-f.turn }()
	if f.next == f.reserved {
		if err := f.reserve(ctx, f.reserved+fenceBlock); err != nil {
			return 0, err
		}
	}
	t := f.next
	f.next++
	return t, nil
}

func (f *fence) reserve(ctx context.Context, bound uint64) error {
	rec := newSeal("").encode([]byte(fenceKey), binary.LittleEndian.AppendUint64(nil, bound))
	err := f.store.commit.admin(ctx, func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(metaBucket))
		if b == nil {
			return damaged("the %q bucket is gone", metaBucket)
		}
		return b.Put([]byte(fenceKey), rec)
	})
	if err == nil {
		f.reserved = bound
	}
	return err
}
