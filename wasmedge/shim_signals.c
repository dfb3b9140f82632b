// Faults. WasmEdge turns SIGSEGV, SIGBUS and SIGFPE in compiled code into traps by a long jump out of its own handler, and
// installs that handler without SA_ONSTACK. Go needs the same signals for its own nil dereferences. These handlers sit in
// front of both and decide by the thread and the program counter whose fault it is.
//
// What runs in a handler here: this file, edge_cold_fault, the two saved handlers, pthread_sigmask. Only lock-free data is touched.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <ucontext.h>

#include "shim_internal.h"

static struct {
  int number;
  struct sigaction go, wasmedge;
} faults[] = {{.number = SIGSEGV}, {.number = SIGBUS}, {.number = SIGFPE}};

enum { FAULTS = sizeof faults / sizeof faults[0] };

static uintptr_t program_counter(const void* context) {
  const ucontext_t* uc = context;
#if defined(__x86_64__)
  return (uintptr_t)uc->uc_mcontext.gregs[REG_RIP];
#else
  return (uintptr_t)uc->uc_mcontext.pc;
#endif
}

static void call_handler(const struct sigaction* action, int number, siginfo_t* info, void* context) {
  if (action->sa_flags & SA_SIGINFO) {
    action->sa_sigaction(number, info, context);
  } else if (action->sa_handler != SIG_DFL && action->sa_handler != SIG_IGN) {
    action->sa_handler(number);
  } else {
    // Nobody handles it: let it happen again with the default action.
    signal(number, SIG_DFL);
  }
}

// guest_fault reports whether a fault is the guest's own: in its compiled text, or on its stack's guard while no host code
// runs for it (a leaf routine of libm or libgcc that compiled code called).
static int guest_fault(preempt_slot* slot, const siginfo_t* info, const void* context) {
  uintptr_t address = (uintptr_t)info->si_addr;
  int on_guard = address >= slot->guard_low && address < slot->guard_high;
  if (atomic_load_explicit(&slot->host_depth, memory_order_relaxed) != 0) {
    return 0;
  }
  uintptr_t pc = program_counter(context);
  if (pc >= slot->text_low && pc < slot->text_high) {
    if (on_guard && info->si_signo != SIGFPE) {
      slot->reason = PREEMPT_REASON_STACK;
    }
    return 1;
  }
  if (on_guard && info->si_signo == SIGSEGV) {
    slot->reason = PREEMPT_REASON_STACK;
    return 1;
  }
  return 0;
}

static void on_fault(int number, siginfo_t* info, void* context) {
  // Whoever wrote, guest or host: the page is writable now, and the write is done again.
  if (number == SIGSEGV && info->si_code == SEGV_ACCERR && edge_cold_fault((uintptr_t)info->si_addr)) {
    return;
  }
  int which = number == SIGSEGV ? 0 : number == SIGBUS ? 1 : 2;
  preempt_slot* slot = edge_ops->current();
  if (slot != NULL && guest_fault(slot, info, context)) {
    call_handler(&faults[which].wasmedge, number, info, context);  // long-jumps out of the guest
  }
  call_handler(&faults[which].go, number, info, context);
}

void edge_leave_guest(void) {
  siginfo_t info;
  memset(&info, 0, sizeof info);
  info.si_signo = SIGSEGV;
  info.si_code = SEGV_MAPERR;
  call_handler(&faults[0].wasmedge, SIGSEGV, &info, NULL);
}

int edge_signals_save_go(void) {
  uintptr_t low, high;
  if (edge_text_range((const void*)(uintptr_t)edge_signals_save_go, &low, &high) != 0) {
    return EFAULT;
  }
  for (int i = 0; i < FAULTS; i++) {
    sigaction(faults[i].number, NULL, &faults[i].go);
    uintptr_t handler = (uintptr_t)faults[i].go.sa_sigaction;
    if (handler < low || handler >= high) {
      return EBUSY;  // not Go's: LLVM, once it has compiled in this process, puts handlers in that take themselves out
    }
  }
  return 0;
}

int edge_signals_install(void) {
  for (int i = 0; i < FAULTS; i++) {
    sigaction(faults[i].number, NULL, &faults[i].wasmedge);
    if (faults[i].wasmedge.sa_sigaction == faults[i].go.sa_sigaction) {
      return EINVAL;  // WasmEdge has not installed its own: the keeper is not where it should be
    }
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_sigaction = on_fault;
    // SA_NODEFER: the trap leaves by long jump, with the signal open as it was.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | SA_RESTART;
    sigemptyset(&action.sa_mask);
    if (sigaction(faults[i].number, &action, NULL) != 0) {
      return errno;
    }
  }
  return 0;
}
