package gate

import (
	"fmt"
	"strings"

	"edged.dev/edge/wasmedge"
)

// valType reads a value type.
func (r *reader) valType() wasmedge.ValType {
	start := r.pos
	b := r.byte()
	switch t := wasmedge.ValType(b); t {
	case wasmedge.I32, wasmedge.I64, wasmedge.F32, wasmedge.F64, V128, FuncRef, ExternRef:
		return t
	}
	if f, refused := refusedType(b); refused {
		r.unsupported(start, f, fmt.Sprintf("type 0x%02x", b))
	} else {
		r.malformed(start, "unknown value type 0x%02x", b)
	}
	return 0
}

// refType reads a reference type.
func (r *reader) refType() wasmedge.ValType {
	start := r.pos
	t := r.valType()
	if !r.failed() && t != FuncRef && t != ExternRef {
		r.malformed(start, "expects a reference type and finds %s", typeName(t))
	}
	return t
}

// typeName returns the name of any value type in the text format.
func typeName(t wasmedge.ValType) string {
	switch t {
	case V128:
		return "v128"
	case FuncRef:
		return "funcref"
	case ExternRef:
		return "externref"
	case wasmedge.I32, wasmedge.I64, wasmedge.F32, wasmedge.F64:
	}
	return t.String()
}

// typeText returns a function type in the form "(i32, i64) -> i32", with every value type named.
func typeText(t wasmedge.FuncType) string {
	return "(" + typeList(t.Params) + ") -> " + resultText(t.Results)
}

func resultText(types []wasmedge.ValType) string {
	if len(types) == 1 {
		return typeName(types[0])
	}
	return "(" + typeList(types) + ")"
}

func typeList(types []wasmedge.ValType) string {
	names := make([]string, len(types))
	for i, t := range types {
		names[i] = typeName(t)
	}
	return strings.Join(names, ", ")
}
