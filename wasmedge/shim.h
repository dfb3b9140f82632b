// The engine's thin C layer over libwasmedge: load, instantiate, call, memory, globals, and the way back into Go for
// host functions. Nothing here is called from a signal handler except on_fault and leave_guest (shim_signals.c).
//
// Ownership: every edge_*_new or edge_load result is owned by the caller and freed by its edge_*_free, once, when
// nothing runs in it. Pointers given in are borrowed for the call.
#ifndef EDGED_SHIM_H
#define EDGED_SHIM_H

#include <stdint.h>
#include <wasmedge/wasmedge.h>

#include "preempt/preempt.h"

// One value type a byte as in the binary format: 0x7f i32, 0x7e i64, 0x7d f32, 0x7c f64.
#define EDGE_MAX_VALUES 16

#define EDGE_DECLINE 2

typedef struct edge_host_function {
  uint32_t index;  // what Go calls it by
  uint8_t parameters, results;
  uint8_t types[2 * EDGE_MAX_VALUES];  // parameters, then results
  // native, when set, does the common case without entering Go: same contract as the Go callback, or EDGE_DECLINE, which
  // leaves stack and memory alone and the call to Go.
  int (*native)(uint8_t* memory, uint64_t bytes, uint64_t* stack);
} edge_host_function;

// edge_native_attach gives fn its C implementation when shim_native.c has one of that name.
void edge_native_attach(const char* module, const char* name, edge_host_function* fn);

typedef struct edge_host_module edge_host_module;
typedef struct edge_module edge_module;
typedef struct edge_instance edge_instance;
typedef struct edge_thread edge_thread;

// Codes beside WasmEdge's own, which are below 2^24 in each of its categories.
#define EDGE_MISUSED 0xfe000001u  // not called on the thread's own OS thread, or called while it runs a guest
#define EDGE_DOOMED 0xfe000002u   // killed before it began

// Outcome of a call. code is WasmEdge's (0 = success) or one of the above, reason is enum preempt_reason, host is 1 when a
// host function ended the call: Go keeps its error.
typedef struct edge_outcome {
  uint32_t code;
  int32_t reason;
  int32_t host;
} edge_outcome;

// edge_open installs the interrupt signal, starts the keeper from the artifact at path, wraps the intrinsics and puts
// the fault handlers in. Returns NULL or a static text naming the step that went wrong. Once per process.
const char* edge_open(const preempt_ops* ops, const char* keeper_path);

edge_host_module* edge_host_module_new(const char* name);
// edge_host_module_add registers one function; fn must stay for ever. Returns 0, or -1 when its types are not numeric.
int edge_host_module_add(edge_host_module* module, const char* name, const edge_host_function* fn);

// edge_load loads an artifact. On failure *error is a static text.
edge_module* edge_load(const char* path, const char** error);
void edge_module_free(edge_module* module);
uint64_t edge_module_text_bytes(const edge_module* module);

// edge_instantiate makes an instance over the given host modules. On failure *error is a static text.
edge_instance* edge_instantiate(edge_thread* thread, edge_module* module, edge_host_module** hosts, uint32_t count,
                                const char* memory_export, const char** error);
void edge_instance_free(edge_instance* instance);
// edge_instance_function returns NULL when there is no such export of exactly that type (types as in edge_call).
void* edge_instance_function(edge_instance* instance, const char* name, uint32_t length, const uint8_t* types,
                             uint32_t parameters, uint32_t results);
// edge_table_function returns function index of an exported table, with its types (as in edge_call) and their counts. When there
// is none it returns NULL and *error is a static text; the types are not numeric or too many: likewise.
void* edge_table_function(edge_instance* instance, const char* table, uint32_t length, uint32_t index, uint8_t* types,
                          uint32_t* parameters, uint32_t* results, const char** error);
// edge_instance_memory returns the base of the linear memory and its size in bytes; NULL and 0 when it has none.
uint8_t* edge_instance_memory(edge_instance* instance, uint64_t* bytes);

// edge_thread_grow makes the memory of the guest that the thread runs larger, during a host call. It returns the base and the size
// in bytes, NULL when it cannot be so large.
uint8_t* edge_thread_grow(edge_thread* thread, uint32_t pages, uint64_t* bytes);
// edge_instance_global_get and _set read and write an exported global of type i32, i64, f32 or f64, as bits; -1 when there
// is none, or it cannot be written.
int edge_instance_global_get(edge_instance* instance, const char* name, uint32_t length, uint64_t* value);
int edge_instance_global_set(edge_instance* instance, const char* name, uint32_t length, uint64_t value);

// edge_thread_start starts an OS thread with a stack of stack_bytes and a wide guard, which runs the Go function of
// that handle (edgedThreadMain) to its end. It may run on every CPU that the process's main thread may, whatever the caller
// is pinned to. Returns 0 or an errno.
int edge_thread_start(uintptr_t handle, uint64_t stack_bytes);
// The following run on such a thread. handle is given back to Go with every host call.
edge_thread* edge_thread_new(uintptr_t handle);
void edge_thread_free(edge_thread* thread);
preempt_slot* edge_thread_slot(edge_thread* thread);
// edge_thread_values is where a call takes its parameters from and leaves its results, EDGE_MAX_VALUES of them.
uint64_t* edge_thread_values(edge_thread* thread);
// edge_call runs a function of instance, which is what edge_instance_function returned; a number, for Go looks every pointer
// up that it hands to C. types are the parameters' and then the results', as edge_instance_function has checked them.
edge_outcome edge_call(edge_thread* thread, edge_instance* instance, uintptr_t function, const uint8_t* types,
                       uint32_t parameters, uint32_t results);

// These are functions of the table given to edge_open, for Go, which cannot call through a pointer.
int edge_kill(preempt_slot* slot, uint64_t generation);
int edge_poke(preempt_slot* slot, uint64_t generation);
int edge_park(preempt_slot* slot, preempt_token* successor);
int edge_poke_park(preempt_slot* slot);
int edge_cancel_park(preempt_slot* slot);
int edge_resume(preempt_slot* slot);
void edge_wait(preempt_token* token);
void edge_wake(preempt_token* token);
// edge_skip gives up the thread's next call; for the thread itself.
void edge_skip(preempt_slot* slot);
// edge_word is the address of the slot's word, for Go to read atomically.
uint64_t* edge_word(preempt_slot* slot);
// edge_parks returns how often the thread has parked.
uint64_t edge_parks(preempt_slot* slot);
// edge_token_new returns an empty token or NULL; edge_token_free frees it.
preempt_token* edge_token_new(void);
void edge_token_free(preempt_token* token);
// edge_pin lets the thread of slot run on that CPU only; 0 or an errno.
int edge_pin(const preempt_slot* slot, int cpu);

#endif
