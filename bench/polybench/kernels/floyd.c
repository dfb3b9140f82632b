/* floyd-warshall: the shortest ways between all pairs of nodes. */
#include "kernel.h"

KERNEL(floyd)

enum { N = 500 };
static int32_t path[N][N];

void floyd_init(void) {
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) {
      path[i][j] = i * j % 7 + 1;
      if ((i + j) % 13 == 0 || (i + j) % 7 == 0 || (i + j) % 11 == 0) path[i][j] = 999;
    }
  }
}

void floyd_run(void) {
  for (int k = 0; k < N; k++) {
    for (int i = 0; i < N; i++) {
      for (int j = 0; j < N; j++) {
        int32_t through = path[i][k] + path[k][j];
        path[i][j] = path[i][j] < through ? path[i][j] : through;
      }
    }
  }
}

uint64_t floyd_check(void) {
  uint64_t hash = HASH_START;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) hash = hash_word(hash, (uint64_t)path[i][j]);
  }
  return hash;
}
