package gate

import (
	"bytes"
	"encoding/binary"
)

// The functions of this file write modules byte by byte, independently of the writer under test, so that a test can
// break any rule it likes.

// leb returns v as unsigned LEB128.
func leb(v int) []byte { return binary.AppendUvarint(nil, uint64(v)) }

// padded returns v as unsigned LEB128 of five bytes, as linkers write numbers that they fill in later.
func padded(v uint32) []byte {
	return []byte{byte(v) | 0x80, byte(v>>7) | 0x80, byte(v>>14) | 0x80, byte(v>>21) | 0x80, byte(v >> 28)}
}

// cat joins its arguments: bytes, byte strings, single bytes and numbers below 256.
func cat(parts ...any) []byte {
	var out []byte
	for _, part := range parts {
		switch p := part.(type) {
		case []byte:
			out = append(out, p...)
		case string:
			out = append(out, p...)
		case int:
			out = append(out, byte(p))
		default:
			panic("cat: part of another type")
		}
	}
	return out
}

// str returns a name with its length before it.
func str(s string) []byte { return cat(leb(len(s)), s) }

// vec returns a vector.
func vec(entries ...[]byte) []byte { return cat(leb(len(entries)), bytes.Join(entries, nil)) }

// sec returns a section.
func sec(id sectionID, content ...any) []byte {
	body := cat(content...)
	return cat(int(id), leb(len(body)), body)
}

// wasm returns a module of these sections.
func wasm(sections ...[]byte) []byte { return cat(magic, coreVersion, bytes.Join(sections, nil)) }

// sized returns a body with its length before it.
func sized(parts ...any) []byte {
	body := cat(parts...)
	return cat(leb(len(body)), body)
}

// The sections that most tests share.
var (
	noType    = []byte{formFunction, 0, 0}                  // () -> ()
	i32Type   = []byte{formFunction, 1, 0x7f, 1, 0x7f}      // (i32) -> i32
	types     = sec(sectionType, vec(noType, i32Type))      // type 0 and type 1
	functions = sec(sectionFunction, vec([]byte{0}))        // one function of type 0
	memory1   = sec(sectionMemory, vec([]byte{1, 1, 2}))    // 1 page, at most 2
	table4    = sec(sectionTable, vec([]byte{0x70, 0, 4}))  // 4 functions, no maximum
	global1   = sec(sectionGlobal, 1, 0x7f, 1, 0x41, 7, 11) // a mutable i32, 7 at first
	oneBody   = code(cat(0, 0x0b))                          // one function that does nothing
)

// code returns a code section of these bodies.
func code(bodies ...[]byte) []byte {
	out := leb(len(bodies))
	for _, b := range bodies {
		out = append(out, sized(b)...)
	}
	return sec(sectionCode, out)
}

// withBody returns a module with memory, a table, a global and one function () -> () of this code; the final end is
// added.
func withBody(instructions ...any) []byte {
	return wasm(types, functions, table4, memory1, global1, code(cat(0, cat(instructions...), 0x0b)))
}

// everything returns a module with something in every section, each instruction class included, and no LEB in its
// shortest form where number says so.
func everything(number func(uint32) []byte) []byte {
	section := func(id sectionID, parts ...any) []byte {
		body := cat(parts...)
		return cat(int(id), number(uint32(len(body))), body)
	}
	body := func(parts ...any) []byte {
		b := cat(parts...)
		return cat(number(uint32(len(b))), b)
	}
	n := number
	return cat(magic, coreVersion,
		section(sectionCustom, n(5), "first", "anything"),
		section(sectionType, n(2), formFunction, n(0), n(0), formFunction, n(1), 0x7f, n(1), 0x7f),
		section(sectionImport, n(1), n(3), "env", n(1), "f", 0, n(1)),
		section(sectionFunction, n(2), n(0), n(1)),
		section(sectionTable, n(2), 0x70, 1, n(4), n(9), 0x6f, 0, n(1)),
		section(sectionMemory, n(1), 0, n(1)),
		section(sectionGlobal, n(3), 0x7f, 1, 0x41, n(0x3f), 11, 0x7d, 0, 0x43, "\x00\x00\x80\x3f", 11, 0x70, 1, 0xd2, n(1), 11),
		section(sectionExport, n(2), n(2), "go", 0, n(1), n(6), "memory", 2, n(0)),
		section(sectionStart, n(1)),
		section(sectionElement, n(3),
			n(0), 0x41, n(1), 11, n(2), n(1), n(2),
			n(6), n(0), 0x41, n(0), 11, 0x70, n(1), 0xd0, 0x70, 11,
			n(3), 0, n(1), n(0)),
		section(sectionCustom, n(8), "wasmedge", "\x7fELF"),
		section(sectionCode, n(2),
			body(n(3), n(1), 0x7f, n(0), 0x7e, n(2), 0x7f, // locals: i32, no i64, i32 i32
				0x41, n(3), 0x21, n(2), // local.set of the last one
				0x02, 0x40, 0x20, n(0), 0x0d, n(0), 0x0b,
				0x41, n(0), 0x28, n(2), n(16), 0x1a,
				0x41, n(1), 0x41, n(1), 0x11, n(1), n(0), 0x1a,
				0x3f, n(0), 0x40, n(0), 0x1a, 0x0b),
			body(n(0), 0x20, n(0), 0x20, n(0), 0x04, n(1), 0x05, 0x10, n(0), 0x0b, 0x0b)),
		section(sectionData, n(2), n(0), 0x41, n(8), 11, n(3), "abc", n(2), n(0), 0x41, n(0x3e), 11, n(1), "z"),
		section(sectionCustom, n(4), "last"),
	)
}
