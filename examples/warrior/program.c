// A program for Warrior: functions of it run as tasks beside it, and it collects what they return.
#include <stdio.h>

#include "war.h"

// What a char and a short are, and that a float comes as a double, is the function's business, not its caller's.
float task_func(char a, short b, float c, float d, int e) {
  (void)e;
  return (float)a + (float)b + c + d;
}

double scale(int factor, double value) { return factor * value; }

typedef struct {
  int a;
  float b;
  double c;
  int d;
} record;

double total(record r) { return r.a + r.b + r.c + r.d; }

int check(unsigned char* data, unsigned len) {
  for (unsigned i = 0; i < len; i++) {
    if (data[i] != i % 251) {
      return (int)i + 1;
    }
  }
  data[0] = 99;  // of the copy
  return 0;
}

// follow gets an object that its caller has put, and gives it back doubled.
warbuffer* follow(warbuffer* id) {
  unsigned char text[16];
  unsigned len = sizeof text;
  if (rget(id, text, &len) != 0) {
    return NULL;
  }
  warbuffer* twice = war_new(WAR_DATA, text, len, 2 * len);
  memcpy(twice->buf + len, text, len);
  twice->len = 2 * len;
  war_seal(twice);
  return twice;
}

void nothing(void) { log_write("a task that returns nothing", 27); }

// result waits for a task and fails unless its result has that many bytes.
static void result(warbuffer* id, void* into, unsigned size) {
  unsigned len = size;
  int code = rget(id, into, &len);
  if (code != 0 || len != size) {
    printf("rget: %d, %u bytes\n", code, len);
    exit(1);
  }
}

#define CALL(id, ...) \
  if (rcall(id, __VA_ARGS__) != 0) exit(2)

int main(void) {
  if (rinit() != 0) {
    return 1;
  }
  warbuffer* ids[6];
  for (int i = 0; i < 6; i++) {
    ids[i] = war_object();
  }
  record r = {1, 2.5F, 3.25, 4};
  unsigned char* data = walloc(4096);
  for (unsigned i = 0; i < 4096; i++) {
    data[i] = (unsigned char)(i % 251);
  }
  warbuffer* text = war_object();
  if (rput(text, "ab", 2) != 0) {
    return 1;
  }

  // All of them run beside each other.
  CALL(ids[0], task_func, 'a', 1, 2.0, 3.0, 4);
  CALL(ids[1], scale, 3, 1.5);
  CALL(ids[2], total, war_struct(&r, sizeof r));
  CALL(ids[3], check, data, 4096);
  CALL(ids[4], follow, text);
  CALL(ids[5], nothing);

  float sum;
  double scaled, all;
  int wrong;
  char twice[4];
  result(ids[0], &sum, sizeof sum);
  result(ids[1], &scaled, sizeof scaled);
  result(ids[2], &all, sizeof all);
  result(ids[3], &wrong, sizeof wrong);
  result(ids[4], twice, sizeof twice);
  result(ids[5], NULL, 0);
  printf("task_func %.1f\nscale %.2f\ntotal %.2f\ncheck %d, %u bytes of mine are as they were\nfollow %.4s\n", sum, scaled, all, wrong,
         data[0] == 0 ? 4096U : 0U, twice);
  track_free(data);
  rshutdown();
  return 0;
}
