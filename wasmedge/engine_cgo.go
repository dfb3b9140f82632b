package wasmedge

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Werror -I${SRCDIR}
// #cgo LDFLAGS: -lwasmedge -ldl -lpthread
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"edged.dev/edge/wasmedge/preempt"
)

// Defaults and bounds of [Options].
const (
	// DefaultMemories caps live linear memories. Each reserves 12 GiB of address space, so some 10,900 fit into 47 bits;
	// the cap stays far below, for the process maps other things too.
	DefaultMemories = 4096
	// DefaultStackBytes is the part of a thread's stack that guests may use: what a process's main thread has.
	DefaultStackBytes = 8 << 20
	// pokeInterval is how often a call that is to be killed is interrupted again. The first signal ends it when it finds
	// the guest in its own text; the following ones catch a guest that was in a host call then.
	pokeInterval = time.Millisecond
)

// Options configures [Open]. The zero value of a field other than Keeper means its default.
type Options struct {
	// Keeper is the path of the artifact compiled from [KeeperModule]; required.
	Keeper string
	// HostFuncs are all functions that guests may import. Copied by Open.
	HostFuncs []HostFunc
	// Memories caps the live linear memories; DefaultMemories when zero.
	Memories int
	// StackBytes is the stack that a guest's calls may use; DefaultStackBytes when zero.
	StackBytes int
	// Logger gets what no caller can be told: a host function that panicked. slog.Default() when nil.
	Logger *slog.Logger
}

// Engine is the one engine of this process. Its methods may be called from any goroutine.
type Engine struct {
	logger     *slog.Logger
	functions  []HostFunc
	hosts      map[string]*C.edge_host_module
	provided   map[[2]string]FuncType
	memories   atomic.Int64 // live
	memoryCap  int64
	stackBytes uint64
	reaper     reaper
}

// opened allows one engine a process: signal handlers and the keeper cannot be taken back.
var opened atomic.Bool

// KeeperModule returns the module whose compiled artifact [Open] needs: it calls one host function that never returns.
func KeeperModule() []byte {
	return []byte{
		0, 'a', 's', 'm', 1, 0, 0, 0,
		1, 4, 1, 0x60, 0, 0, // type 0: () -> ()
		2, 21, 1, 12, 'e', 'd', 'g', 'e', 'd', ':', 'k', 'e', 'e', 'p', 'e', 'r', 4, 'w', 'a', 'i', 't', 0, 0,
		3, 2, 1, 0, // function 1 of type 0
		7, 8, 1, 4, 'k', 'e', 'e', 'p', 0, 1,
		10, 6, 1, 4, 0, 0x10, 0, 0x0b, // call 0
	}
}

// Open puts the engine into this process: signal handlers, the keeper thread, host functions. It can be done once and
// lasts as long as the process. It returns [ErrOpen] the second time, and an error that wraps [ErrNotSupported] when
// libwasmedge is another version than the one whose inside this package relies on.
func Open(options Options) (*Engine, error) {
	if !opened.CompareAndSwap(false, true) {
		return nil, ErrOpen
	}
	if options.Memories == 0 {
		options.Memories = DefaultMemories
	}
	if options.StackBytes == 0 {
		options.StackBytes = DefaultStackBytes
	}
	if options.Logger == nil {
		options.Logger = slog.Default()
	}
	engine := &Engine{
		logger:     options.Logger,
		functions:  append([]HostFunc(nil), options.HostFuncs...),
		hosts:      make(map[string]*C.edge_host_module),
		provided:   make(map[[2]string]FuncType),
		memoryCap:  int64(options.Memories),
		stackBytes: uint64(options.StackBytes),
	}
	if err := engine.register(); err != nil {
		return nil, err
	}
	keeper := C.CString(options.Keeper)
	defer C.free(unsafe.Pointer(keeper))
	// SAFETY: the table is constant C memory; keeper lives until edge_open returns, which copies nothing of it.
	if message := C.edge_open((*C.preempt_ops)(preempt.Table()), keeper); message != nil {
		return nil, fmt.Errorf("open the engine: %s: %w", C.GoString(message), ErrNotSupported)
	}
	return engine, nil
}

// Provides returns the type of the host function of that name, for checking a module's imports before it is loaded.
func (e *Engine) Provides(module, name string) (FuncType, bool) {
	t, ok := e.provided[[2]string{module, name}]
	return t, ok
}

// Functions returns every host function. The slice is shared and must not be changed.
func (e *Engine) Functions() []HostFunc { return e.functions }

// Version returns the version of libwasmedge.
func Version() string { return C.GoString(C.WasmEdge_VersionGet()) }

// LiveMemories returns how many linear memories exist now.
func (e *Engine) LiveMemories() int { return int(e.memories.Load()) }

// register makes a host module for each module name and adds the functions.
func (e *Engine) register() error {
	for i := range e.functions {
		fn := &e.functions[i]
		if len(fn.Type.Params) > C.EDGE_MAX_VALUES || len(fn.Type.Results) > C.EDGE_MAX_VALUES {
			return fmt.Errorf("register %s.%s: more than %d values", fn.Module, fn.Name, int(C.EDGE_MAX_VALUES))
		}
		key := [2]string{fn.Module, fn.Name}
		if _, twice := e.provided[key]; twice {
			return fmt.Errorf("register %s.%s: registered twice", fn.Module, fn.Name)
		}
		e.provided[key] = fn.Type
		if err := e.registerOne(uint32(i), fn); err != nil {
			return err
		}
	}
	return nil
}

func (e *Engine) registerOne(index uint32, fn *HostFunc) error {
	module, ok := e.hosts[fn.Module]
	if !ok {
		name := C.CString(fn.Module)
		module = C.edge_host_module_new(name)
		C.free(unsafe.Pointer(name))
		if module == nil {
			return errors.New("register host functions: out of memory")
		}
		e.hosts[fn.Module] = module
	}
	// SAFETY: C keeps the descriptor for the life of the process, so it is C memory that is never freed.
	described := (*C.edge_host_function)(C.calloc(1, C.sizeof_edge_host_function))
	described.index = C.uint32_t(index)
	described.parameters = C.uint8_t(len(fn.Type.Params))
	described.results = C.uint8_t(len(fn.Type.Results))
	for i, t := range append(append([]ValType(nil), fn.Type.Params...), fn.Type.Results...) {
		described.types[i] = C.uint8_t(t)
	}
	name := C.CString(fn.Name)
	defer C.free(unsafe.Pointer(name))
	native(fn, described, name)
	if C.edge_host_module_add(module, name, described) != 0 {
		return fmt.Errorf("register %s.%s: only i32, i64, f32 and f64 are supported", fn.Module, fn.Name)
	}
	return nil
}

// native attaches the C implementation of a function that has one (shim_native.c).
func native(fn *HostFunc, described *C.edge_host_function, name *C.char) {
	module := C.CString(fn.Module)
	defer C.free(unsafe.Pointer(module))
	C.edge_native_attach(module, name, described)
}

// reaper interrupts calls that are to be killed again and again until they have ended.
type reaper struct {
	mu      sync.Mutex
	doomed  []doomedCall // guarded by mu
	running bool         // guarded by mu
}

type doomedCall struct {
	thread *Thread
	ticket Ticket
}

// add starts the reaper's goroutine when it is not running; the goroutine ends when no call is left.
func (r *reaper) add(t *Thread, k Ticket) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doomed = append(r.doomed, doomedCall{t, k})
	if !r.running {
		r.running = true
		go r.run()
	}
}

func (r *reaper) run() {
	tick := time.NewTicker(pokeInterval)
	defer tick.Stop()
	for range tick.C {
		if !r.pokeAll() {
			return
		}
	}
}

// pokeAll reports whether any call is left to poke.
func (r *reaper) pokeAll() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	left := r.doomed[:0]
	for _, call := range r.doomed {
		if call.thread.poke(call.ticket) {
			left = append(left, call)
		}
	}
	clear(r.doomed[len(left):])
	r.doomed = left
	r.running = len(left) > 0
	return r.running
}
