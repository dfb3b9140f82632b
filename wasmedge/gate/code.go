package gate

import (
	"fmt"

	"edged.dev/edge/wasmedge"
)

// codeSection decodes every function body into its canonical form.
func (d *decoder) codeSection() {
	start := d.pos
	n := d.count("function bodies", 2, d.limits.Functions)
	if d.failed() {
		return
	}
	if n != len(d.m.functions) {
		d.malformed(start, "the function section declares %d functions and the code section has %d bodies",
			len(d.m.functions), n)
		return
	}
	if n == 0 {
		return
	}
	// A canonical body is never longer than its source, so this is all the memory that the bodies take.
	d.m.code = bodies{bytes: make([]byte, 0, d.end-d.pos), ends: make([]int, 0, n)}
	for i := range n {
		d.function = len(d.m.imports) + i
		start := d.pos
		size := d.u32()
		if !d.failed() && uint64(size) > uint64(d.limits.FunctionBodyBytes) {
			d.over(start, "bytes of code", uint64(size), d.limits.FunctionBodyBytes)
		}
		b := body{reader: d.sub(size, "the function body"), d: d, out: d.m.code.bytes}
		b.decode(d.m.functions[i])
		d.adopt(&b.reader)
		if d.failed() {
			return
		}
		d.m.code.bytes = b.out
		d.m.code.ends = append(d.m.code.ends, len(b.out))
	}
	d.function = -1
}

// body reads one function body and appends its canonical form to out.
type body struct {
	reader
	d      *decoder
	out    []byte
	locals int
	op     byte // the opcode being decoded, and where it is
	at     int
}

// decode reads the body of a function of the type with this index.
func (b *body) decode(typ uint32) {
	b.locals = len(b.d.m.types[typ].Params)
	b.localDeclarations()
	b.d.control = append(b.d.control[:0], 0) // the function itself is the outermost block
	for len(b.d.control) > 0 && !b.failed() {
		if b.pos >= b.end {
			b.malformed(b.pos, "the function body ends with %d blocks open", len(b.d.control))
			return
		}
		b.at = b.pos
		b.op = b.src[b.pos]
		b.pos++
		//exhaustive:ignore the rest is operands
		switch i := plainInstructions[b.op]; i.first {
		case operandNone:
			b.out = append(b.out, b.op)
		case operandUnknown:
			b.unknown()
		case operandMisc:
			b.prefixed(miscInstructions[:])
		case operandSIMD:
			b.prefixed(simdInstructions[:])
		default:
			b.out = append(b.out, b.op)
			b.operands(i)
		}
	}
	b.finish("the function body")
}

// localDeclarations reads the locals and writes them with neighbours of one type joined and empty groups left out.
func (b *body) localDeclarations() {
	type group struct {
		n   uint32
		typ wasmedge.ValType
	}
	var groups []group
	for range b.count("groups of locals", 2, b.end-b.pos) {
		start := b.pos
		n := b.u32()
		typ := b.valType()
		if b.failed() {
			return
		}
		if total := uint64(b.locals) + uint64(n); total > uint64(b.d.limits.LocalsPerFunction) {
			b.fail(ErrLimit, start, fmt.Sprintf("has %d locals and parameters, more than the %d that edged allows",
				total, b.d.limits.LocalsPerFunction), "split the function, or build with optimisation (-O2)")
			return
		}
		b.locals += int(n)
		switch last := len(groups) - 1; {
		case n == 0:
		case last >= 0 && groups[last].typ == typ:
			groups[last].n += n
		default:
			groups = append(groups, group{n, typ})
		}
	}
	b.out = appendU32(b.out, uint32(len(groups)))
	for _, g := range groups {
		b.out = append(appendU32(b.out, g.n), byte(g.typ))
	}
}

// prefixed decodes an instruction whose opcode is the number behind a prefix.
func (b *body) prefixed(table []instruction) {
	sub := b.u32()
	if b.failed() {
		return
	}
	if uint64(sub) >= uint64(len(table)) || table[sub].first == operandUnknown {
		b.unknownPrefixed(sub)
		return
	}
	b.out = appendU32(append(b.out, b.op), sub)
	b.operands(table[sub])
}

func (b *body) unknown() {
	if f, refused := refusedOpcode(b.op); refused {
		b.unsupported(b.at, f, fmt.Sprintf("opcode 0x%02x", b.op))
		return
	}
	b.malformed(b.at, "unknown opcode 0x%02x", b.op)
}

func (b *body) unknownPrefixed(sub uint32) {
	detail := fmt.Sprintf("opcode 0x%02x %d", b.op, sub)
	switch {
	case b.op == prefixSIMD && sub >= 0x100 && sub <= 0x113:
		b.unsupported(b.at, featureRelaxedSIMD, detail)
	case b.op == prefixSIMD && sub >= 0x120 && sub <= 0x14f, b.op == prefixMisc && (sub == 0x30 || sub == 0x31):
		b.unsupported(b.at, featureHalfPrecision, detail)
	case b.op == prefixMisc && sub >= 19 && sub <= 22:
		b.unsupported(b.at, featureWide, detail)
	default:
		b.malformed(b.at, "unknown %s", detail)
	}
}

// operands reads what follows an opcode, checks it and appends it in its shortest form.
func (b *body) operands(i instruction) {
	m := b.d.m
	switch i.effect {
	case effectNone:
	case effectWritesTable:
		m.writesTables = true
	case effectGrowsMemory:
		m.growsMemory = true
	case effectUsesData:
		m.usesDataIndex = true
		if b.d.counted < 0 {
			b.malformed(b.at, "refers to a data segment in a module without a data count section")
		}
	}
	b.operand(i.first, i.arg)
	if i.second != operandUnknown {
		b.operand(i.second, i.arg)
	}
}

func (b *body) operand(o operand, arg uint8) {
	if o > operandIndex {
		n, what := b.space(o)
		b.out = appendU32(b.out, b.index(n, what))
		return
	}
	//exhaustive:ignore the rest never gets here
	switch o {
	case operandBlock:
		b.openBlock()
	case operandClose:
		b.closeBlock()
	case operandLabels:
		b.labels()
	case operandMemory:
		b.memory()
	case operandAccess:
		b.access(arg)
	case operandI32:
		b.out = appendSigned(b.out, b.signed(32))
	case operandI64:
		b.out = appendSigned(b.out, b.signed(64))
	case operandRaw:
		b.out = append(b.out, b.bytes(uint32(arg), "a constant")...)
	case operandReference:
		b.out = append(b.out, byte(b.refType()))
	case operandOneType:
		b.oneType()
	case operandLane:
		b.lane(16 >> arg)
	case operandShuffle:
		for range 16 {
			b.lane(32)
		}
	}
}

// space returns how many things an index operand can refer to, and what they are called.
func (b *body) space(o operand) (int, string) {
	m := b.d.m
	//exhaustive:ignore the rest are no indices
	switch o {
	case operandLabel:
		return len(b.d.control), "label"
	case operandFunction:
		return m.functionCount(), "function"
	case operandType:
		return len(m.types), "type"
	case operandTable:
		return len(m.tables), "table"
	case operandLocal:
		return b.locals, "local"
	case operandGlobal:
		return len(m.globals), "global"
	case operandElement:
		return len(m.elements), "element segment"
	default: // the data section is still to come; that it has as many is checked at the end
		return max(b.d.counted, 0), "data segment"
	}
}

// memory reads the index of a memory, which must be 0 and there.
func (b *body) memory() {
	if index := b.u32(); index != 0 {
		b.unsupported(b.at, featureMultiMemory, fmt.Sprintf("it refers to memory %d", index))
	}
	b.needMemory()
	b.out = append(b.out, 0)
}

func (b *body) needMemory() {
	if b.d.m.memory == nil && !b.failed() {
		b.malformed(b.at, "accesses memory and the module has none")
	}
}

// access reads the alignment and the offset of a load or store.
func (b *body) access(maxAlign uint8) {
	align := b.u32()
	switch {
	case align >= 0x40 && align < 0x80: // bit 6 says that the index of a memory follows
		b.unsupported(b.at, featureMultiMemory, "an access that names its memory")
	case align > uint32(maxAlign):
		b.malformed(b.at, "declares an alignment of 2^%d for an access of %d bytes", align, 1<<maxAlign)
	}
	b.needMemory()
	b.out = appendU32(b.out, align)
	b.out = appendU32(b.out, b.u32())
}

func (b *body) lane(lanes uint8) {
	lane := b.byte()
	if lane >= lanes {
		b.malformed(b.at, "refers to lane %d of %d", lane, lanes)
	}
	b.out = append(b.out, lane)
}

// openBlock reads a block type and opens a block.
func (b *body) openBlock() {
	if depth := len(b.d.control); depth > b.d.limits.BlockDepth {
		b.fail(ErrLimit, b.at, fmt.Sprintf("nests blocks deeper than the %d that edged allows", b.d.limits.BlockDepth),
			"split the function")
		return
	}
	b.d.control = append(b.d.control, b.op)
	const empty = 0x40
	switch first := b.peek(); {
	case first == empty:
		b.pos++
		b.out = append(b.out, empty)
	case first >= 0x41 && first < 0x80: // one byte, negative: a value type
		b.out = append(b.out, byte(b.valType()))
	default:
		start := b.pos
		typ := b.signed(33)
		if !b.failed() && (typ < 0 || typ >= int64(len(b.d.m.types))) {
			b.malformed(start, "refers to type %d and there are %d", typ, len(b.d.m.types))
		}
		b.out = appendSigned(b.out, typ)
	}
}

// peek returns the next byte, or zero at the end.
func (b *body) peek() byte {
	if b.pos < b.end {
		return b.src[b.pos]
	}
	return 0
}

// closeBlock follows an end, or an else, which closes an if and opens its other branch.
func (b *body) closeBlock() {
	top := len(b.d.control) - 1
	if b.op == opEnd {
		b.d.control = b.d.control[:top]
		return
	}
	if b.d.control[top] != opIf {
		b.malformed(b.at, "has an else without an if")
		return
	}
	b.d.control[top] = opElse
}

// labels reads the targets of a br_table: a vector and the default.
func (b *body) labels() {
	n := b.count("branch targets", 1, b.end-b.pos)
	b.out = appendU32(b.out, uint32(n))
	depth := len(b.d.control)
	for range n + 1 {
		b.out = appendU32(b.out, b.index(depth, "label"))
		if b.failed() {
			return
		}
	}
}

// oneType reads the types of a typed select; there is exactly one.
func (b *body) oneType() {
	if n := b.u32(); n != 1 && !b.failed() {
		b.malformed(b.at, "selects with %d types instead of one", n)
	}
	b.out = append(b.out, 1, byte(b.valType()))
}
