package invoke

import "errors"

// ErrCancelled ends an invocation whose caller has cancelled it.
var ErrCancelled = errors.New("cancelled")

// Entry is what an invocation enters instead of the function's own entry: an export of the same module, or one of the functions
// that its function pointers name. It runs in an instance of its own as the function does. The worker writes Returned before
// Done is called.
type Entry struct {
	Export string // "" for a table index
	Index  uint32 // of the exported __indirect_function_table
	// Args are the parameters as bits, an i32 zero-extended; their number must be that of the function's parameters.
	Args []uint64
	// Prepare, when not nil, makes Args when the function's type is known; params has one byte a parameter, as in a module. place
	// copies bytes into the instance, into memory that the guest's export Allocate has made room for, and returns where they are.
	Prepare  func(params []byte, place func(data []byte) (uint32, error)) ([]uint64, error)
	Allocate string // of type (i32) -> i32
	// Answer, when not nil, makes the answer's body of what the function returned, with the memory that it left.
	Answer func(results []byte, values []uint64, memory []byte) []byte
	// Returned are the results as bits, and Wide says of each whether it has 8 bytes, else 4.
	Returned []uint64
	Wide     []bool
}

// Bytes returns the results one after the other, little-endian, each with as many bytes as its type has.
func (e *Entry) Bytes() []byte {
	var out []byte
	for i, v := range e.Returned {
		n := 4
		if e.Wide[i] {
			n = 8
		}
		for ; n > 0; n-- {
			out = append(out, byte(v))
			v >>= 8
		}
	}
	return out
}

// Control is told when an invocation begins and ends on a worker, by who may want to cancel it.
type Control interface {
	// Begin is called before the guest is entered. An error, which should wrap ErrCancelled, ends the invocation instead. kill
	// ends it from then on, from any goroutine, until End is called; it does not block.
	Begin(kill func(why error)) error
	// End is called when the guest has come to its end; it returns when no kill is under way any more.
	End()
}
