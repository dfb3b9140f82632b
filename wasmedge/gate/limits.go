package gate

import "cmp"

const (
	pageBytes = 1 << 16 // core specification 4.2.8: the size of a page of linear memory
	maxPages  = 1 << 16 // a 32-bit memory has 4 GiB
)

// Limits bounds what a module may declare. The zero value of a field means its default; see [DefaultLimits].
type Limits struct {
	// ModuleBytes bounds the uploaded file.
	ModuleBytes int
	// MemoryPages is the app's memory limit in pages of 64 KiB, at most 65,536. A declared maximum above it is lowered
	// to it, an absent one is written in; a minimum above it is refused.
	MemoryPages uint32
	// TableElements bounds one table, at 16 bytes of the daemon's memory an element. A declared maximum above it is
	// lowered to it, an absent one is written in; a minimum above it is refused.
	TableElements uint32

	// Types, Imports, Functions (imports not counted), Tables, Globals and Exports bound the number of entries.
	Types, Imports, Functions, Tables, Globals, Exports int
	// ElementSegments and DataSegments bound the number of segments; Elements and DataBytes bound what they hold in sum.
	ElementSegments, Elements, DataSegments, DataBytes int
	// ParamsPerFunction and ResultsPerFunction bound a function type.
	ParamsPerFunction, ResultsPerFunction int
	// LocalsPerFunction bounds the locals of one function, its parameters included.
	LocalsPerFunction int
	// FunctionBodyBytes bounds the code of one function as it was uploaded.
	FunctionBodyBytes int
	// BlockDepth bounds how deep block, loop and if nest in one function.
	BlockDepth int
	// NameBytes bounds one import or export name.
	NameBytes int
}

// DefaultLimits returns the limits that hold where an app sets none. They leave room for language engines compiled to
// WebAssembly (some ten megabytes of code) and keep what a module costs the daemon before its first call within some
// tens of megabytes.
func DefaultLimits() Limits {
	return Limits{
		ModuleBytes:        64 << 20,
		MemoryPages:        4096,    // 256 MiB
		TableElements:      1 << 18, // 4 MiB a table
		Types:              1 << 16,
		Imports:            1024, // all host interfaces together have fewer than 300 names
		Functions:          1 << 18,
		Tables:             8,
		Globals:            1 << 13,
		Exports:            1 << 14,
		ElementSegments:    1 << 14,
		Elements:           1 << 20,
		DataSegments:       1 << 19, // Go's linker starts a new one at every run of zeros: 57,000 in a program of 6 MB
		DataBytes:          64 << 20,
		ParamsPerFunction:  256,
		ResultsPerFunction: 16,   // what the engine passes, and what the guard of a guest's stack is sized for
		LocalsPerFunction:  4096, // the AOT compiler's time grows faster than their number
		FunctionBodyBytes:  4 << 20,
		BlockDepth:         8192, // Go and LLVM open one block for each case of a switch
		NameBytes:          4096,
	}
}

// withDefaults returns l with every zero field set to its default.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	return Limits{
		ModuleBytes:        cmp.Or(l.ModuleBytes, d.ModuleBytes),
		MemoryPages:        min(cmp.Or(l.MemoryPages, d.MemoryPages), maxPages),
		TableElements:      cmp.Or(l.TableElements, d.TableElements),
		Types:              cmp.Or(l.Types, d.Types),
		Imports:            cmp.Or(l.Imports, d.Imports),
		Functions:          cmp.Or(l.Functions, d.Functions),
		Tables:             cmp.Or(l.Tables, d.Tables),
		Globals:            cmp.Or(l.Globals, d.Globals),
		Exports:            cmp.Or(l.Exports, d.Exports),
		ElementSegments:    cmp.Or(l.ElementSegments, d.ElementSegments),
		Elements:           cmp.Or(l.Elements, d.Elements),
		DataSegments:       cmp.Or(l.DataSegments, d.DataSegments),
		DataBytes:          cmp.Or(l.DataBytes, d.DataBytes),
		ParamsPerFunction:  cmp.Or(l.ParamsPerFunction, d.ParamsPerFunction),
		ResultsPerFunction: cmp.Or(l.ResultsPerFunction, d.ResultsPerFunction),
		LocalsPerFunction:  cmp.Or(l.LocalsPerFunction, d.LocalsPerFunction),
		FunctionBodyBytes:  cmp.Or(l.FunctionBodyBytes, d.FunctionBodyBytes),
		BlockDepth:         cmp.Or(l.BlockDepth, d.BlockDepth),
		NameBytes:          cmp.Or(l.NameBytes, d.NameBytes),
	}
}
