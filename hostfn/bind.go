package hostfn

import (
	"errors"
	"strings"

	"edged.dev/edge/wasmedge"
)

// The modules that guests import from.
const (
	moduleEdged = "edged"
	moduleWASI  = "wasi_snapshot_preview1"
	// moduleEnv is where guests of waverless, Faasm and Sledge import from: each system has names of its own in it.
	moduleEnv = "env"
	// moduleScratch is where guests of Sledge import from that name the module themselves.
	moduleScratch = "scratch_storage"
	// moduleRay is where guests of Warrior import from.
	moduleRay = "ray"
)

// ErrNoInvocation ends a guest whose call carries no [Env] as its value: a mistake of the code that started it.
var ErrNoInvocation = errors.New("the call carries no invocation")

// native declares one function of the edged module, or of a module of another system. types spells its type, one letter a value: "ii i" takes two i32 and
// returns an i32; I is an i64. A function without a result has call's first result ignored.
type native struct {
	name, types string
	call        func(e *Env, p []uint64) (Result, error)
}

// preview1 declares one function of wasi_snapshot_preview1. types spells its parameters; the result, when there is one, is
// an errno.
type preview1 struct {
	name, types string
	call        func(e *Env, p []uint64) (errno, error)
}

// All returns every function that a guest may import, in a fixed order. Each expects the [*Env] of the invocation as the
// value of its call. The slice is the caller's.
func All() []wasmedge.HostFunc {
	var all []wasmedge.HostFunc
	for _, family := range [][]native{exchangeFuncs(), metaFuncs(), kvFuncs(), callFuncs()} {
		for _, f := range family {
			all = append(all, bindNative(moduleEdged, f))
		}
	}
	for _, f := range scratchFuncs() {
		all = append(all, bindNative(moduleScratch, f))
	}
	for _, f := range rayFuncs() {
		all = append(all, bindNative(moduleRay, f))
	}
	for _, family := range [][]native{sledgeFuncs(), waverlessFuncs(), faasmFuncs()} {
		for _, f := range family {
			all = append(all, bindNative(moduleEnv, f))
		}
	}
	for _, family := range [][]preview1{processFuncs(), clockFuncs(), descriptorFuncs(), fileFuncs(), pathFuncs(), socketFuncs()} {
		for _, f := range family {
			all = append(all, bindPreview1(f))
		}
	}
	return all
}

func bindNative(module string, f native) wasmedge.HostFunc {
	typ, full, clean := funcType(f.types), module+"."+f.name, masks(f.types)
	narrow, hasResult := len(typ.Results) == 1 && typ.Results[0] == wasmedge.I32, len(typ.Results) == 1
	call := func(c *wasmedge.Caller, stack []uint64) error {
		e, err := enter(c, full, stack, clean)
		if err != nil {
			return err
		}
		result, err := f.call(e, stack)
		e.leave()
		if err != nil || !hasResult {
			return err
		}
		stack[0] = uint64(result)
		if narrow {
			stack[0] = uint64(uint32(result))
		}
		return nil
	}
	return wasmedge.HostFunc{Module: module, Name: f.name, Type: typ, Call: call}
}

func bindPreview1(f preview1) wasmedge.HostFunc {
	typ, full, clean := funcType(f.types), moduleWASI+"."+f.name, masks(f.types)
	hasResult := len(typ.Results) == 1
	call := func(c *wasmedge.Caller, stack []uint64) error {
		e, err := enter(c, full, stack, clean)
		if err != nil {
			return err
		}
		code, err := f.call(e, stack)
		e.leave()
		if err == nil && hasResult {
			stack[0] = uint64(code)
		}
		return err
	}
	return wasmedge.HostFunc{Module: moduleWASI, Name: f.name, Type: typ, Call: call}
}

// enter makes the invocation of this call ready for one host function: its memory is valid until the function returns.
func enter(c *wasmedge.Caller, full string, stack, clean []uint64) (*Env, error) {
	e, ok := c.Value().(*Env)
	if !ok || e == nil {
		return nil, ErrNoInvocation
	}
	e.fn, e.mem, e.caller = full, c.Memory(), c
	for i, mask := range clean {
		stack[i] &= mask
	}
	return e, nil
}

// leave lets go of the guest's memory.
func (e *Env) leave() {
	e.mem, e.caller = nil, nil
	clear(e.iovs)
	e.iovs = e.iovs[:0]
}

// masks returns what keeps of each parameter's slot the bits of its type; a slot of an i32 says nothing above.
func masks(types string) []uint64 {
	params, _, _ := strings.Cut(types, " ")
	kept := make([]uint64, len(params))
	for i := range params {
		kept[i] = 1<<32 - 1
		if params[i] == 'I' {
			kept[i] = 1<<64 - 1
		}
	}
	return kept
}

func funcType(types string) wasmedge.FuncType {
	params, results, _ := strings.Cut(types, " ")
	return wasmedge.FuncType{Params: valTypes(params), Results: valTypes(results)}
}

func valTypes(letters string) []wasmedge.ValType {
	var types []wasmedge.ValType
	for i := range len(letters) {
		if letters[i] == 'I' {
			types = append(types, wasmedge.I64)
		} else {
			types = append(types, wasmedge.I32)
		}
	}
	return types
}

// exit ends the guest with an exit code.
func exit(code uint32) error { return &wasmedge.ExitError{Code: code} }

// exitCode returns the exit code that ended a guest, and whether it was ended by one.
func exitCode(err error) (uint32, bool) {
	if err == nil {
		return 0, false
	}
	var exited *wasmedge.ExitError
	if !errors.As(err, &exited) {
		return 0, false
	}
	return exited.Code, true
}
