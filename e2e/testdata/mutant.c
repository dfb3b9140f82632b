// A small guest with something of everything that a module can have; the tests flip bytes of it.
#include <stdint.h>
#define IMPORT(name) __attribute__((import_module("edged"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name))) int32_t name(void)
IMPORT(output_write) int32_t output_write(const void* data, uint32_t length);
IMPORT(input_read) int32_t input_read(uint32_t off, void* buffer, uint32_t cap);
IMPORT(log) void log_line(int32_t level, const char* text, uint32_t length);
IMPORT(kv_get) int32_t kv_get(const void* key, uint32_t key_length, void* buffer, uint32_t cap);

// No libc here: these are what the compiler calls for large copies.
void* memset(void* to, int value, __SIZE_TYPE__ n) {
  for (volatile char* at = to; n > 0; n--) *at++ = (char)value;
  return to;
}
void* memcpy(void* to, const void* from, __SIZE_TYPE__ n) {
  const char* source = from;
  for (volatile char* at = to; n > 0; n--) *at++ = *source++;
  return to;
}

static char buffer[4096];
static const char words[] = "constant data of the guest";
static volatile int32_t counter;

static int32_t twice(int32_t n) { return n * 2; }
static int32_t square(int32_t n) { return n * n; }
static int32_t less(int32_t n) { return n < 2 ? n : less(n - 1) + less(n - 2); }
static int32_t (*const table[])(int32_t) = {twice, square, less};
static int32_t (*volatile chosen)(int32_t) = square;

EXPORT(first) {
  int32_t sum = 0;
  for (int32_t i = 0; i < 12; i++) sum += table[i % 3](i) + chosen(i);
  switch (sum % 5) {
    case 0: counter++; break;
    case 1: counter += 3; break;
    case 2: counter ^= sum; break;
    default: __builtin_memcpy(buffer + sum % 100, words, sizeof words);
  }
  return output_write(buffer, sizeof buffer) < 0;
}
EXPORT(second) {
  int32_t n = input_read(0, buffer, sizeof buffer);
  double value = n * 1.5 + counter;
  for (int32_t i = 0; i < n; i++) buffer[i] = (char)(buffer[i] ^ (int32_t)(value / (i + 1)));
  __builtin_memset(buffer + 2048, n, 1024);
  log_line(1, words, sizeof words - 1);
  return kv_get(words, 8, buffer, sizeof buffer) > 0;
}
EXPORT(third) {
  uint64_t a = (uint64_t)counter * 0x9e3779b97f4a7c15u + 1, b = a % 1000003;
  float f = (float)b;
  __builtin_wasm_memory_grow(0, (uint32_t)(b % 3));
  return (int32_t)(a >> 60) + (int32_t)f - (int32_t)b > 100;
}
