// What the pool's tests run. ANSWER is what tells one build from another.
typedef int i32;
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(#name))) i32 name(void)

IMPORT("edged", "output_write") i32 output_write(const void* data, unsigned length);
IMPORT("edged", "error") void error(const char* text, unsigned length);
IMPORT("wasi_snapshot_preview1", "proc_exit") _Noreturn void proc_exit(i32 code);
IMPORT("edged", "input_read") i32 input_read(unsigned offset, void* to, unsigned length);
IMPORT("wasi_snapshot_preview1", "poll_oneoff") i32 poll_oneoff(const void* in, void* out, i32 count, i32* events);
IMPORT("test", "block") void block(void);
IMPORT("test", "met") void met(void);
IMPORT("test", "more") i32 more(void);

static volatile i32 counter, sink;

#ifdef INITIALIZE
__attribute__((export_name("_initialize"))) void initialize(void) {
  INITIALIZE;
}
#endif

static i32 answer(i32 n) {
  char digit = (char)('0' + n % 10);
  output_write(&digit, 1);
  return 0;
}

EXPORT(version) { return answer(ANSWER); }
EXPORT(count) { return answer(++counter); }
EXPORT(held) {
  block();
  return answer(ANSWER);
}
EXPORT(spin) {
  for (;;) sink++;
}
EXPORT(trap) { __builtin_trap(); }
EXPORT(quit) {
  answer(7);
  proc_exit(0);
}
EXPORT(quit_3) { proc_exit(3); }
EXPORT(fail) {
  error("no", 2);
  return 0;
}
EXPORT(returns_5) { return 5; }
EXPORT(grow) { return answer(__builtin_wasm_memory_grow(0, 1) > 0 ? ANSWER : 0); }
EXPORT(until) {
  met();
  while (more()) {
    for (i32 i = 0; i < 100000; i++) sink++;
  }
  return answer(ANSWER);
}

static volatile unsigned char field[32 << 10];

// Writes its own number everywhere and looks whether it stays.
EXPORT(own) {
  unsigned char mine = 0;
  input_read(0, &mine, 1);
  for (unsigned i = 0; i < sizeof field; i++) {
    if (field[i] != 0) return 1;
  }
  met();
  do {
    for (unsigned i = 0; i < sizeof field; i++) field[i] = mine;
    for (i32 i = 0; i < 100000; i++) sink++;
    for (unsigned i = 0; i < sizeof field; i++) {
      if (field[i] != mine) return 2;
    }
  } while (more());
  return answer(mine);
}

// Sleeps an hour.
EXPORT(sleep) {
  static struct {
    long long user;
    int kind, pad;
    int clock, pad2;
    long long timeout, precision;
    int flags, pad3;
  } in = {.clock = 1, .timeout = 3600000000000LL};
  static long long out[4];
  i32 n;
  met();
  poll_oneoff(&in, out, 1, &n);
  return answer(ANSWER);
}

// Answers with more than is kept before parts are handed on.
EXPORT(flood) {
  static char part[64 << 10];
  output_write(part, sizeof part);
  return 0;
}
