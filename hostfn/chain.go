package hostfn

import (
	"encoding/binary"
	"errors"
	"fmt"
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
	f := e.others()
	if p[0] == 0 || p[0] > uint64(len(f.chained)) {
		return 0, e.ended(fmt.Errorf("there is no call %d; %d have been started", p[0], len(f.chained)))
	}
	object := f.chained[p[0]-1]
	if result := e.await(object, -1); result < 0 {
		if err := e.over(); err != nil {
			return 0, err
		}
		return 0, e.ended(&CallError{result, string(e.calling.last)})
	}
	out, err := e.starter().Result(object, 0)
	switch {
	case err != nil:
		return 0, e.ended(err)
	case out.Err != nil:
		e.logText(LevelWarn, fmt.Appendf(nil, "call %d failed: %v", p[0], out.Err))
		return 1, nil //nolint:nilerr // the guest is told
	case len(out.Values) == 4:
		return Result(int32(binary.LittleEndian.Uint32(out.Values))), nil
	}
	return 0, nil
}
