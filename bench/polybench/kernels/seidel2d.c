/* seidel-2d: the mean of nine neighbours in place; each result waits for the one before it. */
#include "kernel.h"

KERNEL(seidel2d)

enum { N = 400, STEPS = 100 };
static double a[N][N];

void seidel2d_init(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) a[i][j] = ((double)i * (j + 2) + 2) / N;
  }
}

void seidel2d_run(void) {
  for (int step = 0; step < STEPS; step++) {
    for (int i = 1; i < N - 1; i++) {
      for (int j = 1; j < N - 1; j++) {
        a[i][j] = (a[i - 1][j - 1] + a[i - 1][j] + a[i - 1][j + 1] + a[i][j - 1] + a[i][j] + a[i][j + 1] + a[i + 1][j - 1] +
                   a[i + 1][j] + a[i + 1][j + 1]) /
                  9.0;
      }
    }
  }
}

uint64_t seidel2d_check(void) { return hash_doubles(&a[0][0], (size_t)N * N); }
