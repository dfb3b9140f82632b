package wasmedge

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"unsafe"
)

// FunctionTable is the export under which compilers publish the table that their function pointers are indices of.
const FunctionTable = "__indirect_function_table"

// TableFunc returns the function that a guest's function pointer means: that index of the exported table
// [FunctionTable]. It may be an import of the module, which then does what it does for the guest. The error wraps [ErrNoEntry]
// when there is no such table or function, or one with a type of more than numbers; [ErrClosed] after Close. What the table
// holds may change while a guest runs: a Func is what was there when it was asked for.
func (i *Instance) TableFunc(index uint32) (*Func, error) {
	if i.c == nil {
		return nil, fmt.Errorf("find function %d of the table: instance: %w", index, ErrClosed)
	}
	// SAFETY: the name is C's from here to free; fn.types has room for as many types as edge_table_function writes.
	name := C.CString(FunctionTable)
	defer C.free(unsafe.Pointer(name))
	fn := &Func{instance: i}
	var params, results C.uint32_t
	var message *C.char
	fn.pointer = C.edge_table_function(i.c, name, C.uint32_t(len(FunctionTable)), C.uint32_t(index), &fn.types[0], &params, &results, &message)
	if fn.pointer == nil {
		return nil, fmt.Errorf("%w: function %d of table %s: %s", ErrNoEntry, index, FunctionTable, C.GoString(message))
	}
	types := make([]ValType, params+results)
	for n := range types {
		types[n] = ValType(fn.types[n])
	}
	fn.typ = FuncType{Params: types[:params:params], Results: types[params:]}
	return fn, nil
}

// Type returns the function's type. The slices are not to be changed.
func (f *Func) Type() FuncType { return f.typ }
