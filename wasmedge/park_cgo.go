package wasmedge

// #include "shim.h"
import "C"

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
)

// Wait blocks until [Thread.Wake] has been called since the last Wait returned; it returns at once when it has been
// already. It belongs to the function that runs on the thread.
//
// The goroutine of a guest thread is bound to it. Were it to wait on a channel or a lock, Go would have to pass a processor
// from one thread to another twice for every wake-up; here the thread itself sleeps, as in a system call.
func (t *Thread) Wait() {
	// SAFETY: the token is C memory that lives as long as t is reachable.
	C.edge_wait(t.token)
	runtime.KeepAlive(t)
}

// Wake makes one Wait return. It may be called from any goroutine, also after the thread's end, and does not block; several
// calls before the next Wait count as one.
func (t *Thread) Wake() {
	// SAFETY: as in Wait.
	C.edge_wake(t.token)
	runtime.KeepAlive(t)
}

// Park asks what runs on t to stop where it is, and successor, when not nil, to be woken as by Wake as soon as it has. It may
// be called from any goroutine and does not block. It takes effect in the guest's own code at once; in a host function when
// that returns to the guest; between two calls when the next one is about to begin. Until then the request stands, also
// beyond the end of a call. A guest that is stopped goes on after [Thread.Resume], or is left when it is killed.
//
// It reports false when a request stands already or the thread is parked, and when the thread has ended. As a signal may find
// the guest outside its code, call PokePark from time to time until that returns false.
func (t *Thread) Park(successor *Thread) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slot == nil {
		return false
	}
	var token *C.preempt_token
	if successor != nil {
		token = successor.token
		if !slices.Contains(t.successors, successor) {
			t.successors = append(t.successors, successor)
		}
	}
	t.asked.Store(true)
	// SAFETY: C keeps the token until the thread has taken the request; successors keeps its owner alive until then, and a
	// thread that has ended takes none.
	return C.edge_park(t.slot, token) != 0
}

// PokePark interrupts the thread again when a request to park still stands, and reports whether it does. It may be called
// from any goroutine and does not block.
func (t *Thread) PokePark() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.slot != nil && C.edge_poke_park(t.slot) != 0
}

// CancelPark takes a standing request to park back. It belongs to the function that runs on the thread, which calls it
// outside calls and host functions, when it goes on to something else than what Park was meant for. It reports false when the
// guest has been parked, so that the successor was woken, and was left by a kill instead of being resumed.
func (t *Thread) CancelPark() bool {
	if !t.asked.Load() {
		return true
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.asked.Store(false)
	clear(t.successors) // no call is in progress, hence no handler that could still wake one
	t.successors = t.successors[:0]
	return C.edge_cancel_park(t.slot) != 0
}

// Resume lets a parked guest go on where it was stopped; on a thread that is not parked it does nothing. It may be called
// from any goroutine and does not block. Park may be called again right away.
func (t *Thread) Resume() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slot != nil {
		C.edge_resume(t.slot)
	}
}

// Parks returns how often something has been parked on the thread, 0 after its end. A park is counted before [Thread.PokePark]
// reports it and before its successor is woken. Any goroutine may call it.
func (t *Thread) Parks() uint64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slot == nil {
		return 0
	}
	return uint64(C.edge_parks(t.slot))
}

// Pin lets the thread run on that CPU only, from any goroutine. CPUs are numbered as in sched_setaffinity(2). The error is the
// system's when it has no such CPU or grants it not, or wraps [ErrClosed] after the thread's end.
func (t *Thread) Pin(cpu int) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.slot == nil {
		return fmt.Errorf("pin a guest thread to CPU %d: thread: %w", cpu, ErrClosed)
	}
	if code := C.edge_pin(t.slot, C.int(cpu)); code != 0 {
		return fmt.Errorf("pin a guest thread to CPU %d: %w", cpu, syscall.Errno(code))
	}
	return nil
}
