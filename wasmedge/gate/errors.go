package gate

import (
	"errors"
	"fmt"
	"strings"
)

// These errors are the kinds of an [Error] that [Check] and [Recheck] return; compare with errors.Is.
var (
	// ErrNotWasm: the bytes are no WebAssembly at all; the text says what they look like.
	ErrNotWasm = errors.New("not a WebAssembly module")
	// ErrComponent: the bytes are a WebAssembly component; edged runs core modules.
	ErrComponent = errors.New("a WebAssembly component")
	// ErrMalformed: the module breaks the rules of the binary format or refers to something it does not have.
	ErrMalformed = errors.New("malformed module")
	// ErrLimit: the module is well formed and larger, in one of its dimensions, than [Limits] allows.
	ErrLimit = errors.New("over a limit")
	// ErrFeature: the module uses a WebAssembly proposal that edged does not run.
	ErrFeature = errors.New("feature not supported")
	// ErrReserved: the module exports a name that edged keeps for itself.
	ErrReserved = errors.New("reserved name")
)

// ErrImports is returned by [Bind] when an import is missing, denied or of another type.
var ErrImports = errors.New("imports cannot be bound")

// Error says why a module was refused, where, and what its author can do.
type Error struct {
	// Kind is one of this package's sentinels.
	Kind error
	// Offset is the position in the uploaded bytes where the cause was found.
	Offset int64
	// Section is the section it lies in ("code", "import" and so on), or empty for the file as a whole.
	Section string
	// Function is the index of the function, imports counted first as everywhere in WebAssembly, or -1.
	Function int
	// Reason says what is wrong; it completes the sentence that begins with the place.
	Reason string
	// Remedy says what to do, or is empty when only the tool that wrote the module can know.
	Remedy string
}

// Error gives the place, the reason and the remedy in one line.
func (e *Error) Error() string {
	var text strings.Builder
	switch {
	case e.Function >= 0:
		fmt.Fprintf(&text, "function %d (byte 0x%x): ", e.Function, e.Offset)
	case e.Section != "":
		fmt.Fprintf(&text, "%s section (byte 0x%x): ", e.Section, e.Offset)
	}
	text.WriteString(e.Reason)
	if e.Remedy != "" {
		text.WriteString("; ")
		text.WriteString(e.Remedy)
	}
	return text.String()
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }
