// Package wasmtime runs a module on wasmtime, in a fresh instance for every call, with as little around it as possible.
//
// The Go module wasmtime-go v37 brings the library, but does not reach its pooling allocator, which is what makes fresh
// instances cheap; so the calls here go to the library's C interface, and the whole of a request is one crossing.
package wasmtime

// #include <stdlib.h>
// #include "host.h"
import "C" //nolint:depguard // the engine that edged is measured beside, never part of it

import (
	"errors"
	"fmt"
	"sync"
	"unsafe" //nolint:depguard // to name what C has

	_ "github.com/bytecodealliance/wasmtime-go/v37" // links the library

	"edged.dev/edge/bench/hostabi"
)

// ErrEngine is wrapped by what the engine says about a module or a call.
var ErrEngine = errors.New("wasmtime")

// Options say how a module is run.
type Options struct {
	Command  bool // a program with WASI by wasmtime itself; else its WASI imports answer that nothing is open
	OnDemand bool // instances are mapped and unmapped; else they come from the pooling allocator
	Resident int  // pooling allocator: bytes of a memory that are zeroed by hand when it is given back, the rest by the kernel
}

// Host is one module. It is never freed: it is meant to live as long as the process.
type Host struct {
	host  *C.bench_host
	calls sync.Pool // of *C.bench_call
}

// New compiles a module.
func New(wasm []byte, options Options) (*Host, error) {
	var text [256]C.char
	resident := C.int64_t(options.Resident)
	if options.OnDemand {
		resident = -1
	}
	command := C.int(0)
	if options.Command {
		command = 1
	}
	// SAFETY: the module's bytes and text are read and written during the call only; wasm is not empty, see below.
	if len(wasm) == 0 {
		return nil, fmt.Errorf("%w: the module is empty", ErrEngine)
	}
	host := C.bench_host_new((*C.uint8_t)(&wasm[0]), C.size_t(len(wasm)), command, resident, &text[0])
	if host == nil {
		return nil, fmt.Errorf("%w: %s", ErrEngine, C.GoString(&text[0]))
	}
	return &Host{host: host}, nil
}

// Run makes an instance, calls _initialize where there is one and the call's entry, or a command's _start, and drops the instance. Any goroutine may call it, several at once.
func (h *Host) Run(call *hostabi.Call) error {
	c, _ := h.calls.Get().(*C.bench_call)
	if c == nil {
		// SAFETY: C memory, so that it may hold pointers of C; it stays with the process when the pool drops it, which
		// costs some kilobytes.
		c = (*C.bench_call)(C.calloc(1, C.sizeof_bench_call))
	}
	defer h.calls.Put(c)
	// SAFETY: the call reads entry, query and body and forgets them before it returns.
	entry, query, body := unsafe.SliceData(call.Entry), unsafe.SliceData(call.Query), unsafe.SliceData(call.Body)
	if C.bench_host_run(h.host, c, (*C.char)(unsafe.Pointer(entry)), C.size_t(len(call.Entry)),
		(*C.uint8_t)(query), C.size_t(len(call.Query)), (*C.uint8_t)(body), C.size_t(len(call.Body))) != 0 {
		return fmt.Errorf("%w: %s", ErrEngine, C.GoString(&c.text[0]))
	}
	// SAFETY: out and fields have that many bytes until the next call with c, and c is this call's.
	call.Out = append(call.Out, unsafe.Slice((*byte)(c.out), int(c.out_len))...)
	call.Fields = append(call.Fields, unsafe.Slice((*byte)(c.fields), int(c.fields_len))...)
	if c.failed != 0 {
		call.Fail([]byte(C.GoString(&c.text[0])))
	}
	return nil
}
