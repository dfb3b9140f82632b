// A guest whose functions are started by changes of keys.
#include "edge.h"

// split cuts the input at its first space into a key and a value.
static char* split(size_t* key, char** value, size_t* length) {
  size_t all;
  char* input = edge_input(&all);
  char* space = memchr(input, ' ', all);
  *key = space == NULL ? all : (size_t)(space - input);
  *value = space == NULL ? input + all : space + 1;
  *length = all - (size_t)(*value - input);
  return input;
}

// Body: a key, and after a space its value. Answers with the result of the write.
EDGED_EXPORT(put) {
  size_t key, length;
  char* value;
  char* input = split(&key, &value, &length);
  return edge_printf("%d", (int)edged_kv_set(input, key, value, length));
}

EDGED_EXPORT(drop) {
  size_t key, length;
  char* value;
  char* input = split(&key, &value, &length);
  return edge_printf("%d", (int)edged_kv_delete(input, key));
}

EDGED_EXPORT(get) {
  size_t key, length;
  char* value;
  char* input = split(&key, &value, &length);
  static char buf[65536];
  int32_t n = edged_kv_get(input, key, buf, sizeof buf);
  return n < 0 ? edge_printf("%d", (int)n) : edged_output_write(buf, (size_t)n) < 0;
}

static const char* text(const char* key) {
  const char* value = edge_meta(key);
  return value == NULL ? "-" : value;
}

// Started by a change: notes it under seen/EVENT.
EDGED_EXPORT(note) {
  char key[64], value[512];
  int k = snprintf(key, sizeof key, "seen/%s", text("event_id"));
  int v = snprintf(value, sizeof value, "%s %s %s %s %s", text("trigger"), text("key"), text("kind"), text("attempt"), text("param:n"));
  return edged_kv_set(key, (size_t)k, value, (size_t)v);
}

// Started by a change: appends the value of the key to the key "order".
EDGED_EXPORT(append) {
  static char buf[65536];
  const char* key = text("key");
  int32_t had = edged_kv_get("order", 5, buf, sizeof buf);
  if (had < 0) had = 0;
  int32_t n = edged_kv_get(key, strlen(key), buf + had, sizeof buf - (size_t)had);
  if (n < 0) return edge_fail("get %s: %d", key, (int)n), 1;
  return edged_kv_set("order", 5, buf, (size_t)(had + n));
}

// Started by a change: fails until there is a key "mended".
EDGED_EXPORT(flaky) {
  char buf[8];
  if (edged_kv_get("mended", 6, buf, sizeof buf) < 0) {
    edge_fail("not mended at attempt %s", text("attempt"));
    return 1;
  }
  return edged_kv_set("healed", 6, text("attempt"), 1);
}

// Started by a change of a key, which it changes again.
EDGED_EXPORT(again) {
  const char* key = text("key");
  return edged_kv_set(key, strlen(key), "x", 1);
}

// Started by step_{n}: writes step_{n+1} until n is 100.
EDGED_EXPORT(step) {
  int n = atoi(text("param:n"));
  char key[32];
  if (n >= 100) return edged_kv_set("end", 3, text("param:n"), strlen(text("param:n")));
  int k = snprintf(key, sizeof key, "step_%d", n + 1);
  return edged_kv_set(key, (size_t)k, "", 0);
}
