// An actor that uses keys outside its messages: at start-up, when it gives its state away, and when it takes it back.
#include "edge.h"

#define NAME(text) text, sizeof(text) - 1

static int start, startOther, save, saveOther, load, loadOther;

__attribute__((constructor)) static void begin(void) {
  start = edged_kv_set(NAME("own/start"), NAME("x"));
  startOther = edged_kv_set(NAME("other/start"), NAME("x"));
}

__attribute__((export_name("edged_save"))) void edged_save(void) {
  save = edged_kv_set(NAME("own/save"), NAME("x"));
  saveOther = edged_kv_set(NAME("other/save"), NAME("x"));
  edge_puts("state");
}

__attribute__((export_name("edged_load"))) void edged_load(void) {
  load = edged_kv_set(NAME("own/load"), NAME("x"));
  loadOther = edged_kv_set(NAME("other/load"), NAME("x"));
}

// Answers with the results of all that; fails for the body "fail".
EDGED_EXPORT(message) {
  if (strcmp(edge_input(NULL), "fail") == 0) return edge_fail("as asked");
  return edge_printf("%d %d, %d %d, %d %d", start, startOther, save, saveOther, load, loadOther);
}

EDGED_EXPORT(follow) {
  return edged_kv_set(NAME("own/followed"), NAME("x"));
}

EDGED_EXPORT(followed) {
  char value[8];
  return edge_printf("%d", (int)edged_kv_get(NAME("own/followed"), value, sizeof value));
}
