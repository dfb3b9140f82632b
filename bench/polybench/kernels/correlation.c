/* correlation: of every two columns of a table, after taking their means out and dividing by their deviations. */
#include "kernel.h"

KERNEL(correlation)

enum { ROWS = 560, COLUMNS = 520 };
static double table[ROWS][COLUMNS], result[COLUMNS][COLUMNS], mean[COLUMNS], deviation[COLUMNS];

void correlation_init(void) {
  for (int i = 0; i < ROWS; i++) {
    for (int j = 0; j < COLUMNS; j++) table[i][j] = (double)(i * j) / COLUMNS + i;
  }
}

static void normalise(void) {
  const double smallest = 0.1, rows = ROWS;
  for (int j = 0; j < COLUMNS; j++) {
    mean[j] = 0;
    for (int i = 0; i < ROWS; i++) mean[j] += table[i][j];
    mean[j] /= rows;
    deviation[j] = 0;
    for (int i = 0; i < ROWS; i++) deviation[j] += (table[i][j] - mean[j]) * (table[i][j] - mean[j]);
    deviation[j] = __builtin_sqrt(deviation[j] / rows);
    if (deviation[j] <= smallest) deviation[j] = 1;
  }
  const double root = __builtin_sqrt(rows);
  for (int i = 0; i < ROWS; i++) {
    for (int j = 0; j < COLUMNS; j++) table[i][j] = (table[i][j] - mean[j]) / (root * deviation[j]);
  }
}

void correlation_run(void) {
  normalise();
  for (int i = 0; i < COLUMNS; i++) {
    result[i][i] = 1;
    for (int j = i + 1; j < COLUMNS; j++) {
      double sum = 0;
      for (int k = 0; k < ROWS; k++) sum += table[k][i] * table[k][j];
      result[i][j] = sum;
      result[j][i] = sum;
    }
  }
}

uint64_t correlation_check(void) { return hash_doubles(&result[0][0], (size_t)COLUMNS * COLUMNS); }
