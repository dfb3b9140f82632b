//go:build cgo

package gate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/second-state/WasmEdge-go/wasmedge"
)

// engineConfig returns a configuration with the proposals on that edged runs.
func engineConfig() *wasmedge.Configure {
	wasmedge.SetLogOff()
	config := wasmedge.NewConfigure()
	for _, off := range []wasmedge.Proposal{
		wasmedge.TAIL_CALL, wasmedge.EXTENDED_CONST, wasmedge.FUNCTION_REFERENCES, wasmedge.GC, wasmedge.MULTI_MEMORIES,
		wasmedge.THREADS, wasmedge.RELAXED_SIMD, wasmedge.MEMORY64, wasmedge.EXCEPTION_HANDLING, wasmedge.COMPONENT_MODEL,
	} {
		config.RemoveConfig(off)
	}
	return config
}

// loadAndValidate runs libwasmedge's loader and validator over a module.
func loadAndValidate(code []byte) error {
	config := engineConfig()
	defer config.Release()
	loader := wasmedge.NewLoaderWithConfig(config)
	defer loader.Release()
	ast, err := loader.LoadBuffer(code)
	if err != nil {
		return fmt.Errorf("%w: %w", errLoad, err)
	}
	defer ast.Release()
	validator := wasmedge.NewValidatorWithConfig(config)
	defer validator.Release()
	if err := validator.Validate(ast); err != nil {
		return fmt.Errorf("validate: %w", err)
	}
	return nil
}

// TestEngineAcceptsSmallModules runs what the gate wrote, and what it read, through the engine.
func TestEngineAcceptsSmallModules(t *testing.T) {
	for name, src := range accepted() {
		t.Run(name, func(t *testing.T) {
			// The engine wants the byte 0 where the gate reads a number: memory.grow's operand, padded, is refused.
			if err := loadAndValidate(src); err != nil && name != "everything, padded" {
				t.Errorf("the engine refuses the test's own module: %v", err)
			}
			if err := loadAndValidate(mustCheck(t, src, Limits{}).Code); err != nil {
				t.Errorf("the engine refuses what the gate wrote: %v", err)
			}
		})
	}
}

func TestEngineAcceptsGuests(t *testing.T) {
	forEachGuest(t, func(t *testing.T, src []byte) {
		if err := loadAndValidate(mustCheck(t, src, Limits{}).Code); err != nil {
			t.Error(err)
		}
	})
}

// TestEngineKnowsTheSameInstructions compares, opcode by opcode, what the gate decodes with what the engine loads. In
// unreachable code an instruction may follow whatever its operands are, so the engine validates nearly all of them too.
func TestEngineKnowsTheSameInstructions(t *testing.T) {
	accepted, refused := 0, 0
	try := func(opcode ...byte) {
		// The shortest operands that could fit: zeros (and a block's end), or the lanes, bytes and types that some need.
		for _, operands := range [][]byte{
			nil, {0}, {0, 0}, {0, 0, 0}, {0x40, 0x0b}, {0x70}, {1, 0x7f}, make([]byte, 16),
		} {
			src := instructionModule(opcode, operands)
			_, err := Check(src, Limits{})
			engine := loadAndValidate(src)
			switch {
			case err == nil && engine != nil:
				t.Errorf("opcode %x, operands %x: the gate accepts and the engine refuses: %v", opcode, operands, engine)
			case err != nil && engine == nil:
				t.Errorf("opcode %x, operands %x: the engine accepts and the gate refuses: %v", opcode, operands, err)
			case err == nil:
				accepted++
				return
			case errors.Is(err, ErrFeature):
				refused++ // and go on: it may be the operands, such as the index of a second memory
			}
		}
	}
	for op := range 256 {
		switch op {
		case prefixMisc, prefixSIMD, opElse, opEnd, 0xfb, 0xfe:
		default:
			try(byte(op))
		}
	}
	for sub := range 32 {
		try(prefixMisc, byte(sub))
	}
	for sub := range uint32(0x180) {
		try(append([]byte{prefixSIMD}, leb(int(sub))...)...)
	}
	// 172 opcodes of one byte but for else, end and two prefixes; 18 behind 0xfc; 236 behind 0xfd.
	if want := instructionCount() - 4; accepted != want {
		t.Errorf("%d opcodes accepted by both, and the tables have %d", accepted, want)
	}
	if refused == 0 {
		t.Error("no opcode was refused as a feature")
	}
}

// instructionCount returns the number of opcodes in the tables.
func instructionCount() int {
	n := 0
	for _, table := range [][]instruction{plainInstructions[:], miscInstructions[:], simdInstructions[:]} {
		for _, i := range table {
			if i.first != operandUnknown {
				n++
			}
		}
	}
	return n
}

// instructionModule returns a module with two tables, an element and a data segment, and a function whose code is the
// instruction between two unreachable ones.
func instructionModule(opcode, operands []byte) []byte {
	// The nops keep operands that are too few from eating the second unreachable.
	body := cat(1, 1, 0x7f, 0x00, opcode, operands, bytes.Repeat([]byte{0x01}, 20), 0x00, 0x0b)
	return wasm(types, functions, table4, memory1, global1,
		sec(sectionElement, 1, 1, 0, 1, 0), sec(sectionDataCount, 1), code(body), sec(sectionData, 1, 1, 0))
}

// TestEngineRefusesMalformed: the gate is not stricter than the engine about what a module may refer to, but for segments
// that would trap when the module is instantiated.
func TestEngineRefusesMalformed(t *testing.T) {
	for name, row := range badReferences() {
		if !errors.Is(row.kind, ErrMalformed) || bytes.Contains([]byte(name), []byte("data count")) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			err := loadAndValidate(row.src)
			atInstantiation := bytes.Contains([]byte(row.text), []byte("up to")) ||
				row.text == "4294967296" || row.text == "65537"
			if err == nil && !atInstantiation {
				t.Error("the engine accepts it")
			}
		})
	}
}

// TestEngineAgreesOnDamagedModules: what the engine would load and validate as it was uploaded, the gate calls malformed
// only where a segment would trap when the module is instantiated.
func TestEngineAgreesOnDamagedModules(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	src := everything(short)
	both := 0
	for range 20_000 {
		damaged := damage(random, src)
		_, err := Check(damaged, Limits{})
		if loadAndValidate(damaged) != nil {
			continue
		}
		if err == nil {
			both++
		}
		if errors.Is(err, ErrMalformed) && !strings.Contains(err.Error(), "writes") {
			t.Errorf("the engine accepts and the gate says %v\n%x", err, damaged)
		}
	}
	if both == 0 {
		t.Error("no damaged module passes either: nothing was tested")
	}
}
