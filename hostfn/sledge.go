package hostfn

import (
	"errors"
	"net/url"
	"strings"

	"edged.dev/edge/kvstore"
)

// sledgeFuncs are the functions of Sledge's scratch storage under the names that its runtime links them by. The storage is
// the app's space, so it outlives the daemon as far as the space does.
func sledgeFuncs() []native {
	return []native{
		{"scratch_storage_get_size", "ii i", scratchGetSize},
		{"scratch_storage_get", "iiii i", scratchGet},
		{"scratch_storage_set", "iiii i", scratchSet},
		{"scratch_storage_delete", "ii i", scratchDelete},
		{"scratch_storage_upsert", "iiii", scratchUpsert},
	}
}

// scratchFuncs are the same functions as a module of its own, which is how Sledge's guests are built today.
func scratchFuncs() []native {
	return []native{
		{"get_size", "ii i", scratchGetSize},
		{"get", "iiii i", scratchGet},
		{"set", "iiii i", scratchSet},
		{"delete", "ii i", scratchDelete},
		{"upsert", "iiii", scratchUpsert},
	}
}

// The results of scratch storage.
const (
	scratchDone     Result = 0
	scratchNot      Result = 1 // get, delete: no such key. set: there is one already
	scratchTooSmall Result = 2 // get: the buffer does not hold the value
)

// scratchGetSize returns the length of a value.
//
// Parameters: key, key_len. Result: bytes, 0 also when there is no such key.
func scratchGetSize(e *Env, p []uint64) (Result, error) {
	value, err := e.scratchValue(p)
	return Result(len(value)), err
}

// scratchGet reads a value.
//
// Parameters: key, key_len; buf, buf_len. Result: 0; 1 without such a key; 2 when the buffer is too small, which is left as
// it was.
func scratchGet(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buf", p[2], p[3])
	if err != nil {
		return 0, err
	}
	value, err := e.scratchValue(p)
	switch {
	case err != nil:
		return 0, err
	case value == nil:
		return scratchNot, nil
	case len(value) > len(buf):
		return scratchTooSmall, nil
	}
	copy(buf, value)
	return scratchDone, nil
}

// scratchValue reads the value of the key in the first two parameters; nil without such a key. It is valid until the next
// call.
func (e *Env) scratchValue(p []uint64) ([]byte, error) {
	key, err := e.bytes("key", p[0], p[1])
	if err != nil {
		return nil, err
	}
	space, err := e.store()
	if err != nil {
		return nil, err
	}
	value, err := space.Get(key, e.scratch[:0])
	if errors.Is(err, kvstore.ErrNotFound) {
		return nil, nil
	}
	if err := e.keyed(key, err); err != nil {
		return nil, err
	}
	if e.scratch = value; value == nil {
		value = []byte{}
	}
	return value, nil
}

// scratchSet stores a value under a key that is not there yet.
//
// Parameters: key, key_len; value, value_len. Result: 0; 1 when the key is there, which is left as it was.
func scratchSet(e *Env, p []uint64) (Result, error) {
	return e.scratchWrite(p, func(space Space, ctx *patient, key, value []byte) error {
		return space.CompareAndSwap(ctx, key, nil, append([]byte{}, value...))
	})
}

// scratchUpsert stores a value, whether the key is there or not.
//
// Parameters: key, key_len; value, value_len. No result.
func scratchUpsert(e *Env, p []uint64) (Result, error) {
	return e.scratchWrite(p, func(space Space, ctx *patient, key, value []byte) error { return space.Set(ctx, key, value) })
}

func (e *Env) scratchWrite(p []uint64, write func(space Space, ctx *patient, key, value []byte) error) (Result, error) {
	key, err := e.bytes("key", p[0], p[1])
	if err != nil {
		return 0, err
	}
	value, err := e.bytes("value", p[2], p[3])
	if err != nil {
		return 0, err
	}
	space, err := e.store()
	if err != nil {
		return 0, err
	}
	ctx := e.patient()
	defer ctx.back()
	err = write(space, ctx, key, value)
	if errors.Is(err, kvstore.ErrConflict) {
		return scratchNot, nil
	}
	return scratchDone, e.keyed(key, err)
}

// scratchDelete removes a key.
//
// Parameters: key, key_len. Result: 0; 1 without such a key.
func scratchDelete(e *Env, p []uint64) (Result, error) {
	key, err := e.bytes("key", p[0], p[1])
	if err != nil {
		return 0, err
	}
	space, err := e.store()
	if err != nil {
		return 0, err
	}
	ctx := e.patient()
	defer ctx.back()
	existed, err := space.Delete(ctx, key)
	if !existed {
		return scratchNot, e.keyed(key, err)
	}
	return scratchDone, e.keyed(key, err)
}

// sledgeArgs appends the arguments of a guest of Sledge: the parameters of the request's query, one an argument.
func (e *Env) sledgeArgs(args []string) []string {
	for part := range strings.SplitSeq(e.metaOf("query"), "&") {
		if text, err := url.QueryUnescape(part); err == nil && part != "" && cleanVariable(text) {
			args = append(args, text)
		}
	}
	return args
}
