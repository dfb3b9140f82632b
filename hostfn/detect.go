package hostfn

import (
	"errors"
	"fmt"
	"slices"
)

// ErrNoEntry is returned by [Detect] for a module that offers nothing to call.
var ErrNoEntry = errors.New("nothing to call")

// ABI is how a module is spoken to.
type ABI uint8

// The interfaces. Whatever the ABI, a module may import from every module in [All].
const (
	// ABIEdged is a reactor: functions are exports, called one at a time.
	ABIEdged ABI = iota
	// ABICGI is a command (_start runs for each request) that answers in the form of CGI 1.1.
	ABICGI
	// ABIStdio is a command whose stdin is the request's body and whose stdout is the response's, nothing else.
	ABIStdio
)

// String returns the name used in manifests.
func (a ABI) String() string {
	switch a {
	case ABIEdged:
		return "edged"
	case ABICGI:
		return "cgi"
	case ABIStdio:
		return "stdio"
	default:
		return fmt.Sprintf("abi(%d)", uint8(a))
	}
}

// Command reports whether the module is run from _start for each request, in an instance that nothing has run in since it
// was made or reset.
func (a ABI) Command() bool { return a == ABICGI || a == ABIStdio }

// entryCommand is the entry of a command.
const entryCommand = "_start"

// startUps are the exports that initialise a module, never an entry; the first that a module exports is run.
var startUps = [...]string{"_initialize", "__wasm_call_ctors"}

// Detect works out the ABI of a module from the names of the functions it exports, for a manifest that says "auto": one
// that exports _start is a command in the form of CGI, any other a reactor. Imports do not matter: both kinds may use every
// module in [All]. The error is [ErrNoEntry] when no export could be called.
func Detect(exports []string) (ABI, error) {
	if slices.Contains(exports, entryCommand) {
		return ABICGI, nil
	}
	for _, name := range exports {
		if !slices.Contains(startUps[:], name) {
			return ABIEdged, nil
		}
	}
	return 0, fmt.Errorf("%w: the module exports no function; export one (in C with __attribute__((export_name)), in Go with "+
		"//go:wasmexport), or build a command, which exports %s", ErrNoEntry, entryCommand)
}

// StartUp returns the exports to call once, in order, in a fresh instance before its first entry: _initialize when there is
// one (it runs the constructors itself), else __wasm_call_ctors, and nothing for a command, whose _start does all of it.
func StartUp(exports []string, abi ABI) []string {
	if abi.Command() {
		return nil
	}
	for _, name := range startUps {
		if slices.Contains(exports, name) {
			return []string{name}
		}
	}
	return nil
}
