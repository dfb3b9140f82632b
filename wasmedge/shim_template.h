// Templates: the state of an instance after its start-up, and putting other instances of the same module into that state
// for about the price of a call. What a template holds is the linear memory and the mutable globals; a module that can
// change its tables or drop its segments has no template.
#ifndef EDGED_SHIM_TEMPLATE_H
#define EDGED_SHIM_TEMPLATE_H

#include "shim.h"

typedef struct edge_template edge_template;

// edge_template_new captures the state of an instance that has just been started and is not running. names are the export
// names of its mutable globals. Returns NULL and sets *error to an errno when there is no memory for the image.
edge_template* edge_template_new(edge_instance* instance, const char** names, uint32_t globals, int* error);
// edge_template_free frees it; instances that were attached to it stay usable, but may not be reset any more.
void edge_template_free(edge_template* template);
// edge_template_attach puts an instance into the template's state for the first time: its memory becomes a private view of
// the image. Returns 0 or an errno; after a failure the instance may only be freed.
int edge_template_attach(edge_template* template, edge_instance* instance);
// edge_template_reset puts an attached instance back into the template's state after a call that ended well. Returns 0, or
// -1 when it cannot be (its memory has grown): then the instance may only be freed.
int edge_template_reset(edge_template* template, edge_instance* instance);
// edge_template_detach is due once before an attached instance is freed.
void edge_template_detach(edge_instance* instance);
// edge_template_bytes returns the size of the image.
uint64_t edge_template_bytes(const edge_template* template);
// edge_template_hot returns how many bytes a reset copies.
uint64_t edge_template_hot(edge_template* template);
// What a reset does with the pages that it does not copy.
enum edge_layout_mode {
  EDGE_LAYOUT_WATCHED = 0,  // nothing is copied, everything is dropped; what was written is learnt
  EDGE_LAYOUT_OPEN = 1,     // they are dropped at every reset
  EDGE_LAYOUT_GUARDED = 2,  // they are mapped read-only; those that were opened by a write are dropped
};

// edge_template_mode returns what becomes of the other pages (enum edge_layout_mode).
int edge_template_mode(edge_template* template);

// Pages of an attached instance may be mapped read-only, and are made writable by the fault of whoever writes during a call on
// the instance's thread. Who writes otherwise says so first:
// edge_memory_writable is for host functions that let the kernel write there: a system call would fail with EFAULT.
// They do nothing to an instance that is attached to no template.
void edge_memory_writable(edge_instance* instance, uint64_t offset, uint64_t bytes);
// edge_thread_writable is the same by address, of the instance that the thread runs.
void edge_thread_writable(edge_thread* thread, void* address, uint64_t bytes);
// edge_memory_open is for writes between two calls. It holds until the next reset.
void edge_memory_open(edge_instance* instance);
// edge_memory_windows returns how many parts of the cold memory have been opened since the last reset, -1 without a guard.
int edge_memory_windows(const edge_instance* instance);

// What a test may have a reset leave out, to see that it notices.
enum edge_spoil {
  EDGE_SPOIL_NOTHING,
  EDGE_SPOIL_COPY,     // of the last hot page
  EDGE_SPOIL_DROP,     // of the last window
  EDGE_SPOIL_GLOBALS,
};
void edge_template_spoil(edge_template* template, int what);
// edge_template_force ends learning with that mode (enum edge_layout_mode), for measuring one beside the other.
void edge_template_force(edge_template* template, int mode);

#endif
