package wasmedge

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/cgo"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// Thread is an OS thread that runs guests, one call at a time. Its methods belong to the function that [Engine.Go] runs on
// it, unless they say that any goroutine may call them.
type Thread struct {
	engine  *Engine
	c       *C.edge_thread
	handle  cgo.Handle
	token   *C.preempt_token // of Wait and Wake; freed when nothing refers to the Thread any more
	values  *[C.EDGE_MAX_VALUES]uint64
	word    *atomic.Uint64 // the slot's: state and generation
	caller  Caller
	hostErr error // of the call in progress: what its last host function returned
	started chan error
	run     func(*Thread)
	handed  bool // a ticket of the next call has been given out
	calling bool // a call is in progress

	asked atomic.Bool // Park has been called since the last CancelPark

	mu         sync.Mutex
	slot       *C.preempt_slot // guarded by mu; nil after the thread has ended
	grave      killNote        // guarded by mu; the reason of the last kill
	successors []*Thread       // guarded by mu: those whose token the handler may still touch
}

// Ticket names one call on one thread. The zero ticket names none.
type Ticket uint64

type killNote struct {
	ticket Ticket
	reason error
}

// Go starts an OS thread with a stack made for guests and runs fn on it; the thread ends when fn returns. The goroutine
// of fn is bound to the thread, which no other may use but for the methods that any goroutine may call. Go returns when the
// thread is ready to run guests. As with any goroutine a panic that fn does not recover ends the process; so does
// runtime.Goexit (t.FailNow in a test), which cannot leave a goroutine that C called.
func (e *Engine) Go(fn func(t *Thread)) error {
	thread := &Thread{engine: e, run: fn, started: make(chan error, 1), token: C.edge_token_new()}
	if thread.token == nil {
		return errors.New("start a guest thread: out of memory")
	}
	runtime.AddCleanup(thread, func(token *C.preempt_token) { C.edge_token_free(token) }, thread.token)
	thread.handle = cgo.NewHandle(thread)
	if code := C.edge_thread_start(C.uintptr_t(thread.handle), C.uint64_t(e.stackBytes)); code != 0 {
		thread.handle.Delete()
		return fmt.Errorf("start a guest thread: %w", syscall.Errno(code))
	}
	return <-thread.started
}

// main is the life of the thread, from edgedThreadMain.
func (t *Thread) main() {
	defer t.handle.Delete()
	// A thread that Go starts from this one would inherit the CPU that it is pinned to. From a locked one Go starts none.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t.c = C.edge_thread_new(C.uintptr_t(t.handle))
	if t.c == nil {
		t.started <- errors.New("start a guest thread: cannot prepare it")
		return
	}
	t.slot = C.edge_thread_slot(t.c)
	// SAFETY: both point into the C thread, which lives until end; values has EDGE_MAX_VALUES elements, and the word is aligned to
	// its size and accessed atomically by C too.
	t.values = (*[C.EDGE_MAX_VALUES]uint64)(unsafe.Pointer(C.edge_thread_values(t.c)))
	t.word = (*atomic.Uint64)(unsafe.Pointer(C.edge_word(t.slot)))
	t.started <- nil
	defer t.end()
	t.run(t)
}

func (t *Thread) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slot = nil
	t.successors = nil
	C.edge_thread_free(t.c)
}

// Next returns the ticket of the next call on this thread, for handing to a killer before the call starts. A ticket that
// was given out before and has not been used is void, and so is a kill of it: whoever gives up a call after Next cannot
// harm a later one.
func (t *Thread) Next() Ticket {
	if t.handed {
		C.edge_skip(t.slot)
	}
	t.handed = true
	return t.last() + 1
}

// last returns the ticket of the call in progress, or of the last one.
func (t *Thread) last() Ticket { return Ticket(t.word.Load() >> C.PREEMPT_STATE_BITS) }

// Call runs fn of instance i to its end. stack holds the parameters on entry and the results on return; its length is at
// least the larger of the two counts. Host functions see value through [Caller.Value]. The error is a [*Trap], after which
// the instance must be closed, or an [*ExitError] for a guest that exited, code 0 included; [ErrBusy] when it is not called
// on the thread itself, or by a host function of a call that it runs.
func (t *Thread) Call(i *Instance, fn *Func, value any, stack []uint64) error {
	if i.c == nil {
		return fmt.Errorf("call: instance: %w", ErrClosed)
	}
	params, results := len(fn.typ.Params), len(fn.typ.Results)
	if len(stack) < max(params, results) {
		return fmt.Errorf("call: %d values for a function of type %s", len(stack), fn.typ)
	}
	if fn.instance != i {
		return fmt.Errorf("call: %w: the function is another instance's", ErrNoEntry)
	}
	if t.calling {
		return ErrBusy
	}
	t.calling, t.caller.value = true, value
	copy(t.values[:], stack[:params])
	// SAFETY: C keeps nothing beyond the call; fn is on the heap, so its types stay where they are while host functions run;
	// the function is C's.
	outcome := C.edge_call(t.c, i.c, C.uintptr_t(uintptr(fn.pointer)), &fn.types[0], C.uint32_t(params), C.uint32_t(results))
	t.calling, t.caller = false, Caller{}
	if outcome.code != 0 {
		return t.failed(outcome)
	}
	t.handed = false
	copy(stack, t.values[:results])
	return nil
}

// failed turns what the shim says of a call that did not end well into an error.
func (t *Thread) failed(o C.edge_outcome) error {
	if o.code == C.EDGE_MISUSED {
		return ErrBusy
	}
	hostErr := t.hostErr
	t.handed, t.hostErr = false, nil
	if o.reason == C.PREEMPT_REASON_KILLED {
		return &Trap{Kind: TrapKilled, Cause: t.killReason(t.last())}
	}
	if o.reason == C.PREEMPT_REASON_STACK {
		return &Trap{Kind: TrapStackOverflow}
	}
	if o.host != 0 {
		var exit *ExitError
		if errors.As(hostErr, &exit) {
			return exit
		}
		return &Trap{Kind: TrapHost, Cause: hostErr}
	}
	return engineTrap(uint32(o.code))
}

func engineTrap(code uint32) error {
	message := ""
	kind := TrapUnknown
	switch code & 0xffffff {
	case C.WasmEdge_ErrCode_Unreachable:
		kind = TrapUnreachable
	case C.WasmEdge_ErrCode_MemoryOutOfBounds, C.WasmEdge_ErrCode_TableOutOfBounds:
		kind = TrapOutOfBounds
	case C.WasmEdge_ErrCode_DivideByZero:
		kind = TrapDivideByZero
	case C.WasmEdge_ErrCode_IntegerOverflow, C.WasmEdge_ErrCode_InvalidConvToInt:
		kind = TrapOverflow
	case C.WasmEdge_ErrCode_UndefinedElement, C.WasmEdge_ErrCode_UninitializedElement,
		C.WasmEdge_ErrCode_IndirectCallTypeMismatch:
		kind = TrapIndirectCall
	default:
		message = C.GoString(C.WasmEdge_ResultGetMessage(C.WasmEdge_Result{Code: C.uint32_t(code)}))
	}
	return &Trap{Kind: kind, Message: message}
}

// Kill ends the call of that ticket, from any goroutine, and reports whether it could: false when the call has ended, is
// neither running nor the thread's next, or has been killed already. A call that is still to begin does not begin. The
// guest stops at once in its own code, and after a host function that it is in has returned. Its call then returns a [*Trap]
// of kind TrapKilled with reason ([ErrKilled] when nil) as its cause, unless it comes to its own end first.
func (t *Thread) Kill(k Ticket, reason error) bool {
	if reason == nil {
		reason = ErrKilled
	}
	if !t.condemn(killNote{k, reason}) {
		return false
	}
	t.engine.reaper.add(t, k) // not under mu: the reaper takes its own lock first, then mu
	return true
}

// condemn marks the call as one to be killed and interrupts its thread; false when it cannot be killed any more.
func (t *Thread) condemn(note killNote) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slot == nil {
		return false
	}
	before := t.grave
	t.grave = note
	if C.edge_kill(t.slot, C.uint64_t(note.ticket)) == 0 {
		t.grave = before
		return false
	}
	return true
}

// poke interrupts a call that is to be killed once more; false when it has ended.
func (t *Thread) poke(k Ticket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slot != nil && C.edge_poke(t.slot, C.uint64_t(k)) != 0
}

func (t *Thread) killReason(k Ticket) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grave.ticket != k {
		return ErrKilled
	}
	return t.grave.reason
}
