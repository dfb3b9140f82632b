package pool

import (
	"fmt"
	"math"

	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// enterWith calls an entry of type (ptr, len) with the invocation's argument, for which the guest makes room itself. Without
// an argument both are 0. It leaves the entry's result in stack.
func (w *worker) enterWith(c *cell, fn *wasmedge.Func, env *hostfn.Env) error {
	argument, ptr := env.Argument(), uint32(0)
	if len(argument) > 0 {
		var err error
		if ptr, err = w.place(c, hostfn.AllocateExport, argument, env); err != nil {
			return err
		}
	}
	w.stack = [2]uint64{uint64(ptr), uint64(len(argument))}
	return w.enter(c.instance, fn, env, w.stack[:])
}

// place copies data to where the guest's own function of type (i32) -> i32 makes room for it, and returns where that is.
func (w *worker) place(c *cell, allocate string, data []byte, env *hostfn.Env) (uint32, error) {
	if len(data) > math.MaxInt32 {
		return 0, fmt.Errorf("%w: %d bytes are above what i32 can say", errReturned, len(data))
	}
	fn, err := c.instance.Func(allocate, hostfn.AllocateType())
	if err != nil {
		return 0, err
	}
	stack := [1]uint64{uint64(len(data))}
	if err := w.enter(c.instance, fn, env, stack[:]); err != nil {
		return 0, err
	}
	ptr, memory := uint32(stack[0]), c.instance.Memory()
	if ptr == 0 || uint64(ptr)+uint64(len(data)) > uint64(len(memory)) {
		return 0, &wasmedge.Trap{Kind: wasmedge.TrapHost, Cause: fmt.Errorf("%s(%d) returned %#x, where there are not so many bytes; "+
			"the guest has %d", allocate, len(data), ptr, len(memory))}
	}
	copy(memory[ptr:], data)
	return ptr, nil
}
