package wasmedge

import (
	"fmt"
	"strings"
)

// ValType is a WebAssembly value type in its binary encoding (core specification 5.3).
type ValType byte

// The value types that a host function or an entry may use.
const (
	I32 ValType = 0x7f
	I64 ValType = 0x7e
	F32 ValType = 0x7d
	F64 ValType = 0x7c
)

// String returns the type's name in the text format.
func (t ValType) String() string {
	switch t {
	case I32:
		return "i32"
	case I64:
		return "i64"
	case F32:
		return "f32"
	case F64:
		return "f64"
	default:
		return fmt.Sprintf("valtype(0x%02x)", byte(t))
	}
}

// FuncType is the type of a function: its parameters and its results, in order.
type FuncType struct {
	Params, Results []ValType
}

// String returns the type in the form "(i32, i64) -> i32".
func (t FuncType) String() string {
	return tuple(t.Params) + " -> " + results(t.Results)
}

func tuple(types []ValType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = t.String()
	}
	return "(" + strings.Join(names, ", ") + ")"
}

func results(types []ValType) string {
	if len(types) == 1 {
		return types[0].String()
	}
	return tuple(types)
}

// Equal reports whether both types have the same parameters and results.
func (t FuncType) Equal(other FuncType) bool {
	return string(raw(t.Params)) == string(raw(other.Params)) && string(raw(t.Results)) == string(raw(other.Results))
}

func raw(types []ValType) []byte {
	bytes := make([]byte, len(types))
	for i, t := range types {
		bytes[i] = byte(t)
	}
	return bytes
}

// HostFunc declares one function that a guest may import.
type HostFunc struct {
	// Module and Name are what the guest writes in its import section.
	Module, Name string
	// Type is the exact type; an import of another type is refused at deploy.
	Type FuncType
	// Call runs the function on the guest's own OS thread. stack holds the parameters on entry, one value a slot
	// (i32 zero-extended, f32 and f64 as their bits), and the results from slot 0 on return; its length is the larger
	// of the two counts. A nil error goes on with the guest; any other ends the call with a trap of kind [TrapHost]
	// that wraps it, or, when it is an [*ExitError], ends the guest with that exit code. A panic is recovered and
	// becomes a trap; runtime.Goexit cannot be, it ends the process. Neither c nor stack may be kept after Call returns.
	// A result that is left out is what its slot held: a parameter, else 0.
	Call func(c *Caller, stack []uint64) error
}

// Caller is what a host function sees of the guest that called it. It is valid until the host function returns and
// must not be used from another goroutine.
type Caller struct {
	memory   []byte
	value    any
	preparer preparer // nil: the memory needs none
}

// preparer makes a part of the calling guest's memory fit for writes of the kernel.
type preparer interface {
	prepare(part []byte)
}

// grower makes the calling guest's memory larger.
type grower interface {
	// grow adds pages of 64 KiB and returns the whole memory; false when it cannot have so many.
	grow(pages uint32) ([]byte, bool)
}

// NewCaller returns a caller over a linear memory and a per-call value. The engine makes its own; this is for tests of
// host functions, which need no engine that way.
func NewCaller(memory []byte, value any) *Caller {
	return &Caller{memory: memory, value: value}
}

// Value returns what was given to [Thread.Call] for this call.
func (c *Caller) Value() any { return c.value }

// Memory returns the guest's whole linear memory, empty when it has none. Writes go straight to the guest. For a system call
// that is to write there, see [Caller.Writable].
func (c *Caller) Memory() []byte { return c.memory }

// Bytes returns the guest's memory from ptr on, n bytes long, and false when any of it lies outside. The slice aliases
// the guest's memory and its capacity ends with it.
func (c *Caller) Bytes(ptr, n uint32) ([]byte, bool) {
	end := uint64(ptr) + uint64(n)
	if end > uint64(len(c.memory)) {
		return nil, false
	}
	return c.memory[ptr:end:end], true
}

// Writable returns part, which is of the guest's memory, ready for a system call to fill: read, pread, getrandom and their
// like. Pages of that memory may be mapped read-only until something writes there; writes of Go or C on this thread are let
// through, but without Writable a system call fails with EFAULT, or ends short before such a page.
func (c *Caller) Writable(part []byte) []byte {
	if c.preparer != nil && len(part) > 0 {
		c.preparer.prepare(part)
	}
	return part
}

// Grow makes the guest's memory larger by pages of 64 KiB, zeros, at its end, and reports whether it could: false above the
// memory's maximum. It is as if the guest had grown it; an instance made from a template cannot be reset afterwards. What Memory
// has returned before stays valid, without the new pages.
func (c *Caller) Grow(pages uint32) bool {
	if g, ok := c.preparer.(grower); ok {
		memory, grown := g.grow(pages)
		if grown {
			c.memory = memory
		}
		return grown
	}
	const page, most = 1 << 16, 1 << 32
	if c.memory == nil || uint64(len(c.memory))+uint64(pages)*page > most {
		return false
	}
	c.memory = append(c.memory, make([]byte, uint64(pages)*page)...)
	return true
}
