/* jacobi-2d: the mean of five neighbours, from one grid into the other and back. */
#include "kernel.h"

KERNEL(jacobi2d)

enum { N = 500, STEPS = 300 };
static double a[N][N], b[N][N];

void jacobi2d_init(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      a[i][j] = ((double)i * (j + 2) + 2) / N;
      b[i][j] = ((double)i * (j + 3) + 3) / N;
    }
  }
}

void jacobi2d_run(void) {
  for (int step = 0; step < STEPS; step++) {
    for (int i = 1; i < N - 1; i++) {
      for (int j = 1; j < N - 1; j++) b[i][j] = 0.2 * (a[i][j] + a[i][j - 1] + a[i][j + 1] + a[i + 1][j] + a[i - 1][j]);
    }
    for (int i = 1; i < N - 1; i++) {
      for (int j = 1; j < N - 1; j++) a[i][j] = 0.2 * (b[i][j] + b[i][j - 1] + b[i][j + 1] + b[i + 1][j] + b[i - 1][j]);
    }
  }
}

uint64_t jacobi2d_check(void) { return hash_doubles(&a[0][0], (size_t)N * N); }
