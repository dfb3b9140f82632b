// What the C files of the engine share among themselves.
#ifndef EDGED_SHIM_INTERNAL_H
#define EDGED_SHIM_INTERNAL_H

#include "shim.h"

// The stack of a guest thread, from its low end: a guard that no access of a compiled function can jump over, a reserve
// that only the host may use, then the guest's own part.
//
// LLVM does not probe a frame's pages here, so one frame's size must be below the guard. A function body has at most 4 MiB,
// and two bytes of it make at most 256 bytes of frame, a call that returns 16 vectors (both are limits of wasmedge/gate): half
// a GiB. The guard is as large as the largest frame that LLVM can address. It is address space only, never backed by memory.
#define EDGE_GUARD_BYTES (UINT64_C(2) << 30)
// Go's callback needs its own system stack below the guest's frames; the garbage collector may run there.
#define EDGE_RESERVE_BYTES (UINT64_C(256) << 10)

struct edge_thread {
  WasmEdge_ExecutorContext* executor;
  preempt_slot slot;
  edge_instance* instance;  // of the call in progress
  uintptr_t handle;         // Go's
  int host_failed;
  uint64_t values[EDGE_MAX_VALUES];  // parameters and results on their way between Go and a guest
};

struct edge_host_module {
  char name[128];
  WasmEdge_ModuleInstanceContext* instance;
};

struct edge_module {
  WasmEdge_ASTModuleContext* ast;
  void* library;  // a second reference to the loaded artifact, for its symbols
  uintptr_t text_low, text_high;
};

// A run of pages of the system, counted from the start of a linear memory.
typedef struct edge_range {
  uint32_t first, pages;
} edge_range;

// A guarded memory is at most 2 * EDGE_HOT_RANGES + 1 of the 65,530 mappings that the kernel allows (vm.max_map_count); they
// are counted. C guests need 3 ranges, those of stock Go some 20; fewer would have to copy what lies between.
#define EDGE_HOT_RANGES 24
#define EDGE_COLD_WINDOWS 8
#define EDGE_COLD_UNKNOWN UINT32_MAX

// edge_layout says which pages are copied at every reset and what becomes of the others, the cold ones.
typedef struct edge_layout {
  uint32_t mode, ranges;  // enum edge_layout_mode
  edge_range hot[EDGE_HOT_RANGES];  // ascending, none touches the next
} edge_layout;

// edge_cold is the state of a memory that is reset to a template (shim_template_cold.c). All zero: it is not.
typedef struct edge_cold {
  uint8_t* base;
  uint64_t bytes;
  edge_layout layout;
  uint32_t version;   // of the template's layout that this is
  uint32_t resets;    // since the template was last told
  int32_t mappings;   // counted for it
  int32_t guarded;    // cold pages outside the windows are read-only
  uint32_t windows;   // that were opened since the last reset
  edge_range window[EDGE_COLD_WINDOWS];
  uint32_t written[EDGE_COLD_WINDOWS];  // the page whose write opened it, or EDGE_COLD_UNKNOWN
} edge_cold;

struct edge_instance {
  WasmEdge_StoreContext* store;
  WasmEdge_ModuleInstanceContext* instance;
  WasmEdge_MemoryInstanceContext* memory;
  const edge_module* module;
  WasmEdge_GlobalInstanceContext** globals;  // those that a template resets, in its order; NULL without one
  edge_cold cold;
};

extern const preempt_ops* edge_ops;
// The slot that the assembly of the intrinsics' wrappers works on, and the thread for the host trampoline.
extern __thread preempt_slot* edge_slot __attribute__((tls_model("initial-exec")));
extern __thread edge_thread* edge_current __attribute__((tls_model("initial-exec")));

// Values as bits: shim.c. type is as in the binary format.
uint64_t edge_value_bits(const WasmEdge_Value* value, uint8_t type);
WasmEdge_Value edge_value_of(uint64_t bits, uint8_t type);

// edge_signals_open: shim_signals.c. save_go must run before the keeper enters, install after it.
int edge_signals_save_go(void);
int edge_signals_install(void);
void edge_leave_guest(void);

// edge_cold_fault: shim_template_cold.c. Async-signal-safe: whether a forbidden access at address was a write to a cold page
// of the instance that this thread runs; then the page can be written now.
int edge_cold_fault(uintptr_t address);

// edge_intrinsics_wrap: shim_intrinsics.c. Replaces WasmEdge's table of intrinsics by ours; NULL or a text.
const char* edge_intrinsics_wrap(void** table);

// edge_text_range finds the executable segment that holds address; 0 when found.
int edge_text_range(const void* address, uintptr_t* low, uintptr_t* high);

// The executor's and the loader's configuration: the features the gate lets through, nothing else.
WasmEdge_ConfigureContext* edge_configure(void);

#endif
