// The interface of Warrior, as far as this example uses it.
#pragma once

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define RAY(name) __attribute__((import_module("ray"), import_name(#name)))

typedef struct {
  unsigned magic, type, flags;
  unsigned char* buf;
  unsigned len, cap, checksum;
} warbuffer;

enum { WAR_MAGIC = (int)0xc0de550a, WAR_OBJECT = 1, WAR_DATA = 2 };

RAY(init) int rinit(void);
RAY(call) int rcall(warbuffer* id, void* function, ...);
RAY(get) int rget(warbuffer* id, void* buf, unsigned* len);
RAY(put) int rput(warbuffer* id, const void* buf, unsigned len);
RAY(track_malloc) int track_malloc(void* ptr, size_t size);
RAY(track_free) int track_free(void* ptr);
RAY(memregion_validate) int memregion_validate(void* ptr, size_t size);
RAY(log_write) int log_write(const char* text, size_t len);
RAY(shutdown) void rshutdown(void);

// The host places what a task is given.
__attribute__((export_name("__war_malloc"))) void* war_malloc(size_t size) { return malloc(size); }
__attribute__((export_name("__war_free"))) void war_free(void* ptr) { free(ptr); }

static inline void war_seal(warbuffer* w) {
  w->checksum = w->magic ^ w->type ^ w->flags ^ (unsigned)w->buf ^ w->len ^ w->cap;
}

static inline warbuffer* war_new(unsigned type, const void* data, unsigned len, unsigned cap) {
  warbuffer* w = malloc(sizeof *w);
  if (w == NULL || (w->buf = malloc(cap)) == NULL) {
    abort();
  }
  w->magic = WAR_MAGIC;
  w->type = type;
  w->flags = 0;
  w->len = len;
  w->cap = cap;
  memcpy(w->buf, data, len);
  war_seal(w);
  return w;
}

static inline warbuffer* war_object(void) { return war_new(WAR_OBJECT, "", 0, 32); }
static inline warbuffer* war_struct(const void* data, unsigned len) { return war_new(WAR_DATA, data, len, len); }

static inline void* walloc(size_t size) {
  void* ptr = malloc(size);
  if (ptr == NULL || track_malloc(ptr, size) != 0) {
    abort();
  }
  return ptr;
}
