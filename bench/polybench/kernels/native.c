/*
 * The kernels as a native program. It reads commands "run NAME COUNT", one a line, and answers each with one line of JSON:
 * how often the kernel ran, the time this took in nanoseconds (wall clock and CPU, the init and check around it left out),
 * and the hash of its results.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "kernel.h"

#define KERNELS(X) X(gemm) X(mm2) X(jacobi2d) X(lu) X(seidel2d) X(floyd) X(durbin) X(correlation)

KERNELS(KERNEL)

static const struct kernel {
  const char* name;
  void (*init)(void);
  void (*run)(void);
  uint64_t (*check)(void);
} kernels[] = {
#define ROW(name) {#name, name##_init, name##_run, name##_check},
    KERNELS(ROW)};

static int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static const struct kernel* find(const char* name) {
  for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
    if (strcmp(kernels[i].name, name) == 0) return &kernels[i];
  }
  return NULL;
}

static void repeat(const struct kernel* kernel, int count) {
  int64_t wall = 0, cpu = 0;
  uint64_t check = 0;
  for (int i = 0; i < count; i++) {
    kernel->init();
    int64_t cpu_begun = now(CLOCK_PROCESS_CPUTIME_ID), begun = now(CLOCK_MONOTONIC);
    kernel->run();
    wall += now(CLOCK_MONOTONIC) - begun;
    cpu += now(CLOCK_PROCESS_CPUTIME_ID) - cpu_begun;
    check = kernel->check();
  }
  printf("{\"ops\":%d,\"wall\":%" PRId64 ",\"cpu\":%" PRId64 ",\"check\":\"%016" PRIx64 "\"}\n", count, wall, cpu, check);
}

int main(void) {
  char line[256], name[64];
  int count;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    const struct kernel* kernel = sscanf(line, "run %63s %d", name, &count) == 2 ? find(name) : NULL;
    if (kernel == NULL) {
      printf("{\"error\":\"no such kernel\"}\n");
      continue;
    }
    repeat(kernel, count);
  }
  return 0;
}
