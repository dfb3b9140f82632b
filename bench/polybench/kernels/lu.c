/* lu: a matrix into its lower and upper triangle, in place, without pivoting. */
#include "kernel.h"

KERNEL(lu)

enum { N = 700 };
static double a[N][N];

void lu_init(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) a[i][j] = (double)((i * 7 + j * 3) % N) / N;
    a[i][i] += N; /* dominant, so that every pivot is far from 0 */
  }
}

void lu_run(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < i; j++) {
      for (int k = 0; k < j; k++) a[i][j] -= a[i][k] * a[k][j];
      a[i][j] /= a[j][j];
    }
    for (int j = i; j < N; j++) {
      for (int k = 0; k < i; k++) a[i][j] -= a[i][k] * a[k][j];
    }
  }
}

uint64_t lu_check(void) { return hash_doubles(&a[0][0], (size_t)N * N); }
