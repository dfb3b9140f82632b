// A guest that tells what it was given to begin with and then spoils all of it: whatever reaches the next request shows.
#include "edge.h"

#include <wasi/api.h>

// A mutable global of WebAssembly: state outside the memory.
static uint64_t __attribute__((address_space(1))) outside = 42;

// Kept in memory as it was before the first request.
static uint64_t inside = 43;

// All of the memory, with nothing written meanwhile: FNV-1a over words.
static uint64_t hash_memory(void) {
  uint64_t h = 0xcbf29ce484222325u;
  uint64_t end = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  for (uint64_t at = 0; at < end; at += 8) h = (h ^ *(volatile uint64_t*)(uintptr_t)at) * 0x100000001b3u;
  return h;
}

// Which descriptors are open, of what type, and with which rights and flags.
static uint64_t hash_descriptors(void) {
  uint64_t h = 0xcbf29ce484222325u;
  for (int fd = 0; fd < 80; fd++) {
    __wasi_fdstat_t stat;
    memset(&stat, 0, sizeof stat);
    __wasi_errno_t err = __wasi_fd_fdstat_get(fd, &stat);
    h = (h ^ err) * 0x100000001b3u;
    h = (h ^ stat.fs_filetype) * 0x100000001b3u;
    h = (h ^ stat.fs_flags) * 0x100000001b3u;
    h = (h ^ stat.fs_rights_base) * 0x100000001b3u;
    h = (h ^ stat.fs_rights_inheriting) * 0x100000001b3u;
  }
  return h;
}

// Uses everything that belongs to an invocation and leaves it so.
static void spoil_invocation(const char* id) {
  for (int i = 0; i < 5; i++) {
    __wasi_fd_t fd;
    (void)__wasi_path_open(3, 0, "file", i % 2 ? __WASI_OFLAGS_CREAT : 0, __WASI_RIGHTS_FD_READ | __WASI_RIGHTS_FD_WRITE, 0, 0, &fd);
  }
  (void)__wasi_fd_fdstat_set_rights(3, 0, 0);
  (void)__wasi_fd_fdstat_set_flags(1, __WASI_FDFLAGS_APPEND);
  char some[3];
  __wasi_iovec_t to = {(uint8_t*)some, sizeof some};
  __wasi_size_t n;
  (void)__wasi_fd_read(0, &to, 1, &n);
  __wasi_ciovec_t from = {(const uint8_t*)"a line without an end", 21};
  (void)__wasi_fd_write(2, &from, 1, &n);
  (void)edged_kv_set("spoiled/a", 9, id, 7);
  (void)edged_kv_set("spoiled/b", 9, id, 7);
  (void)edged_kv_lock(id, 7, 1000);
  static char cursor[16], page[32];
  memset(cursor, 0, sizeof cursor);
  (void)edged_kv_scan("spoiled/", 8, cursor, page, sizeof page);
  static const char get[] = {1, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 's', 'p', 'o', 'i', 'l', 'e', 'd', '/', 'a'};
  (void)edged_kv_batch(get, sizeof get, page, sizeof page);
}

static void spoil_memory(void) {
  outside = 0xdeadbeef;
  uint64_t end = (uint64_t)__builtin_wasm_memory_size(0) << 16;
  for (uint64_t at = 0; at < end; at += 8) *(volatile uint64_t*)(uintptr_t)at = 0xa5a5a5a5a5a5a5a5u ^ at;
}

// The body is six digits and a letter that says how to end.
EDGED_EXPORT(state) {
  uint64_t memory = hash_memory(), first = outside, second = inside;
  uint64_t pages = __builtin_wasm_memory_size(0);
  int32_t batch = edged_kv_batch(NULL, 0, NULL, 0);
  uint64_t descriptors = hash_descriptors();
  __wasi_size_t argc = 0, args = 0, environc = 0, environ = 0;
  (void)__wasi_args_sizes_get(&argc, &args);
  (void)__wasi_environ_sizes_get(&environc, &environ);
  char id[8] = {0};
  (void)edged_input_read(0, id, 7);
  static char line[256];
  int n = snprintf(line, sizeof line, "%s memory %016llx of %llu pages, globals %llu %llu, descriptors %016llx, args %u %u, environ %u %u, batch %d",
                   id, (unsigned long long)memory, (unsigned long long)pages, (unsigned long long)first, (unsigned long long)second,
                   (unsigned long long)descriptors, argc, args, environc, environ, batch);
  (void)edged_output_header("X-Id", 4, id, 7);
  (void)edged_output_status(203);
  (void)edged_output_write(line, n);
  spoil_invocation(id);
  char end = id[6];
  if (end == 'g') (void)__builtin_wasm_memory_grow(0, 3);
  spoil_memory();
  switch (end) {
    case 't': __builtin_trap();
    case 'x': __wasi_proc_exit(0);
    case 'l': for (;;) edged_input_len();
    case 'r': return 7;
    default: return 0;
  }
}
