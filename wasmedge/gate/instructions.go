package gate

// operand is one of the things that follow an opcode.
type operand uint8

const (
	operandUnknown operand = iota // the opcode does not exist
	operandNone
	operandBlock  // block type; the instruction opens a block
	operandClose  // nothing; the instruction is an else or an end
	operandLabels // the targets of br_table
	operandMemory // the index of a memory
	operandAccess // alignment, of which arg is the largest exponent, and offset
	operandI32
	operandI64
	operandRaw // arg bytes, whatever they are
	operandReference
	operandOneType // a vector of one value type
	operandLane    // the number of a lane, below 16 >> arg
	operandShuffle // sixteen numbers of lanes, below 32
	operandMisc    // another opcode: this is the prefix 0xfc
	operandSIMD    // another opcode: this is the prefix 0xfd

	operandIndex // from here on: an index into something
	operandLabel
	operandFunction
	operandType
	operandTable
	operandLocal
	operandGlobal
	operandElement
	operandData
)

// effect is what the rest of the system must know of an instruction.
type effect uint8

const (
	effectNone        effect = iota
	effectWritesTable        // a table or an element segment is not the same afterwards
	effectGrowsMemory
	effectUsesData // data segments are referred to by number
)

// instruction is a row of an opcode table.
type instruction struct {
	first, second operand
	arg           uint8
	effect        effect
}

// The opcodes that this package names in code (core specification 5.4).
const (
	opBlock     = 0x02
	opLoop      = 0x03
	opIf        = 0x04
	opElse      = 0x05
	opEnd       = 0x0b
	opGlobalGet = 0x23
	opI32Const  = 0x41
	opI64Const  = 0x42
	opF32Const  = 0x43
	opF64Const  = 0x44
	opRefNull   = 0xd0
	opRefFunc   = 0xd2
	prefixMisc  = 0xfc
	prefixSIMD  = 0xfd
	opV128Const = 12 // behind prefixSIMD
)

// The opcode tables: without a prefix, behind 0xfc and behind 0xfd. They are never written after they are built.
var (
	plainInstructions = buildPlain()
	miscInstructions  = buildMisc()
	simdInstructions  = buildSIMD()
)

// buildPlain returns the table of one-byte opcodes: version 2.0 of the core specification without its vector part.
func buildPlain() [256]instruction {
	t := [256]instruction{
		0x00:    {first: operandNone}, // unreachable
		0x01:    {first: operandNone}, // nop
		opBlock: {first: operandBlock},
		opLoop:  {first: operandBlock},
		opIf:    {first: operandBlock},
		opElse:  {first: operandClose},
		opEnd:   {first: operandClose},
		0x0c:    {first: operandLabel}, // br
		0x0d:    {first: operandLabel}, // br_if
		0x0e:    {first: operandLabels},
		0x0f:    {first: operandNone}, // return
		0x10:    {first: operandFunction},
		0x11:    {first: operandType, second: operandTable}, // call_indirect
		0x1a:    {first: operandNone},                       // drop
		0x1b:    {first: operandNone},                       // select
		0x1c:    {first: operandOneType},                    // select with a type
		0x20:    {first: operandLocal},
		0x21:    {first: operandLocal},
		0x22:    {first: operandLocal},
		0x23:    {first: operandGlobal},
		0x24:    {first: operandGlobal},
		0x25:    {first: operandTable},                            // table.get
		0x26:    {first: operandTable, effect: effectWritesTable}, // table.set
		0x3f:    {first: operandMemory},                           // memory.size
		0x40:    {first: operandMemory, effect: effectGrowsMemory},

		opI32Const: {first: operandI32},
		opI64Const: {first: operandI64},
		opF32Const: {first: operandRaw, arg: 4},
		opF64Const: {first: operandRaw, arg: 8},
		opRefNull:  {first: operandReference},
		0xd1:       {first: operandNone}, // ref.is_null
		opRefFunc:  {first: operandFunction},
		prefixMisc: {first: operandMisc},
		prefixSIMD: {first: operandSIMD},
	}
	for i, align := range [...]uint8{
		2, 3, 2, 3, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, // 0x28 i32.load to 0x35 i64.load32_u
		2, 3, 2, 3, 0, 1, 0, 1, 2, // 0x36 i32.store to 0x3e i64.store32
	} {
		t[0x28+i] = instruction{first: operandAccess, arg: align}
	}
	for op := 0x45; op <= 0xc4; op++ { // arithmetic, comparisons, conversions, sign extension
		t[op] = instruction{first: operandNone}
	}
	return t
}

// buildMisc returns the table of opcodes behind 0xfc: saturating conversions, bulk memory and tables.
func buildMisc() [18]instruction {
	t := [18]instruction{
		8:  {first: operandData, second: operandMemory, effect: effectUsesData},      // memory.init
		9:  {first: operandData, effect: effectUsesData},                             // data.drop
		10: {first: operandMemory, second: operandMemory},                            // memory.copy
		11: {first: operandMemory},                                                   // memory.fill
		12: {first: operandElement, second: operandTable, effect: effectWritesTable}, // table.init
		13: {first: operandElement, effect: effectWritesTable},                       // elem.drop
		14: {first: operandTable, second: operandTable, effect: effectWritesTable},   // table.copy
		15: {first: operandTable, effect: effectWritesTable},                         // table.grow
		16: {first: operandTable},                                                    // table.size
		17: {first: operandTable, effect: effectWritesTable},                         // table.fill
	}
	for op := range 8 { // saturating conversions
		t[op] = instruction{first: operandNone}
	}
	return t
}

// buildSIMD returns the table of opcodes behind 0xfd: the fixed-width SIMD proposal, all but 20 of the first 256.
func buildSIMD() [256]instruction {
	var t [256]instruction
	for op := range t {
		t[op] = instruction{first: operandNone}
	}
	for _, hole := range [...]int{
		154, 162, 165, 166, 175, 176, 178, 179, 180, 187, 194, 197, 198, 207, 208, 210, 211, 212, 226, 238,
	} {
		t[hole] = instruction{}
	}
	for op, align := range [...]uint8{4, 3, 3, 3, 3, 3, 3, 0, 1, 2, 3, 4} { // 0 v128.load to 11 v128.store
		t[op] = instruction{first: operandAccess, arg: align}
	}
	t[opV128Const] = instruction{first: operandRaw, arg: 16}
	t[13] = instruction{first: operandShuffle}
	for i, size := range [...]uint8{0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 2, 2, 3, 3} { // 21 i8x16.extract_lane_s and on
		t[21+i] = instruction{first: operandLane, arg: size}
	}
	for size := range uint8(4) { // loads and stores of one lane of 8, 16, 32, 64 bits
		t[84+size] = instruction{first: operandAccess, second: operandLane, arg: size}
		t[88+size] = instruction{first: operandAccess, second: operandLane, arg: size}
	}
	t[92] = instruction{first: operandAccess, arg: 2} // v128.load32_zero
	t[93] = instruction{first: operandAccess, arg: 3} // v128.load64_zero
	return t
}
