// A guest that answers requests of 1 KiB, and some that write more than a request should.
#include <stdint.h>

#define EXPORT(name) __attribute__((export_name(name)))
#define IMPORT(name) __attribute__((import_module("test"), import_name(name)))

IMPORT("take") uint32_t take(void *at, uint32_t bytes);
IMPORT("give") uint32_t give(const void *at, uint32_t bytes);

static uint8_t heap[5 << 20];
static uint32_t requests;

// KEPT says that somebody reads the heap, so that the compiler leaves the writes in.
#define KEPT() __asm__ volatile("" : : "r"(heap) : "memory")

// answer reads a request into its stack, turns it into capitals and answers with it.
EXPORT("answer") uint32_t answer(void) {
  uint8_t body[1024];
  uint32_t bytes = take(body, sizeof body);
  for (uint32_t i = 0; i < bytes; i++) {
    if (body[i] >= 'a' && body[i] <= 'z') body[i] -= 'a' - 'A';
  }
  requests++;
  return give(body, bytes);
}
// roam writes a byte at 16 places that the seed chooses, and answers.
EXPORT("roam") uint32_t roam(uint32_t seed) {
  for (int i = 0; i < 16; i++) {
    seed = seed * 1664525u + 1013904223u;
    heap[(uint64_t)seed * sizeof heap >> 32] = (uint8_t)seed;
  }
  KEPT();
  return answer();
}
// bulk writes the first bytes of the heap, and answers.
EXPORT("bulk") uint32_t bulk(uint32_t bytes) {
  __builtin_memset(heap, 1, bytes);
  KEPT();
  return answer();
}
