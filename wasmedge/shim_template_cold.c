// Cold pages: those of an instance's memory that its calls hardly ever write. Dropping them at every reset, to be on the
// safe side, costs some system calls each time. Instead they are mapped read-only. A write to one faults; the handler makes
// a window around it writable, notes the window and returns to the instruction, and the next reset drops and protects what was
// opened, only then. A page is thus at any time protected, or hot, or in a noted window: nothing that was written is missed.
//
// Who writes, and how it comes here:
//  - compiled code, intrinsics, C and Go on the guest's thread, during a call: by the fault, wherever it is (edge_cold_fault);
//  - the kernel, for a system call that reads into guest memory: it does not fault but fails with EFAULT, so the host function
//    opens the range first (edge_memory_writable);
//  - anyone between two calls: through edge_memory_open.
//
// edge_cold_fault runs in a signal handler. It calls mprotect and touches only the edge_cold of the instance that its own
// thread runs, which nothing else touches meanwhile but functions of this file, and those write no guest memory.
#define _GNU_SOURCE
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim_template_internal.h"

uint64_t edge_page(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }  // async-signal-safe: from the auxiliary vector

// How many mappings guards may add in this process. The kernel allows 65,530 (vm.max_map_count); 4,096 memories are
// three each by themselves, and what is left is Go's and the artifacts'.
#define GUARD_MAPPINGS_MAX 40000
static _Atomic int64_t guard_mappings;

static uint64_t pages_of(const edge_cold* cold) { return cold->bytes / edge_page(); }

static int protect(const edge_cold* cold, uint64_t first, uint64_t end, int protection) {
  return first >= end || mprotect(cold->base + first * edge_page(), (end - first) * edge_page(), protection) == 0 ? 0 : -1;
}

static int drop(const edge_cold* cold, uint64_t first, uint64_t end) {
  return first >= end || madvise(cold->base + first * edge_page(), (end - first) * edge_page(), MADV_DONTNEED) == 0 ? 0 : -1;
}

static int drop_and_protect(const edge_cold* cold, uint64_t first, uint64_t end) {
  return drop(cold, first, end) == 0 ? protect(cold, first, end, PROT_READ) : -1;
}

static int only_protect(const edge_cold* cold, uint64_t first, uint64_t end) {
  return protect(cold, first, end, PROT_READ);
}

// each_cold calls act for every part of [first, end) that is not hot, until one fails.
static int each_cold(const edge_cold* cold, uint64_t first, uint64_t end, int (*act)(const edge_cold*, uint64_t, uint64_t)) {
  const edge_layout* layout = &cold->layout;
  for (uint32_t i = 0; i < layout->ranges && first < end; i++) {
    uint64_t hot = layout->hot[i].first, after = hot + layout->hot[i].pages;
    if (after <= first) {
      continue;
    }
    if (hot > first && act(cold, first, hot < end ? hot : end) != 0) {
      return -1;
    }
    first = after;
  }
  return first < end ? act(cold, first, end) : 0;
}

static void give_mappings_back(edge_cold* cold) {
  atomic_fetch_sub_explicit(&guard_mappings, cold->mappings, memory_order_relaxed);
  cold->mappings = 0;
}

// unguard makes the whole memory writable, one mapping again: that needs no memory of the kernel's and does not fail.
static int unguard(edge_cold* cold) {
  give_mappings_back(cold);
  cold->guarded = 0;
  cold->windows = 0;
  return protect(cold, 0, pages_of(cold), PROT_READ | PROT_WRITE);
}

// guard protects what is cold, unless the process has too many mappings already: then the instance stays without.
static int guard(edge_cold* cold) {
  cold->mappings = 2 * (int32_t)cold->layout.ranges + 1;
  int64_t before = atomic_fetch_add_explicit(&guard_mappings, cold->mappings, memory_order_relaxed);
  if (before + cold->mappings > GUARD_MAPPINGS_MAX || each_cold(cold, 0, pages_of(cold), only_protect) != 0) {
    return unguard(cold);
  }
  cold->guarded = 1;
  return 0;
}

int edge_cold_switch(edge_cold* cold, edge_layout layout, uint32_t version) {
  if (cold->guarded && unguard(cold) != 0) {
    return -1;
  }
  // A write, so that the kernel's note of who has private pages (anon_vma) is made for the whole mapping before it is cut
  // up: pieces that have notes of their own could never become one mapping again.
  *(volatile uint8_t*)cold->base = *cold->base;
  if (drop(cold, 0, pages_of(cold)) != 0) {
    return -1;
  }
  cold->layout = layout;
  cold->version = version;
  cold->resets = 0;
#ifdef MADV_POPULATE_WRITE
  // Hot pages are brought in now, while nobody waits, and not by faults of the next call; an old kernel cannot.
  for (uint32_t i = 0; i < layout.ranges; i++) {
    (void)madvise(cold->base + layout.hot[i].first * edge_page(), layout.hot[i].pages * edge_page(), MADV_POPULATE_WRITE);
  }
#endif
  return layout.mode == EDGE_LAYOUT_GUARDED ? guard(cold) : 0;
}

int edge_cold_drop(const edge_cold* cold) { return each_cold(cold, 0, pages_of(cold), drop); }

// inside reports whether a window lies in one that was opened later.
static int inside(const edge_cold* cold, uint32_t window) {
  const edge_range* a = &cold->window[window];
  for (uint32_t i = window + 1; i < cold->windows; i++) {
    const edge_range* b = &cold->window[i];
    if (a->first >= b->first && a->first + a->pages <= b->first + b->pages) {
      return 1;
    }
  }
  return 0;
}

int edge_cold_restore(edge_cold* cold) {
  for (uint32_t i = 0; i < cold->windows; i++) {
    uint64_t first = cold->window[i].first;
    if (!inside(cold, i) && each_cold(cold, first, first + cold->window[i].pages, drop_and_protect) != 0) {
      return unguard(cold) == 0 ? edge_cold_drop(cold) : -1;  // no room for mappings: from now on without
    }
  }
  cold->windows = 0;
  return 0;
}

static int within(const edge_range* r, uint64_t first, uint64_t end) {
  return first >= r->first && end <= (uint64_t)r->first + r->pages;
}

// writable reports whether one window, or one hot range, holds all of the pages [first, end).
static int writable(const edge_cold* cold, uint64_t first, uint64_t end) {
  for (uint32_t i = 0; i < cold->windows; i++) {
    if (within(&cold->window[i], first, end)) {
      return 1;
    }
  }
  for (uint32_t i = 0; i < cold->layout.ranges; i++) {
    if (within(&cold->layout.hot[i], first, end)) {
      return 1;
    }
  }
  return 0;
}

// open_window makes pages writable and notes them; all pages when no note is left but one, or the kernel has no room for
// another mapping. 0, or -1 when it cannot.
static int open_window(edge_cold* cold, uint64_t first, uint64_t end, uint32_t written) {
  uint64_t all = pages_of(cold);
  int last = cold->windows >= EDGE_COLD_WINDOWS - 1;
  if (last || protect(cold, first, end, PROT_READ | PROT_WRITE) != 0) {
    first = 0;
    end = all;
    if (protect(cold, 0, all, PROT_READ | PROT_WRITE) != 0) {
      return -1;
    }
  }
  uint32_t note = cold->windows < EDGE_COLD_WINDOWS ? cold->windows : EDGE_COLD_WINDOWS - 1;
  cold->window[note] = (edge_range){(uint32_t)first, (uint32_t)(end - first)};
  cold->written[note] = written;
  cold->windows = note + 1;
  return 0;
}

int edge_cold_fault(uintptr_t address) {
  edge_thread* thread = edge_current;
  if (thread == NULL || thread->instance == NULL) {
    return 0;
  }
  edge_cold* cold = &thread->instance->cold;
  if (!cold->guarded || address - (uintptr_t)cold->base >= cold->bytes) {
    return 0;
  }
  uint64_t page = (address - (uintptr_t)cold->base) / edge_page(), all = pages_of(cold);
  if (writable(cold, page, page + 1)) {
    return 0;  // not because of the guard
  }
  // Windows of one page, 4, 16, ...: a guest that writes everywhere faults a few times only, whatever the memory's size.
  uint64_t pages = UINT64_C(1) << (2 * (cold->windows < EDGE_COLD_WINDOWS ? cold->windows : EDGE_COLD_WINDOWS));
  uint64_t first = page & ~(pages - 1), end = first + pages < all ? first + pages : all;
  int saved_errno = errno;
  int failed = open_window(cold, first, end, (uint32_t)page);
  errno = saved_errno;
  return failed ? 0 : 1;
}

void edge_memory_writable(edge_instance* instance, uint64_t offset, uint64_t bytes) {
  edge_cold* cold = &instance->cold;
  if (!cold->guarded || bytes == 0 || offset >= cold->bytes) {
    return;
  }
  uint64_t end = offset + bytes < cold->bytes ? offset + bytes : cold->bytes;
  uint64_t first = offset / edge_page(), last = (end - 1) / edge_page();
  if (!writable(cold, first, last + 1)) {
    (void)open_window(cold, first, last + 1, (uint32_t)first);  // a failure shows as EFAULT, or as a fault
  }
}

void edge_thread_writable(edge_thread* thread, void* address, uint64_t bytes) {
  if (thread->instance != NULL) {
    edge_memory_writable(thread->instance, (uintptr_t)address - (uintptr_t)thread->instance->cold.base, bytes);
  }
}

void edge_memory_open(edge_instance* instance) {
  edge_cold* cold = &instance->cold;
  if (cold->guarded && !writable(cold, 0, pages_of(cold))) {
    (void)open_window(cold, 0, pages_of(cold), EDGE_COLD_UNKNOWN);
  }
}

int edge_memory_windows(const edge_instance* instance) {
  return instance->cold.guarded ? (int)instance->cold.windows : -1;
}

void edge_template_detach(edge_instance* instance) {
  give_mappings_back(&instance->cold);
  instance->cold.guarded = 0;
}
