// Package gate decides which WebAssembly modules may reach the engine. What a tenant uploads is decoded whole, down to
// every instruction, checked against [Limits] and the features edged runs, and written anew by this package; the
// uploaded bytes themselves go no further.
//
// It is not a type checker: the engine validates what this package wrote. What it guarantees of an accepted module is
//   - its structure: sections once and in order, every index in range, every body ending where it says, one memory at
//     most, segments that fit their table or memory;
//   - its size: no count or declared minimum above the limits, and a maximum written into every memory and table;
//   - that nothing else is in it: every custom section is gone (one named "wasmedge" would make the engine run the
//     native code in it), the only imports are functions, and nothing runs by being instantiated, since the start
//     function is an export that the daemon calls, where it can end it;
//   - that the daemon can reset an instance: memory and every mutable global are exported under reserved names.
//
// Decoding takes time and memory in proportion to the upload, whatever is in it, and never panics.
package gate

import (
	"crypto/sha256"
	"slices"
	"strconv"

	"edged.dev/edge/wasmedge"
)

// The names under which a module's parts are exported for the daemon. A guest cannot export a name that begins with
// ReservedPrefix.
const (
	ReservedPrefix = "edged:"
	memoryExport   = ReservedPrefix + "memory"
	startExport    = ReservedPrefix + "start"
	globalPrefix   = ReservedPrefix + "global:"
)

// Module is a module that passed the gate. It aliases nothing of the upload.
type Module struct {
	// Code is the canonical module, for the compiler and the engine.
	Code []byte
	// Data is to be written into memory after instantiation, in order and before anything is called; every segment fits
	// the memory's minimum. Pieces that do not overlap are sorted by address, and joined where only few zeros part them. It is empty when the active data stayed in Code, which is so when an instruction or a passive
	// segment depends on the numbering of the segments.
	Data []Segment
	// Imports are the functions that the guest needs, in order; the same one may occur twice.
	Imports []Import
	// Exports are the guest's own exports, without the reserved ones.
	Exports []Export
	// HasMemory says that the module has a memory; without one the next three fields are zero.
	HasMemory bool
	// MemoryMin and MemoryMax are the memory's limits in pages as they stand in Code.
	MemoryMin, MemoryMax uint32
	// MemoryExport is the reserved name of the memory.
	MemoryExport string
	// StartExport is the reserved name of the start function, of type () -> (), or empty. It is to be called once, after
	// Data is written and before anything else.
	StartExport string
	// MutableGlobals are the globals that a call can change.
	MutableGlobals []Global
	// TablesMutable says that the contents of a table can change after instantiation: such an instance cannot be reset,
	// only made anew. The host never writes to a table, exported or not.
	TablesMutable bool
	// SegmentsMutable says that data.drop or memory.init occurs, so a data segment can be gone after a call: such an
	// instance cannot be reset either.
	SegmentsMutable bool
	// GrowsMemory says that memory.grow occurs.
	GrowsMemory bool
	// Name is what the module calls itself, at most 80 bytes of UTF-8 and otherwise unchecked, or empty. For logs only.
	Name string
}

// Segment is a piece of a memory's initial contents.
type Segment struct {
	// Offset is the address of the first byte.
	Offset uint32
	// Bytes is never empty. It may hold zeros that the upload left out between two pieces of its own.
	Bytes []byte
}

// Import is something that a module needs from outside. Kind is always [KindFunction].
type Import struct {
	Module, Name string
	Kind         Kind
	// Type may hold the types [V128], [FuncRef] and [ExternRef], which no host function has.
	Type wasmedge.FuncType
}

// Export is something that a module offers by name.
type Export struct {
	Name  string
	Kind  Kind
	Index uint32
	// Type is the type of a function, and empty for everything else.
	Type wasmedge.FuncType
}

// Global is a mutable global.
type Global struct {
	Index uint32
	// Type may also be [V128], [FuncRef] or [ExternRef].
	Type wasmedge.ValType
	// Export is the reserved name of the global.
	Export string
}

// Check decodes src and returns the module to run in its place. Any error is an [*Error].
func Check(src []byte, limits Limits) (*Module, error) {
	limits = limits.withDefaults()
	d, err := decode(src, limits, false)
	if err != nil {
		return nil, err
	}
	data := d.m.stripData()
	d.m.writeLimits(limits)
	d.m.addHeadroom()
	d.m.addReservedExports()
	m := describe(d.m)
	m.Name = d.name
	m.Data = data
	m.Code = encode(d.m)
	return m, nil
}

// Recheck decodes code that an earlier [Check] wrote, kept on disk since then for instance. It refuses everything that
// Check under the same limits would not have written to the byte, and returns the same module but for Data and Name,
// which are not in the code.
func Recheck(code []byte, limits Limits) (*Module, error) {
	limits = limits.withDefaults()
	d, err := decode(code, limits, true)
	if err != nil {
		return nil, err
	}
	if err := d.m.takeReservedExports(); err != nil {
		return nil, err
	}
	if data := d.m.stripData(); len(data) > 0 {
		return nil, notOurs("it has data that would have been taken out")
	}
	d.m.writeLimits(limits)
	d.m.addReservedExports()
	m := describe(d.m)
	m.Code = encode(d.m)
	if string(m.Code) != string(code) {
		return nil, notOurs("writing it again gives other bytes")
	}
	return m, nil
}

// Key identifies the code: the SHA-256 of Code. Modules that differ only in custom sections, in data that was taken out,
// or in how their numbers are encoded have the same key under the same limits.
func (m *Module) Key() [sha256.Size]byte { return sha256.Sum256(m.Code) }

// headroomPages is what a memory begins with beyond what the module asks for, within its maximum: 512 KiB. The allocators of C, Rust
// and others use what is there before they grow the memory, and an instance whose memory has grown cannot be put back into its
// first state, only made anew. What is not written costs nothing but address space.
const headroomPages = 8

// addHeadroom is done once, after writeLimits: code that is rechecked has it.
func (m *module) addHeadroom() {
	if m.memory != nil {
		m.memory.min = max(m.memory.min, min(m.memory.min+headroomPages, m.memory.max))
	}
}

// writeLimits writes a maximum into the memory and every table.
func (m *module) writeLimits(limits Limits) {
	if m.memory != nil {
		clamped := m.memory.clamp(limits.MemoryPages)
		m.memory = &clamped
	}
	for i := range m.tables {
		m.tables[i].bounds = m.tables[i].clamp(limits.TableElements)
	}
}

// addReservedExports exports the memory, the start function and the mutable globals, and removes the start section.
func (m *module) addReservedExports() {
	if m.memory != nil {
		m.exports = append(m.exports, export{name: memoryExport, kind: KindMemory})
	}
	if m.start != nil {
		m.exports = append(m.exports, export{name: startExport, kind: KindFunction, index: *m.start})
		m.start = nil
	}
	for i, g := range m.globals {
		if g.mutable {
			m.exports = append(m.exports, export{name: globalExport(i), kind: KindGlobal, index: uint32(i)})
		}
	}
}

func globalExport(index int) string { return globalPrefix + strconv.Itoa(index) }

// takeReservedExports undoes addReservedExports. Whether it was done right shows when it is done again.
func (m *module) takeReservedExports() *Error {
	own := 0
	for own < len(m.exports) && !m.exports[own].reserved() {
		own++
	}
	for _, e := range m.exports[own:] {
		switch {
		case !e.reserved():
			return notOurs("its reserved exports are not the last ones")
		case e.name == startExport:
			if e.kind != KindFunction || !emptyType(m.functionType(e.index)) {
				return notOurs("its start export is no function of type () -> ()")
			}
			m.start = &e.index
		}
	}
	m.exports = m.exports[:own:own]
	return nil
}

func (e export) reserved() bool {
	return len(e.name) >= len(ReservedPrefix) && e.name[:len(ReservedPrefix)] == ReservedPrefix
}

func emptyType(t wasmedge.FuncType) bool { return len(t.Params)+len(t.Results) == 0 }

func notOurs(reason string) *Error {
	return &Error{
		Kind: ErrMalformed, Function: -1, Reason: "the code is not in the form that edged writes: " + reason,
		Remedy: "deploy the app again",
	}
}

// describe returns the public view of a module that has its reserved exports.
func describe(m *module) *Module {
	view := &Module{TablesMutable: m.writesTables, SegmentsMutable: m.usesDataIndex, GrowsMemory: m.growsMemory}
	view.Imports = slices.Grow(view.Imports, len(m.imports))
	view.Exports = slices.Grow(view.Exports, len(m.exports))
	if m.memory != nil {
		view.HasMemory, view.MemoryExport = true, memoryExport
		view.MemoryMin, view.MemoryMax = m.memory.min, m.memory.max
	}
	for _, i := range m.imports {
		view.Imports = append(view.Imports, Import{
			Module: i.module, Name: i.name, Kind: KindFunction, Type: m.types[i.typ],
		})
	}
	for i, g := range m.globals {
		if g.mutable {
			view.MutableGlobals = append(view.MutableGlobals, Global{Index: uint32(i), Type: g.typ, Export: globalExport(i)})
		}
	}
	for _, e := range m.exports {
		if e.reserved() {
			if e.name == startExport {
				view.StartExport = startExport
			}
			continue
		}
		own := Export{Name: e.name, Kind: e.kind, Index: e.index}
		if e.kind == KindFunction {
			own.Type = m.functionType(e.index)
		}
		view.Exports = append(view.Exports, own)
	}
	return view
}
