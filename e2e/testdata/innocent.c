// A well-behaved guest: what the tests call beside everything that goes wrong.
//
// It formats without printf: that is two thirds of a small module, and every test that starts a daemon compiles this one.
#include "edge.h"

#include <unistd.h>

#ifndef VERSION
#define VERSION 1
#endif

static char* text(char* at, const char* from) {
  size_t n = strlen(from);
  memcpy(at, from, n + 1);
  return at + n;
}

static char* number(char* at, uint64_t n, unsigned base, int width) {
  char digits[64];
  int have = 0;
  for (; n > 0 || have < width || have == 0; n /= base) digits[have++] = "0123456789abcdef"[n % base];
  while (have > 0) *at++ = digits[--have];
  *at = 0;
  return at;
}

// 4,000 lines, each naming the version: a mixed or cut answer shows.
EDGED_EXPORT(version) {
  char line[40];
  for (int i = 0; i < 4000; i++) {
    text(number(text(number(text(line, "v"), VERSION, 10, 1), " "), (uint64_t)i, 10, 1), "\n");
    edge_puts(line);
  }
  return 0;
}

EDGED_EXPORT(which) {
  char line[20];
  number(text(line, "v"), VERSION, 10, 1);
  return edge_puts(line);
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
  char line[20];
  number(line, h, 16, 16);
  return edge_puts(line);
}

static int32_t failed(int32_t result) {
  const char* reason = edge_strerror(result);
  edged_error(reason, strlen(reason));
  return 1;
}

// Adds one to the counter named by the body and answers with its value.
EDGED_EXPORT(count) {
  char* key = edge_input(NULL);
  for (;;) {
    char* old = NULL;
    size_t len = 0;
    int32_t r = edge_kv_get(key, (void**)&old, &len);
    if (r != EDGE_OK && r != EDGE_NOT_FOUND) return failed(r);
    char now[24];
    size_t n = (size_t)(number(now, (uint64_t)(old ? atoll(old) : 0) + 1, 10, 1) - now);
    r = edge_kv_cas(key, old, len, now, n);
    free(old);
    if (r == EDGE_OK) return edge_write(now, n);
    if (r != EDGE_CONFLICT) return failed(r);
  }
}

// The value of the key that is the body.
EDGED_EXPORT(value) {
  char* value;
  size_t len;
  int32_t r = edge_kv_get(edge_input(NULL), (void**)&value, &len);
  if (r == EDGE_NOT_FOUND) return edge_set_status(404);
  return r ? failed(r) : edge_write(value, len);
}

// Says under held/BODY that it runs, and ends when there is a key release/BODY.
EDGED_EXPORT(hold) {
  char* name = edge_input(NULL);
  char key[100];
  text(text(key, "held/"), name);
  int32_t r = edge_kv_set(key, "", 0);
  if (r) return failed(r);
  text(text(key, "release/"), name);
  for (;;) {
    char byte;
    if (edged_kv_get(key, strlen(key), &byte, 1) >= 0) break;
    usleep(2000);
  }
  number(text(text(text(key, "held "), name), " by v"), VERSION, 10, 1);
  return edge_puts(key);
}

// As many bytes as the body says, in writes of an odd size; byte i is that of the pattern below.
EDGED_EXPORT(big) {
  long left = atol(edge_input(NULL)), at = 0;
  static unsigned char part[70001];
  while (left > 0) {
    long n = left < (long)sizeof part ? left : (long)sizeof part;
    for (long i = 0; i < n; i++, at++) part[i] = (unsigned char)(at * 31 ^ at >> 8 ^ at >> 16);
    int32_t r = edge_write(part, (size_t)n);
    if (r) return failed(r);
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
    edge_puts(keys[i]);
    edge_puts("=");
    edge_puts(value ? value : "(none)");
    edge_puts("\n");
  }
  return 0;
}

EDGED_EXPORT(say) {
  char* text = edge_input(NULL);
  edged_log(EDGE_WARN, text, strlen(text));
  return 0;
}

EDGED_EXPORT(refuse) {
  edged_error("no: because", 11);
  return 1;
}
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
  uint64_t found[] = {(uint64_t)stains++, (uint64_t)dirty, pages, (size_t)heap, (size_t)&local};
  char line[200], *at = line;
  for (int i = 0; i < 5; i++) at = text(number(at, found[i], 10, 1), " ");
  edge_puts(line);
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
