/* 2mm: D = beta D + alpha A B C, through a matrix in between; each result is summed up in a register. */
#include "kernel.h"

KERNEL(mm2)

enum { N = 480 };
static double a[N][N], b[N][N], c[N][N], d[N][N], product[N][N];

void mm2_init(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      a[i][j] = (double)((i * j + 1) % N) / N;
      b[i][j] = (double)((i * (j + 1)) % (N - 7)) / N;
      c[i][j] = (double)((i * (j + 3) + 1) % (N - 1)) / N;
      d[i][j] = (double)((i * (j + 2)) % (N - 5)) / N;
    }
  }
}

void mm2_run(void) {
  const double alpha = 1.5, beta = 1.2;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      double sum = 0;
      for (int k = 0; k < N; k++) sum += alpha * a[i][k] * b[k][j];
      product[i][j] = sum;
    }
  }
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      double sum = d[i][j] * beta;
      for (int k = 0; k < N; k++) sum += product[i][k] * c[k][j];
      d[i][j] = sum;
    }
  }
}

uint64_t mm2_check(void) { return hash_doubles(&d[0][0], (size_t)N * N); }
