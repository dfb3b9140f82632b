package wasmedge

// #include <stdlib.h>
// #include "shim_template.h"
import "C"

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// ErrGrown is returned by [Instance.Reset]: the guest has grown its memory, which cannot shrink again.
var ErrGrown = errors.New("the guest has grown its memory")

// Template is the state of an instance after its start-up: linear memory and mutable globals. Other instances of the same
// module start from it and are put back to it. It must only be used for modules whose tables and segments cannot change
// (the loader gate knows). Its methods may be called from any goroutine.
type Template struct {
	module *Module
	c      *C.edge_template
	users  atomic.Int64 // instances, plus one until Close
	closed sync.Once
}

// Capture makes a template of an instance that has just been started. globals are the export names of all its mutable
// globals. The instance itself is not attached to it; close it or go on using it.
func (i *Instance) Capture(globals []string) (*Template, error) {
	names := make([]*C.char, len(globals))
	for n, name := range globals {
		names[n] = C.CString(name)
		defer C.free(unsafe.Pointer(names[n]))
	}
	var first **C.char
	if len(names) > 0 {
		first = &names[0]
	}
	var code C.int
	// SAFETY: C copies the names; the array of C pointers is only read during the call.
	c := C.edge_template_new(i.c, first, C.uint32_t(len(names)), &code)
	if c == nil {
		return nil, fmt.Errorf("capture a template: %w", syscall.Errno(code))
	}
	template := &Template{module: i.module, c: c}
	template.users.Store(1)
	return template, nil
}

// Bytes returns the size of the captured memory.
func (t *Template) Bytes() int64 { return int64(C.edge_template_bytes(t.c)) }

// HotBytes returns how much of it every reset copies; 0 until that has been learnt. Both it and Guarded may change later.
func (t *Template) HotBytes() int64 { return int64(C.edge_template_hot(t.c)) }

// Guarded reports whether resets of its instances drop only what a call has written. Otherwise they drop everything but the
// hot pages: while these are learnt, and when calls write at other places each time.
func (t *Template) Guarded() bool { return C.edge_template_mode(t.c) == C.EDGE_LAYOUT_GUARDED }

// Close gives the template up. It is freed when the last instance made from it is closed. A second Close does nothing.
func (t *Template) Close() { t.closed.Do(t.release) }

// retain counts an instance in; false after the template is gone.
func (t *Template) retain() bool {
	for {
		users := t.users.Load()
		if users == 0 {
			return false
		}
		if t.users.CompareAndSwap(users, users+1) {
			return true
		}
	}
}

func (t *Template) release() {
	if t.users.Add(-1) == 0 {
		C.edge_template_free(t.c)
		t.c = nil
	}
}

// InstantiateFrom makes a fresh instance in the template's state: nothing of its start-up runs again. Errors are those of
// [Thread.Instantiate].
func (t *Thread) InstantiateFrom(template *Template) (*Instance, error) {
	if !template.retain() {
		return nil, fmt.Errorf("instantiate: template: %w", ErrClosed)
	}
	instance, err := t.make(template.module, nil)
	if err != nil {
		template.release()
		return nil, err
	}
	instance.template = template
	if code := C.edge_template_attach(template.c, instance.c); code != 0 {
		instance.Close()
		return nil, fmt.Errorf("instantiate from a template: %w", syscall.Errno(code))
	}
	return instance, nil
}

// Resettable reports whether the instance was made from a template.
func (i *Instance) Resettable() bool { return i.template != nil }

// Reset puts an instance made by [Thread.InstantiateFrom] back into its template's state. Call it after a call that ended
// without an error, while nothing runs in the instance; after a trap or a kill close the instance instead. After an error,
// which is [ErrGrown] as a rule, close it too.
func (i *Instance) Reset() error {
	if C.edge_template_reset(i.template.c, i.c) != 0 {
		return ErrGrown
	}
	return nil
}

// open makes the whole memory writable until the next reset; see shim_template_cold.c.
func (i *Instance) open() { C.edge_memory_open(i.c) }

// detach undoes what the template has done to the instance, before it is freed.
func (i *Instance) detach() { C.edge_template_detach(i.c) }

// prepare implements preparer.
func (t *Thread) prepare(part []byte) {
	// SAFETY: part is of the guest's memory; C only compares the address.
	C.edge_thread_writable(t.c, unsafe.Pointer(&part[0]), C.uint64_t(len(part)))
}

// grow implements grower.
func (t *Thread) grow(pages uint32) ([]byte, bool) {
	var bytes C.uint64_t
	base := C.edge_thread_grow(t.c, C.uint32_t(pages), &bytes)
	if base == nil {
		return nil, false
	}
	// SAFETY: base points at `bytes` accessible bytes of the calling guest's memory, which neither moves nor shrinks.
	return unsafe.Slice((*byte)(unsafe.Pointer(base)), int(bytes)), true
}

// windows returns how many parts of the instance's cold memory have been opened since its last reset; -1 when it has no guard.
func (i *Instance) windows() int { return int(C.edge_memory_windows(i.c)) }

// spoil makes every later reset leave one step out, for tests of what looks for leaks. It must not be called while instances
// are being reset.
func (t *Template) spoil(step spoiling) { C.edge_template_spoil(t.c, C.int(step)) }

type spoiling int

const (
	spoilCopy    spoiling = C.EDGE_SPOIL_COPY
	spoilDrop    spoiling = C.EDGE_SPOIL_DROP
	spoilGlobals spoiling = C.EDGE_SPOIL_GLOBALS
)

// force ends learning, with guarded cold pages or without, for measuring and testing one beside the other.
func (t *Template) force(guarded bool) {
	mode := C.EDGE_LAYOUT_OPEN
	if guarded {
		mode = C.EDGE_LAYOUT_GUARDED
	}
	C.edge_template_force(t.c, C.int(mode))
}
