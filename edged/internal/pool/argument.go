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
	argument, ptr := env.Argument(), uint64(0)
	if len(argument) > math.MaxInt32 {
		return fmt.Errorf("%w: its argument has %d bytes, above what i32 can say", errReturned, len(argument))
	}
	if len(argument) > 0 {
		allocate, err := c.instance.Func(hostfn.AllocateExport, hostfn.AllocateType())
		if err != nil {
			return err
		}
		w.stack[0] = uint64(len(argument))
		if err := w.enter(c.instance, allocate, env, w.stack[:1]); err != nil {
			return err
		}
		ptr = uint64(uint32(w.stack[0]))
		memory := c.instance.Memory()
		if ptr == 0 || ptr+uint64(len(argument)) > uint64(len(memory)) {
			return &wasmedge.Trap{Kind: wasmedge.TrapHost, Cause: fmt.Errorf("%s(%d) returned %#x, where there are not so many bytes; "+
				"the guest has %d", hostfn.AllocateExport, len(argument), ptr, len(memory))}
		}
		copy(memory[ptr:], argument)
	}
	w.stack = [2]uint64{ptr, uint64(len(argument))}
	return w.enter(c.instance, fn, env, w.stack[:])
}
