// Host functions that are called so often, and need so little, that entering Go would be most of their cost.
#define _GNU_SOURCE
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "shim_internal.h"
#include "shim_template.h"

// Errnos of wasi_snapshot_preview1.
enum { WASI_SUCCESS = 0, WASI_IO = 29 };

static int inside(uint64_t bytes, uint64_t pointer, uint64_t length) {
  return (uint32_t)pointer + length <= bytes;
}

// clock_time_get(id i32, precision i64, time i32) -> errno
static int clock_time_get(uint8_t* memory, uint64_t bytes, uint64_t* stack) {
  static const clockid_t clocks[] = {CLOCK_REALTIME, CLOCK_MONOTONIC};
  uint32_t id = (uint32_t)stack[0], pointer = (uint32_t)stack[2];
  if (id >= sizeof clocks / sizeof clocks[0] || !inside(bytes, pointer, 8)) {
    return EDGE_DECLINE;  // processor time counts from the invocation's start, which Go knows
  }
  struct timespec now;
  clock_gettime(clocks[id], &now);
  uint64_t nanoseconds = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
  memcpy(memory + pointer, &nanoseconds, sizeof nanoseconds);  // both sides are little-endian
  stack[0] = WASI_SUCCESS;
  return 0;
}

// RANDOM_PART is how much is drawn between looks at whether the guest is to end or to park: about a millisecond's worth.
enum { RANDOM_PART = 256 << 10 };

// random_get(buf i32, len i32) -> errno
static int random_get(uint8_t* memory, uint64_t bytes, uint64_t* stack) {
  uint32_t pointer = (uint32_t)stack[0], length = (uint32_t)stack[1];
  if (!inside(bytes, pointer, length)) {
    return EDGE_DECLINE;  // Go ends the guest with the argument's name
  }
  edge_memory_writable(edge_current->instance, pointer, length);  // the kernel writes
  stack[0] = WASI_SUCCESS;
  for (uint64_t done = 0; done < length;) {
    // Seconds of it can be asked for. To a guest that is killed here it makes no difference what it got: the guard behind
    // this call ends it.
    if (atomic_load_explicit(&edge_slot->deferred, memory_order_relaxed) && edge_ops->pause(edge_slot)) {
      return 0;
    }
    uint64_t part = length - done < RANDOM_PART ? length - done : RANDOM_PART;
    ssize_t got = getrandom(memory + pointer + done, part, 0);
    if (got < 0 && errno != EINTR) {
      stack[0] = WASI_IO;
      return 0;
    }
    done += got > 0 ? (uint64_t)got : 0;
  }
  return 0;
}

static const struct {
  const char *module, *name;
  uint8_t parameters;
  int (*native)(uint8_t*, uint64_t, uint64_t*);
} natives[] = {
    {"wasi_snapshot_preview1", "clock_time_get", 3, clock_time_get},
    {"wasi_snapshot_preview1", "random_get", 2, random_get},
};

void edge_native_attach(const char* module, const char* name, edge_host_function* fn) {
  for (size_t i = 0; i < sizeof natives / sizeof natives[0]; i++) {
    if (strcmp(natives[i].module, module) == 0 && strcmp(natives[i].name, name) == 0 &&
        natives[i].parameters == fn->parameters && fn->results == 1) {
      fn->native = natives[i].native;
    }
  }
}
