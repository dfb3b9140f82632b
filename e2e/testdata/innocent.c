// A well-behaved guest: what the tests call beside everything that goes wrong.
#include "edge.h"

#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

// 4,000 lines, each naming the version: a mixed or cut answer shows.
EDGED_EXPORT(version) {
  for (int i = 0; i < 4000; i++) edge_printf("v%d %d\n", VERSION, i);
  return 0;
}

EDGED_EXPORT(which) {
  edge_printf("v%d", VERSION);
  return 0;
}

EDGED_EXPORT(echo) {
  size_t len;
  void* body = edge_input(&len);
  return edge_write(body, len);
}

// A number that takes some work and depends on every byte of the body: FNV-1a, a thousand times over.
EDGED_EXPORT(hash) {
  size_t len;
  unsigned char* body = edge_input(&len);
  uint64_t h = 0xcbf29ce484222325u;
  for (int round = 0; round < 1000; round++)
    for (size_t i = 0; i < len; i++) h = (h ^ body[i]) * 0x100000001b3u;
  edge_printf("%016llx", (unsigned long long)h);
  return 0;
}

// Adds one to the counter named by the body and answers with its value.
EDGED_EXPORT(count) {
  char* key = edge_input(NULL);
  for (;;) {
    char* old = NULL;
    size_t len = 0;
    int32_t r = edge_kv_get(key, (void**)&old, &len);
    if (r != EDGE_OK && r != EDGE_NOT_FOUND) return edge_fail("get: %s", edge_strerror(r));
    char now[24];
    int n = snprintf(now, sizeof now, "%lld", (old ? atoll(old) : 0) + 1);
    r = edge_kv_cas(key, old, len, now, (size_t)n);
    free(old);
    if (r == EDGE_OK) return edge_write(now, (size_t)n);
    if (r != EDGE_CONFLICT) return edge_fail("cas: %s", edge_strerror(r));
  }
}

// The value of the key that is the body.
EDGED_EXPORT(value) {
  char* value;
  size_t len;
  int32_t r = edge_kv_get(edge_input(NULL), (void**)&value, &len);
  if (r == EDGE_NOT_FOUND) return edge_set_status(404);
  return r ? edge_fail("%s", edge_strerror(r)) : edge_write(value, len);
}

// Says under held/BODY that it runs, and ends when there is a key release/BODY.
EDGED_EXPORT(hold) {
  char* name = edge_input(NULL);
  char key[100];
  snprintf(key, sizeof key, "held/%s", name);
  int32_t r = edge_kv_set(key, "", 0);
  if (r) return edge_fail("%s", edge_strerror(r));
  snprintf(key, sizeof key, "release/%s", name);
  for (;;) {
    char byte;
    if (edged_kv_get(key, strlen(key), &byte, 1) >= 0) break;
    usleep(2000);
  }
  edge_printf("held %s by v%d", name, VERSION);
  return 0;
}

// As many bytes as the body says, in writes of an odd size; byte i is that of the pattern below.
EDGED_EXPORT(big) {
  long left = atol(edge_input(NULL)), at = 0;
  static unsigned char part[70001];
  while (left > 0) {
    long n = left < (long)sizeof part ? left : (long)sizeof part;
    for (long i = 0; i < n; i++, at++) part[i] = (unsigned char)(at * 31 ^ at >> 8 ^ at >> 16);
    int32_t r = edge_write(part, (size_t)n);
    if (r) return edge_fail("write: %s", edge_strerror(r));
    left -= n;
  }
  return 0;
}

// The facts of the call, for comparing transports.
EDGED_EXPORT(facts) {
  edge_set_header("X-Facts", "yes");
  edge_set_status(201);
  const char* keys[] = {"method", "path", "query", "header:x-one", "app", "function", "route", "path_info", "proto"};
  for (int i = 0; i < 9; i++) {
    char* value = edge_meta(keys[i]);
    edge_printf("%s=%s\n", keys[i], value ? value : "(none)");
  }
  return 0;
}

EDGED_EXPORT(say) {
  char* text = edge_input(NULL);
  edge_logf(EDGE_WARN, "%s", text);
  return 0;
}

EDGED_EXPORT(refuse) { return edge_fail("no: %s", "because"); }
EDGED_EXPORT(teapot) { return edge_set_status(418); }

// What a call must find in its first state, and leaves in another: memory, its size, a global of the C library (the break
// and the heap), the guest's stack pointer.
static int stains = 1;
static char zero[100000];
EDGED_EXPORT(stain) {
  size_t pages = __builtin_wasm_memory_size(0);
  int dirty = 0;
  for (size_t i = 0; i < sizeof zero; i++) dirty += zero[i];
  char* heap = malloc(200000);
  char local;
  edge_printf("%d %d %zu %p %p", stains++, dirty, pages, (void*)heap, (void*)&local);
  memset(zero, 1, sizeof zero);
  memset(heap, 2, 200000);
  char* query = edge_meta("query");
  if (strcmp(query, "grow") == 0) __builtin_wasm_memory_grow(0, 3);
  if (strcmp(query, "trap") == 0) __builtin_trap();
  if (strcmp(query, "exit") == 0) _Exit(0);
  return strcmp(query, "fail") == 0;
}

// 8 random bytes: never the same twice, whatever state an instance starts from.
EDGED_EXPORT(random_bytes) {
  unsigned char bytes[8];
  if (getentropy(bytes, sizeof bytes)) return 1;
  return edge_write(bytes, sizeof bytes);
}
