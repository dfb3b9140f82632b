// A function for Faasm that keeps eight counters in one state: it adds one to the counter that its input names.
#include <stdio.h>
#include <string.h>

#include "faasm.h"

enum { COUNTERS = 8, SIZE = COUNTERS * sizeof(int) };
static const char* const key = "counters";

int main(void) {
  char which = '0';
  faasm_read_input(&which, 1);
  if (which < '0' || which >= '0' + COUNTERS) {
    fprintf(stderr, "no counter %c\n", which);
    return 1;
  }
  long at = (which - '0') * (long)sizeof(int);
  faasm_lock_state_write(key);
  if (faasm_read_state(key, NULL, 0) == 0) {
    char zeros[SIZE] = {0};
    faasm_write_state(key, zeros, SIZE);
  }
  int value;
  faasm_read_state_offset(key, SIZE, at, &value, sizeof value);
  value++;
  faasm_write_state_offset(key, SIZE, at, &value, sizeof value);
  faasm_push_state(key);  // before the lock is given up, so that no older value is pushed over a newer one
  faasm_unlock_state_write(key);
  char answer[32];
  snprintf(answer, sizeof answer, "%c: %d\n", which, value);
  faasm_write_output(answer, (long)strlen(answer));
  return 0;
}
