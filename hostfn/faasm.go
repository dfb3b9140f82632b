package hostfn

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"edged.dev/edge/kvstore"
)

// faasmFuncs are the functions that guests of Faasm import. Keys are texts that end in a NUL. State has two tiers: the copy of
// this node, which all invocations of the app share and which ends with the version of the app and with the daemon, and the
// app's space, where a push puts it. A failure ends the call, as an exception does in Faasm.
func faasmFuncs() []native {
	return []native{
		{"__faasm_read_input", "ii i", faasmReadInput},
		{"__faasm_write_output", "ii", faasmWriteOutput},
		{"__faasm_chain_name", "iii i", faasmChainName},
		{"__faasm_chain_ptr", "iii i", faasmChainPtr},
		{"__faasm_await_call", "i i", faasmAwait},
		{"__faasm_await_call_output", "iii i", faasmAwaitOutput},
		{"__faasm_read_state", "iii i", faasmReadState},
		{"__faasm_write_state", "iii", faasmWriteState},
		{"__faasm_read_state_offset", "iiiii", faasmReadStateOffset},
		{"__faasm_write_state_offset", "iiiii", faasmWriteStateOffset},
		{"__faasm_append_state", "iii", faasmAppendState},
		{"__faasm_read_appended_state", "iiii", faasmReadAppendedState},
		{"__faasm_clear_appended_state", "i", faasmClearAppendedState},
		{"__faasm_push_state", "i", faasmPushState},
		{"__faasm_pull_state", "ii", faasmPullState},
		{"__faasm_lock_state_read", "i", faasmLockRead},
		{"__faasm_unlock_state_read", "i", faasmUnlockRead},
		{"__faasm_lock_state_write", "i", faasmLockWrite},
		{"__faasm_unlock_state_write", "i", faasmUnlockWrite},
	}
}

// faasmReadInput copies the beginning of the request's body.
//
// Parameters: buffer, length. Result: bytes copied; with length 0, how long the body is.
func faasmReadInput(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buffer", p[0], p[1])
	if err != nil {
		return 0, err
	}
	if len(buf) == 0 {
		return Result(len(e.input)), nil
	}
	return Result(copy(buf, e.input)), nil
}

// faasmWriteOutput makes data the response; the last call counts.
//
// Parameters: output, length. No result.
func faasmWriteOutput(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("output", p[0], p[1])
	if err != nil {
		return 0, err
	}
	return 0, e.answer(data)
}

// stateKey reads the key at ptr, which every function of state begins with. It aliases the guest's memory.
func (e *Env) stateKey(ptr uint64) (Space, []byte, error) {
	key, err := e.text("key", ptr)
	if err != nil {
		return nil, nil, err
	}
	space, err := e.store()
	switch {
	case err != nil:
		return nil, nil, err
	case len(key) == 0:
		return nil, nil, e.ended(kvstore.ErrEmptyKey)
	}
	return space, key, nil
}

// loaded makes sure that the node has a copy of a state, from the space if need be. It returns false when there is none.
func (e *Env) loaded(space Space, key []byte) (bool, error) {
	if e.app.states.has(string(key)) {
		return true, nil
	}
	value, err := space.Get(key, nil)
	if errors.Is(err, kvstore.ErrNotFound) {
		return false, nil
	}
	if err := e.keyed(key, err); err != nil {
		return false, err
	}
	return true, e.keyed(key, e.app.states.add(string(key), value))
}

// errNoState ends a guest that reads a state that nobody has written.
var errNoState = errors.New("there is no such state")

// faasmReadState copies the beginning of a state.
//
// Parameters: key; buffer, length. Result: the state's size; with length 0 nothing is copied, and the size of one that is not
// there is 0.
func faasmReadState(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buffer", p[1], p[2])
	if err != nil {
		return 0, err
	}
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	there, err := e.loaded(space, key)
	switch {
	case err != nil:
		return 0, err
	case !there && len(buf) == 0:
		return 0, nil
	case !there:
		return 0, e.keyed(key, errNoState)
	}
	size, err := e.app.states.read(string(key), 0, buf)
	return Result(size), e.keyed(key, err)
}

// faasmWriteState replaces the node's copy of a state.
//
// Parameters: key; data, length. No result.
func faasmWriteState(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("data", p[1], p[2])
	if err != nil {
		return 0, err
	}
	_, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	return 0, e.keyed(key, e.app.states.replace(string(key), data, true))
}

// faasmReadStateOffset copies a part of a state.
//
// Parameters: key; total, the state's size, which is not looked at; offset; buffer, length. No result.
func faasmReadStateOffset(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buffer", p[3], p[4])
	if err != nil {
		return 0, err
	}
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	there, err := e.loaded(space, key)
	if err == nil && !there {
		err = e.keyed(key, errNoState)
	}
	if err != nil {
		return 0, err
	}
	size, err := e.app.states.read(string(key), p[2], buf)
	if err == nil && p[2]+uint64(len(buf)) > uint64(size) {
		err = fmt.Errorf("bytes %d to %d of a state of %d", p[2], p[2]+uint64(len(buf)), size)
	}
	return 0, e.keyed(key, err)
}

// faasmWriteStateOffset replaces a part of the node's copy of a state.
//
// Parameters: key; total, the size that the state has afterwards: it is filled up with zeros, or cut; offset; data, length.
// No result.
func faasmWriteStateOffset(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("data", p[3], p[4])
	if err != nil {
		return 0, err
	}
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	if p[2]+uint64(len(data)) > p[1] {
		return 0, e.keyed(key, fmt.Errorf("bytes %d to %d of a state of %d", p[2], p[2]+uint64(len(data)), p[1]))
	}
	if _, err := e.loaded(space, key); err != nil {
		return 0, err
	}
	return 0, e.keyed(key, e.app.states.write(string(key), p[1], p[2], data))
}

// faasmPushState stores the node's copy of a state in the space; without one, or when it has not been written to, it does
// nothing.
//
// Parameters: key. No result.
func faasmPushState(e *Env, p []uint64) (Result, error) {
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	value, written := e.app.states.changed(string(key))
	if written == 0 {
		return 0, nil
	}
	ctx := e.patient()
	defer ctx.back()
	if err := e.keyed(key, space.Set(ctx, key, value)); err != nil {
		return 0, err
	}
	e.app.states.pushed(string(key), written)
	return 0, nil
}

// faasmPullState replaces the node's copy of a state by what the space holds.
//
// Parameters: key; length, the state's size, which is not looked at. No result.
func faasmPullState(e *Env, p []uint64) (Result, error) {
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	value, err := space.Get(key, e.scratch[:0])
	if errors.Is(err, kvstore.ErrNotFound) {
		err = errNoState
	}
	if err == nil {
		e.scratch = value
		err = e.app.states.replace(string(key), value, false)
	}
	return 0, e.keyed(key, err)
}

// maxAppended bounds the elements that are appended to one state.
const maxAppended = 65536

// Appended elements are entries of the space of their own, so that an append costs no more than what it adds: KEY NUL holds
// the number of the next, KEY NUL and that number (u64, the highest byte first, so that the order of keys is theirs) the
// element. No key of a guest has a NUL.
func appendedKey(key []byte) []byte { return append(append([]byte{}, key...), 0) }

// counter reads the number of the next element; old is nil when there is none yet.
func (e *Env) counter(space Space, base []byte) (next uint64, old []byte, err error) {
	old, err = space.Get(base, nil)
	switch {
	case errors.Is(err, kvstore.ErrNotFound):
		return 0, nil, nil
	case err == nil && len(old) != 8:
		err = fmt.Errorf("the number of appended elements has %d bytes, not 8", len(old))
	}
	if err := e.keyed(base, err); err != nil {
		return 0, nil, err
	}
	return binary.BigEndian.Uint64(old), old, nil
}

// faasmAppendState adds an element to a state that is only appended to; it goes to the space at once, in one transaction
// with its number.
//
// Parameters: key; data, length. No result. It ends the call above 65,536 elements.
func faasmAppendState(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("data", p[1], p[2])
	if err != nil {
		return 0, err
	}
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	base := appendedKey(key)
	for {
		next, old, err := e.counter(space, base)
		if err != nil {
			return 0, err
		}
		if next >= maxAppended {
			return 0, e.keyed(key, fmt.Errorf("%d elements have been appended, which is the limit; clear it", next))
		}
		err = e.apply(space, []kvstore.Op{
			{Kind: kvstore.OpCompareAndSwap, Key: base, Old: old, Value: binary.BigEndian.AppendUint64(nil, next+1)},
			{Kind: kvstore.OpSet, Key: binary.BigEndian.AppendUint64(appendedKey(key), next), Value: data},
		})
		if !errors.Is(err, kvstore.ErrConflict) {
			return 0, e.keyed(key, err)
		}
		if err := e.over(); err != nil {
			return 0, err
		}
	}
}

// apply is Space.Apply for operations that read nothing.
func (e *Env) apply(space Space, ops []kvstore.Op) error {
	ctx := e.patient()
	defer ctx.back()
	_, err := space.Apply(ctx, ops)
	return err
}

// faasmReadAppendedState copies the first elements of a state that is appended to, one behind the other.
//
// Parameters: key; buffer, length; count, how many. No result. It ends the call when there are fewer, or when they are longer
// than the buffer.
func faasmReadAppendedState(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buffer", p[1], p[2])
	if err != nil {
		return 0, err
	}
	space, key, err := e.stateKey(p[0])
	if err != nil || p[3] == 0 {
		return 0, err
	}
	base, found, used := appendedKey(key), uint64(0), 0
	var over error
	err = space.Scan(base, base, func(_, value []byte) bool {
		if len(value) > len(buf)-used {
			over = fmt.Errorf("%d elements are longer than the buffer of %d bytes", p[3], len(buf))
			return false
		}
		used += copy(buf[used:], value)
		if found++; found%scanLook == 0 {
			over = e.over()
		}
		return found < p[3] && over == nil
	})
	switch {
	case err == nil && over == nil && found < p[3]:
		err = fmt.Errorf("%d elements are asked for, there are %d", p[3], found)
	case err == nil:
		err = over
	}
	return 0, e.keyed(key, err)
}

// faasmClearAppendedState removes what was appended to a state.
//
// Parameters: key. No result.
func faasmClearAppendedState(e *Env, p []uint64) (Result, error) {
	space, key, err := e.stateKey(p[0])
	if err != nil {
		return 0, err
	}
	base := appendedKey(key)
	for {
		if err := e.over(); err != nil {
			return 0, err
		}
		_, old, err := e.counter(space, base)
		if err != nil || old == nil {
			return 0, err
		}
		var ops []kvstore.Op
		err = space.Scan(base, base, func(element, _ []byte) bool {
			ops = append(ops, kvstore.Op{Kind: kvstore.OpDelete, Key: bytes.Clone(element)})
			return len(ops) < e.app.Limits.BatchOps
		})
		last := len(ops) < e.app.Limits.BatchOps
		if last {
			ops = append(ops, kvstore.Op{Kind: kvstore.OpCompareAndSwap, Key: base, Old: old})
		}
		if err == nil {
			err = e.apply(space, ops)
		}
		switch {
		case errors.Is(err, kvstore.ErrConflict): // something was appended meanwhile
		case err != nil || last:
			return 0, e.keyed(key, err)
		}
	}
}

// faasmLockRead and the three below lock the node's copy of a state: many may read or one may write. Waiting, the guest
// leaves its core. A lock ends with the invocation at the latest.
//
// Parameters: key. No result.
func faasmLockRead(e *Env, p []uint64) (Result, error) { return 0, e.lockState(p[0], false) }

func faasmLockWrite(e *Env, p []uint64) (Result, error) { return 0, e.lockState(p[0], true) }

func faasmUnlockRead(e *Env, p []uint64) (Result, error) { return 0, e.unlockState(p[0], false) }

func faasmUnlockWrite(e *Env, p []uint64) (Result, error) { return 0, e.unlockState(p[0], true) }

// maxStates is how many locks of state an invocation may hold.
const maxStates = 256

func (e *Env) lockState(ptr uint64, write bool) error {
	_, key, err := e.stateKey(ptr)
	if err != nil {
		return err
	}
	f := e.others()
	for _, held := range f.states {
		if held.key == string(key) && (held.write || write) {
			return e.keyed(key, errors.New("the invocation holds a lock of this state already and would wait for itself"))
		}
	}
	if len(f.states) >= maxStates {
		return e.keyed(key, fmt.Errorf("the invocation holds %d locks already", maxStates))
	}
	wanted := heldState{string(key), write}
	ctx := e.patient()
	defer ctx.back()
	if err := e.app.states.lock(ctx, wanted); err != nil {
		if ctx.Err() != nil {
			return context.Cause(e.ctx)
		}
		return e.keyed(key, err)
	}
	f.states = append(f.states, wanted)
	return nil
}

func (e *Env) unlockState(ptr uint64, write bool) error {
	_, key, err := e.stateKey(ptr)
	if err != nil {
		return err
	}
	f := e.others()
	for i, held := range f.states {
		if held.key == string(key) && held.write == write {
			f.states = append(f.states[:i], f.states[i+1:]...)
			e.app.states.unlock(held)
			return nil
		}
	}
	return e.keyed(key, errors.New("the invocation does not hold this lock"))
}
