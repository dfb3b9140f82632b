package wasmedge

// #include <stdint.h>
import "C"

import (
	"fmt"
	"runtime/cgo"
	"runtime/debug"
	"unsafe"
)

// edgedThreadMain runs the Go function of a guest thread on it. C calls it once a thread.
//
//export edgedThreadMain
func edgedThreadMain(handle C.uintptr_t) {
	cgo.Handle(handle).Value().(*Thread).main()
}

// edgedHostCall runs host function index for the guest on this thread; 1 when the guest is not to go on.
//
//export edgedHostCall
func edgedHostCall(handle C.uintptr_t, index C.uint32_t, memory *C.uint8_t, bytes C.uint64_t, stack *C.uint64_t) C.int32_t {
	thread := cgo.Handle(handle).Value().(*Thread)
	fn := &thread.engine.functions[index]
	// SAFETY: memory points at `bytes` bytes of the calling guest's linear memory, which neither moves nor shrinks while
	// the host function runs; stack points at EDGE_MAX_VALUES slots on the caller's frame.
	thread.caller.memory, thread.caller.preparer = nil, thread
	if memory != nil {
		thread.caller.memory = unsafe.Slice((*byte)(unsafe.Pointer(memory)), int(bytes))
	}
	values := unsafe.Slice((*uint64)(unsafe.Pointer(stack)), max(len(fn.Type.Params), len(fn.Type.Results)))
	if err := thread.hostCall(fn, values); err != nil {
		thread.hostErr = err
		return 1
	}
	return 0
}

// hostCall calls the function and turns a panic into an error: a panic must never cross the frames of compiled code.
func (t *Thread) hostCall(fn *HostFunc, stack []uint64) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			t.engine.logger.Error("host function panicked", "module", fn.Module, "name", fn.Name, "panic", cause,
				"stack", string(debug.Stack()))
			err = fmt.Errorf("%s.%s: internal error: %v", fn.Module, fn.Name, cause)
		}
	}()
	return fn.Call(&t.caller, stack)
}
