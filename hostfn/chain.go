package hostfn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// maxChained bounds the calls that one invocation of Faasm starts.
const maxChained = 65536

// faasmChainName starts another function and does not wait for it: one of the same app, else the command of an app of that
// name, which the manifests of both must allow.
//
// Parameters: name; input, length. Result: the call's number, from 1 on. It ends the call when the other cannot be started.
func faasmChainName(e *Env, p []uint64) (Result, error) {
	name, err := e.text("name", p[0])
	if err != nil {
		return 0, err
	}
	target := string(name)
	id, err := e.chain(Call{Function: target}, p[1], p[2])
	var refused *CallError
	if errors.As(err, &refused) && refused.Result == NotFound {
		return e.chain(Call{Function: target + "/main"}, p[1], p[2])
	}
	return id, err
}

// faasmChainPtr starts a function of the same module, of type () -> i32, in an instance of its own, and does not wait for it.
//
// Parameters: function pointer; input, length. Result: the call's number, from 1 on. It ends the call when it cannot be started.
func faasmChainPtr(e *Env, p []uint64) (Result, error) {
	return e.chain(Call{Entry: &Entry{Index: uint32(p[0])}}, p[1], p[2])
}

func (e *Env) chain(call Call, ptr, n uint64) (Result, error) {
	input, err := e.bytes("input", ptr, n)
	if err != nil {
		return 0, err
	}
	starter, f := e.starter(), e.others()
	switch {
	case starter == nil:
		return 0, e.ended(errNoCalls)
	case len(input) > maxObject:
		return 0, e.ended(fmt.Errorf("an input of %d bytes is above the limit of %d", len(input), maxObject))
	case len(f.chained) >= maxChained:
		return 0, e.ended(fmt.Errorf("the invocation has started %d calls, which is the limit", maxChained))
	}
	call.Input = append([]byte(nil), input...)
	object, err := starter.Start(&call)
	if err != nil {
		return 0, e.ended(err)
	}
	f.chained = append(f.chained, object)
	return Result(len(f.chained)), nil
}

// errNoCalls ends a guest that starts another where it cannot.
var errNoCalls = errors.New("no function can be started from here")

// faasmAwait waits for a call, without the core.
//
// Parameters: the call's number. Result: what the function returned; 0 for a command that ended well; 1 for a call that failed,
// of which the log tells the cause.
func faasmAwait(e *Env, p []uint64) (Result, error) {
	code, _, err := e.awaitChained(p[0], 0)
	return code, err
}

// faasmAwaitOutput waits for a call, without the core, and gives its output, in memory that is added to the guest's for it: it is
// not to be freed, and goes with the invocation.
//
// Parameters: the call's number; output, where the address of the output goes; length, where its length goes. Both are 0 when
// there is none. Result: as __faasm_await_call. It ends the call when the memory cannot grow so far.
func faasmAwaitOutput(e *Env, p []uint64) (Result, error) {
	if _, err := e.bytes("output", p[1], 4); err != nil {
		return 0, err
	}
	if _, err := e.bytes("length", p[2], 4); err != nil {
		return 0, err
	}
	code, body, err := e.awaitChained(p[0], math.MaxInt32)
	if err != nil {
		return 0, err
	}
	at := uint32(0)
	if len(body) > 0 {
		if at, err = e.allot(body); err != nil {
			return 0, err
		}
	}
	if err := e.put32("output", p[1], at); err != nil {
		return 0, err
	}
	return code, e.put32("length", p[2], uint32(len(body)))
}

// awaitChained waits for a call and returns what its function returned, and its output when there are no more bytes than most.
func (e *Env) awaitChained(id uint64, most int) (Result, []byte, error) {
	f := e.others()
	if id == 0 || id > uint64(len(f.chained)) {
		return 0, nil, e.ended(fmt.Errorf("there is no call %d; %d have been started", id, len(f.chained)))
	}
	object := f.chained[id-1]
	if result := e.await(object, -1); result < 0 {
		if err := e.over(); err != nil {
			return 0, nil, err
		}
		return 0, nil, e.ended(&CallError{result, string(e.calling.last)})
	}
	var out Outcome
	var err error
	e.away(func() { out, err = e.starter().Result(object, most) }) // a large one may be on the disk
	switch {
	case err != nil:
		return 0, nil, e.ended(err)
	case out.Err != nil:
		e.logText(LevelWarn, fmt.Appendf(nil, "call %d failed: %v", id, out.Err))
		return 1, nil, nil //nolint:nilerr // the guest is told
	case len(out.Values) == 4:
		return Result(int32(binary.LittleEndian.Uint32(out.Values))), out.Body, nil
	}
	return 0, out.Body, nil
}
