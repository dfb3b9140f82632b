// How an instance's memory is reset. It is a private mapping of an image in a memory file, so that dropping its private
// pages (MADV_DONTNEED) restores any of it; but the first access to a dropped page costs a page fault, which in a virtual
// machine is some microseconds. So the pages that this module's calls write anyway are copied back instead and stay mapped.
// Which those are is learnt from the first resets: the kernel says in /proc/self/pagemap whether a page is still the
// file's or a private copy. Every page is either copied or dropped at every reset, learnt well or not.
#define _GNU_SOURCE
#include "shim_template.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim_internal.h"

// Copying 192 KiB takes 5 us, some two page faults; above that, dropping is cheaper for what is rarely written.
#define HOT_BYTES_MAX (UINT64_C(256) << 10)
// Ranges between hot pages are dropped with one system call each, of some hundred nanoseconds.
#define HOT_RANGES_MAX 8
// Hot pages that are this near to each other become one range: copying a page takes less than a system call.
#define HOT_GAP_PAGES 4
// How many resets are watched before the hot pages are settled.
#define LEARNING_RESETS 16

typedef struct {
  uint64_t offset, bytes;
} range;

struct edge_template {
  int file;
  uint64_t bytes;
  uint32_t pages;  // of the linear memory, 64 KiB each
  uint8_t* image;  // shared and read-only; NULL when there is no memory
  uint32_t globals;
  char** names;
  WasmEdge_Value* values;

  // Guarded by mu until learnt is set, constant from then on.
  pthread_mutex_t mu;
  uint16_t* written;  // how often each page of the system was found written
  uint32_t resets;
  range hot[HOT_RANGES_MAX];
  uint32_t hot_ranges;
  _Atomic int learnt;
};

static uint64_t system_page(void) { return (uint64_t)sysconf(_SC_PAGESIZE); }

static int write_all(int file, const uint8_t* from, uint64_t bytes) {
  // Pages of zeros stay holes: they cost nothing in the file.
  static const uint8_t zeros[4096];
  for (uint64_t at = 0; at < bytes; at += sizeof zeros) {
    if (memcmp(from + at, zeros, sizeof zeros) == 0) {
      continue;
    }
    for (uint64_t done = 0; done < sizeof zeros;) {
      ssize_t n = pwrite(file, from + at + done, sizeof zeros - done, (off_t)(at + done));
      if (n < 0 && errno != EINTR) {
        return errno;
      }
      done += n > 0 ? (uint64_t)n : 0;
    }
  }
  return 0;
}

static int capture_memory(edge_template* template, edge_instance* instance) {
  uint8_t* base = edge_instance_memory(instance, &template->bytes);
  if (base == NULL) {
    template->bytes = 0;
    return 0;
  }
  template->pages = (uint32_t)(template->bytes >> 16);
  template->file = memfd_create("edged-template", MFD_CLOEXEC);
  if (template->file < 0 || ftruncate(template->file, (off_t)template->bytes) != 0) {
    return errno;
  }
  int error = write_all(template->file, base, template->bytes);
  if (error != 0) {
    return error;
  }
  void* image = mmap(NULL, template->bytes, PROT_READ, MAP_SHARED, template->file, 0);
  if (image == MAP_FAILED) {
    return errno;
  }
  template->image = image;
  template->written = calloc(template->bytes / system_page(), sizeof *template->written);
  return template->written == NULL ? ENOMEM : 0;
}

static WasmEdge_GlobalInstanceContext* global_of(const edge_template* template, edge_instance* instance, uint32_t i) {
  const char* name = template->names[i];
  return WasmEdge_ModuleInstanceFindGlobal(instance->instance, WasmEdge_StringWrap(name, (uint32_t)strlen(name)));
}

static int capture_globals(edge_template* template, edge_instance* instance, const char** names, uint32_t globals) {
  if (globals == 0) {
    return 0;
  }
  template->names = calloc(globals, sizeof *template->names);
  template->values = calloc(globals, sizeof *template->values);
  if (template->names == NULL || template->values == NULL) {
    return ENOMEM;
  }
  for (uint32_t i = 0; i < globals; i++) {
    template->names[i] = strdup(names[i]);
    if (template->names[i] == NULL) {
      return ENOMEM;
    }
    template->globals = i + 1;
    WasmEdge_GlobalInstanceContext* global = global_of(template, instance, i);
    if (global == NULL) {
      return ENOENT;
    }
    template->values[i] = WasmEdge_GlobalInstanceGetValue(global);
  }
  return 0;
}

edge_template* edge_template_new(edge_instance* instance, const char** names, uint32_t globals, int* error) {
  edge_template* template = calloc(1, sizeof *template);
  if (template == NULL) {
    *error = ENOMEM;
    return NULL;
  }
  template->file = -1;
  pthread_mutex_init(&template->mu, NULL);
  *error = capture_memory(template, instance);
  if (*error == 0) {
    *error = capture_globals(template, instance, names, globals);
  }
  if (*error != 0) {
    edge_template_free(template);
    return NULL;
  }
  return template;
}

void edge_template_free(edge_template* template) {
  if (template->image != NULL) {
    munmap(template->image, template->bytes);
  }
  if (template->file >= 0) {
    close(template->file);
  }
  for (uint32_t i = 0; i < template->globals; i++) {
    free(template->names[i]);
  }
  free(template->names);
  free(template->values);
  free(template->written);
  pthread_mutex_destroy(&template->mu);
  free(template);
}

static int reset_globals(edge_template* template, edge_instance* instance) {
  for (uint32_t i = 0; i < template->globals; i++) {
    WasmEdge_GlobalInstanceContext* global = instance->globals[i];
    if (!WasmEdge_ResultOK(WasmEdge_GlobalInstanceSetValue(global, template->values[i]))) {
      return -1;
    }
  }
  return 0;
}

// find_globals looks the globals up once an instance.
static int find_globals(edge_template* template, edge_instance* instance) {
  if (template->globals == 0) {
    return 0;
  }
  instance->globals = calloc(template->globals, sizeof *instance->globals);
  if (instance->globals == NULL) {
    return ENOMEM;
  }
  for (uint32_t i = 0; i < template->globals; i++) {
    instance->globals[i] = global_of(template, instance, i);
    if (instance->globals[i] == NULL) {
      return ENOENT;
    }
  }
  return 0;
}

// grow_to brings a fresh instance's memory to the size that it has after start-up.
static int grow_to(edge_instance* instance, uint32_t pages) {
  if (instance->memory == NULL) {
    return 0;
  }
  uint32_t now = WasmEdge_MemoryInstanceGetPageSize(instance->memory);
  if (now > pages) {
    return EINVAL;
  }
  if (now == pages) {
    return 0;
  }
  return WasmEdge_ResultOK(WasmEdge_MemoryInstanceGrowPage(instance->memory, pages - now)) ? 0 : ENOMEM;
}

int edge_template_attach(edge_template* template, edge_instance* instance) {
  int error = grow_to(instance, template->pages);
  if (error != 0) {
    return error;
  }
  uint64_t bytes;
  uint8_t* base = edge_instance_memory(instance, &bytes);
  if (bytes != template->bytes) {
    return EINVAL;
  }
  if (bytes > 0 && mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, template->file, 0) != base) {
    return errno;
  }
  error = find_globals(template, instance);
  if (error != 0) {
    return error;
  }
  return reset_globals(template, instance) == 0 ? 0 : EINVAL;
}

// read_pagemap reads the kernel's words for the pages of [base, base + bytes); 0 when it could not.
static int read_pagemap(const uint8_t* base, uint64_t bytes, uint64_t* words) {
  int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return 0;
  }
  uint64_t count = bytes / system_page();
  off_t offset = (off_t)((uintptr_t)base / system_page() * sizeof *words);
  ssize_t want = (ssize_t)(count * sizeof *words);
  ssize_t got = pread(file, words, (size_t)want, offset);
  close(file);
  return got == want;
}

// Bits of a pagemap word (Documentation/admin-guide/mm/pagemap.rst of the kernel).
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_FILE (UINT64_C(1) << 61)

static void note_written(edge_template* template, const uint8_t* base) {
  uint64_t count = template->bytes / system_page();
  uint64_t* words = calloc(count, sizeof *words);
  if (words == NULL) {
    return;
  }
  if (read_pagemap(base, template->bytes, words)) {
    for (uint64_t i = 0; i < count; i++) {
      if ((words[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) && !(words[i] & PAGEMAP_FILE)) {
        template->written[i]++;
      }
    }
  }
  free(words);
}

// add_hot appends a page to the last range or begins one; 0 when the budget is used up.
static int add_hot(edge_template* template, uint64_t offset, uint64_t page, uint64_t* total) {
  range* last = template->hot_ranges == 0 ? NULL : &template->hot[template->hot_ranges - 1];
  uint64_t grown = page;
  if (last != NULL && offset - (last->offset + last->bytes) <= HOT_GAP_PAGES * page) {
    grown = offset + page - (last->offset + last->bytes);
  } else if (template->hot_ranges == HOT_RANGES_MAX) {
    return 0;
  } else {
    last = NULL;
  }
  if (*total + grown > HOT_BYTES_MAX) {
    return 0;
  }
  *total += grown;
  if (last != NULL) {
    last->bytes += grown;
    return 1;
  }
  template->hot[template->hot_ranges++] = (range){offset, page};
  return 1;
}

// settle makes the pages that at least half of the watched calls wrote the hot ones.
static void settle(edge_template* template) {
  uint64_t page = system_page(), total = 0;
  for (uint64_t i = 0; i < template->bytes / page; i++) {
    if (template->written[i] >= LEARNING_RESETS / 2 && !add_hot(template, i * page, page, &total)) {
      break;
    }
  }
  free(template->written);
  template->written = NULL;
  atomic_store_explicit(&template->learnt, 1, memory_order_release);
}

// learn watches what the call before this reset wrote.
static void learn(edge_template* template, const uint8_t* base) {
  pthread_mutex_lock(&template->mu);
  if (!atomic_load_explicit(&template->learnt, memory_order_relaxed)) {
    note_written(template, base);
    if (++template->resets == LEARNING_RESETS) {
      settle(template);
    }
  }
  pthread_mutex_unlock(&template->mu);
}

static int drop(uint8_t* base, uint64_t from, uint64_t to) {
  return from >= to || madvise(base + from, to - from, MADV_DONTNEED) == 0;
}

static int reset_memory(edge_template* template, uint8_t* base) {
  if (!atomic_load_explicit(&template->learnt, memory_order_acquire)) {
    learn(template, base);
    return drop(base, 0, template->bytes);
  }
  uint64_t at = 0;
  for (uint32_t i = 0; i < template->hot_ranges; i++) {
    range hot = template->hot[i];
    if (!drop(base, at, hot.offset)) {
      return 0;
    }
    memcpy(base + hot.offset, template->image + hot.offset, hot.bytes);
    at = hot.offset + hot.bytes;
  }
  return drop(base, at, template->bytes);
}

int edge_template_reset(edge_template* template, edge_instance* instance) {
  uint64_t bytes;
  uint8_t* base = edge_instance_memory(instance, &bytes);
  if (bytes != template->bytes) {
    return -1;  // it has grown; memory never shrinks
  }
  if (bytes > 0 && !reset_memory(template, base)) {
    return -1;
  }
  return reset_globals(template, instance);
}

uint64_t edge_template_bytes(const edge_template* template) { return template->bytes; }

uint64_t edge_template_hot(edge_template* template) {
  uint64_t total = 0;
  if (atomic_load_explicit(&template->learnt, memory_order_acquire)) {
    for (uint32_t i = 0; i < template->hot_ranges; i++) {
      total += template->hot[i].bytes;
    }
  }
  return total;
}
