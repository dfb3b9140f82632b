package hostfn

import (
	"context"
	"fmt"
	"time"
)

// Invoker lets the invocations of one app start others. The daemon implements it. Any goroutine may call Enter.
type Invoker interface {
	// Enter returns what one invocation starts and holds, for as long as it runs. origin is what [Request].Origin returned.
	Enter(origin any) Caller
}

// Caller is one invocation as it starts others and holds what came of them. Its methods are called by one goroutine at a time,
// the guest's own. Errors are [*CallError], or those of the context given.
//
// What an invocation starts, and what it puts, is an object of its app with a number above zero. An object can be used by every
// invocation of the app that knows its number. It is freed once nobody holds it any more, after a while of grace.
type Caller interface {
	// Start starts a call and returns the number of its result. It does not wait.
	Start(call *Call) (int64, error)
	// Put makes an object of data, which belongs to the Caller from then on. It may wait for the disk.
	Put(ctx context.Context, data []byte) (int64, error)
	// Wait waits until want of the objects are there, for timeout at most (below zero: as long as ctx lives), sets ready[i] to 1 for
	// each that is and to 0 for the others, and returns how many are. It asks ctx for its Done channel before it blocks. The
	// error says that this wait would never end because of others that wait for it, or that too many wait.
	Wait(ctx context.Context, objects []int64, want int, timeout time.Duration, ready []byte) (int, error)
	// Result returns an object that is there, with its bytes when there are no more than most.
	Result(object int64, most int) (Outcome, error)
	// Cancel ends a call that has not ended, whether its guest runs or not. Its result is an error then.
	Cancel(object int64) error
	// Drop gives up this invocation's hold of an object. A call goes on, and nobody gets its result if nobody else holds it.
	Drop(object int64) error
	// Leave ends the use: all that the invocation holds is given up.
	Leave()
}

// Actors is a [Caller] that has actors.
type Actors interface {
	// Actor returns the number of the actor of that class and key, the same for the same ones.
	Actor(class string, key []byte) (int64, error)
}

// Call is what an invocation starts.
type Call struct {
	// Function is "function", of the same app, or "app/function". Empty: with an Entry the function that runs, for an actor its class.
	Function string
	Actor    int64  // whose instance it runs in, after the messages before; 0: none
	Entry    *Entry // nil: the function's own entry
	Input    []byte // belongs to the callee from then on
	Awaited  bool   // the caller does nothing but wait for it, and then drops it
}

// Entry is what a call enters instead of the function's own entry, in an instance of its own: an export of the same module, or
// one of the functions that the module's function pointers name.
type Entry struct {
	Export string   // "" for a function pointer
	Index  uint32   // the function pointer
	Args   []uint64 // bits of the parameters, as many as the function has
	// Prepare, when not nil, makes Args when the function's type is known; params has one byte a parameter, as in a module. place
	// copies bytes into the callee's memory, for which its export Allocate, of type (i32) -> i32, makes room.
	Prepare  func(params []byte, place func(data []byte) (uint32, error)) ([]uint64, error)
	Allocate string
	// Answer, when not nil, makes the body of the result of what the function returned, with the memory that it left.
	Answer func(results []byte, values []uint64, memory []byte) []byte
}

// Outcome is what came of a call, or an object that was put.
type Outcome struct {
	Status int    // what the callee set, 200 when it set none or for an object that was put
	Size   int    // of the body
	Body   []byte // not to be changed; nil when it is larger than was asked for
	Values []byte // of a call with an Entry: the results, little-endian, 4 or 8 bytes each
	Err    *CallError
}

// CallError is why a call was not started, or failed, as a result code and a text for whoever looks for the cause.
type CallError struct {
	Result Result
	Text   string
}

// Error returns the text with the code.
func (e *CallError) Error() string { return fmt.Sprintf("%s (%d)", e.Text, int64(e.Result)) }
