package gate_test

import (
	"fmt"

	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/gate"
)

func ExampleCheck() {
	// A module with a memory of one page and no maximum.
	upload := []byte("\x00asm\x01\x00\x00\x00\x05\x03\x01\x00\x01")
	module, err := gate.Check(upload, gate.Limits{MemoryPages: 16})
	fmt.Println(module.MemoryMin, module.MemoryMax, module.MemoryExport, err)

	_, err = gate.Check([]byte("(module)"), gate.Limits{})
	fmt.Println(err)
	// Output:
	// 9 16 edged:memory <nil>
	// the file is WebAssembly text, not a WebAssembly module; assemble it first (wat2wasm or wasm-tools parse)
}

func ExampleBind() {
	found := wasmedge.FuncType{Results: []wasmedge.ValType{wasmedge.I64}}
	table, err := gate.Bind(
		[]gate.Import{{Module: "edged", Name: "input_len", Type: found}},
		[]gate.Provided{{Module: "edged", Name: "input_len", Type: wasmedge.FuncType{Results: []wasmedge.ValType{wasmedge.I32}}}},
	)
	fmt.Print(table)
	fmt.Println(err)
	// Output:
	// edged.input_len  wrong type  () -> i64  expected () -> i32
	// imports cannot be bound (1 of 1): edged.input_len has the type () -> i64 and edged provides () -> i32
}
