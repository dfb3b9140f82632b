// How an instance's memory is reset. It is a private mapping of an image in a memory file, so that dropping its private
// pages (MADV_DONTNEED) restores any of it; but the first access to a dropped page costs a page fault, which in a virtual
// machine is some microseconds, and dropping is a system call. So a reset does neither as a rule:
//
//  - hot pages, which this module's calls write anyway, are copied back from the image and stay mapped;
//  - cold pages, all others, are mapped read-only; a write to one is let through by the fault handler, which notes where,
//    and the reset after it drops and protects what was noted (shim_template_cold.c).
//
// Which pages are hot is learnt from the first resets and corrected later; where a module writes other pages every time, its
// cold pages are left writable and dropped at every reset (shim_template_learn.c). Whatever was learnt, a reset leaves no page
// in another state than the template's.
#define _GNU_SOURCE
#include "shim_template.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "shim_template_internal.h"

// How many resets of an instance go by between two samples of its hot pages, or reports of one without guard.
#define REPORT_RESETS 1024

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
  return edge_learn_begin(template) == 0 ? 0 : ENOMEM;
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
  free(template->heat);
  free(template->used);
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

// adopt puts the instance under the layout that the template has now.
static int adopt(edge_template* template, edge_cold* cold) {
  pthread_mutex_lock(&template->mu);
  edge_layout layout = template->layout;
  uint32_t version = atomic_load_explicit(&template->version, memory_order_relaxed);
  pthread_mutex_unlock(&template->mu);
  return edge_cold_switch(cold, layout, version);
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
  if (bytes > 0) {
    if (mmap(base, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, template->file, 0) != base) {
      return errno;
    }
    instance->cold.base = base;
    instance->cold.bytes = bytes;
    if (adopt(template, &instance->cold) != 0) {
      return errno;
    }
  }
  error = find_globals(template, instance);
  if (error != 0) {
    return error;
  }
  return reset_globals(template, instance) == 0 ? 0 : EINVAL;
}

static void copy_hot(const edge_template* template, const edge_cold* cold) {
  uint64_t page = edge_page();
  for (uint32_t i = 0; i < cold->layout.ranges; i++) {
    uint64_t at = cold->layout.hot[i].first * page, bytes = cold->layout.hot[i].pages * page;
    if (template->spoiled == EDGE_SPOIL_COPY && i + 1 == cold->layout.ranges) {
      bytes -= page;
    }
    memcpy(cold->base + at, template->image + at, bytes);
  }
}

// reset_cold restores what is not hot; -1 when it cannot.
static int reset_cold(edge_template* template, edge_cold* cold) {
  if (!cold->guarded) {
    if (cold->resets % REPORT_RESETS == 0) {
      edge_learn_open(template, cold);
    }
    return edge_cold_drop(cold);
  }
  if (cold->windows == 0) {
    return 0;
  }
  edge_learn_guarded(template, cold);
  cold->windows -= template->spoiled == EDGE_SPOIL_DROP;
  return edge_cold_restore(cold);
}

static int reset_memory(edge_template* template, edge_cold* cold) {
  cold->resets++;
  if (cold->layout.mode == EDGE_LAYOUT_WATCHED) {
    edge_learn_watch(template, cold);
  }
  if (atomic_load_explicit(&template->version, memory_order_acquire) != cold->version) {
    return adopt(template, cold);
  }
  if (cold->guarded && cold->resets % REPORT_RESETS == 0) {
    edge_learn_sample(template, cold);
  }
  copy_hot(template, cold);
  return reset_cold(template, cold);
}

int edge_template_reset(edge_template* template, edge_instance* instance) {
  uint64_t bytes = instance->memory == NULL ? 0 : (uint64_t)WasmEdge_MemoryInstanceGetPageSize(instance->memory) << 16;
  if (bytes != template->bytes) {
    return -1;  // it has grown; memory never shrinks
  }
  if (bytes > 0 && reset_memory(template, &instance->cold) != 0) {
    return -1;
  }
  return template->spoiled == EDGE_SPOIL_GLOBALS ? 0 : reset_globals(template, instance);
}

uint64_t edge_template_bytes(const edge_template* template) { return template->bytes; }

void edge_template_spoil(edge_template* template, int what) { template->spoiled = what; }
