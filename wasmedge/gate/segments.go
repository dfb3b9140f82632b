package gate

import (
	"encoding/binary"
	"fmt"
	"slices"

	"edged.dev/edge/wasmedge"
)

const (
	elementExpressions  = 4 // bit of a segment's flags: items are constant expressions
	elementKindFunction = 0
)

// constExpr reads a constant expression of the given type and its end.
func (d *decoder) constExpr(want wasmedge.ValType) constExpr {
	start := d.pos
	e := constExpr{op: d.byte()}
	var typ wasmedge.ValType
	switch e.op {
	case opI32Const:
		typ, e.bits = wasmedge.I32, uint64(d.signed(32))
	case opI64Const:
		typ, e.bits = wasmedge.I64, uint64(d.signed(64))
	case opF32Const:
		typ, e.bits = wasmedge.F32, uint64(d.fixed32())
	case opF64Const:
		typ, e.bits = wasmedge.F64, d.fixed64()
	case prefixSIMD:
		if sub := d.u32(); sub != opV128Const {
			d.malformed(start, "instruction 0xfd %d is not constant", sub)
		}
		typ, e.bits, e.high = V128, d.fixed64(), d.fixed64()
	case opRefNull:
		typ = d.refType()
		e.bits = uint64(typ)
	case opRefFunc:
		typ, e.bits = FuncRef, uint64(d.index(d.m.functionCount(), "function"))
	default:
		d.notConstant(start, e.op)
	}
	d.constEnd()
	if !d.failed() && typ != want {
		d.malformed(start, "constant expression has the type %s instead of %s", typeName(typ), typeName(want))
	}
	return e
}

// constEnd reads the end of a constant expression.
func (d *decoder) constEnd() {
	start := d.pos
	if op := d.byte(); op != opEnd && !d.failed() {
		d.notConstant(start, op)
	}
}

func (d *decoder) notConstant(start int, op byte) {
	if d.failed() {
		return
	}
	if f, refused := refusedConst(op); refused {
		d.unsupported(start, f, fmt.Sprintf("opcode 0x%02x in a constant expression", op))
		return
	}
	d.malformed(start, "opcode 0x%02x cannot stand in a constant expression here", op)
}

func (d *decoder) fixed32() uint32 {
	if b := d.bytes(4, "a constant"); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) fixed64() uint64 {
	if b := d.bytes(8, "a constant"); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) elementSection() {
	n := d.count("element segments", 3, d.limits.ElementSegments)
	d.m.elements = slices.Grow(d.m.elements, n)
	left := d.limits.Elements
	for range n {
		start := d.pos
		e := d.elementSegment()
		if d.failed() {
			return
		}
		if left -= len(e.items); left < 0 {
			d.over(start, "elements in its segments", uint64(d.limits.Elements-left), d.limits.Elements)
			return
		}
		d.m.elements = append(d.m.elements, e)
	}
}

func (d *decoder) elementSegment() elementSegment {
	start := d.pos
	flags := d.u32()
	if flags > 7 {
		d.malformed(start, "unknown kind of element segment %d", flags)
	}
	e := elementSegment{typ: FuncRef, expressions: flags&elementExpressions != 0}
	switch flags &^ elementExpressions {
	case segmentPassive.flags(true):
		e.mode = segmentPassive
	case segmentDeclarative.flags(true):
		e.mode = segmentDeclarative
	default:
		if flags&2 != 0 {
			e.table = d.u32()
		}
		e.offset = uint32(d.constExpr(wasmedge.I32).bits)
	}
	if flags&3 != 0 {
		d.elementType(&e)
	}
	d.elementItems(&e)
	if !d.failed() && e.mode == segmentActive {
		d.checkElements(start, e)
	}
	return e
}

func (d *decoder) elementType(e *elementSegment) {
	start := d.pos
	if e.expressions {
		e.typ = d.refType()
		return
	}
	if kind := d.byte(); kind != elementKindFunction {
		d.malformed(start, "unknown kind of elements 0x%02x", kind)
	}
}

func (d *decoder) elementItems(e *elementSegment) {
	n := d.count("elements in one segment", 1, d.limits.Elements)
	if n == 0 {
		return
	}
	e.items = make([]uint32, n)
	for i := range e.items {
		if !e.expressions {
			e.items[i] = d.index(d.m.functionCount(), "function")
			continue
		}
		item := d.constExpr(e.typ)
		e.items[i] = uint32(item.bits)
		if item.op == opRefNull {
			e.items[i] = nullItem
		}
	}
}

// checkElements checks that an active segment fits its table, so that instantiating cannot trap.
func (d *decoder) checkElements(start int, e elementSegment) {
	if int64(e.table) >= int64(len(d.m.tables)) {
		d.malformed(start, "refers to table %d and there are %d", e.table, len(d.m.tables))
		return
	}
	t := d.m.tables[e.table]
	end := uint64(e.offset) + uint64(len(e.items))
	switch {
	case t.typ != e.typ:
		d.malformed(start, "has elements of type %s for a table of type %s", typeName(e.typ), typeName(t.typ))
	case end > uint64(t.min):
		d.malformed(start, "writes elements up to %d into a table of %d", end, t.min)
	}
}

func (d *decoder) dataSection() {
	n := d.count("data segments", 2, d.limits.DataSegments)
	d.m.data = slices.Grow(d.m.data, n)
	left := d.limits.DataBytes
	for range n {
		start := d.pos
		s := d.dataSegment()
		if d.failed() {
			return
		}
		if left -= len(s.bytes); left < 0 {
			d.over(start, "bytes in its data segments", uint64(d.limits.DataBytes-left), d.limits.DataBytes)
			return
		}
		d.m.data = append(d.m.data, s)
	}
}

func (d *decoder) dataSegment() dataSegment {
	start := d.pos
	flags := d.u32()
	var s dataSegment
	switch flags {
	case 1:
		s.mode = segmentPassive
	case 2:
		if memory := d.u32(); memory != 0 {
			d.unsupported(start, featureMultiMemory, fmt.Sprintf("data for memory %d", memory))
		}
	case 0:
	default:
		d.malformed(start, "unknown kind of data segment %d", flags)
	}
	if s.mode == segmentActive {
		s.offset = uint32(d.constExpr(wasmedge.I32).bits)
	}
	s.bytes = d.bytes(d.u32(), "the data of a segment")
	if !d.failed() && s.mode == segmentActive {
		d.checkData(start, s)
	}
	return s
}

// checkData checks that an active segment fits the memory, so that writing it cannot fail.
func (d *decoder) checkData(start int, s dataSegment) {
	if d.m.memory == nil {
		d.malformed(start, "has data for a memory and the module has none")
		return
	}
	if end := uint64(s.offset) + uint64(len(s.bytes)); end > uint64(d.m.memory.min)*pageBytes {
		d.malformed(start, "writes up to byte %d of a memory of %d pages (%d bytes)",
			end, d.m.memory.min, uint64(d.m.memory.min)*pageBytes)
	}
}
