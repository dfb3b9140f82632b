// Guest threads and the calls on them.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "shim_internal.h"

__thread preempt_slot* edge_slot;
__thread edge_thread* edge_current;

// Exported by Go (callbacks_cgo.go).
extern void edgedThreadMain(uintptr_t handle);

static void* thread_main(void* handle) {
  edgedThreadMain((uintptr_t)handle);
  return NULL;
}

// spread gives a new thread the CPUs of the process's main thread, which is never a guest's and thus never pinned: else it
// would have those of the thread that starts it.
static void spread(pthread_attr_t* attributes) {
  cpu_set_t all;
  if (sched_getaffinity(getpid(), sizeof all, &all) == 0) {
    pthread_attr_setaffinity_np(attributes, sizeof all, &all);
  }
}

int edge_thread_start(uintptr_t handle, uint64_t stack_bytes) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  int error = pthread_attr_setstacksize(&attributes, stack_bytes + EDGE_RESERVE_BYTES);
  if (error == 0) {
    error = pthread_attr_setguardsize(&attributes, EDGE_GUARD_BYTES);
  }
  spread(&attributes);
  pthread_t thread;
  if (error == 0) {
    error = pthread_create(&thread, &attributes, thread_main, (void*)handle);
  }
  pthread_attr_destroy(&attributes);
  return error;
}

edge_thread* edge_thread_new(uintptr_t handle) {
  pthread_attr_t attributes;
  void* low;
  size_t bytes, guard;
  if (pthread_getattr_np(pthread_self(), &attributes) != 0) {
    return NULL;
  }
  pthread_attr_getstack(&attributes, &low, &bytes);
  pthread_attr_getguardsize(&attributes, &guard);
  pthread_attr_destroy(&attributes);
  edge_thread* thread = calloc(1, sizeof *thread);
  if (thread == NULL || guard < EDGE_GUARD_BYTES) {
    free(thread);  // not a thread of edge_thread_start: its guard would not stop a large frame
    return NULL;
  }
  WasmEdge_ConfigureContext* configure = edge_configure();
  thread->executor = WasmEdge_ExecutorCreate(configure, NULL);
  WasmEdge_ConfigureDelete(configure);
  thread->handle = handle;
  thread->slot.guard_low = (uintptr_t)low - guard;
  thread->slot.guard_high = (uintptr_t)low;
  thread->slot.stack_limit = (uintptr_t)low + EDGE_RESERVE_BYTES;
  thread->slot.leave_guest = edge_leave_guest;
  edge_ops->attach(&thread->slot);
  edge_slot = &thread->slot;
  return thread;
}

void edge_thread_free(edge_thread* thread) {
  edge_ops->detach(&thread->slot);
  edge_slot = NULL;
  WasmEdge_ExecutorDelete(thread->executor);
  free(thread);
}

preempt_slot* edge_thread_slot(edge_thread* thread) { return &thread->slot; }

uint64_t* edge_thread_values(edge_thread* thread) { return thread->values; }

edge_outcome edge_call(edge_thread* thread, edge_instance* instance, uintptr_t function, const uint8_t* types,
                       uint32_t parameters, uint32_t results) {
  if (edge_slot != &thread->slot || edge_current != NULL) {
    return (edge_outcome){.code = EDGE_MISUSED};  // on another stack a guest's overflow would meet no guard
  }
  WasmEdge_Value in[EDGE_MAX_VALUES], out[EDGE_MAX_VALUES];
  for (uint32_t i = 0; i < parameters; i++) {
    in[i] = edge_value_of(thread->values[i], types[i]);
  }
  thread->instance = instance;
  thread->host_failed = 0;
  if (edge_ops->enter(&thread->slot, instance->module->text_low, instance->module->text_high) == 0) {
    return (edge_outcome){.code = EDGE_DOOMED, .reason = thread->slot.reason};
  }
  edge_current = thread;
  WasmEdge_Result result = WasmEdge_ExecutorInvoke(
      thread->executor, (const WasmEdge_FunctionInstanceContext*)function, in, parameters, out, results);
  edge_current = NULL;
  edge_ops->leave(&thread->slot);
  thread->instance = NULL;
  edge_outcome outcome = {.code = result.Code, .reason = thread->slot.reason, .host = thread->host_failed};
  if (WasmEdge_ResultOK(result)) {
    for (uint32_t i = 0; i < results; i++) {
      thread->values[i] = edge_value_bits(&out[i], types[parameters + i]);
    }
  }
  return outcome;
}

// --- the mechanism's table, for Go ------------------------------------------------------------------------------------

int edge_kill(preempt_slot* slot, uint64_t generation) { return edge_ops->kill(slot, generation); }

int edge_poke(preempt_slot* slot, uint64_t generation) { return edge_ops->poke(slot, generation); }

int edge_park(preempt_slot* slot, preempt_token* successor) { return edge_ops->park(slot, successor); }

int edge_poke_park(preempt_slot* slot) { return edge_ops->poke_park(slot); }

int edge_cancel_park(preempt_slot* slot) { return edge_ops->cancel_park(slot); }

int edge_resume(preempt_slot* slot) { return edge_ops->resume(slot); }

void edge_wait(preempt_token* token) { edge_ops->wait(token); }

void edge_wake(preempt_token* token) { edge_ops->wake(token); }

void edge_skip(preempt_slot* slot) { edge_ops->skip(slot); }

uint64_t* edge_word(preempt_slot* slot) { return (uint64_t*)&slot->word; }

uint64_t edge_parks(preempt_slot* slot) { return atomic_load_explicit(&slot->parks, memory_order_relaxed); }

preempt_token* edge_token_new(void) {
  preempt_token* token = aligned_alloc(_Alignof(preempt_token), sizeof *token);
  if (token != NULL) {
    atomic_init(&token->word, 0);
  }
  return token;
}

void edge_token_free(preempt_token* token) { free(token); }

int edge_pin(const preempt_slot* slot, int cpu) {
  cpu_set_t set;
  if (cpu < 0 || cpu >= CPU_SETSIZE) {
    return EINVAL;
  }
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  return sched_setaffinity(slot->tid, sizeof set, &set) == 0 ? 0 : errno;
}
