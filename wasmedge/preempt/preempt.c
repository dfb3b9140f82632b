// What runs in the signal handler may call only: the functions of this file, syscall (futex), pthread_sigmask, sigemptyset,
// sigaddset and leave_guest. It touches only lock-free atomics, the slot of its own thread, the token of a successor, and
// thread-local storage of the initial-exec model.
#define _GNU_SOURCE
#include "preempt.h"

#include <errno.h>
#include <linux/futex.h>
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

// --- sleeping and waking ----------------------------------------------------------------------------------------------

enum { TOKEN_EMPTY = 0, TOKEN_GIVEN = 1, TOKEN_AWAITED = 2 };  // awaited: its thread sleeps, or is about to

static void wait_token(preempt_token* token) {
  uint32_t seen = TOKEN_GIVEN;
  while (!atomic_compare_exchange_strong(&token->word, &seen, TOKEN_EMPTY)) {
    if (seen == TOKEN_AWAITED ||
        atomic_compare_exchange_strong(&token->word, &seen, TOKEN_AWAITED)) {
      syscall(SYS_futex, &token->word, FUTEX_WAIT_PRIVATE, TOKEN_AWAITED, NULL, NULL, 0);
    }
    seen = TOKEN_GIVEN;
  }
}

static void wake_token(preempt_token* token) {
  if (atomic_exchange(&token->word, TOKEN_GIVEN) == TOKEN_AWAITED) {
    syscall(SYS_futex, &token->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  }
}

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the state of a park is in the first half of its word"
#endif

static void sleep_on_park(preempt_slot* slot, uint64_t parked) {
  syscall(SYS_futex, &slot->park, FUTEX_WAIT_PRIVATE, (uint32_t)parked, NULL, NULL, 0);
}

// end_park moves a parked thread to `next` and wakes it; 0 when it is not parked.
static int end_park(preempt_slot* slot, uint64_t next) {
  uint64_t park = atomic_load(&slot->park);
  while (PREEMPT_PARK_STATE(park) == PREEMPT_PARK_PARKED) {
    if (atomic_compare_exchange_weak(&slot->park, &park, next)) {
      syscall(SYS_futex, &slot->park, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
      return 1;
    }
  }
  return 0;
}

static int resume(preempt_slot* slot) { return end_park(slot, PREEMPT_PARK_NONE); }

static int rouse(preempt_slot* slot) { return end_park(slot, PREEMPT_PARK_ROUSED); }

// --- on the guest's thread --------------------------------------------------------------------------------------------

static int to_be_killed(preempt_slot* slot) {
  return PREEMPT_STATE(atomic_load(&slot->word)) == PREEMPT_KILLING;
}

// take_park parks the thread when that was asked for, and returns when it has been resumed or roused; 0 when it was not
// asked. In the handler and in normal context alike: the one never runs amid the other, for the handler parks only what it
// finds in guest text.
static int take_park(preempt_slot* slot) {
  uint64_t park = atomic_load(&slot->park);
  if (PREEMPT_PARK_STATE(park) != PREEMPT_PARK_REQUESTED) {
    return 0;
  }
  uint64_t token = park - PREEMPT_PARK_REQUESTED, parked = token | PREEMPT_PARK_PARKED;
  uint64_t before = atomic_load_explicit(&slot->parks, memory_order_relaxed);
  atomic_store_explicit(&slot->parks, before + 1, memory_order_relaxed);  // first: who sees the park sees it counted
  if (!atomic_compare_exchange_strong(&slot->park, &park, parked)) {
    atomic_store_explicit(&slot->parks, before, memory_order_relaxed);
    return 0;
  }
  if (token != 0) {
    wake_token((preempt_token*)(uintptr_t)token);
  }
  // A kill that saw the request, but not yet the park, has left the thread to its signal, which is blocked in the handler.
  // Both sides write their own word before they read the other's, so one of them sees the other.
  if (to_be_killed(slot)) {
    rouse(slot);
  }
  while (atomic_load(&slot->park) == parked) {
    sleep_on_park(slot, parked);
  }
  return 1;
}

// on_interrupt runs with its own signal blocked (no SA_NODEFER), so it never nests. While it sleeps, other signals are taken
// below it on the same signal stack.
static void on_interrupt(int number, siginfo_t* info, void* context) {
  (void)number;
  (void)info;
  int saved_errno = errno;
  preempt_slot* slot = own_slot;
  if (slot == NULL) {
    return;
  }
  atomic_store(&slot->in_flight, 0);
  unsigned state = PREEMPT_STATE(atomic_load(&slot->word));
  if (state == PREEMPT_RUNNING || state == PREEMPT_KILLING) {
    int interruptible = atomic_load_explicit(&slot->host_depth, memory_order_relaxed) == 0 &&
                        in_guest_text(slot, program_counter(context));
    if (interruptible) {
      do {
        if (to_be_killed(slot)) {
          leave_killed(slot);
        }
      } while (take_park(slot));
    } else {
      atomic_store_explicit(&slot->deferred, 1, memory_order_relaxed);
    }
  }
  errno = saved_errno;
}

static void guard(preempt_slot* slot) {
  do {
    // Cleared before the words are read: a note that comes later stays for the next guard.
    atomic_store_explicit(&slot->deferred, 0, memory_order_relaxed);
    if (to_be_killed(slot)) {
      leave_killed(slot);
    }
  } while (take_park(slot));
}

static int pause_host(preempt_slot* slot) {
  do {
    atomic_store_explicit(&slot->deferred, 0, memory_order_relaxed);
    if (to_be_killed(slot)) {
      atomic_store_explicit(&slot->deferred, 1, memory_order_relaxed);
      return 1;
    }
  } while (take_park(slot));
  return 0;
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

static void leave(preempt_slot* slot) {
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(&slot->word, &word,
                                                (word & ~(uint64_t)0xff) | PREEMPT_IDLE, memory_order_acq_rel,
                                                memory_order_relaxed)) {
  }
  slot->text_low = slot->text_high = 0;
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
                                                  memory_order_seq_cst, memory_order_relaxed));
  if (state == PREEMPT_IDLE) {
    slot->reason = PREEMPT_REASON_KILLED;
    return 0;
  }
  // A request that came while no call was in progress has sent no signal.
  while (take_park(slot)) {
    if (to_be_killed(slot)) {
      leave(slot);
      slot->reason = PREEMPT_REASON_KILLED;
      return 0;
    }
  }
  return generation;
}

static void skip(preempt_slot* slot) {
  uint64_t word = atomic_load_explicit(&slot->word, memory_order_relaxed);
  uint64_t next = (PREEMPT_GENERATION(word) + 1) << PREEMPT_STATE_BITS | PREEMPT_IDLE;
  while (!atomic_compare_exchange_weak_explicit(&slot->word, &word, next, memory_order_acq_rel, memory_order_relaxed)) {
  }
}

// --- from any thread --------------------------------------------------------------------------------------------------

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
  if (!rouse(slot)) {
    interrupt(slot);
  }
  return 1;
}

// noted reports whether a note waits for the guard at the end of a host call; another signal would only disturb the host
// function. When the note is gone by then, the next poke sees that.
static int noted(preempt_slot* slot) {
  return atomic_load(&slot->host_depth) > 0 && atomic_load(&slot->deferred);
}

static int poke(preempt_slot* slot, uint64_t generation) {
  if (atomic_load(&slot->word) != (generation << PREEMPT_STATE_BITS | PREEMPT_KILLING)) {
    return 0;  // ended; or still to begin, which enter sees by itself
  }
  if (!rouse(slot) && !noted(slot)) {
    interrupt(slot);
  }
  return 1;
}

static int in_call(preempt_slot* slot) { return PREEMPT_STATE(atomic_load(&slot->word)) == PREEMPT_RUNNING; }

static int park(preempt_slot* slot, preempt_token* successor) {
  uint64_t none = PREEMPT_PARK_NONE;
  if (!atomic_compare_exchange_strong(&slot->park, &none, (uintptr_t)successor | PREEMPT_PARK_REQUESTED)) {
    return 0;
  }
  if (in_call(slot)) {
    interrupt(slot);  // else enter sees the request: it writes its word before it reads ours, as we do the other way round
  }
  return 1;
}

static int poke_park(preempt_slot* slot) {
  if (PREEMPT_PARK_STATE(atomic_load(&slot->park)) != PREEMPT_PARK_REQUESTED) {
    return 0;
  }
  if (in_call(slot) && !noted(slot)) {
    interrupt(slot);
  }
  return 1;
}

static int cancel_park(preempt_slot* slot) {
  uint64_t park = atomic_load(&slot->park);
  unsigned state;
  do {
    state = PREEMPT_PARK_STATE(park);
    if (state == PREEMPT_PARK_NONE || state == PREEMPT_PARK_PARKED) {
      return state == PREEMPT_PARK_NONE;  // parked: not called by the thread itself, and nothing to take back
    }
  } while (!atomic_compare_exchange_weak(&slot->park, &park, PREEMPT_PARK_NONE));
  return state == PREEMPT_PARK_REQUESTED;
}

static preempt_slot* current(void) {
  preempt_slot* slot = own_slot;
  if (slot == NULL) {
    return NULL;
  }
  unsigned state = PREEMPT_STATE(atomic_load_explicit(&slot->word, memory_order_relaxed));
  return state == PREEMPT_RUNNING || state == PREEMPT_KILLING ? slot : NULL;
}

static const preempt_ops table = {
    .install = install,
    .attach = attach,
    .detach = detach,
    .enter = enter,
    .leave = leave,
    .skip = skip,
    .kill = kill_call,
    .poke = poke,
    .guard = guard,
    .pause = pause_host,
    .current = current,
    .park = park,
    .poke_park = poke_park,
    .cancel_park = cancel_park,
    .resume = resume,
    .wait = wait_token,
    .wake = wake_token,
};

const preempt_ops* preempt_table(void) { return &table; }
