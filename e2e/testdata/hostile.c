// A guest that does everything a guest can do wrong, one export each.
#include "edge.h"

#include <unistd.h>
#include <wasi/api.h>

static volatile int32_t counter;

// ---- calls without end. No locals whose address is taken: clang would put those on a stack of its own in linear memory,
// which ends much earlier.
static int32_t deeper(int32_t n) { return counter < 0 ? 0 : deeper(n + 1) * 3 + n; }
static int32_t deeper_host(int32_t n) { return counter < 0 ? 0 : deeper_host(n + 1 + edged_input_len()) * 3 + n; }
static int32_t deeper_clock(int32_t n) {
  uint64_t* now = (uint64_t*)1024;
  return counter < 0 ? 0 : deeper_clock(n + 1 + (int32_t)__wasi_clock_time_get(__WASI_CLOCKID_MONOTONIC, 1, now)) * 3 + n;
}
static int32_t deeper_grow(int32_t n) {
  return counter < 0 ? 0 : deeper_grow(n + (int32_t)__builtin_wasm_memory_grow(0, 1)) * 3 + n;
}
static int32_t deeper_shadow(int32_t n) {
  volatile char frame[64];
  frame[0] = (char)n;
  return deeper_shadow(n + 1) + frame[0];
}
static int32_t (*volatile through)(int32_t);
static int32_t deeper_indirect(int32_t n) { return through(n + 1) * 3 + n; }
EDGED_EXPORT(recurse) { return deeper(0); }
EDGED_EXPORT(recurse_host) { return deeper_host(0); }
EDGED_EXPORT(recurse_clock) { return deeper_clock(0); }
EDGED_EXPORT(recurse_grow) { return deeper_grow(0); }
EDGED_EXPORT(recurse_shadow) { return deeper_shadow(0); }
EDGED_EXPORT(recurse_indirect) {
  through = deeper_indirect;
  return through(0);
}

// ---- traps
EDGED_EXPORT(load_outside) { return *(volatile int32_t*)0xfffffff0u; }
EDGED_EXPORT(store_outside) { return *(volatile int32_t*)0xfffffff0u = 7; }
EDGED_EXPORT(store_behind) { return *(volatile int32_t*)((size_t)__builtin_wasm_memory_size(0) * 65536) = 7; }
EDGED_EXPORT(fill_outside) {
  memset((void*)0xf0000000u, 7, 0x0fffffff + (size_t)counter);
  return 0;
}
EDGED_EXPORT(divide) { return 7 / counter; }
EDGED_EXPORT(divide_overflow) {
  counter = -1;
  return INT32_MIN / counter;
}
EDGED_EXPORT(convert) {
  volatile double value = 1e300;
  int32_t out;
  __asm__("local.get %1\n i32.trunc_f64_s\n local.set %0" : "=r"(out) : "r"(value));
  return out;
}
EDGED_EXPORT(unreachable) { __builtin_trap(); }
EDGED_EXPORT(abort_libc) { abort(); }
typedef int32_t (*wrong_type)(double, double);
EDGED_EXPORT(indirect) {
  through = deeper;
  return ((wrong_type)through)(1, 2);
}
EDGED_EXPORT(indirect_null) {
  through = (int32_t(*)(int32_t))(uintptr_t)999999;
  return through(1);
}

// ---- loops without end
EDGED_EXPORT(spin) {
  for (;;) counter++;
}
EDGED_EXPORT(spin_host) {
  for (;;) counter += edged_input_len();
}
EDGED_EXPORT(spin_kv) {
  char byte;
  for (;;) counter += edged_kv_get("absent", 6, &byte, 1);
}
EDGED_EXPORT(spin_random) {
  static char part[1 << 16];
  for (;;) counter += __wasi_random_get((uint8_t*)part, sizeof part);
}
EDGED_EXPORT(spin_grow) {
  for (;;) counter += (int32_t)__builtin_wasm_memory_grow(0, 0);
}
EDGED_EXPORT(spin_fill) {
  static char part[1 << 20];
  for (;;) memset(part, counter++, sizeof part);
}
EDGED_EXPORT(sleep_forever) {
  for (;;) sleep(1000000);
}
EDGED_EXPORT(lock_forever) {
  int64_t token = edged_kv_lock("lock", 4, 3600 * 1000);
  if (token <= 0) return edge_fail("first lock: %d", (int)token);
  for (;;) counter += (int32_t)edged_kv_lock("lock", 4, 3600 * 1000);
}
EDGED_EXPORT(yield_forever) {
  for (;;) __wasi_sched_yield();
}

// ---- too much
EDGED_EXPORT(grow) {
  int32_t pages = 0;
  while (__builtin_wasm_memory_grow(0, 1) != (size_t)-1) pages++;
  volatile char* end = (char*)((size_t)__builtin_wasm_memory_size(0) * 65536 - 1);
  for (volatile char* at = end; at > end - ((size_t)pages << 16); at -= 4096) *at = 1;
  edge_printf("%d", (int)__builtin_wasm_memory_size(0));
  return 0;
}
static char* volatile last;
EDGED_EXPORT(allocate) {
  for (;;) {
    last = malloc(1 << 20);
    if (last == NULL) break;
    memset(last, 1, 1 << 20);
  }
  edged_error("out of memory", 13);
  return 1;
}
static char megabyte[1 << 20];
EDGED_EXPORT(flood_output) {
  for (;;) {
    int32_t n = edged_output_write(megabyte, sizeof megabyte);
    if (n < 0) return edge_fail("output ends with %d", n);
  }
}
EDGED_EXPORT(flood_output_blind) {
  for (int i = 0; i < 100; i++) edged_output_write(megabyte, sizeof megabyte);
  return 0;
}
EDGED_EXPORT(flood_log) {
  memset(megabyte, 'x', sizeof megabyte);
  for (int i = 0; i < 64; i++) edged_log(EDGE_ERROR, megabyte, sizeof megabyte);
  for (int i = 0; i < 100000; i++) edged_log(EDGE_INFO, "line", 4);
  edge_puts("logged");
  return 0;
}
EDGED_EXPORT(flood_header) {
  int32_t r = 0, n = 0;
  char name[32];
  while (n < 100000 && r == 0) {
    snprintf(name, sizeof name, "X-Flood-%d", (int)n++);
    r = edge_set_header(name, "v");
  }
  edge_printf("%d after %d", (int)r, (int)n - 1);
  return 0;
}
EDGED_EXPORT(long_header) {
  memset(megabyte, 'x', sizeof megabyte);
  edge_printf("%d", (int)edged_output_header("X-Long", 6, megabyte, sizeof megabyte));
  return 0;
}
EDGED_EXPORT(bad_header) {
  edge_printf("%d %d %d %d", (int)edge_set_header("X-Bad", "a\r\nX-Evil: 1"), (int)edge_set_header("X Bad", "a"),
              (int)edge_set_header("Content-Length", "7"), (int)edge_set_header("Transfer-Encoding", "chunked"));
  return 0;
}
EDGED_EXPORT(bad_status) {
  edge_printf("%d %d %d", (int)edge_set_status(99), (int)edge_set_status(-1), (int)edge_set_status(70000));
  return 0;
}
EDGED_EXPORT(flood_error) {
  memset(megabyte, 'e', sizeof megabyte);
  for (int i = 0; i < 32; i++) edged_error(megabyte, sizeof megabyte);
  return 1;
}
EDGED_EXPORT(random_all) {
  edge_printf("%d", (int)__wasi_random_get((uint8_t*)16, 0xffffffffu));
  return 0;
}

// ---- endings
EDGED_EXPORT(exit_0) {
  edge_puts("exit 0");
  _Exit(0);
}
EDGED_EXPORT(exit_1) { _Exit(1); }
EDGED_EXPORT(exit_255) { _Exit(255); }
EDGED_EXPORT(exit_minus) { _Exit(-1); }
static int32_t exit_at(int32_t n) {
  if (n == 0) _Exit(3);
  return exit_at(n - 1) + 1;
}
EDGED_EXPORT(exit_deep) { return exit_at(1000); }
EDGED_EXPORT(return_7) { return 7; }

// ---- hostile pointers: the request body is {u32 pointer, u32 length}, and every function of the interface is called
// with it in the place that its name says.
static void* P;
static size_t L;
static void arguments(void) {
  edged_input_read(0, &P, sizeof P);
  edged_input_read(4, &L, sizeof L);
}
static char key[] = "method", buffer[64];
#define POINTER(name, call)     \
  EDGED_EXPORT(p_##name) {      \
    arguments();                \
    edge_printf("%d", (int)(call)); \
    return 0;                   \
  }
#define POINTER_VOID(name, call) \
  EDGED_EXPORT(p_##name) {       \
    arguments();                 \
    call;                        \
    return 0;                    \
  }
POINTER(input_read, edged_input_read(0, P, L))
POINTER(output_write, edged_output_write(P, L))
POINTER(output_header_name, edged_output_header(P, L, "v", 1))
POINTER(output_header_value, edged_output_header("X", 1, P, L))
POINTER_VOID(error, edged_error(P, L))
POINTER(meta_get_key, edged_meta_get(P, L, buffer, sizeof buffer))
POINTER(meta_get_buf, edged_meta_get(key, 6, P, L))
POINTER_VOID(log, edged_log(EDGE_INFO, P, L))
POINTER(config_get_key, edged_config_get(P, L, buffer, sizeof buffer))
POINTER(config_get_buf, edged_config_get(key, 6, P, L))
POINTER(secret_get_key, edged_secret_get(P, L, buffer, sizeof buffer))
POINTER(secret_get_buf, edged_secret_get(key, 6, P, L))
POINTER(kv_get_key, edged_kv_get(P, L, buffer, sizeof buffer))
POINTER(kv_get_buf, edged_kv_get(key, 6, P, L))
POINTER(kv_set_key, edged_kv_set(P, L, "v", 1))
POINTER(kv_set_value, edged_kv_set(key, 6, P, L))
POINTER(kv_delete, edged_kv_delete(P, L))
POINTER(kv_cas_key, edged_kv_cas(P, L, "a", 1, "b", 1))
POINTER(kv_cas_old, edged_kv_cas(key, 6, P, (int32_t)(L & 0x7fffffff), "b", 1))
POINTER(kv_cas_new, edged_kv_cas(key, 6, "a", 1, P, (int32_t)(L & 0x7fffffff)))
POINTER(kv_scan_prefix, edged_kv_scan(P, L, buffer, buffer + 16, 16))
POINTER(kv_scan_cursor, edged_kv_scan("", 0, P, buffer, sizeof buffer))
POINTER(kv_scan_buf, edged_kv_scan("", 0, buffer, P, L))
POINTER(kv_batch_ops, edged_kv_batch(P, L, buffer, sizeof buffer))
POINTER(kv_batch_out, edged_kv_batch("\0\0\0\0", 4, P, L))
POINTER(kv_lock, edged_kv_lock(P, L, 10))
POINTER(kv_unlock, edged_kv_unlock(P, L, 1))
