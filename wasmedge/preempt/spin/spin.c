#define _GNU_SOURCE
#include "spin.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

// The guest's text is a section of its own, whose bounds the linker names.
#define GUEST __attribute__((section("spin_guest"), noinline))
extern const char __start_spin_guest[], __stop_spin_guest[];

extern void edgedSpinHost(uintptr_t handle);

struct spin_thread {
  preempt_slot slot;
  const preempt_ops* ops;
  sigjmp_buf out;
  uintptr_t handle;
  _Atomic uint64_t progress;
  preempt_token token;
};

static __thread spin_thread* own __attribute__((tls_model("initial-exec")));

// The mask is left alone, as WasmEdge's long jump leaves it: the mechanism must have opened the signal itself.
static void leave_guest(void) { siglongjmp(own->out, 1); }

// host_call is what the wrappers of the intrinsics do around a call out of the guest.
static void host_call(spin_thread* thread, void (*host)(spin_thread*)) {
  atomic_fetch_add_explicit(&thread->slot.host_depth, 1, memory_order_relaxed);
  host(thread);
  atomic_fetch_sub_explicit(&thread->slot.host_depth, 1, memory_order_relaxed);
  if (atomic_load_explicit(&thread->slot.deferred, memory_order_relaxed)) {
    thread->ops->guard(&thread->slot);
  }
}

static void host_busy(spin_thread* thread) {
  for (int i = 0; i < 1000; i++) {
    atomic_fetch_add_explicit(&thread->progress, 1, memory_order_relaxed);
  }
}

static void host_pause(spin_thread* thread) {
  while (!thread->ops->pause(&thread->slot)) {
    atomic_fetch_add_explicit(&thread->progress, 1, memory_order_relaxed);
  }
}

static void host_wait(spin_thread* thread) { edgedSpinHost(thread->handle); }

// library is text outside the guest's that no host call leads to, as libm is for compiled code. The guest spends half its
// time there: only a signal that finds it between two calls of it parks or ends it.
__attribute__((noinline)) static void library(spin_thread* thread) {
  for (int i = 0; i < 4; i++) {
    atomic_fetch_add_explicit(&thread->progress, 1, memory_order_relaxed);
  }
}

GUEST static void guest_text(spin_thread* thread, uint64_t rounds) {
  for (uint64_t i = 0; rounds == 0 || i < rounds; i++) {
    atomic_fetch_add_explicit(&thread->progress, 1, memory_order_relaxed);
  }
}

GUEST static void guest_host(spin_thread* thread) {
  for (;;) {
    host_call(thread, host_busy);
  }
}

GUEST static void guest_library(spin_thread* thread) {
  for (;;) {
    library(thread);
    guest_text(thread, 4);
  }
}

int spin_install(const preempt_ops* ops) { return ops->install(); }

spin_thread* spin_attach(const preempt_ops* ops) {
  spin_thread* thread = aligned_alloc(_Alignof(spin_thread), sizeof *thread);
  if (thread == NULL) {
    return NULL;
  }
  memset(thread, 0, sizeof *thread);
  thread->ops = ops;
  thread->slot.leave_guest = leave_guest;
  ops->attach(&thread->slot);
  own = thread;
  return thread;
}

void spin_detach(spin_thread* thread) {
  thread->ops->detach(&thread->slot);
  own = NULL;
  free(thread);
}

static void run(spin_thread* thread, int kind, uint64_t rounds) {
  switch (kind) {
    case SPIN_TEXT:
      guest_text(thread, 0);
      break;
    case SPIN_HOST:
      guest_host(thread);
      break;
    case SPIN_WAIT:
      host_call(thread, host_wait);
      break;
    case SPIN_PAUSE:
      host_call(thread, host_pause);
      break;
    case SPIN_LIBRARY:
      guest_library(thread);
      break;
    default:
      guest_text(thread, rounds);
  }
}

int spin_call(spin_thread* thread, int kind, uint64_t rounds, uintptr_t handle) {
  thread->handle = handle;
  if (sigsetjmp(thread->out, 0) != 0) {
    thread->ops->leave(&thread->slot);
    return SPIN_KILLED;
  }
  if (thread->ops->enter(&thread->slot, (uintptr_t)__start_spin_guest, (uintptr_t)__stop_spin_guest) == 0) {
    return SPIN_DOOMED;
  }
  run(thread, kind, rounds);
  thread->ops->leave(&thread->slot);
  return SPIN_RETURNED;
}

uint64_t spin_generation(spin_thread* thread) { return PREEMPT_GENERATION(atomic_load(&thread->slot.word)); }
unsigned spin_state(spin_thread* thread) { return PREEMPT_STATE(atomic_load(&thread->slot.word)); }
int spin_in_flight(spin_thread* thread) { return atomic_load(&thread->slot.in_flight); }
int spin_deferred(spin_thread* thread) { return atomic_load(&thread->slot.deferred); }
uint64_t spin_progress(spin_thread* thread) { return atomic_load(&thread->progress); }
void spin_skip(spin_thread* thread) { thread->ops->skip(&thread->slot); }
int spin_kill(spin_thread* thread, uint64_t generation) { return thread->ops->kill(&thread->slot, generation); }
int spin_poke(spin_thread* thread, uint64_t generation) { return thread->ops->poke(&thread->slot, generation); }
int spin_current_is(spin_thread* thread) { return thread->ops->current() == &thread->slot; }

int spin_park(spin_thread* thread, spin_thread* successor) {
  return thread->ops->park(&thread->slot, successor == NULL ? NULL : &successor->token);
}
int spin_poke_park(spin_thread* thread) { return thread->ops->poke_park(&thread->slot); }
int spin_cancel_park(spin_thread* thread) { return thread->ops->cancel_park(&thread->slot); }
int spin_resume(spin_thread* thread) { return thread->ops->resume(&thread->slot); }
unsigned spin_park_state(spin_thread* thread) { return PREEMPT_PARK_STATE(atomic_load(&thread->slot.park)); }
uint64_t spin_parks(spin_thread* thread) { return atomic_load(&thread->slot.parks); }
void spin_wait(spin_thread* thread) { thread->ops->wait(&thread->token); }
void spin_wake(spin_thread* thread) { thread->ops->wake(&thread->token); }
int spin_send(spin_thread* thread, int number) {
  return syscall(SYS_tgkill, getpid(), thread->slot.tid, number) == 0 ? 0 : errno;
}
