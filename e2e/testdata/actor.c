// A class of actors that count, and functions that send them messages.
#include "edge.h"

EDGED_IMPORT(actor_new) int64_t host_actor_new(const void* fn, size_t fl, const void* key, size_t kl);
EDGED_IMPORT(actor_call) int64_t host_actor_call(int64_t a, const void* fn, size_t fl, const void* in, size_t il);
EDGED_IMPORT(rget) int32_t host_rget(int64_t h, void* buf, size_t cap, int32_t timeout_ms);
EDGED_IMPORT(rdrop) int32_t host_rdrop(int64_t h);
EDGED_IMPORT(call) int32_t host_call(const void* fn, size_t fl, const void* in, size_t il, void* buf, size_t cap);

#define NAME(text) text, sizeof(text) - 1

static long count, last;

// counter: each message adds its number and is answered with the sum. "read" adds nothing; "trap" adds and traps; "fail" adds and
// fails; "self" waits for a message to itself.
EDGED_EXPORT(counter) {
  char* input = edge_input(NULL);
  if (strcmp(input, "read") == 0) return edge_printf("%ld", count);
  if (strcmp(input, "self") == 0) {
    char key[64];
    int32_t kl = edged_meta_get(NAME("header:X-Edged-Actor"), key, sizeof key);
    int64_t h = host_actor_call(host_actor_new(NAME("counter"), key, (size_t)kl), NULL, 0, NAME("read"));
    return edge_printf("%d", (int)host_rget(h, NULL, 0, -1));
  }
  count += 1000;
  if (strcmp(input, "trap") == 0) __builtin_trap();
  if (strcmp(input, "fail") == 0) return edge_fail("as asked");
  count -= 1000;
  long n = atol(input);
  if (n != 0 && n <= last && n > 1) return edge_fail("message %ld came after %ld", n, last);
  if (n > 1) last = n;
  count += n > 1 ? 1 : n;
  return edge_printf("%ld", count);
}

__attribute__((export_name("edged_save"))) void save(void) { edge_printf("%ld", count); }

__attribute__((export_name("edged_load"))) void load(void) { count = atol(edge_input(NULL)); }

// Body: "KEY N". Sends N messages, numbered from 2 on, to the actor of that key, and answers with the last answer.
EDGED_EXPORT(send) {
  char* input = edge_input(NULL);
  char* space = strchr(input, ' ');
  *space = 0;
  long n = atol(space + 1);
  int64_t actor = host_actor_new(NAME("counter"), input, strlen(input));
  if (actor < 0) return edge_fail("actor_new: %lld", (long long)actor);
  int64_t* answers = malloc((size_t)n * sizeof *answers);
  char text[32];
  for (long i = 0; i < n; i++) {
    answers[i] = host_actor_call(actor, NULL, 0, text, (size_t)snprintf(text, sizeof text, "%ld", i + 2));
    if (answers[i] < 0) return edge_fail("actor_call: %lld", (long long)answers[i]);
  }
  for (long i = 0; i < n; i++) {
    int32_t length = host_rget(answers[i], text, sizeof text - 1, -1);
    if (length < 0) return edge_fail("rget: %d", (int)length);
    text[length] = 0;
    host_rdrop(answers[i]);
  }
  return edge_puts(text);
}

EDGED_EXPORT(wrong) {
  char buf[8];
  return edge_printf("%d %lld %lld", (int)host_call(NAME("counter"), NULL, 0, buf, sizeof buf),
                     (long long)host_actor_new(NAME("send"), NAME("x")), (long long)host_actor_new(NAME("counter"), NULL, 0));
}
