package hostfn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
)

// The interfaces of other systems have few numbers for what can go wrong, or none. What they cannot say ends the call: the
// error names the function and the cause, and stands in the answer and in the app's log. So a guest never goes on as if a
// write had been done.

// foreign is what the interfaces of other systems keep for one invocation.
type foreign struct {
	results   []*keptResult // of waverless, the oldest first
	resultID  uint32        // given out last
	keptBytes int           // of all results
	locks     map[heldLock]uint64
	states    []heldState // locks of Faasm's state that the guest holds
	arenaAt   uint64      // in memory that the host has added: where it is free
	arenaEnd  uint64
	chained   []int64           // calls of Faasm, by their number less one
	tracked   map[uint32]uint32 // memory that a guest of Warrior lets go with calls: how much is where
}

// others returns what the invocation keeps for interfaces of other systems.
func (e *Env) others() *foreign {
	if e.foreign == nil {
		e.foreign = new(foreign)
	}
	return e.foreign
}

// endForeign forgets what was kept. Locks of Faasm's state end with the invocation, as no other could give them up; those
// of waverless, which others may, only when it failed.
func (e *Env) endForeign(failed bool) {
	f := e.foreign
	if f == nil {
		return
	}
	if failed {
		for held, token := range f.locks {
			_ = e.app.Space.Unlock([]byte(held.key), token) // its lease may be over, which is as good
		}
	}
	for _, held := range f.states {
		e.app.states.unlock(held)
	}
	e.foreign = nil
}

// errNoSpace ends a guest that asks for state where there is none.
var errNoSpace = errors.New("this app has no key-value space")

// endedError ends the call of a guest whose interface cannot say what went wrong.
type endedError struct {
	fn    string
	cause error
}

// Error names the function.
func (e *endedError) Error() string { return e.fn + ": " + e.cause.Error() }

// Unwrap returns the cause.
func (e *endedError) Unwrap() error { return e.cause }

func (e *Env) ended(err error) error { return &endedError{e.fn, err} }

// store returns the app's space as the invocation may use it.
func (e *Env) store() (Space, error) {
	space := e.space()
	if space == nil {
		return nil, e.ended(errNoSpace)
	}
	return space, nil
}

// keyed ends the call when the store could not do what the guest asked for.
func (e *Env) keyed(key []byte, err error) error {
	if err == nil {
		return nil
	}
	return e.ended(fmt.Errorf("key %.64q: %w", key, err))
}

// maxText is the longest text that ends in a NUL: longer than any key may be.
const maxText = 4 << 10

// text returns the text at ptr without the NUL that ends it. It aliases the guest's memory.
func (e *Env) text(arg string, ptr uint64) ([]byte, error) {
	if ptr >= uint64(len(e.mem)) {
		return nil, &PointerError{Func: e.fn, Arg: arg, Ptr: ptr, Len: 1, Memory: len(e.mem)}
	}
	head := e.mem[ptr:min(uint64(len(e.mem)), ptr+maxText)]
	n := bytes.IndexByte(head, 0)
	switch {
	case n >= 0:
		return head[:n:n], nil
	case len(head) < maxText:
		return nil, &PointerError{Func: e.fn, Arg: arg, Ptr: ptr, Len: uint64(len(head)) + 1, Memory: len(e.mem)}
	default:
		return nil, e.ended(fmt.Errorf("%s: no NUL in the first %d bytes of a text", arg, maxText))
	}
}

// allot copies data to memory of the guest's that nobody uses, which the host adds to it, and returns where it is. The guest's own
// allocator does not know of it.
func (e *Env) allot(data []byte) (uint32, error) {
	const page, align = 1 << 16, 16
	f, size := e.others(), (uint64(len(data))+align-1)&^(align-1)
	if f.arenaEnd-f.arenaAt < size {
		at := uint64(len(e.mem))
		if !e.caller.Grow(uint32((size + page - 1) / page)) {
			return 0, e.ended(fmt.Errorf("the guest's memory of %d bytes cannot grow by %d more: see limits.memory", at, size))
		}
		e.mem = e.caller.Memory()
		f.arenaAt, f.arenaEnd = at, uint64(len(e.mem))
	}
	at := f.arenaAt
	f.arenaAt += size
	copy(e.mem[at:], data)
	return uint32(at), nil
}

// Answer makes data the whole response of the running invocation, in place of what was the response before. An error means that
// it is too large, or that a part has gone out.
func (e *Env) Answer(data []byte) error { return e.answer(data) }

// answer makes data the whole response, in place of what was the response before.
func (e *Env) answer(data []byte) error {
	limit := min(e.app.Limits.OutputBytes, math.MaxInt32)
	switch r := &e.response; {
	case len(data) > limit:
		return e.ended(fmt.Errorf("%d bytes: %w of %d bytes", len(data), ErrOutputLimit, limit))
	case r.streamed:
		return e.ended(errors.New("a part of the response has gone out already and cannot be replaced"))
	default:
		r.body, r.total = append(r.body[:0], data...), len(data)
		return nil
	}
}
