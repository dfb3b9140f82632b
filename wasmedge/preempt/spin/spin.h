// A guest without an engine: loops in a section of program text of their own, and a way out of them.
#ifndef EDGED_SPIN_H
#define EDGED_SPIN_H

#include <stdint.h>

#include "../preempt.h"

typedef struct spin_thread spin_thread;

// How a call of spin_call ended.
enum { SPIN_RETURNED = 0, SPIN_KILLED = 1, SPIN_DOOMED = 2 };

// Where a guest spends its time.
enum {
  SPIN_TEXT = 0,  // in its own text, for ever
  SPIN_HOST = 1,  // in host calls of some microseconds, for ever
  SPIN_WAIT = 2,  // in one host call, in Go, once
  SPIN_LIBRARY = 3,  // in text that is neither its own nor entered by a host call, for ever
  SPIN_SHORT = 4,  // in its own text, for `rounds` rounds
  SPIN_PAUSE = 5,  // in one host call that pauses, for ever
};

int spin_install(const preempt_ops* ops);
spin_thread* spin_attach(const preempt_ops* ops);
void spin_detach(spin_thread* thread);
// spin_call runs a guest on the calling thread. handle goes to edgedSpinHost with each host call of SPIN_WAIT.
int spin_call(spin_thread* thread, int kind, uint64_t rounds, uintptr_t handle);

uint64_t spin_generation(spin_thread* thread);
unsigned spin_state(spin_thread* thread);
int spin_in_flight(spin_thread* thread);
int spin_deferred(spin_thread* thread);
uint64_t spin_progress(spin_thread* thread);
void spin_skip(spin_thread* thread);
int spin_kill(spin_thread* thread, uint64_t generation);
int spin_poke(spin_thread* thread, uint64_t generation);
int spin_current_is(spin_thread* thread);

int spin_park(spin_thread* thread, spin_thread* successor);
int spin_poke_park(spin_thread* thread);
int spin_cancel_park(spin_thread* thread);
int spin_resume(spin_thread* thread);
unsigned spin_park_state(spin_thread* thread);
uint64_t spin_parks(spin_thread* thread);
void spin_wait(spin_thread* thread);
void spin_wake(spin_thread* thread);
// spin_send sends the thread any signal, as the kernel or Go's runtime would.
int spin_send(spin_thread* thread, int number);

#endif
