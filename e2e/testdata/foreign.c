// A guest of waverless. With ALL it also calls every function that guests of other systems import, with what it is given.
#define FROM(module, name) __attribute__((import_module(module), import_name(name)))
#define EXPORT(name) __attribute__((export_name(#name)))

typedef unsigned u32;

static char room[1 << 16];

EXPORT(allocate) void* allocate(u32 length) { return length <= sizeof room ? room : 0; }

FROM("env", "write_result") void write_result(const void* text, u32 length);

EXPORT(echo) void echo(const void* text, u32 length) { write_result(text, length); }

#ifdef ALL
#define CALLS(X)                                                                                                             \
  X("env", kv_set, "kv_set", void, 4) X("env", kv_get_len, "kv_get_len", void, 4) X("env", kv_get, "kv_get", void, 2)        \
  X("env", kv_batch_ope, "kv_batch_ope", void, 3) X("env", kv_batch_res, "kv_batch_res", void, 3)                            \
  X("env", open_file, "open_file", void, 3) X("env", read_file_at, "read_file_at", void, 5)                                  \
  X("env", result_again, "write_result", void, 2) X("env", read_input, "__faasm_read_input", u32, 2)                         \
  X("env", write_output, "__faasm_write_output", void, 2) X("env", chain_name, "__faasm_chain_name", u32, 3)                 \
  X("env", chain_ptr, "__faasm_chain_ptr", u32, 3) X("env", await_call, "__faasm_await_call", u32, 1)                        \
  X("env", await_output, "__faasm_await_call_output", u32, 3) X("env", read_state, "__faasm_read_state", u32, 3)             \
  X("env", write_state, "__faasm_write_state", void, 3) X("env", read_offset, "__faasm_read_state_offset", void, 5)          \
  X("env", write_offset, "__faasm_write_state_offset", void, 5) X("env", append, "__faasm_append_state", void, 3)            \
  X("env", read_appended, "__faasm_read_appended_state", void, 4) X("env", clear, "__faasm_clear_appended_state", void, 1)   \
  X("env", push, "__faasm_push_state", void, 1) X("env", pull, "__faasm_pull_state", void, 2)                                \
  X("env", lock_read, "__faasm_lock_state_read", void, 1) X("env", unlock_read, "__faasm_unlock_state_read", void, 1)        \
  X("env", lock_write, "__faasm_lock_state_write", void, 1) X("env", unlock_write, "__faasm_unlock_state_write", void, 1)    \
  X("scratch_storage", scratch_size, "get_size", u32, 2) X("scratch_storage", scratch_get, "get", u32, 4)                    \
  X("scratch_storage", scratch_set, "set", u32, 4) X("scratch_storage", scratch_delete, "delete", u32, 2)                    \
  X("scratch_storage", scratch_upsert, "upsert", void, 4) X("ray", ray_call, "call", u32, 3) X("ray", ray_get, "get", u32, 3) \
  X("ray", ray_put, "put", u32, 3) X("ray", track_malloc, "track_malloc", u32, 2) X("ray", track_free, "track_free", u32, 1) \
  X("ray", validate, "memregion_validate", u32, 2) X("ray", log_write, "log_write", u32, 2)

#define TYPES1 u32
#define TYPES2 u32, u32
#define TYPES3 u32, u32, u32
#define TYPES4 u32, u32, u32, u32
#define TYPES5 u32, u32, u32, u32, u32
#define ARGS1 a[0]
#define ARGS2 a[0], a[1]
#define ARGS3 a[0], a[1], a[2]
#define ARGS4 a[0], a[1], a[2], a[3]
#define ARGS5 a[0], a[1], a[2], a[3], a[4]
#define DECLARE(module, id, name, result, n) FROM(module, name) result id(TYPES##n);
CALLS(DECLARE)

// attack calls functions by their number, with five words each, one after the other.
EXPORT(attack) void attack(const u32* words, u32 length) {
  for (; length >= 24; words += 6, length -= 24) {
    const u32* a = words + 1;
    u32 at = 0;
#define CALL(module, id, name, result, n) \
  if (words[0] == at++) id(ARGS##n);
    CALLS(CALL)
  }
  write_result("survived", 8);
}
#endif
