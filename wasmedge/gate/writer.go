package gate

import (
	"encoding/binary"

	"edged.dev/edge/wasmedge"
)

// appendU32 appends v as unsigned LEB128 in as few bytes as it takes.
func appendU32(out []byte, v uint32) []byte {
	for v >= 0x80 {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v))
}

// appendSigned appends v as signed LEB128 in as few bytes as it takes.
func appendSigned(out []byte, v int64) []byte {
	for v < -0x40 || v > 0x3f {
		out = append(out, byte(v)|0x80)
		v >>= 7
	}
	return append(out, byte(v)&0x7f)
}

func appendName(out []byte, name string) []byte {
	return append(appendU32(out, uint32(len(name))), name...)
}

// appendSection appends a section with the given content, or nothing when it has no entries.
func appendSection(out []byte, id sectionID, entries int, content []byte) []byte {
	if entries == 0 {
		return out
	}
	var head [5]byte
	count := appendU32(head[:0], uint32(entries))
	out = append(out, byte(id))
	out = appendU32(out, uint32(len(count)+len(content)))
	return append(append(out, count...), content...)
}

// encode writes the module in the one form this package gives it: sections in the order of the specification and only
// those with entries, no custom section, every number in as few bytes as it takes, and for each segment the shortest of
// the forms that mean the same.
func encode(m *module) []byte {
	out := make([]byte, 0, len(m.code.bytes)+len(m.code.bytes)/16+4096)
	out = append(out, magic...)
	out = append(out, coreVersion...)
	var content []byte // reused: at any time the content of the one section being written
	content = appendTypes(content[:0], m.types)
	out = appendSection(out, sectionType, len(m.types), content)
	content = appendImports(content[:0], m.imports)
	out = appendSection(out, sectionImport, len(m.imports), content)
	content = content[:0]
	for _, typ := range m.functions {
		content = appendU32(content, typ)
	}
	out = appendSection(out, sectionFunction, len(m.functions), content)
	content = appendTables(content[:0], m.tables)
	out = appendSection(out, sectionTable, len(m.tables), content)
	if m.memory != nil {
		out = appendSection(out, sectionMemory, 1, appendLimits(content[:0], *m.memory))
	}
	content = appendGlobals(content[:0], m.globals)
	out = appendSection(out, sectionGlobal, len(m.globals), content)
	content = appendExports(content[:0], m.exports)
	out = appendSection(out, sectionExport, len(m.exports), content)
	if m.start != nil {
		index := appendU32(content[:0], *m.start)
		out = append(out, byte(sectionStart))
		out = append(appendU32(out, uint32(len(index))), index...)
	}
	content = appendElements(content[:0], m.elements)
	out = appendSection(out, sectionElement, len(m.elements), content)
	if m.usesDataIndex {
		count := appendU32(content[:0], uint32(len(m.data)))
		out = append(out, byte(sectionDataCount))
		out = append(appendU32(out, uint32(len(count))), count...)
	}
	out = appendCode(out, m.code)
	content = appendData(content[:0], m.data)
	return appendSection(out, sectionData, len(m.data), content)
}

func appendTypes(out []byte, types []wasmedge.FuncType) []byte {
	for _, t := range types {
		out = append(out, formFunction)
		out = appendValTypes(out, t.Params)
		out = appendValTypes(out, t.Results)
	}
	return out
}

func appendValTypes(out []byte, types []wasmedge.ValType) []byte {
	out = appendU32(out, uint32(len(types)))
	for _, t := range types {
		out = append(out, byte(t))
	}
	return out
}

func appendImports(out []byte, imports []importedFunction) []byte {
	for _, i := range imports {
		out = appendName(out, i.module)
		out = appendName(out, i.name)
		out = append(out, byte(KindFunction))
		out = appendU32(out, i.typ)
	}
	return out
}

func appendLimits(out []byte, l bounds) []byte {
	if !l.hasMax {
		return appendU32(append(out, 0), l.min)
	}
	return appendU32(appendU32(append(out, limitsHasMax), l.min), l.max)
}

func appendTables(out []byte, tables []table) []byte {
	for _, t := range tables {
		out = append(out, byte(t.typ))
		out = appendLimits(out, t.bounds)
	}
	return out
}

func appendGlobals(out []byte, globals []global) []byte {
	for _, g := range globals {
		out = append(out, byte(g.typ))
		if g.mutable {
			out = append(out, 1)
		} else {
			out = append(out, 0)
		}
		out = appendExpr(out, g.init)
	}
	return out
}

// appendExpr appends a constant expression with its end.
func appendExpr(out []byte, e constExpr) []byte {
	out = append(out, e.op)
	switch e.op {
	case opI32Const, opI64Const:
		out = appendSigned(out, int64(e.bits))
	case opF32Const:
		out = binary.LittleEndian.AppendUint32(out, uint32(e.bits))
	case opF64Const:
		out = binary.LittleEndian.AppendUint64(out, e.bits)
	case opRefNull:
		out = append(out, byte(e.bits))
	case opRefFunc:
		out = appendU32(out, uint32(e.bits))
	case prefixSIMD:
		out = appendU32(out, opV128Const)
		out = binary.LittleEndian.AppendUint64(out, e.bits)
		out = binary.LittleEndian.AppendUint64(out, e.high)
	}
	return append(out, opEnd)
}

func appendExports(out []byte, exports []export) []byte {
	for _, e := range exports {
		out = appendName(out, e.name)
		out = append(out, byte(e.kind))
		out = appendU32(out, e.index)
	}
	return out
}

func appendElements(out []byte, elements []elementSegment) []byte {
	for _, e := range elements {
		explicit := e.mode != segmentActive || e.table != 0 || e.typ != FuncRef
		flags := e.mode.flags(explicit)
		if e.expressions {
			flags |= elementExpressions
		}
		out = appendU32(out, flags)
		if e.mode == segmentActive {
			if explicit {
				out = appendU32(out, e.table)
			}
			out = appendExpr(out, constExpr{op: opI32Const, bits: uint64(int64(int32(e.offset)))})
		}
		switch {
		case explicit && e.expressions:
			out = append(out, byte(e.typ))
		case explicit:
			out = append(out, elementKindFunction)
		}
		out = appendItems(out, e)
	}
	return out
}

func appendItems(out []byte, e elementSegment) []byte {
	out = appendU32(out, uint32(len(e.items)))
	for _, item := range e.items {
		switch {
		case !e.expressions:
			out = appendU32(out, item)
		case item == nullItem:
			out = append(out, opRefNull, byte(e.typ), opEnd)
		default:
			out = append(appendU32(append(out, opRefFunc), item), opEnd)
		}
	}
	return out
}

// appendCode appends the code section; the bodies are canonical already.
func appendCode(out []byte, c bodies) []byte {
	if len(c.ends) == 0 {
		return out
	}
	var head [5]byte
	count := appendU32(head[:0], uint32(len(c.ends)))
	size, start := len(count), 0
	for _, end := range c.ends {
		size += sizeU32(uint32(end-start)) + end - start
		start = end
	}
	out = append(out, byte(sectionCode))
	out = append(appendU32(out, uint32(size)), count...)
	start = 0
	for _, end := range c.ends {
		out = appendU32(out, uint32(end-start))
		out = append(out, c.bytes[start:end]...)
		start = end
	}
	return out
}

// sizeU32 returns how many bytes appendU32 appends for v.
func sizeU32(v uint32) int {
	n := 1
	for ; v >= 0x80; v >>= 7 {
		n++
	}
	return n
}

func appendData(out []byte, data []dataSegment) []byte {
	for _, d := range data {
		out = appendU32(out, d.mode.flags(false))
		if d.mode == segmentActive {
			out = appendExpr(out, constExpr{op: opI32Const, bits: uint64(int64(int32(d.offset)))})
		}
		out = appendU32(out, uint32(len(d.bytes)))
		out = append(out, d.bytes...)
	}
	return out
}
