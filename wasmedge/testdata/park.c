// A guest that is stopped and goes on: what it computes must not change by it.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("test"), import_name(name)))

IMPORT("echo") int32_t host_echo(int32_t value);
IMPORT("verdict") void host_verdict(void);
__attribute__((import_module("wasi_snapshot_preview1"), import_name("random_get"))) int32_t random_get(void* at, uint32_t length);

// More live values than there are registers, of every kind that a processor keeps apart.
EXPORT("digest") int64_t digest(int32_t rounds) {
  uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, g = 7, h = 8;
  double p = 1, q = 2, r = 3, s = 4;
  float x = 1, y = 2, z = 3;
  for (int32_t i = 0; i < rounds; i++) {
    a += b * 3, b ^= c >> 7, c += d << 3, d ^= e + i, e = (e << 13) | (e >> 51), f += a ^ e, g ^= f * 5, h += g >> 3;
    p = p * 0.75 + q, q = r - q * 0.5, r = s * 0.25 + p, s = q * 0.5 + 1;
    x = x * 0.5f + y, y = z - y * 0.25f, z = x * 0.125f + 1;
  }
  return (int64_t)(a ^ b ^ c ^ d ^ e ^ f ^ g ^ h) + (int64_t)((p + q + r + s) * 1e6) + (int64_t)((x + y + z) * 1e3f);
}

typedef uint32_t lanes __attribute__((vector_size(16)));
EXPORT("digest_vector") int64_t digest_vector(int32_t rounds) {
  lanes a = {1, 2, 3, 4}, b = {5, 6, 7, 8}, c = {9, 10, 11, 12};
  for (int32_t i = 0; i < rounds; i++) a += b * 3, b ^= c >> 7, c += (lanes){i, i, i, i} ^ a;
  lanes sum = a + b + c;
  return (int64_t)sum[0] + sum[1] + sum[2] + sum[3];
}

// Out of the guest and back at every turn.
EXPORT("digest_host") int64_t digest_host(int32_t rounds) {
  int64_t sum = 0;
  for (int32_t i = 0; i < rounds / 64; i++) sum = sum * 3 + host_echo(i) + digest(8);
  return sum;
}

// All of the memory that it grows to, written and read again.
static uint32_t seen;
EXPORT("digest_grow") int64_t digest_grow(int32_t rounds) {
  int64_t sum = 0;
  uint32_t pages = 1 + (uint32_t)rounds / 4096, first = __builtin_wasm_memory_grow(0, pages);
  if (first == (uint32_t)-1) return -1;
  uint32_t* from = (uint32_t*)(first << 16);
  for (uint32_t i = 0; i < pages << 14; i++) from[i] = i * 2654435761u;
  __builtin_memcpy((void*)((first << 16) + 8), from, 4096);
  for (uint32_t i = 0; i < pages << 14; i++) sum = sum * 5 + from[i];
  for (int32_t i = 0; i < rounds; i++) seen += __builtin_wasm_memory_grow(0, 0);
  return sum;
}

static int64_t descend(int32_t depth, int32_t rounds) {
  return depth == 0 ? digest(rounds) : descend(depth - 1, rounds) * 3 + depth;
}
EXPORT("digest_deep") int64_t digest_deep(int32_t rounds) { return descend(20000, rounds); }

static volatile int32_t counter;
static int32_t spin_at(int32_t depth) {
  if (depth > 0) return spin_at(depth - 1) + depth;
  for (;;) counter++;
}
EXPORT("spin_deep") int32_t spin_deep(void) { return spin_at(20000); }

// These end by a trap after some time.
static volatile int32_t zero;
EXPORT("then_divide") int64_t then_divide(int32_t rounds) { return digest(rounds) / zero; }
EXPORT("then_load") int64_t then_load(int32_t rounds) { return digest(rounds) + *(volatile int32_t*)0xfffffff0u; }
EXPORT("then_trap") int64_t then_trap(int32_t rounds) {
  counter += (int32_t)digest(rounds);
  __builtin_trap();
}
static int64_t endless(int64_t depth) { return counter < 0 ? 0 : endless(depth + digest(3)) * 3 + depth; }
EXPORT("then_overflow") int64_t then_overflow(int32_t rounds) { return endless(digest(rounds)); }

EXPORT("verdict") void verdict(void) { host_verdict(); }

// How many of the blocks of 64 bytes in 8 MiB of random numbers are zero.
EXPORT("draw") int32_t draw(void) {
  uint32_t pages = 128, first = __builtin_wasm_memory_grow(0, pages), empty = 0;
  uint64_t* from = (uint64_t*)(first << 16);
  if (first == (uint32_t)-1 || random_get(from, pages << 16) != 0) return -1;
  for (uint32_t i = 0; i < pages << 13; i += 8) {
    uint64_t any = 0;
    for (uint32_t j = 0; j < 8; j++) any |= from[i + j];
    empty += any == 0;
  }
  return (int32_t)empty;
}
