package hostfn

import (
	"context"
	"errors"
	"time"

	"edged.dev/edge/kvstore"
	"edged.dev/edge/kvstore/keypattern"
)

// ErrDenied is returned by a [Space] for a key that the invocation may not use in this way. Guests get Denied.
var ErrDenied = errors.New("the function may not use this key in this way: its manifest lists what it may under kvs")

// space returns the app's space as the running invocation may use it; nil when there is none. It is asked for once an
// invocation, when the first function needs it.
func (e *Env) space() Space {
	if e.reach != nil || e.app.Space == nil {
		return e.reach
	}
	e.reach = e.app.Space
	if e.app.SpaceOf != nil {
		origin := e.author
		if origin == nil && e.req != nil {
			origin = e.req.Origin()
		}
		e.reach = e.app.SpaceOf(origin)
	}
	return e.reach
}

// WriteAs says whose use of keys it is, where that is not the request's origin: a guest that is made ready for an invocation, or gives its
// state away after one, may start nothing, but reads and writes keys. Call it after Begin, which forgets it.
func (e *Env) WriteAs(origin any) { e.author = origin }

// Permission lists the keys that a function may use, by how it uses them.
type Permission struct{ Get, Set, Delete []*keypattern.Pattern }

// Restrict returns space with every other key than the permitted ones denied: reading one needs Get, writing Set, removing
// Delete, and a compare-and-swap needs Get beside. A lock needs Set or Delete. A scan leaves out what may not be read, and is
// denied when nothing may; a batch with one operation that is denied does nothing.
func Restrict(space Space, permission *Permission) Space {
	return &restricted{space: space, permission: permission}
}

type restricted struct {
	space      Space
	permission *Permission
}

func permits(list []*keypattern.Pattern, key []byte) bool {
	for _, pattern := range list {
		if pattern.Match(key) {
			return true
		}
	}
	return false
}

// allows reports whether an operation is permitted.
func (p *Permission) allows(op kvstore.Op) bool {
	switch op.Kind {
	case kvstore.OpGet:
		return permits(p.Get, op.Key)
	case kvstore.OpSet:
		return permits(p.Set, op.Key)
	case kvstore.OpDelete:
		return permits(p.Delete, op.Key)
	case kvstore.OpCompareAndSwap:
		if !permits(p.Get, op.Key) {
			return false
		}
		if op.Value == nil {
			return permits(p.Delete, op.Key)
		}
		return permits(p.Set, op.Key)
	}
	return true // no operation: the store refuses it
}

// Get implements Space.
func (r *restricted) Get(key, dst []byte) ([]byte, error) {
	if !permits(r.permission.Get, key) {
		return dst, ErrDenied
	}
	return r.space.Get(key, dst)
}

// Set implements Space.
func (r *restricted) Set(ctx context.Context, key, value []byte) error {
	if !permits(r.permission.Set, key) {
		return ErrDenied
	}
	return r.space.Set(ctx, key, value)
}

// Delete implements Space.
func (r *restricted) Delete(ctx context.Context, key []byte) (bool, error) {
	if !permits(r.permission.Delete, key) {
		return false, ErrDenied
	}
	return r.space.Delete(ctx, key)
}

// CompareAndSwap implements Space.
func (r *restricted) CompareAndSwap(ctx context.Context, key, old, value []byte) error {
	if !r.permission.allows(kvstore.Op{Kind: kvstore.OpCompareAndSwap, Key: key, Value: value}) {
		return ErrDenied
	}
	return r.space.CompareAndSwap(ctx, key, old, value)
}

// Scan implements Space.
func (r *restricted) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	if len(r.permission.Get) == 0 {
		return ErrDenied
	}
	return r.space.Scan(prefix, after, func(key, value []byte) bool { return !r.reads(key) || fn(key, value) })
}

func (r *restricted) reads(key []byte) bool { return permits(r.permission.Get, key) }

// unfiltered returns a space whose Scan yields every key, and which of them to leave out: who scans on behalf of a guest must
// look at the clock beside keys that are left out too. reads is nil when none is.
func unfiltered(space Space) (all Space, reads func(key []byte) bool) {
	if r, ok := space.(*restricted); ok && len(r.permission.Get) > 0 {
		return r.space, r.reads
	}
	return space, nil
}

// Apply implements Space.
func (r *restricted) Apply(ctx context.Context, ops []kvstore.Op) ([]kvstore.OpResult, error) {
	for _, op := range ops {
		if !r.permission.allows(op) {
			return nil, ErrDenied
		}
	}
	return r.space.Apply(ctx, ops)
}

// Lock implements Space.
func (r *restricted) Lock(ctx context.Context, key []byte, ttl time.Duration) (uint64, error) {
	if !r.locks(key) {
		return 0, ErrDenied
	}
	return r.space.Lock(ctx, key, ttl)
}

// Unlock implements Space.
func (r *restricted) Unlock(key []byte, token uint64) error {
	if !r.locks(key) {
		return ErrDenied
	}
	return r.space.Unlock(key, token)
}

func (r *restricted) locks(key []byte) bool {
	return permits(r.permission.Set, key) || permits(r.permission.Delete, key)
}
