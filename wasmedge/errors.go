package wasmedge

import (
	"errors"
	"fmt"
)

// These errors are returned by [Open].
var (
	// ErrNotSupported: this build or this machine cannot run the engine; the text says what is missing.
	ErrNotSupported = errors.New("not supported here")
	// ErrOpen: the process has an engine already; signal handlers allow one only.
	ErrOpen = errors.New("an engine is open in this process already")
)

// These errors are returned by [Engine.Load] and [Module.Instantiate].
var (
	// ErrClosed: the engine or the module has been closed.
	ErrClosed = errors.New("closed")
	// ErrTooManyMemories: the cap on live linear memories is reached; each reserves 12 GiB of address space.
	ErrTooManyMemories = errors.New("too many live linear memories")
	// ErrNoEntry: the module exports no function of that name and type.
	ErrNoEntry = errors.New("no such entry")
)

// ErrBusy is returned by [Thread.Call] when it is called from outside the thread or while the thread runs a guest.
var ErrBusy = errors.New("not called by the function of this thread, or called from a host function")

// ErrKilled is the cause of a call that was ended by [Thread.Kill] with no reason of its own.
var ErrKilled = errors.New("killed")

// TrapKind says why a guest was stopped.
type TrapKind uint8

// The kinds of trap. The zero value never occurs in an error.
const (
	TrapUnknown       TrapKind = iota
	TrapUnreachable            // the guest ran the unreachable instruction: its own abort or panic
	TrapOutOfBounds            // a load, store or bulk operation outside its linear memory or table
	TrapDivideByZero           // an integer division by zero
	TrapOverflow               // an integer overflow in a division or a conversion
	TrapIndirectCall           // a call through a table to nothing or to a function of another type
	TrapStackOverflow          // its calls nest deeper than the stack allows
	TrapKilled                 // ended from outside, at its timeout for instance
	TrapHost                   // a host function refused to go on
)

// String returns the kind as an operator reads it.
func (k TrapKind) String() string {
	switch k {
	case TrapUnreachable:
		return "unreachable code reached (the guest aborted or panicked)"
	case TrapOutOfBounds:
		return "memory or table access out of bounds"
	case TrapDivideByZero:
		return "integer division by zero"
	case TrapOverflow:
		return "integer overflow"
	case TrapIndirectCall:
		return "indirect call to no function or one of another type"
	case TrapStackOverflow:
		return "stack overflow (calls nest too deep)"
	case TrapKilled:
		return "killed"
	case TrapHost:
		return "stopped by a host function"
	case TrapUnknown:
		return "unknown trap"
	default:
		return fmt.Sprintf("trap(%d)", uint8(k))
	}
}

// Trap is the error of a guest that was stopped in the middle. Its instance must not be used again.
type Trap struct { //nolint:errname // trap is the word of the specification
	Kind TrapKind
	// Message is the engine's own words when they say more than the kind; else empty.
	Message string
	// Cause is what the host function or the killer gave, or nil.
	Cause error
}

// Error describes the trap in one line.
func (t *Trap) Error() string {
	text := "trap: " + t.Kind.String()
	if t.Message != "" {
		text += ": " + t.Message
	}
	if t.Cause != nil {
		text += ": " + t.Cause.Error()
	}
	return text
}

// Unwrap returns the cause, so that errors.Is(err, context.DeadlineExceeded) holds for a guest killed at its timeout.
func (t *Trap) Unwrap() error { return t.Cause }

// ExitError is the error of a guest that ended itself through proc_exit. Code 0 is a regular end.
type ExitError struct{ Code uint32 }

// Error names the exit code.
func (e *ExitError) Error() string { return fmt.Sprintf("guest exited with code %d", e.Code) }

// Is reports a guest's exit as equal to another of the same code.
func (e *ExitError) Is(target error) bool {
	other, ok := target.(*ExitError)
	return ok && other.Code == e.Code
}
