// A guest that computes: what the tests of preemption run beside short calls.
#include "edge.h"

#include <unistd.h>

// Works through a table of 64 KiB that begins with the number in the body, again and again, and answers with its digest: what
// another instance writes into it, or a register that is lost on the way, shows.
static uint32_t table[1 << 14];
static uint64_t rounds;  // a global that every round changes

static uint64_t mix(uint32_t seed, uint32_t times) {
  for (uint32_t i = 0; i < 1 << 14; i++) table[i] = seed * 2654435761u + i;
  uint64_t digest = seed;
  double chaos = 1.0 / (2.0 + seed % 7);
  for (rounds = 0; rounds < times; rounds++) {
    for (uint32_t i = 0; i < 1 << 14; i++) {
      uint32_t j = (table[i] ^ (uint32_t)digest) & ((1 << 14) - 1);
      table[i] = table[i] * 31 + table[j];
      digest = (digest ^ table[i]) * 0x100000001b3u;
    }
    chaos = 3.99 * chaos * (1.0 - chaos);
    digest ^= (uint64_t)(chaos * 1e15) + rounds;
  }
  return digest;
}

// Body: "SEED TIMES".
EDGED_EXPORT(digest) {
  char* at = edge_input(NULL);
  uint32_t seed = (uint32_t)strtoul(at, &at, 10);
  uint32_t times = (uint32_t)strtoul(at, NULL, 10);
  edge_printf("%016llx", (unsigned long long)mix(seed, times));
  return 0;
}

EDGED_EXPORT(forever) {
  for (;;) rounds++;
}

// Sleeps for as many milliseconds as the body says.
EDGED_EXPORT(doze) {
  usleep((useconds_t)(atol(edge_input(NULL)) * 1000));
  return edge_puts("slept");
}

// Computes until there is a key with the name that is the body.
EDGED_EXPORT(await) {
  char* key = edge_input(NULL);
  char byte;
  while (edged_kv_get(key, strlen(key), &byte, 1) < 0) rounds++;
  return edge_puts("released");
}

EDGED_EXPORT(quick) { return edge_puts("quick"); }
