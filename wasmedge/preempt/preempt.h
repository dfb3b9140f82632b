// Interrupting a guest on its own OS thread, from any other thread, with one real-time signal. The mechanism only: it
// knows nothing of WebAssembly, only of a range of program text ("guest text") in which no lock is ever held.
//
// Life of a slot (one slot a thread, one call at a time):
//
//      enter            kill (any thread)             handler, in guest text, or guard at the end of a host call
//   IDLE ----> RUNNING ------------------> KILLING ------------------------------------------------> leave the guest
//    ^ ^          |                           |                                                          |
//    | +-- leave -+---------------------------+------------------------------- leave --------------------+
//    |
//    +-- enter, which refuses, or skip --- DOOMED <-- kill (any thread) of the call that is to begin next --- IDLE
//
// The state shares one word with the number of the call (its generation), so a kill that comes late finds another
// generation and does nothing: it is aimed at a call, never at a thread.
//
// Beside it, the life of a park. It belongs to what runs on the thread, which may be several calls one after the other:
//
//        park (any thread)             handler in guest text, guard, enter, pause
//   NONE ----------------> REQUESTED -----------------------------------------------> PARKED: the successor is woken,
//    ^ ^                       |                                                       | |    the thread sleeps here
//    | +------- cancel --------+                                                       | |
//    +--------------------------------- resume (any thread) ---------------------------+ |
//    +--- cancel --- ROUSED: goes on, to be left as killed <--- kill, poke (any thread) -+
//
// docs/PREEMPTION.md names every race.
#ifndef EDGED_PREEMPT_H
#define EDGED_PREEMPT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "offsets.h"

enum preempt_state {
  PREEMPT_IDLE = 0,
  PREEMPT_RUNNING = 1,
  PREEMPT_KILLING = 2,
  PREEMPT_DOOMED = 3,  // idle, and the next call is not to begin
};

#define PREEMPT_STATE_BITS 8
#define PREEMPT_STATE(word) ((unsigned)((word) & 0xff))
#define PREEMPT_GENERATION(word) ((uint64_t)(word) >> PREEMPT_STATE_BITS)

// A token of one bit, on which one thread sleeps until another gives it (wait, wake). Aligned, so that the state of a park
// fits into the low bits of its address.
typedef struct preempt_token {
  _Alignas(64) _Atomic uint32_t word;
} preempt_token;

enum preempt_park {
  PREEMPT_PARK_NONE = 0,
  PREEMPT_PARK_REQUESTED = 1,
  PREEMPT_PARK_PARKED = 2,
  PREEMPT_PARK_ROUSED = 3,  // was parked and is to be killed: woken without having been resumed
};

#define PREEMPT_PARK_STATE(park) ((unsigned)((park) & 3))

// Why a guest was left through leave_guest; kept in the slot because a long jump carries no reason.
enum preempt_reason {
  PREEMPT_REASON_NONE = 0,
  PREEMPT_REASON_KILLED = 1,
  PREEMPT_REASON_STACK = 2,
};

typedef struct preempt_slot {
  // Written by the owning thread and its signal handlers, and by assembly; killers read host_depth and deferred.
  uintptr_t stack_limit;        // below this a guest may not call out: the host needs the rest
  _Atomic int32_t host_depth;   // > 0 while the thread is outside guest text on the guest's behalf
  _Atomic int32_t deferred;     // the handler found the thread outside guest text: look at word at the next guard
  uintptr_t guard_low, guard_high;  // an access in here is a stack overflow
  uintptr_t text_low, text_high;    // guest text of the call in progress
  volatile int32_t reason;          // enum preempt_reason of the call in progress
  pid_t tid;
  void (*leave_guest)(void);  // long-jumps out of the guest; called on this thread, maybe on the signal stack

  // Shared with killers and parkers.
  _Atomic uint64_t word;      // generation << PREEMPT_STATE_BITS | enum preempt_state
  _Atomic int32_t in_flight;  // 1 from sending a signal until its handler starts: never two, they would nest
  // Address of the successor's token, or 0, | enum preempt_park: whoever takes the request takes its successor with it. The
  // thread sleeps on the low half.
  _Atomic uint64_t park;
  _Atomic uint64_t parks;  // how often the thread has parked, counted before it shows; written by the thread itself
} preempt_slot;

_Static_assert(offsetof(preempt_slot, stack_limit) == PREEMPT_SLOT_STACK_LIMIT, "assembly reads it there");
_Static_assert(offsetof(preempt_slot, host_depth) == PREEMPT_SLOT_HOST_DEPTH, "assembly counts it there");
_Static_assert(offsetof(preempt_slot, deferred) == PREEMPT_SLOT_DEFERRED, "assembly reads it there");

// The mechanism as a table, so that another cgo package can call it without being linked against this one.
typedef struct preempt_ops {
  // install puts the handler of the interrupt signal in place; 0 or an errno. Once per process.
  int (*install)(void);
  // attach makes slot the calling thread's own, for all its calls, and opens the thread's mask for the interrupt signal,
  // which it may have inherited blocked. detach ends that, before the thread ends; no kill or poke may be under way.
  void (*attach)(preempt_slot* slot);
  void (*detach)(preempt_slot* slot);
  // enter starts a call on the calling thread and returns its generation. text is the guest's program text. A standing park
  // request is honoured first. A call that is doomed, or killed while it is parked here, does not begin: enter returns 0, the
  // reason is PREEMPT_REASON_KILLED, and leave is not due.
  uint64_t (*enter)(preempt_slot* slot, uintptr_t text_low, uintptr_t text_high);
  // leave ends it. After it returns no handler acts on that call.
  void (*leave)(preempt_slot* slot);
  // skip gives up the thread's next call: its generation counts as ended, a kill of it is forgotten.
  void (*skip)(preempt_slot* slot);
  // kill asks for the end of call `generation` and interrupts or rouses its thread; 1 when that call is running or is the thread's
  // next and nobody has asked before, else 0. To be repeated (see poke) until the call has ended: a signal that lands
  // outside guest text only leaves a note.
  int (*kill)(preempt_slot* slot, uint64_t generation);
  // poke interrupts the thread again when call `generation` runs and is to be killed; 1 when it does.
  int (*poke)(preempt_slot* slot, uint64_t generation);
  // guard is called by the owning thread when it is about to return to guest text. It parks when that was asked for, and
  // does not return when the call is to be killed.
  void (*guard)(preempt_slot* slot);
  // pause is for host code of the owning thread that takes long and holds no lock: it parks when that was asked for and
  // returns 1 when the call is to be killed, which the guard at the end of the host call does.
  int (*pause)(preempt_slot* slot);
  // current returns the slot of this thread while a call is in progress, else NULL. Async-signal-safe.
  preempt_slot* (*current)(void);

  // park asks what runs on the thread to stop where it is and to wake successor (may be NULL) when it has; it interrupts a
  // call in progress. 1, or 0 when a request stands already or the thread is parked or roused. The token must stay valid
  // until cancel has returned on the thread, or the thread has detached.
  int (*park)(preempt_slot* slot, preempt_token* successor);
  // poke_park interrupts again while a request stands; 1 when it does.
  int (*poke_park)(preempt_slot* slot);
  // cancel_park is for the thread itself, outside calls: it takes a standing request back. 1, or 0 when the thread has been
  // roused since the last cancel: its successor was woken and nobody has resumed it.
  int (*cancel_park)(preempt_slot* slot);
  // resume lets a parked thread go on; 1, or 0 when it is not parked.
  int (*resume)(preempt_slot* slot);
  // wait sleeps until the token is given, and takes it. wake gives it; async-signal-safe.
  void (*wait)(preempt_token* token);
  void (*wake)(preempt_token* token);
} preempt_ops;

// preempt_table returns the table; it is constant.
const preempt_ops* preempt_table(void);
// preempt_signal returns the number of the interrupt signal.
int preempt_signal(void);

#endif
