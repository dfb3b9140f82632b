/*
 * What every kernel offers: KERNEL(name) declares
 *
 *   void     name_init(void)   writes the input arrays;
 *   void     name_run(void)    the kernel itself, the only thing that is timed;
 *   uint64_t name_check(void)  a hash of the bits of its results, never 0 unless one of them is not a number.
 *
 * The same source is compiled natively and to WebAssembly. Neither compiler may reorder floating-point operations or fuse
 * them, so both must give the same bits.
 */
#ifndef KERNEL_H
#define KERNEL_H

#include <stddef.h>
#include <stdint.h>

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name)))
#else
#define EXPORT(name)
#endif

#define KERNEL(name)                                    \
  EXPORT(name##_init) void name##_init(void);           \
  EXPORT(name##_run) void name##_run(void);             \
  EXPORT(name##_check) uint64_t name##_check(void);

#define HASH_START UINT64_C(0xcbf29ce484222325)

static inline uint64_t hash_word(uint64_t hash, uint64_t word) { return (hash ^ word) * UINT64_C(0x100000001b3); }

/* hash_doubles hashes n numbers; 0 when one of them is not a number, whose bits are not specified. */
static inline uint64_t hash_doubles(const double* values, size_t n) {
  uint64_t hash = HASH_START;
  for (size_t i = 0; i < n; i++) {
    union {
      double number;
      uint64_t bits;
    } value = {values[i]};
    if (value.number != value.number) return 0;
    hash = hash_word(hash, value.bits);
  }
  return hash;
}

#endif
