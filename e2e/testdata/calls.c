// A guest whose functions call each other.
#include "edge.h"

EDGED_IMPORT(call) int32_t host_call(const void* fn, size_t fl, const void* in, size_t il, void* buf, size_t cap);
EDGED_IMPORT(result_read) int32_t host_result_read(size_t off, void* buf, size_t cap);
EDGED_IMPORT(rcall) int64_t host_rcall(const void* fn, size_t fl, const void* in, size_t il);
EDGED_IMPORT(rput) int64_t host_rput(const void* ptr, size_t len);
EDGED_IMPORT(rget) int32_t host_rget(int64_t h, void* buf, size_t cap, int32_t timeout_ms);
EDGED_IMPORT(rlen) int32_t host_rlen(int64_t h);
EDGED_IMPORT(rwait) int32_t host_rwait(const int64_t* h, size_t n, size_t want, int32_t timeout_ms, uint8_t* ready);
EDGED_IMPORT(rcancel) int32_t host_rcancel(int64_t h);
EDGED_IMPORT(rdrop) int32_t host_rdrop(int64_t h);

#define NAME(text) text, sizeof(text) - 1

// fail reports a result below zero with the text that the host has about it.
static int fail(const char* what, int64_t result) {
  char text[512];
  int32_t n = host_result_read(0, text, sizeof text);
  edge_fail("%s: %lld %.*s", what, (long long)result, n < 0 ? 0 : (int)n, text);
  return 1;
}

EDGED_EXPORT(noop) { return 0; }

EDGED_EXPORT(echo) {
  size_t length;
  char* input = edge_input(&length);
  edged_output_write(input, length);
  return 0;
}

// Answers with status 404, which is a result like any other.
EDGED_EXPORT(missing) {
  edged_output_status(404);
  return edge_puts("not here");
}

EDGED_EXPORT(broken) {
  edge_fail("it broke");
  return 1;
}

EDGED_EXPORT(forever) {
  for (volatile int n = 0;; n++) {
  }
}

// Body: the name of a function to call, a space and its input. Answers with "RESULT STATUS BODY".
EDGED_EXPORT(relay) {
  size_t length;
  char* input = edge_input(&length);
  char* space = memchr(input, ' ', length);
  size_t name = space == NULL ? length : (size_t)(space - input);
  size_t skip = space == NULL ? length : name + 1;
  static char buf[64];
  int32_t n = host_call(input, name, input + skip, length - skip, buf, sizeof buf);
  char status[8] = "";
  edged_meta_get(NAME("result:status"), status, sizeof status - 1);
  edge_printf("%d %s ", (int)n, status);
  for (size_t at = 0;;) {  // in pieces: a result may be longer than buf
    int32_t got = host_result_read(at, buf, sizeof buf);
    if (got <= 0) break;
    edged_output_write(buf, (size_t)got);
    at += (size_t)got;
  }
  return 0;
}

// Calls itself for as many times as the body says. Answers with the depth that was reached.
EDGED_EXPORT(deeper) {
  int left = atoi(edge_input(NULL));
  if (left == 0) return edge_puts("bottom");
  static char text[16], buf[2048];
  int32_t n = host_call(NAME("deeper"), text, (size_t)snprintf(text, sizeof text, "%d", left - 1), buf, sizeof buf);
  if (n >= 0) {
    edged_output_write(buf, (size_t)n);
    return 0;
  }
  static char why[2048];
  int32_t length = host_result_read(0, why, sizeof why);
  return edge_printf("%d %.*s", (int)n, (int)length, why);
}

// Starts as many calls of noop as the body says, waits for all of them, and answers with how many came back.
EDGED_EXPORT(fan) {
  size_t n = (size_t)atoi(edge_input(NULL));
  int64_t* handles = malloc(n * sizeof *handles);
  uint8_t* ready = malloc(n);
  for (size_t i = 0; i < n; i++) {
    handles[i] = host_rcall(NAME("noop"), NULL, 0);
    if (handles[i] < 0) return fail("rcall", handles[i]);
  }
  int32_t there = host_rwait(handles, n, n, -1, ready);
  if (there < 0) return fail("rwait", there);
  for (size_t i = 0; i < n; i++) {
    int32_t length = host_rget(handles[i], NULL, 0, 0);
    if (length != 0) return fail("rget", length);
    host_rdrop(handles[i]);
  }
  return edge_printf("%d", (int)there);
}

// Calls noop as many times as the body says, one after the other, and answers with how many came back.
EDGED_EXPORT(hops) {
  int n = atoi(edge_input(NULL)), there = 0;
  for (int i = 0; i < n; i++) there += host_call(NAME("noop"), NULL, 0, NULL, 0) == 0;
  return edge_printf("%d", there);
}

// Squares numbers from 0 to the body by calls of square, and answers with their sum.
EDGED_EXPORT(square) {
  long n = atol(edge_input(NULL));
  return edge_printf("%ld", n * n);
}

EDGED_EXPORT(sum) {
  int n = atoi(edge_input(NULL));
  int64_t* handles = malloc((size_t)n * sizeof *handles);
  char text[32];
  for (int i = 0; i < n; i++) {
    handles[i] = host_rcall(NAME("square"), text, (size_t)snprintf(text, sizeof text, "%d", i));
    if (handles[i] < 0) return fail("rcall", handles[i]);
  }
  long long total = 0;
  for (int i = n - 1; i >= 0; i--) {
    int32_t length = host_rget(handles[i], text, sizeof text - 1, -1);
    if (length < 0) return fail("rget", length);
    text[length] = 0;
    total += atoll(text);
  }
  return edge_printf("%lld", total);
}

// Starts a call that never ends, cancels it, and answers with what rget says before and after.
EDGED_EXPORT(cancel) {
  int64_t h = host_rcall(NAME("forever"), NULL, 0);
  if (h < 0) return fail("rcall", h);
  int32_t before = host_rget(h, NULL, 0, 20);
  int32_t cancelled = host_rcancel(h);
  int32_t after = host_rget(h, NULL, 0, -1);
  return edge_printf("%d %d %d", (int)before, (int)cancelled, (int)after);
}

// Waits for the object whose number is the body, and answers with what came of it.
EDGED_EXPORT(await) {
  int64_t h = atoll(edge_input(NULL));
  char buf[64];
  int32_t n = host_rget(h, buf, sizeof buf, -1);
  if (n < 0) return edge_printf("refused %d", (int)n);
  edged_output_write(buf, (size_t)n);
  return 0;
}

// Gets the number of its own call through a key and waits for one that waits for it.
EDGED_EXPORT(knot_first) {
  char text[32];
  int32_t n;
  while ((n = edged_kv_get(NAME("knot"), text, sizeof text - 1)) <= 0) {
  }
  text[n] = 0;
  char buf[64];
  int32_t got = host_call(NAME("await"), text, (size_t)n, buf, sizeof buf);
  if (got < 0) return fail("call", got);
  edged_output_write(buf, (size_t)got);
  return 0;
}

// knot: a call waits for one that waits for it. Answers with what the last of them was told.
EDGED_EXPORT(knot) {
  int64_t h = host_rcall(NAME("knot_first"), NULL, 0);
  if (h < 0) return fail("rcall", h);
  char text[32], buf[64];
  edged_kv_set(NAME("knot"), text, (size_t)snprintf(text, sizeof text, "%lld", (long long)h));
  int32_t n = host_rget(h, buf, sizeof buf, -1);
  edged_kv_delete(NAME("knot"));
  if (n < 0) return fail("rget", n);
  edged_output_write(buf, (size_t)n);
  return 0;
}

// Puts as many objects of 1 MiB as the body says, each full of its own number, and reads all of them back.
EDGED_EXPORT(hoard) {
  int n = atoi(edge_input(NULL));
  size_t size = 1 << 20;
  uint8_t* block = malloc(size);
  int64_t* handles = malloc((size_t)n * sizeof *handles);
  for (int i = 0; i < n; i++) {
    memset(block, i, size);
    if ((handles[i] = host_rput(block, size)) < 0) return fail("rput", handles[i]);
  }
  for (int i = 0; i < n; i++) {
    if (host_rlen(handles[i]) != (int32_t)size) return fail("rlen", host_rlen(handles[i]));
    int32_t got = host_rget(handles[i], block, size, 0);
    if (got != (int32_t)size) return fail("rget", got);
    for (size_t at = 0; at < size; at += 4097) {
      if (block[at] != (uint8_t)i) return fail("another's bytes", i);
    }
    if (host_rdrop(handles[i]) != 0 || host_rlen(handles[i]) != -1) return fail("rdrop", handles[i]);
  }
  return edge_printf("%d", n);
}

// Leaves a call behind that writes the key that is the body.
EDGED_EXPORT(leave) {
  size_t length;
  char* input = edge_input(&length);
  int64_t h = host_rcall(NAME("write"), input, length);
  return h < 0 ? fail("rcall", h) : 0;
}

EDGED_EXPORT(write) {
  size_t length;
  char* input = edge_input(&length);
  edged_kv_set(input, length, NAME("done"));
  return 0;
}

EDGED_EXPORT(read) {
  size_t length;
  char* input = edge_input(&length);
  char buf[64];
  int32_t n = edged_kv_get(input, length, buf, sizeof buf);
  if (n > 0) edged_output_write(buf, (size_t)n);
  return 0;
}

// then: each adds its letter.
static int letter(char c) {
  size_t length;
  char* input = edge_input(&length);
  edged_output_write(input, length);
  edged_output_write(&c, 1);
  return 0;
}

EDGED_EXPORT(chain_a) { return letter('a'); }
EDGED_EXPORT(chain_b) { return letter('b'); }
EDGED_EXPORT(chain_c) { return letter('c'); }
