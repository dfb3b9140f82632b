/* durbin: the equations of Yule and Walker, whose matrix is the same along every diagonal. */
#include "kernel.h"

KERNEL(durbin)

enum { N = 12000 };
static double r[N], y[N], z[N];

void durbin_init(void) {
  for (int i = 0; i < N; i++) r[i] = 0.5 / (i + 2);
}

void durbin_run(void) {
  double beta = 1, alpha = -r[0];
  y[0] = -r[0];
  for (int k = 1; k < N; k++) {
    double sum = 0;
    beta *= 1 - alpha * alpha;
    for (int i = 0; i < k; i++) sum += r[k - i - 1] * y[i];
    alpha = -(r[k] + sum) / beta;
    for (int i = 0; i < k; i++) z[i] = y[i] + alpha * y[k - i - 1];
    for (int i = 0; i < k; i++) y[i] = z[i];
    y[k] = alpha;
  }
}

uint64_t durbin_check(void) { return hash_doubles(y, N); }
