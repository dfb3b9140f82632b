package gate

import "edged.dev/edge/wasmedge"

// The value types of a module beyond those that package wasmedge names; host functions and entries cannot use them.
const (
	V128      wasmedge.ValType = 0x7b
	FuncRef   wasmedge.ValType = 0x70
	ExternRef wasmedge.ValType = 0x6f
)

// Kind says what an import or an export is, in its binary encoding (core specification 5.5.5).
type Kind byte

// The kinds of imports and exports.
const (
	KindFunction Kind = iota
	KindTable
	KindMemory
	KindGlobal
	kindTag // of the exception handling proposal; never in a Module
)

// String returns the kind as the text format calls it.
func (k Kind) String() string {
	switch k {
	case KindFunction:
		return "function"
	case KindTable:
		return "table"
	case KindMemory:
		return "memory"
	case KindGlobal:
		return "global"
	case kindTag:
		return "tag"
	default:
		return "unknown"
	}
}

// module is a decoded module: all of it but the custom sections. Only functions can be imported, so every table, memory
// and global is the module's own and its index is its position here.
type module struct {
	types     []wasmedge.FuncType
	imports   []importedFunction
	functions []uint32 // type index of each function with a body
	tables    []table
	memory    *bounds
	globals   []global
	exports   []export
	start     *uint32
	elements  []elementSegment
	code      bodies
	data      []dataSegment

	usesDataIndex bool // memory.init or data.drop occurs, so the data count section must be there
	writesTables  bool // an instruction that changes a table or drops an element segment occurs
	growsMemory   bool // memory.grow occurs
}

type importedFunction struct {
	module, name string
	typ          uint32
}

// bounds are the limits of a memory in pages or of a table in elements.
type bounds struct {
	min, max uint32
	hasMax   bool
}

// clamp writes limit in as the maximum where there is none or a larger one.
func (b bounds) clamp(limit uint32) bounds {
	if !b.hasMax || b.max > limit {
		b.max, b.hasMax = limit, true
	}
	return b
}

type table struct {
	typ wasmedge.ValType
	bounds
}

type global struct {
	typ     wasmedge.ValType
	mutable bool
	init    constExpr
}

// constExpr is a constant expression: one instruction and its operand.
type constExpr struct {
	op   byte
	bits uint64 // sign-extended for the integers; the index of ref.func; the type of ref.null; lanes 0-7 of v128
	high uint64 // lanes 8-15 of v128
}

type export struct {
	name  string
	kind  Kind
	index uint32
}

type segmentMode uint8

const (
	segmentActive segmentMode = iota
	segmentPassive
	segmentDeclarative
)

// flags returns the mode as a segment's first number has it; explicit says that the table is named.
func (m segmentMode) flags(explicit bool) uint32 {
	switch {
	case m == segmentPassive:
		return 1
	case m == segmentDeclarative:
		return 3
	case explicit:
		return 2
	default:
		return 0
	}
}

// nullItem stands for ref.null in elementSegment.items; no function has this index, Limits.Functions is far below.
const nullItem = 1<<32 - 1

type elementSegment struct {
	mode        segmentMode
	typ         wasmedge.ValType
	table       uint32
	offset      uint32
	expressions bool // items are written as constant expressions, and may be null
	items       []uint32
}

type dataSegment struct {
	mode   segmentMode
	offset uint32
	bytes  []byte // aliases the upload
}

// bodies are the canonical function bodies (locals and code), one behind the other.
type bodies struct {
	bytes []byte
	ends  []int // ends[i] is where body i ends
}

// functionType returns the type of the function with this index, imports counted first.
func (m *module) functionType(index uint32) wasmedge.FuncType {
	if int(index) < len(m.imports) {
		return m.types[m.imports[index].typ]
	}
	return m.types[m.functions[int(index)-len(m.imports)]]
}

// functionCount returns the number of functions, imports included.
func (m *module) functionCount() int { return len(m.imports) + len(m.functions) }
