// Package preempt interrupts a guest on its own OS thread from outside. It is the mechanism only: one real-time signal,
// whose handler decides by the interrupted program counter. Inside guest text no lock can be held, so the guest may be
// left at once; anywhere else the handler leaves a note that the owner honours at its next guard.
//
// The mechanism is C (preempt.h states its life cycle and rules) and is handed to other cgo packages as a table of
// functions, so that it links and tests without an engine: package spin below is the guest of its tests. docs/PREEMPTION.md
// names every race and the test that shows how it is resolved. It needs cgo.
package preempt
