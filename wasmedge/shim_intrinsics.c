// Compiled code reaches libwasmedge only through one table of function pointers, the intrinsics (import calls,
// memory.grow, table operations, traps). Each entry is replaced by a wrapper (intrinsics_*.S) that, before the call, checks
// that enough native stack is left for the host, so that a stack overflow always happens in guest text where it is a
// clean trap and never inside libwasmedge, libc or Go where it would end the process; and that, after the call, honours an
// interrupt that arrived meanwhile.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim_internal.h"

// WasmEdge 0.14.1, Executable::Intrinsics: kTrap to kRefGetFuncSymbol; the next word is zero padding.
#define INTRINSICS 23
#define SUPPORTED_VERSION "0.14.1"

void* edge_intrinsics_original[INTRINSICS];
// The wrappers stand at equal distances from this label; the assembly says how far.
extern const char edge_intrinsics_wrappers[];
extern const uint64_t edge_intrinsics_stride;

typedef struct {
  uintptr_t address, low, high;
} text_search;

static int find_text(struct dl_phdr_info* object, size_t size, void* data) {
  (void)size;
  text_search* search = data;
  for (int i = 0; i < object->dlpi_phnum; i++) {
    const ElfW(Phdr)* header = &object->dlpi_phdr[i];
    if (header->p_type != PT_LOAD || !(header->p_flags & PF_X)) {
      continue;
    }
    uintptr_t low = object->dlpi_addr + header->p_vaddr;
    uintptr_t high = low + header->p_memsz;
    if (search->address >= low && search->address < high) {
      search->low = low;
      search->high = high;
      return 1;
    }
  }
  return 0;
}

int edge_text_range(const void* address, uintptr_t* low, uintptr_t* high) {
  text_search search = {.address = (uintptr_t)address};
  if (dl_iterate_phdr(find_text, &search) != 1) {
    return -1;
  }
  *low = search.low;
  *high = search.high;
  return 0;
}

// edge_intrinsics_overflow is where a wrapper goes when the stack is too short. It runs on the stack's host reserve: the
// wrapper has moved the stack pointer up to the limit, over frames that the long jump drops anyway.
void edge_intrinsics_overflow(void) {
  preempt_slot* slot = edge_slot;
  slot->reason = PREEMPT_REASON_STACK;
  slot->leave_guest();
}

// edge_intrinsics_deferred is where a wrapper goes after the call when an interrupt left its note.
void edge_intrinsics_deferred(void) { edge_ops->guard(edge_slot); }

const char* edge_intrinsics_wrap(void** table) {
  if (strcmp(WasmEdge_VersionGet(), SUPPORTED_VERSION) != 0) {
    return "libwasmedge is not version " SUPPORTED_VERSION ", the only one this engine knows the inside of";
  }
  uintptr_t low, high;
  if (edge_text_range(table[0], &low, &high) != 0) {
    return "the intrinsics of libwasmedge are not where they should be";
  }
  for (int i = 0; i < INTRINSICS; i++) {
    uintptr_t entry = (uintptr_t)table[i];
    if (entry < low || entry >= high) {
      return "the table of intrinsics of libwasmedge has another length than expected";
    }
  }
  if (table[INTRINSICS] != NULL) {
    return "the table of intrinsics of libwasmedge is longer than expected";
  }
  uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
  uintptr_t first = (uintptr_t)table & ~(page - 1);
  uintptr_t last = ((uintptr_t)(table + INTRINSICS) + page - 1) & ~(page - 1);
  // The table lies in a segment made read-only after relocation.
  if (mprotect((void*)first, last - first, PROT_READ | PROT_WRITE) != 0) {
    return "cannot unprotect the table of intrinsics";
  }
  for (int i = 0; i < INTRINSICS; i++) {
    edge_intrinsics_original[i] = table[i];
    table[i] = (void*)(uintptr_t)(edge_intrinsics_wrappers + (uint64_t)i * edge_intrinsics_stride);
  }
  if (mprotect((void*)first, last - first, PROT_READ) != 0) {
    return "cannot protect the table of intrinsics again";
  }
  return NULL;
}
