// What a timer starts: it notes every run under its event's id, and what the run is told.
#include "edge.h"

// One key a run. A run that comes a second time leaves a key "twice".
EDGED_EXPORT(tick) {
  char *id = edge_meta("event_id");
  if (!id) return edge_fail("there is no event id");
  char key[256] = "run/";
  strncat(key, id, sizeof key - 8);
  char value[256] = "";
  const char *names[] = {"trigger", "key", "attempt", "method"};
  for (int i = 0; i < 4; i++) {
    char *fact = edge_meta(names[i]);
    strncat(value, fact ? fact : "-", 60);
    strcat(value, " ");
  }
  int32_t err = edged_kv_cas(key, strlen(key), "", -1, value, (int32_t)strlen(value));
  if (err == EDGE_CONFLICT) err = edged_kv_set("twice", 5, id, strlen(id));
  return err < 0 ? edge_fail("kv") : 0;
}

// Computes for a while, and notes it when another run does so at the same time.
EDGED_EXPORT(slow) {
  if (edged_kv_cas("inside", 6, "", -1, "1", 1) < 0) edged_kv_set("beside", 6, "1", 1);
  volatile uint64_t n = 0;
  while (n < 60000000) n++;
  return edge_kv_delete("inside") < 0;
}

EDGED_EXPORT(broken) { return edge_fail("as it must"); }
