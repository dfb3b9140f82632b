package wasmedge

// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"unsafe"
)

// Segment is data that is written into the linear memory of each new instance.
type Segment struct {
	Offset uint32
	Bytes  []byte
}

// ModuleOptions tells [Engine.Load] what the artifact does not say by itself. The loader gate knows all of it.
type ModuleOptions struct {
	// Imports are the names of the host modules it imports from, in any order, each once.
	Imports []string
	// MemoryExport is the export name of its linear memory, empty when it has none.
	MemoryExport string
	// Data is written into the memory of each new instance, in order, before Start. The slices are kept.
	Data []Segment
	// Start is the export name of its start function, empty when it has none. [Thread.Start] runs it.
	Start string
}

// Module is a loaded artifact: compiled code, shared by all its instances. Its methods may be called from any goroutine.
type Module struct {
	engine  *Engine
	c       *C.edge_module
	hosts   []*C.edge_host_module
	options ModuleOptions
	users   atomic.Int64 // instances, plus one until Close
	closed  sync.Once
}

// Load loads the artifact at path, which this process must have made itself: loading runs what the file says. It parses
// and validates the embedded module again, which takes some milliseconds a megabyte. A path names one content for as long as
// any module loaded from it lives: the dynamic linker gives out again what it has mapped under that name.
func (e *Engine) Load(path string, options ModuleOptions) (*Module, error) {
	module := &Module{engine: e, options: options}
	for _, name := range options.Imports {
		host, ok := e.hosts[name]
		if !ok {
			return nil, fmt.Errorf("load %s: no host module %q", path, name)
		}
		module.hosts = append(module.hosts, host)
	}
	path, err := filepath.Abs(path) // the dynamic linker looks for a name without a slash in places of its own
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	text := C.CString(path)
	defer C.free(unsafe.Pointer(text))
	var message *C.char
	module.c = C.edge_load(text, &message)
	if module.c == nil {
		return nil, fmt.Errorf("load %s: %s", path, C.GoString(message))
	}
	module.users.Store(1)
	return module, nil
}

// TextBytes returns the size of the compiled code.
func (m *Module) TextBytes() int64 { return int64(C.edge_module_text_bytes(m.c)) }

// StartExport returns the name of the start function, empty when there is none.
func (m *Module) StartExport() string { return m.options.Start }

// Close gives the module up. Its code is unmapped when the last instance is closed; no new ones can be made. A second
// Close does nothing.
func (m *Module) Close() {
	m.closed.Do(m.release)
}

// retain counts an instance in; false after the module is gone.
func (m *Module) retain() bool {
	for {
		users := m.users.Load()
		if users == 0 {
			return false
		}
		if m.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

func (m *Module) release() {
	if m.users.Add(-1) == 0 {
		C.edge_module_free(m.c)
		m.c = nil
	}
}

// Instance is one instance of a module with a linear memory of its own. It may be used by one goroutine at a time, on any
// [Thread], but for Close it may not be in use.
type Instance struct {
	module   *Module
	template *Template // that it is reset to; nil when it was not made from one
	c        *C.edge_instance
	funcs    map[string]*Func
}

// Func is an exported function of one instance.
type Func struct {
	instance *Instance
	pointer  unsafe.Pointer // WasmEdge's; valid as long as the instance
	typ      FuncType
	types    [2 * C.EDGE_MAX_VALUES]C.uint8_t
}

// Instantiate makes a fresh instance: memory with its data, globals, tables. No guest code runs; call the module's start
// export and its initialiser next. The error wraps [ErrTooManyMemories] at the cap and [ErrClosed] after Close.
func (t *Thread) Instantiate(m *Module) (*Instance, error) {
	return t.make(m, m.options.Data)
}

// make makes an instance with that data in its memory.
func (t *Thread) make(m *Module, data []Segment) (*Instance, error) {
	if !m.retain() {
		return nil, fmt.Errorf("instantiate: module: %w", ErrClosed)
	}
	instance, err := t.instantiate(m, data)
	if err != nil {
		m.release()
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	return instance, nil
}

func (t *Thread) instantiate(m *Module, data []Segment) (*Instance, error) {
	e := m.engine
	if m.options.MemoryExport != "" {
		if e.memories.Add(1) > e.memoryCap {
			e.memories.Add(-1)
			return nil, fmt.Errorf("%w: %d exist, the cap is %d", ErrTooManyMemories, e.memoryCap, e.memoryCap)
		}
	}
	var name *C.char
	if m.options.MemoryExport != "" {
		name = C.CString(m.options.MemoryExport)
		defer C.free(unsafe.Pointer(name))
	}
	var hosts **C.edge_host_module
	if len(m.hosts) > 0 {
		hosts = &m.hosts[0]
	}
	var message *C.char
	c := C.edge_instantiate(t.c, m.c, hosts, C.uint32_t(len(m.hosts)), name, &message)
	if c == nil {
		if name != nil {
			e.memories.Add(-1)
		}
		return nil, fmt.Errorf("%s", C.GoString(message))
	}
	instance := &Instance{module: m, c: c, funcs: make(map[string]*Func)}
	if err := instance.writeData(data); err != nil {
		instance.free()
		return nil, err
	}
	return instance, nil
}

func (i *Instance) writeData(data []Segment) error {
	if len(data) == 0 {
		return nil
	}
	memory := i.Memory()
	for n, segment := range data {
		end := uint64(segment.Offset) + uint64(len(segment.Bytes))
		if end > uint64(len(memory)) {
			return fmt.Errorf("data segment %d ends at byte %d of a memory of %d", n, end, len(memory))
		}
		copy(memory[segment.Offset:], segment.Bytes)
	}
	return nil
}

// Memory returns the linear memory as it is now, nil when there is none. The slice is valid until the guest runs again, or the
// instance is reset or closed; using it later reads memory that may be anybody's, or writes where nothing may be written. In
// an instance made from a template it makes the next reset a slow one.
func (i *Instance) Memory() []byte {
	memory := i.view()
	if i.template != nil && memory != nil {
		i.open()
	}
	return memory
}

// view is Memory for reading only: pages of it may be read-only.
func (i *Instance) view() []byte {
	if i.c == nil {
		return nil
	}
	var bytes C.uint64_t
	base := C.edge_instance_memory(i.c, &bytes)
	if base == nil {
		return nil
	}
	// SAFETY: base points at `bytes` accessible bytes for as long as the instance lives and does not grow.
	return unsafe.Slice((*byte)(unsafe.Pointer(base)), int(bytes))
}

// Func returns the export of that name and type. The error wraps [ErrNoEntry] when there is none of exactly that type, and
// [ErrClosed] after Close.
func (i *Instance) Func(name string, typ FuncType) (*Func, error) {
	if i.c == nil {
		return nil, fmt.Errorf("find function %q: instance: %w", name, ErrClosed)
	}
	if fn, ok := i.funcs[name]; ok && fn.typ.Equal(typ) {
		return fn, nil
	}
	if len(typ.Params) > C.EDGE_MAX_VALUES || len(typ.Results) > C.EDGE_MAX_VALUES || name == "" {
		return nil, fmt.Errorf("%w: %q with type %s", ErrNoEntry, name, typ)
	}
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	fn := &Func{instance: i, typ: typ}
	for n, t := range append(append([]ValType(nil), typ.Params...), typ.Results...) {
		fn.types[n] = C.uint8_t(t)
	}
	fn.pointer = C.edge_instance_function(i.c, text, C.uint32_t(len(name)), &fn.types[0], C.uint32_t(len(typ.Params)),
		C.uint32_t(len(typ.Results)))
	if fn.pointer == nil {
		return nil, fmt.Errorf("%w: the module exports no function %q of type %s", ErrNoEntry, name, typ)
	}
	i.funcs[name] = fn
	return fn, nil
}

// Global returns the bits of an exported global of a numeric type. The error wraps [ErrNoEntry], or [ErrClosed] after Close.
func (i *Instance) Global(name string) (uint64, error) {
	if i.c == nil {
		return 0, fmt.Errorf("read global %q: instance: %w", name, ErrClosed)
	}
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	var value C.uint64_t
	if C.edge_instance_global_get(i.c, text, C.uint32_t(len(name)), &value) != 0 {
		return 0, fmt.Errorf("%w: the module exports no global %q of a numeric type", ErrNoEntry, name)
	}
	return uint64(value), nil
}

// SetGlobal sets the bits of an exported mutable global of a numeric type. Errors as [Instance.Global].
func (i *Instance) SetGlobal(name string, value uint64) error {
	if i.c == nil {
		return fmt.Errorf("set global %q: instance: %w", name, ErrClosed)
	}
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	if C.edge_instance_global_set(i.c, text, C.uint32_t(len(name)), C.uint64_t(value)) != 0 {
		return fmt.Errorf("%w: the module exports no mutable global %q", ErrNoEntry, name)
	}
	return nil
}

// Close frees the instance and unmaps its memory. A second Close does nothing.
func (i *Instance) Close() {
	if i.c == nil {
		return
	}
	i.free()
	i.module.release()
	if i.template != nil {
		i.template.release()
	}
}

func (i *Instance) free() {
	if i.template != nil {
		i.detach()
	}
	C.edge_instance_free(i.c)
	i.c = nil
	i.funcs = nil
	if i.module.options.MemoryExport != "" {
		i.module.engine.memories.Add(-1)
	}
}

// Of reports whether the instance was made from that module.
func (i *Instance) Of(m *Module) bool { return i.module == m }
