// A guest that writes wherever a guest can write, and tells what it finds.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))

// Bytes that start-up leaves as they are compiled, or changes.
static volatile uint8_t data[300000] = {1, 2, 3};
static volatile uint32_t started;
static volatile uint32_t calls;

EXPORT("_initialize") void start(void) {
  started++;
  data[100000] = 42;
  data[299999] = 43;
}
// hash tells the whole linear memory in one number.
EXPORT("hash") uint32_t hash(void) {
  uint32_t h = 2166136261u, bytes = __builtin_wasm_memory_size(0) << 16;
  for (uint32_t i = 0; i < bytes; i++) h = (h ^ *(volatile uint8_t*)i) * 16777619u;
  return h;
}
EXPORT("write") uint32_t write(uint32_t at, uint32_t value) {
  *(volatile uint8_t*)at = (uint8_t)value;
  return 0;
}
EXPORT("scribble") uint32_t scribble(uint32_t seed, uint32_t count) {
  uint32_t bytes = __builtin_wasm_memory_size(0) << 16;
  for (uint32_t i = 0; i < count; i++) {
    seed = seed * 1664525u + 1013904223u;
    *(volatile uint8_t*)(seed % bytes) = (uint8_t)(seed >> 24);
  }
  return 0;
}
EXPORT("starts") uint32_t starts(void) { return started; }
EXPORT("calls") uint32_t count(void) { return ++calls; }
EXPORT("bytes") uint32_t bytes(void) { return __builtin_wasm_memory_size(0) << 16; }
EXPORT("grow") uint32_t grow(uint32_t pages) { return __builtin_wasm_memory_grow(0, pages); }
// stack deepens the guest's own stack pointer, a mutable global, and leaves it there by trapping out of the middle.
EXPORT("noop") void noop(void) {}
