package wasmedge

// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"sync"
	"syscall"
)

// Thread is an OS thread that runs guests, one call at a time. All methods but Kill belong to the function that
// [Engine.Go] runs on it.
type Thread struct {
	engine  *Engine
	c       *C.edge_thread
	handle  cgo.Handle
	caller  Caller
	hostErr error  // of the call in progress: what its last host function returned
	token   uint32 // of Wait and Wake; only C touches it
	started chan error
	run     func(*Thread)
	handed  bool // a ticket of the next call has been given out

	mu    sync.Mutex
	slot  *C.preempt_slot // guarded by mu; nil after the thread has ended
	grave killNote        // guarded by mu; the reason of the last kill
}

// Ticket names one call on one thread. The zero ticket names none.
type Ticket uint64

type killNote struct {
	ticket Ticket
	reason error
}

// Go starts an OS thread with a stack made for guests and runs fn on it; the thread ends when fn returns. The goroutine
// of fn is bound to the thread, which no other may use but for Kill. It returns when the thread is ready to run guests. As
// with any goroutine a panic that fn does not recover ends the process; so does runtime.Goexit (t.FailNow in a test), which
// cannot leave a goroutine that C called.
func (e *Engine) Go(fn func(t *Thread)) error {
	thread := &Thread{engine: e, run: fn, started: make(chan error, 1)}
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
	t.c = C.edge_thread_new()
	if t.c == nil {
		t.started <- errors.New("start a guest thread: cannot prepare it")
		return
	}
	t.slot = C.edge_thread_slot(t.c)
	t.started <- nil
	defer t.end()
	t.run(t)
}

func (t *Thread) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.slot = nil
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
	return t.next()
}

func (t *Thread) next() Ticket { return Ticket(C.edge_generation(t.slot)) + 1 }

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
	ticket := t.next()
	var values *C.uint64_t
	if len(stack) > 0 {
		values = (*C.uint64_t)(&stack[0])
	}
	before := t.caller
	t.caller = Caller{value: value}
	outcome := C.edge_call(t.c, i.c, fn.pointer, &fn.types[0], C.uint32_t(params), C.uint32_t(results), values,
		C.uintptr_t(t.handle))
	if outcome.code == C.EDGE_MISUSED {
		t.caller = before // of the call in whose host function this is
		return ErrBusy
	}
	err := t.outcome(ticket, outcome)
	t.handed, t.caller, t.hostErr = false, Caller{}, nil
	return err
}

// outcome turns what the shim says into an error.
func (t *Thread) outcome(ticket Ticket, o C.edge_outcome) error {
	if o.code == 0 {
		return nil
	}
	if o.reason == C.PREEMPT_REASON_KILLED {
		return &Trap{Kind: TrapKilled, Cause: t.killReason(ticket)}
	}
	if o.reason == C.PREEMPT_REASON_STACK {
		return &Trap{Kind: TrapStackOverflow}
	}
	if o.host != 0 {
		var exit *ExitError
		if errors.As(t.hostErr, &exit) {
			return exit
		}
		return &Trap{Kind: TrapHost, Cause: t.hostErr}
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
	if C.edge_kill(C.edge_table(), t.slot, C.uint64_t(note.ticket)) == 0 {
		t.grave = before
		return false
	}
	return true
}

// poke interrupts a call that is to be killed once more; false when it has ended.
func (t *Thread) poke(k Ticket) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slot != nil && C.edge_poke(C.edge_table(), t.slot, C.uint64_t(k)) != 0
}

func (t *Thread) killReason(k Ticket) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.grave.ticket != k {
		return ErrKilled
	}
	return t.grave.reason
}
