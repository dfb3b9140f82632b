// What runs in the signal handler may call only: the functions of this file, pthread_sigmask, sigemptyset, sigaddset and
// leave_guest. It touches only lock-free atomics, the slot of its own thread, and thread-local storage of the
// initial-exec model.
#define _GNU_SOURCE
#include "preempt.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

// glibc keeps the first two real-time signals for itself and Go uses none of the others; the eighth leaves room for
// what a library linked into the same process may take.
#define INTERRUPT_SIGNAL (SIGRTMIN + 8)

static __thread preempt_slot* own_slot __attribute__((tls_model("initial-exec")));

static uintptr_t program_counter(const void* context) {
  const ucontext_t* uc = context;
#if defined(__x86_64__)
  return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
  return (uintptr_t)uc->uc_mcontext.pc;
#else
#error "edged runs on amd64 and arm64"
#endif
}

static int in_guest_text(const preempt_slot* slot, uintptr_t pc) {
  return pc >= slot->text_low && pc < slot->text_high;
}

static void unblock(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, INTERRUPT_SIGNAL);
  pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

// leave_killed leaves the guest for good. The interrupt signal must be open before the long jump, which does not restore
// the mask; one that is pending now is delivered here, finds the call outside guest text and only leaves a note.
static void leave_killed(preempt_slot* slot) {
  slot->reason = PREEMPT_REASON_KILLED;
  unblock();
  slot->leave_guest();
}

// on_interrupt runs with its own signal blocked (no SA_NODEFER), so it never nests.
static void on_interrupt(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  int saved_errno = errno;
  preempt_slot* slot = own_slot;
  if (slot != NULL) {
    atomic_store_explicit(&slot->in_flight, 0, memory_order_release);
    uint64_t word = atomic_load_explicit(&slot->word, memory_order_acquire);
    if (PREEMPT_STATE(word) == PREEMPT_KILLING) {
      int host_depth = atomic_load_explicit(&slot->host_depth, memory_order_relaxed);
      if (host_depth == 0 && in_guest_text(slot, program_counter(context))) {
        leave_killed(slot);
      }
      atomic_store_explicit(&slot->deferred, 1, memory_order_relaxed);
    }
  }
  errno = saved_errno;
}

static int install(void) {
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = on_interrupt;
  // SA_ONSTACK: Go requires it of every handler, and a guest may have used up its own stack.
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
  // No other signal is blocked meanwhile: the mask would stay with a thread that leaves its guest by long jump.
  sigemptyset(&action.sa_mask);
  return sigaction(INTERRUPT_SIGNAL, &action, NULL) == 0 ? 0 : errno;
}

int preempt_signal(void) { return INTERRUPT_SIGNAL; }

static void attach(preempt_slot* slot) {
  slot->tid = (pid_t)syscall(SYS_gettid);
  own_slot = slot;
  unblock();  // whoever started this process may have blocked it, and Go hands that mask on to its threads
}

static void detach(preempt_slot* slot) {
  (void)slot;
  own_slot = NULL;
}

static uint64_t enter(preempt_slot* slot, uintptr_t text_low, uintptr_t text_high) {
  slot->text_low = text_low;
  slot->text_high = text_high;
  atomic_store_explicit(&slot->host_depth, 0, memory_order_relaxed);
  atomic_store_explicit(&slot->deferred, 0, memory_order_relaxed);
  slot->reason = PREEMPT_REASON_NONE;
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
  uint64_t generation = PREEMPT_GENERATION(word) + 1;
  unsigned state;
  do {
    state = PREEMPT_STATE(word) == PREEMPT_DOOMED ? PREEMPT_IDLE : PREEMPT_RUNNING;
  } while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, generation << PREEMPT_STATE_BITS | state,
                                                  memory_order_acq_rel, memory_order_relaxed));
  if (state == PREEMPT_IDLE) {
    slot->reason = PREEMPT_REASON_KILLED;
    return 0;
  }
  return generation;
}

static void skip(preempt_slot* slot) {
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
  uint64_t next = (PREEMPT_GENERATION(word) + 1) << PREEMPT_STATE_BITS | PREEMPT_IDLE;
  while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel, memory_order_relaxed)) {
  }
}

static void leave(preempt_slot* slot) {
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&slot->word, &word,
                                                (word & ~(uint64_t)0xff) | PREEMPT_IDLE, memory_order_acq_rel,
                                                memory_order_relaxed)) {
  }
  slot->text_low = slot->text_high = 0;
}

static void interrupt(preempt_slot* slot) {
  int32_t none = 0;
  if (!atomic_compare_exchange_strong(&slot->in_flight, &none, 1)) {
    return;
  }
  if (syscall(SYS_tgkill, getpid(), slot->tid, INTERRUPT_SIGNAL) != 0) {
    atomic_store(&slot->in_flight, 0);  // the signal queue is full (EAGAIN): the next poke tries again
  }
}

static int kill_call(preempt_slot* slot, uint64_t generation) {
  uint64_t idle = (generation - 1) << PREEMPT_STATE_BITS | PREEMPT_IDLE;
  if (atomic_compare_exchange_strong(&slot->word, &idle, (generation - 1) << PREEMPT_STATE_BITS | PREEMPT_DOOMED)) {
    return 1;
  }
  uint64_t running = generation << PREEMPT_STATE_BITS | PREEMPT_RUNNING;
  if (!atomic_compare_exchange_strong(&slot->word, &running, generation << PREEMPT_STATE_BITS | PREEMPT_KILLING)) {
    return 0;
  }
  interrupt(slot);
  return 1;
}

static int poke(preempt_slot* slot, uint64_t generation) {
  if (atomic_load(&slot->word) != (generation << PREEMPT_STATE_BITS | PREEMPT_KILLING)) {
    return 0;  // ended; or still to begin, which enter sees by itself
  }
  // A note left with a thread that is in a host call waits for the guard at its end; another signal would only disturb the
  // host function. When the note is gone by then, the next poke sees that.
  if (atomic_load(&slot->host_depth) > 0 && atomic_load(&slot->deferred)) {
    return 1;
  }
  interrupt(slot);
  return 1;
}

static void guard(preempt_slot* slot) {
  atomic_store_explicit(&slot->deferred, 0, memory_order_relaxed);
  if (PREEMPT_STATE(atomic_load_explicit(&slot->word, memory_order_acquire)) == PREEMPT_KILLING) {
    leave_killed(slot);
  }
}

static preempt_slot* current(void) {
  preempt_slot* slot = own_slot;
  if (slot == NULL) {
    return NULL;
  }
  unsigned state = PREEMPT_STATE(atomic_load_explicit(&slot->word, memory_order_relaxed));
  return state == PREEMPT_RUNNING || state == PREEMPT_KILLING ? slot : NULL;
}

static const preempt_ops table = {install, attach, detach, enter, leave, skip, kill_call, poke, guard, current};

const preempt_ops* preempt_table(void) { return &table; }
