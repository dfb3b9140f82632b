//go:build cgo

package wasmedge

import (
	"encoding/binary"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Opcodes that tests write by hand.
const (
	opEnd      = 0x0b
	opCall     = 0x10
	opLocalGet = 0x20
	opLocalSet = 0x21
	opI32Const = 0x41
	opRefNull  = 0xd0
	opVector   = 0xfd // then one of the following
	vectorLoad = 0x00
	vectorSave = 0x0b
	vectorMix  = 0x4f // v128.andnot: neither commutative nor associative, so no optimiser makes a loop of the recursion
)

// assembled is a module written by hand, for what no C compiler writes. Function bodies are what follows the size, locals
// first; every function is exported under its name, the memory as "memory".
type assembled struct {
	types   []FuncType
	imports []assembledFunc
	funcs   []assembledFunc
	globals []assembledGlobal
	pages   int      // of the memory; none when negative
	tables  [][]byte // section 4
	elems   [][]byte // section 9
}

type assembledFunc struct {
	name string
	typ  int
	body []byte
}

// origin splits the name of an import into module and name; the module is "test" when it names none.
func (f assembledFunc) origin() (module, name string) {
	if module, name, found := strings.Cut(f.name, "."); found {
		return module, name
	}
	return "test", f.name
}

type assembledGlobal struct {
	name string
	head []byte // type and mutability, then the initialiser without its end
}

func leb(n uint64) []byte { return binary.AppendUvarint(nil, n) }

func vector(items ...[]byte) []byte {
	out := leb(uint64(len(items)))
	for _, item := range items {
		out = append(out, item...)
	}
	return out
}

func section(id byte, items ...[]byte) []byte {
	if len(items) == 0 {
		return nil
	}
	content := vector(items...)
	return append(append([]byte{id}, leb(uint64(len(content)))...), content...)
}

func text(s string) []byte { return append(leb(uint64(len(s))), s...) }

func join(parts ...[]byte) []byte {
	var out []byte
	for _, part := range parts {
		out = append(out, part...)
	}
	return out
}

func (a *assembled) bytes() []byte {
	var types, imports, funcs, memories, globals, exports, bodies [][]byte
	for _, t := range a.types {
		types = append(types, join([]byte{0x60}, text(string(raw(t.Params))), text(string(raw(t.Results)))))
	}
	for _, f := range a.imports {
		module, name := f.origin()
		imports = append(imports, join(text(module), text(name), []byte{0}, leb(uint64(f.typ))))
	}
	for n, f := range a.funcs {
		funcs = append(funcs, leb(uint64(f.typ)))
		bodies = append(bodies, join(leb(uint64(len(f.body))), f.body))
		exports = append(exports, join(text(f.name), []byte{0}, leb(uint64(len(a.imports)+n))))
	}
	if a.pages >= 0 {
		memories = append(memories, join([]byte{0}, leb(uint64(a.pages))))
		exports = append(exports, join(text("memory"), []byte{2, 0}))
	}
	for n, g := range a.globals {
		globals = append(globals, join(g.head, []byte{opEnd}))
		exports = append(exports, join(text(g.name), []byte{3}, leb(uint64(n))))
	}
	return join([]byte("\x00asm\x01\x00\x00\x00"), section(1, types...), section(2, imports...), section(3, funcs...),
		section(4, a.tables...), section(5, memories...), section(6, globals...), section(7, exports...), section(9, a.elems...), section(10, bodies...))
}

// load compiles and loads the module.
func (a *assembled) load(tb testing.TB, level int) *guest {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "guest.so")
	if err := compile(a.bytes(), path, level); err != nil {
		tb.Fatal(err)
	}
	options := ModuleOptions{Imports: []string{"test"}}
	for _, f := range a.imports {
		if module, _ := f.origin(); !slices.Contains(options.Imports, module) {
			options.Imports = append(options.Imports, module)
		}
	}
	if a.pages >= 0 {
		options.MemoryExport = "memory"
	}
	module, err := engine.Load(path, options)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(module.Close)
	g := &guest{Module: module, types: make(map[string]FuncType)}
	for _, f := range a.funcs {
		g.types[f.name] = a.types[f.typ]
	}
	return g
}
