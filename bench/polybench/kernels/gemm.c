/* gemm: C = beta C + alpha A B. */
#include "kernel.h"

KERNEL(gemm)

enum { N = 700 };
static double a[N][N], b[N][N], c[N][N];

void gemm_init(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      a[i][j] = (double)((i * j + 1) % N) / N;
      b[i][j] = (double)((i * j + 2) % (N - 3)) / N;
      c[i][j] = (double)((i + 3 * j) % N) / N;
    }
  }
}

void gemm_run(void) {
  const double alpha = 1.5, beta = 1.2;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) c[i][j] *= beta;
    for (int k = 0; k < N; k++) {
      for (int j = 0; j < N; j++) c[i][j] += alpha * a[i][k] * b[k][j];
    }
  }
}

uint64_t gemm_check(void) { return hash_doubles(&c[0][0], (size_t)N * N); }
