// A reactor over the edged module; the tests of hostfn call its exports.
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define IMPORT(name) __attribute__((import_module("edged"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT(input_len) int input_len(void);
IMPORT(input_read) int input_read(unsigned off, void* buf, int cap);
IMPORT(output_write) int output_write(const void* p, int n);
IMPORT(output_status) int output_status(int code);
IMPORT(output_header) int output_header(const char* name, int nlen, const char* val, int vlen);
IMPORT(error) void report(const char* p, int n);
IMPORT(meta_get) int meta_get(const char* k, int kl, void* buf, int cap);
IMPORT(config_get) int config_get(const char* k, int kl, void* buf, int cap);
IMPORT(kv_get) int kv_get(const void* k, int kl, void* buf, unsigned cap);
IMPORT(kv_cas) int kv_cas(const void* k, int kl, const void* old, int oldl, const void* v, int vl);

static int ready;

__attribute__((constructor)) static void prepare(void) { ready = 1; }

// count adds one to a counter, whoever else does so at the same time.
static int count(void) {
  for (;;) {
    int value = 0, next;
    int n = kv_get("count", 5, &value, sizeof value);
    next = value + 1;
    if (kv_cas("count", 5, &value, n < 0 ? -1 : n, &next, sizeof next) == 0) return next;
  }
}

EXPORT(greet) void greet(void) {
  char name[64] = "", greeting[16] = "", method[8] = "", text[128];
  input_read(0, name, input_len());
  config_get("greeting", 8, greeting, sizeof greeting);
  int n = meta_get("method", 6, method, sizeof method);
  output_header("X-Method", 8, method, n);
  output_status(ready ? 201 : 500);
  output_write(text, snprintf(text, sizeof text, "%s, %s: %d", greeting, name, count()));
}

EXPORT(refuse) void refuse(void) { report("not today", 9); }

EXPORT(wild) void wild(void) { kv_get("count", 5, (void*)0xfffffff0, 64); }

EXPORT(doze) void doze(void) {
  struct timespec hour = {3600, 0};
  nanosleep(&hour, NULL);
}
