// What the pool's tests run. ANSWER is what tells one build from another.
typedef int i32;
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(#name))) i32 name(void)

IMPORT("edged", "output_write") i32 output_write(const void* data, unsigned length);
IMPORT("edged", "error") void error(const char* text, unsigned length);
IMPORT("wasi_snapshot_preview1", "proc_exit") _Noreturn void proc_exit(i32 code);
IMPORT("test", "block") void block(void);

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
