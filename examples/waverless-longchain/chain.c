// A chain of a function with itself: each write of chain_count starts chain_loop, which counts on until 100.
#include <stdio.h>

#include "waverless.h"

enum { LAST = 100 };

static const char key[] = "chain_count", lock[] = "chain_lock";

// set writes the count. The keys of a batch are words of it.
static void set(int count) {
  char value[16];
  int len = sprintf(value, "%d", count);
  int id, ops[] = {1, SET, (int)key, sizeof key - 1, (int)value, len};
  kv_batch_ope(ops, sizeof ops / sizeof *ops, &id);
}

EXPORT(chain_begin) void chain_begin(void) { set(1); }

// chain_loop goes on under a lock: a change that is told of twice must not count twice.
EXPORT(chain_loop) void chain_loop(const char* changed, int len) {
  if (len != sizeof key - 1 || memcmp(changed, key, sizeof key - 1) != 0) {
    abort();
  }
  int id, held = 0, size = 0;
  int take[] = {2, LOCK, (int)lock, sizeof lock - 1, -1, (int)&held, GET, (int)key, sizeof key - 1, (int)&size};
  kv_batch_ope(take, sizeof take / sizeof *take, &id);
  char value[16] = {0};
  if (size > 0 && size < (int)sizeof value) {
    int where[] = {1, (int)value};
    kv_batch_res(id, where, 2);
  }
  int count = atoi(value);
  if (count < LAST) {
    set(count + 1);
  }
  int give[] = {1, LOCK, (int)lock, sizeof lock - 1, held, 0};
  kv_batch_ope(give, sizeof give / sizeof *give, &id);
  printf("chain at %d\n", count);
}

EXPORT(chain_count) void chain_count(void) {
  int len = 0, id = 0;
  char value[16];
  kv_get_len(key, sizeof key - 1, &len, &id);
  if (len > 0 && len < (int)sizeof value) {
    kv_get(id, value);
    write_result(value, len);
  }
}
