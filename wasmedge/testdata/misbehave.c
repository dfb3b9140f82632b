// A guest that does everything a guest can do wrong, one export each.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("test"), import_name(name)))

IMPORT("echo") int32_t host_echo(int32_t value);
IMPORT("touch") int32_t host_touch(const void* at, int32_t length);
IMPORT("fail") int32_t host_fail(void);
IMPORT("panic") int32_t host_panic(void);
IMPORT("exit") void host_exit(int32_t code);
IMPORT("mixed") double host_mixed(int32_t a, int64_t b, float c, double d);
IMPORT("block") int32_t host_block(void);
IMPORT("enlarge") uint32_t host_enlarge(int32_t pages);

static volatile int32_t counter;

EXPORT("noop") void noop(void) {}
EXPORT("add") int32_t add(int32_t a, int32_t b) { return a + b; }
EXPORT("count") int32_t count(void) { return ++counter; }
EXPORT("fib") int32_t fib(int32_t n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
EXPORT("mixed") double mixed(int32_t a, int64_t b, float c, double d) { return host_mixed(a, b, c, d); }

EXPORT("spin") int32_t spin(void) {
  for (;;) counter++;
}
// Most of its time is spent outside its own code.
EXPORT("spin_host") int32_t spin_host(void) {
  for (;;) counter += host_echo(1);
}
EXPORT("spin_grow") int32_t spin_grow(void) {
  for (;;) counter += __builtin_wasm_memory_grow(0, 0);
}
EXPORT("block") int32_t block(void) { return host_block(); }

// No locals whose address is taken: clang would put those on a stack of its own in linear memory, which ends much earlier.
EXPORT("recurse") int32_t recurse(int32_t n) { return counter < 0 ? 0 : recurse(n + 1) * 3 + n; }
// Many values live across the call: a frame of some hundred bytes.
EXPORT("recurse_wide") int32_t recurse_wide(int32_t n) {
  int32_t a = n * 3, b = a ^ n, c = b * 5, d = c + a, e = d ^ b, f = e * 7, g = f + c, h = g ^ d;
  int32_t i = h * 11, j = i ^ e, k = j * 13, l = k + f, m = l ^ g, o = m * 17, p = o + h, q = p ^ i;
  int32_t r = counter < 0 ? 0 : recurse_wide(n + q);
  return r + a * b + c * d + e * f + g * h + i * j + k * l + m * o + p * q;
}
// The guest's own stack in linear memory runs below address zero.
EXPORT("recurse_shadow") int32_t recurse_shadow(int32_t n) {
  volatile char frame[64];
  frame[0] = (char)n;
  return recurse_shadow(n + 1) + frame[0];
}
EXPORT("recurse_host") int32_t recurse_host(int32_t n) { return counter < 0 ? 0 : recurse_host(host_echo(n) + 1) * 3 + n; }
EXPORT("recurse_grow") int32_t recurse_grow(int32_t n) {
  return counter < 0 ? 0 : recurse_grow(n + (int32_t)__builtin_wasm_memory_grow(0, 0)) * 3 + n;
}
EXPORT("depth") int32_t depth(int32_t n) { return n == 0 ? 0 : (depth(n - 1) ^ n) + 1; }

EXPORT("load") int32_t load(uint32_t at) { return *(volatile int32_t*)at; }
EXPORT("store") int32_t store(uint32_t at) { return *(volatile int32_t*)at = 7; }
EXPORT("divide") int32_t divide(int32_t by) { return 7 / by; }
EXPORT("divide_overflow") int32_t divide_overflow(int32_t by) { return INT32_MIN / by; }
EXPORT("convert") int32_t convert(double value) {
  int32_t out;
  __asm__("local.get %1\n i32.trunc_f64_s\n local.set %0" : "=r"(out) : "r"(value));
  return out;
}
EXPORT("trap") void trap(void) { __builtin_trap(); }
typedef int32_t (*wrong_type)(double, double);
static int32_t (*volatile pointer)(int32_t) = fib;
EXPORT("indirect") int32_t indirect(void) { return ((wrong_type)pointer)(1, 2); }
EXPORT("indirect_null") int32_t indirect_null(void) {
  pointer = 0;
  return pointer(1);
}
EXPORT("grow") int32_t grow(int32_t pages) {
  int32_t grown = 0;
  while (__builtin_wasm_memory_grow(0, (uint32_t)pages) != (uint32_t)-1) grown += pages;
  return grown;
}
EXPORT("fill") int32_t fill(uint32_t at, uint32_t length) {
  __builtin_memset((void*)at, 7, length);
  return 0;
}
EXPORT("touch") int32_t touch(uint32_t at, int32_t length) { return host_touch((void*)at, length); }
EXPORT("fail") int32_t fail(void) { return host_fail(); }
EXPORT("panic") int32_t panic(void) { return host_panic(); }
EXPORT("exit") void exit_with(int32_t code) { host_exit(code); }
EXPORT("exit_deep") int32_t exit_deep(int32_t n) {
  if (n == 0) host_exit(3);
  return exit_deep(n - 1) + 1;
}

// Has the host add memory until it cannot, looks at the byte that the host has written at its end, and writes all of it itself.
EXPORT("enlarge") int32_t enlarge(int32_t pages) {
  int32_t grown = 0;
  for (;;) {
    uint32_t before = (uint32_t)__builtin_wasm_memory_size(0) << 16;
    uint32_t at = host_enlarge(pages);
    if (at == 0) return grown;
    if (at != before) return -1;
    volatile uint8_t* added = (volatile uint8_t*)at;
    uint32_t size = (uint32_t)pages << 16;
    if (((uint32_t)__builtin_wasm_memory_size(0) << 16) != at + size || added[0] != 0 || added[size - 1] != 7) return -2;
    for (uint32_t i = 0; i < size; i++) added[i] = (uint8_t)i;
    for (uint32_t i = 0; i < size; i++) {
      if (added[i] != (uint8_t)i) return -3;
    }
    grown += pages;
  }
}
