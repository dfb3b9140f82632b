// What the tests of entries with an argument run.
#define IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(#name)))

IMPORT("edged", "output_write") int output_write(const void* data, unsigned length);

static char room[1 << 16];
static unsigned asked;

EXPORT(allocate) void* allocate(unsigned length) {
  asked++;
  switch (length) {
    case 4:
      return 0;
    case 5:
      return (void*)0xfffffff0;
    case 6:
      return (void*)(__builtin_wasm_memory_size(0) * 65536 - 5);
    case 7:
      __builtin_trap();
    default:
      return room;
  }
}

EXPORT(echo) void echo(const char* text, unsigned length) {
  char head = (char)('0' + asked);
  output_write(&head, 1);
  output_write(text, length);
}

EXPORT(refuse) int refuse(const char* text, unsigned length) { return text != 0 && length != 0; }

EXPORT(plain) int plain(void) { return output_write("plain", 5) != 5; }
