package hostfn

import (
	"errors"
	"fmt"
	"slices"

	"edged.dev/edge/wasmedge"
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
	// ABIWaverless is a reactor whose entries may take (ptr, len): the request's body, or the key that changed. Its response is
	// what it gives to write_result; its stdout is logged.
	ABIWaverless
	// ABIFaasm is a command whose response is what it gives to __faasm_write_output; its stdout is logged.
	ABIFaasm
	// ABISledge is as ABIStdio, with the parameters of the query as arguments.
	ABISledge
	// ABIWarrior is as ABIStdio; its functions run as tasks in instances of their own.
	ABIWarrior
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
	case ABIWaverless:
		return "waverless"
	case ABIFaasm:
		return "faasm"
	case ABISledge:
		return "sledge"
	case ABIWarrior:
		return "warrior"
	default:
		return fmt.Sprintf("abi(%d)", uint8(a))
	}
}

// Command reports whether the module is run from _start for each request, in an instance that nothing has run in since it
// was made or reset.
func (a ABI) Command() bool {
	switch a {
	case ABICGI, ABIStdio, ABIFaasm, ABISledge, ABIWarrior:
		return true
	case ABIEdged, ABIWaverless:
	}
	return false
}

// logsOutput reports whether what the guest writes to stdout is logged and not the response.
func (a ABI) logsOutput() bool { return a == ABIWaverless || a == ABIFaasm }

// AllocateExport is what a guest of waverless exports, of type (i32) -> i32, for the host to place what its entries take.
const AllocateExport = "allocate"

// AllocateType returns the type of [AllocateExport].
func AllocateType() wasmedge.FuncType {
	return wasmedge.FuncType{Params: []wasmedge.ValType{wasmedge.I32}, Results: []wasmedge.ValType{wasmedge.I32}}
}

// Entry reports whether a function of this type can be an entry of a module that is spoken to so.
func (a ABI) Entry(t wasmedge.FuncType) bool {
	if len(t.Results) > 1 || len(t.Results) == 1 && t.Results[0] != wasmedge.I32 {
		return false
	}
	return len(t.Params) == 0 || a == ABIWaverless && TakesArgument(t)
}

// TakesArgument reports whether a function takes (ptr, len).
func TakesArgument(t wasmedge.FuncType) bool {
	return len(t.Params) == 2 && t.Params[0] == wasmedge.I32 && t.Params[1] == wasmedge.I32
}

// Import is a function that a module imports.
type Import struct{ Module, Name string }

// foreignImports say of each import that another system has, whose it is.
func foreignImports() map[Import]ABI {
	owners := make(map[Import]ABI)
	for _, row := range []struct {
		module string
		abi    ABI
		funcs  []native
	}{
		{moduleEnv, ABIWaverless, waverlessFuncs()},
		{moduleEnv, ABIFaasm, faasmFuncs()},
		{moduleEnv, ABISledge, sledgeFuncs()},
		{moduleScratch, ABISledge, scratchFuncs()},
		{moduleRay, ABIWarrior, rayFuncs()},
	} {
		for _, f := range row.funcs {
			owners[Import{row.module, f.name}] = row.abi
		}
	}
	return owners
}

// Foreign works out from a module's imports which other system's interface it speaks, for a manifest that says "auto". It is
// false for a module that imports from none, and for one that imports from several.
func Foreign(imports []Import) (ABI, bool) {
	owners, found := foreignImports(), ABIEdged
	for _, i := range imports {
		owner, ok := owners[i]
		switch {
		case !ok || owner == found:
		case found != ABIEdged:
			return ABIEdged, false
		default:
			found = owner
		}
	}
	return found, found != ABIEdged
}

// entryCommand is the entry of a command.
const entryCommand = "_start"

// startUps are the exports that initialise a module, never an entry; the first that a module exports is run.
var startUps = [...]string{"_initialize", "__wasm_call_ctors"}

// Detect works out the ABI of a module from the names of the functions it exports, for a manifest that says "auto": one
// that exports _start is a command in the form of CGI, any other a reactor. Imports do not matter: both kinds may use every
// module in [All]; ask [Foreign] first. The error is [ErrNoEntry] when no export could be called.
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
