// Package spin is a guest without an engine, for testing package preempt: loops of C in a section of program text of their
// own, left by a long jump. Nothing but tests imports it.
package spin

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Werror
// #include "spin.h"
import "C"

import (
	"errors"
	"fmt"
	"runtime/cgo"
	"syscall"

	"edged.dev/edge/wasmedge/preempt"
)

// Kind is where a guest spends its time.
type Kind int

// The kinds of guest.
const (
	Text    Kind = C.SPIN_TEXT    // in its own text, for ever
	Host    Kind = C.SPIN_HOST    // in short host calls, for ever
	Wait    Kind = C.SPIN_WAIT    // in one host call that enters Go
	Library Kind = C.SPIN_LIBRARY // in text that is not its own, entered without a host call, for ever
	Short   Kind = C.SPIN_SHORT   // in its own text, for some rounds
	Pause   Kind = C.SPIN_PAUSE   // in one long host call that pauses, for ever
)

// End is how a call ended.
type End int

// The ends of a call.
const (
	Returned End = C.SPIN_RETURNED
	Killed   End = C.SPIN_KILLED
	Doomed   End = C.SPIN_DOOMED // killed before it began: nothing of it ran
)

// ParkState is how far a park has come.
type ParkState int

// The states of a park.
const (
	NotAsked  ParkState = C.PREEMPT_PARK_NONE
	Requested ParkState = C.PREEMPT_PARK_REQUESTED
	Parked    ParkState = C.PREEMPT_PARK_PARKED
	Roused    ParkState = C.PREEMPT_PARK_ROUSED
)

// Thread is a slot attached to the calling OS thread, to which the caller's goroutine must be locked. Call, Skip, CancelPark
// and Wait belong to that thread; any goroutine may call the other methods until Detach.
type Thread struct{ c *C.spin_thread }

// ops returns the mechanism under test.
//
// SAFETY: preempt.Table points at constant C memory of that type.
func ops() *C.preempt_ops { return (*C.preempt_ops)(preempt.Table()) }

// Install puts the interrupt handler in place; once per process.
func Install() error {
	if code := C.spin_install(ops()); code != 0 {
		return fmt.Errorf("install the interrupt handler: %w", syscall.Errno(code))
	}
	return nil
}

// Attach makes a slot for the calling OS thread.
func Attach() (*Thread, error) {
	c := C.spin_attach(ops())
	if c == nil {
		return nil, errors.New("attach: out of memory")
	}
	return &Thread{c}, nil
}

// Detach frees the slot.
func (t *Thread) Detach() { C.spin_detach(t.c) }

// Call runs a guest to its end; host is what a guest of kind Wait calls, rounds how long one of kind Short runs.
func (t *Thread) Call(kind Kind, rounds uint64, host func()) End {
	if host == nil {
		host = func() {}
	}
	handle := cgo.NewHandle(host)
	defer handle.Delete()
	return End(C.spin_call(t.c, C.int(kind), C.uint64_t(rounds), C.uintptr_t(handle)))
}

//export edgedSpinHost
func edgedSpinHost(handle C.uintptr_t) {
	host, ok := cgo.Handle(handle).Value().(func())
	if ok {
		host()
	}
}

// Next returns the generation of the thread's next call.
func (t *Thread) Next() uint64 { return uint64(C.spin_generation(t.c)) + 1 }

// Skip gives up the thread's next call.
func (t *Thread) Skip() { C.spin_skip(t.c) }

// Kill asks for the end of a call.
func (t *Thread) Kill(generation uint64) bool { return C.spin_kill(t.c, C.uint64_t(generation)) != 0 }

// Poke interrupts a call that is to be killed once more.
func (t *Thread) Poke(generation uint64) bool { return C.spin_poke(t.c, C.uint64_t(generation)) != 0 }

// Running reports whether a call is in progress.
func (t *Thread) Running() bool {
	state := C.spin_state(t.c)
	return state == C.PREEMPT_RUNNING || state == C.PREEMPT_KILLING
}

// InFlight reports whether a signal has been sent whose handler has not started.
func (t *Thread) InFlight() bool { return C.spin_in_flight(t.c) != 0 }

// Deferred reports whether the handler has left a note for the next guard.
func (t *Thread) Deferred() bool { return C.spin_deferred(t.c) != 0 }

// Progress counts what guests have done on this thread.
func (t *Thread) Progress() uint64 { return uint64(C.spin_progress(t.c)) }

// Current reports whether the calling thread runs a guest of this slot; for a host function.
func (t *Thread) Current() bool { return C.spin_current_is(t.c) != 0 }

// Park asks what runs on the thread to stop and to wake successor, which may be nil.
func (t *Thread) Park(successor *Thread) bool {
	var c *C.spin_thread
	if successor != nil {
		c = successor.c
	}
	return C.spin_park(t.c, c) != 0
}

// PokePark interrupts the thread again while a request stands.
func (t *Thread) PokePark() bool { return C.spin_poke_park(t.c) != 0 }

// CancelPark takes a request back; false when the thread was roused.
func (t *Thread) CancelPark() bool { return C.spin_cancel_park(t.c) != 0 }

// Resume lets a parked thread go on; false when it is not parked.
func (t *Thread) Resume() bool { return C.spin_resume(t.c) != 0 }

// ParkState returns how far a park has come.
func (t *Thread) ParkState() ParkState { return ParkState(C.spin_park_state(t.c)) }

// Parks returns how often the thread has parked.
func (t *Thread) Parks() uint64 { return uint64(C.spin_parks(t.c)) }

// Wait sleeps until the thread is woken.
func (t *Thread) Wait() { C.spin_wait(t.c) }

// Wake wakes the thread.
func (t *Thread) Wake() { C.spin_wake(t.c) }

// Send sends the thread a signal.
func (t *Thread) Send(number syscall.Signal) error {
	if code := C.spin_send(t.c, C.int(number)); code != 0 {
		return fmt.Errorf("send %v: %w", number, syscall.Errno(code))
	}
	return nil
}
