/*
 * wasmtime at its best: its pooling allocator, a pre-linked instance, unchecked calls, host functions in C, no Go anywhere.
 * Each request gets a store and an instance of its own. The program speaks the contestants' protocol on stdin and stdout; its
 * arguments are the module, how many bytes of a memory are cleared by copying rather than given back to the kernel, and how
 * many instances the pool holds.
 */
#define _GNU_SOURCE
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <wasmtime.h>

enum { SIZE = 1024 };

static unsigned char request[SIZE], answer[SIZE];
static int answered;
static wasmtime_memory_t memory; /* of the instance that runs */

static void fail(const char* what, wasmtime_error_t* error, wasm_trap_t* trap) {
  wasm_byte_vec_t text = {0, NULL};
  if (error != NULL) wasmtime_error_message(error, &text);
  if (trap != NULL) wasm_trap_message(trap, &text);
  fprintf(stderr, "%s: %.*s\n", what, (int)text.size, text.data);
  exit(1);
}

static void check(const char* what, wasmtime_error_t* error, wasm_trap_t* trap) {
  if (error != NULL || trap != NULL) fail(what, error, trap);
}

/* at returns the guest's bytes from address on, NULL when they are not wholly inside its memory. */
static unsigned char* at(wasmtime_context_t* context, uint32_t address, uint32_t length) {
  size_t size = wasmtime_memory_data_size(context, &memory);
  return (uint64_t)address + length <= size ? wasmtime_memory_data(context, &memory) + address : NULL;
}

static wasm_trap_t* outside(void) { return wasmtime_trap_new("outside of the memory", 21); }

static wasm_trap_t* input(void* env, wasmtime_caller_t* caller, wasmtime_val_raw_t* values, size_t n) {
  (void)env, (void)n;
  uint32_t length = (uint32_t)values[1].i32 < SIZE ? (uint32_t)values[1].i32 : SIZE;
  unsigned char* to = at(wasmtime_caller_context(caller), (uint32_t)values[0].i32, length);
  if (to == NULL) return outside();
  memcpy(to, request, length);
  values[0].i32 = (int32_t)length;
  return NULL;
}

static wasm_trap_t* output(void* env, wasmtime_caller_t* caller, wasmtime_val_raw_t* values, size_t n) {
  (void)env, (void)n;
  uint32_t length = (uint32_t)values[1].i32;
  unsigned char* from = at(wasmtime_caller_context(caller), (uint32_t)values[0].i32, length);
  if (from == NULL || length > SIZE) return outside();
  memcpy(answer, from, length);
  answered = (int)length;
  return NULL;
}

static wasm_engine_t* new_engine(size_t resident, uint32_t instances) {
  wasm_config_t* config = wasm_config_new();
  wasmtime_pooling_allocation_config_t* pool = wasmtime_pooling_allocation_config_new();
  wasmtime_pooling_allocation_config_total_core_instances_set(pool, instances);
  wasmtime_pooling_allocation_config_total_memories_set(pool, instances);
  wasmtime_pooling_allocation_config_total_tables_set(pool, instances);
  wasmtime_pooling_allocation_config_max_unused_warm_slots_set(pool, instances);
  wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, resident);
  wasmtime_pooling_allocation_config_table_keep_resident_set(pool, resident);
  wasmtime_pooling_allocation_strategy_set(config, pool);
  wasmtime_pooling_allocation_config_delete(pool);
  return wasm_engine_new_with_config(config);
}

static void define(wasmtime_linker_t* linker, const char* name, wasm_functype_t* type, wasmtime_func_unchecked_callback_t call) {
  check("define", wasmtime_linker_define_func_unchecked(linker, "bench", 5, name, strlen(name), type, call, NULL, NULL), NULL);
  wasm_functype_delete(type);
}

static wasmtime_module_t* load(wasm_engine_t* engine, const char* path) {
  static uint8_t bytes[1 << 20];
  FILE* file = fopen(path, "rb");
  if (file == NULL) fail(path, NULL, NULL);
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  wasmtime_module_t* module = NULL;
  check("compile", wasmtime_module_new(engine, bytes, size, &module), NULL);
  return module;
}

/* find returns the place of an export among all. */
static size_t find(wasmtime_module_t* module, const char* name) {
  wasm_exporttype_vec_t exports;
  wasmtime_module_exports(module, &exports);
  size_t found = exports.size;
  for (size_t i = 0; i < exports.size; i++) {
    const wasm_name_t* text = wasm_exporttype_name(exports.data[i]);
    if (text->size == strlen(name) && memcmp(text->data, name, text->size) == 0) found = i;
  }
  if (found == exports.size) fail(name, NULL, NULL);
  wasm_exporttype_vec_delete(&exports);
  return found;
}

struct guest {
  wasm_engine_t* engine;
  wasmtime_instance_pre_t* instance;
  size_t memory, handle; /* places among the exports */
};

static struct guest prepare(const char* path, size_t resident, uint32_t instances) {
  struct guest guest = {new_engine(resident, instances), NULL, 0, 0};
  wasmtime_module_t* module = load(guest.engine, path);
  wasmtime_linker_t* linker = wasmtime_linker_new(guest.engine);
  define(linker, "input", wasm_functype_new_2_1(wasm_valtype_new_i32(), wasm_valtype_new_i32(), wasm_valtype_new_i32()), input);
  define(linker, "output", wasm_functype_new_2_0(wasm_valtype_new_i32(), wasm_valtype_new_i32()), output);
  check("link", wasmtime_linker_instantiate_pre(linker, module, &guest.instance), NULL);
  guest.memory = find(module, "memory");
  guest.handle = find(module, "handle");
  return guest;
}

static wasmtime_extern_t export_at(wasmtime_context_t* context, wasmtime_instance_t* instance, size_t place) {
  wasmtime_extern_t item;
  char* name;
  size_t length;
  if (!wasmtime_instance_export_nth(context, instance, place, &name, &length, &item)) fail("export", NULL, NULL);
  return item;
}

static void serve(const struct guest* guest) {
  wasmtime_store_t* store = wasmtime_store_new(guest->engine, NULL, NULL);
  wasmtime_context_t* context = wasmtime_store_context(store);
  wasmtime_instance_t instance;
  wasm_trap_t* trap = NULL;
  check("instantiate", wasmtime_instance_pre_instantiate(guest->instance, context, &instance, &trap), trap);
  memory = export_at(context, &instance, guest->memory).of.memory;
  wasmtime_func_t handle = export_at(context, &instance, guest->handle).of.func;
  wasmtime_val_raw_t value;
  answered = 0;
  check("call", wasmtime_func_call_unchecked(context, &handle, &value, 1, &trap), trap);
  wasmtime_store_delete(store);
}

static int64_t now(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

static int by_value(const void* a, const void* b) {
  int64_t x = *(const int64_t*)a, y = *(const int64_t*)b;
  return (x > y) - (x < y);
}

/* percentile is the smallest of n sorted values that a share of all do not exceed. */
static int64_t percentile(const int64_t* sorted, int n, double share) {
  double rank = share * n;
  int whole = (int)rank;
  if (whole < rank) whole++;
  return sorted[(whole < 1 ? 1 : whole) - 1];
}

/* renew makes the request of a number and the answer that is right for a guest's first call. */
static void renew(uint64_t number, unsigned char* right) {
  memcpy(request, &number, sizeof number);
  for (size_t i = 0; i < sizeof number; i++) right[i] = (unsigned char)((request[i] ^ 0x5a) + 1);
}

static void repeat(const struct guest* guest, int count) {
  unsigned char right[SIZE];
  int64_t* laps = malloc(sizeof *laps * (size_t)count);
  if (laps == NULL) fail("memory", NULL, NULL);
  for (int i = 0; i < SIZE; i++) {
    request[i] = (unsigned char)(i * 7);
    right[i] = (unsigned char)((request[i] ^ 0x5a) + 1);
  }
  int64_t cpu = now(CLOCK_PROCESS_CPUTIME_ID), begun = now(CLOCK_MONOTONIC), lap = begun;
  for (int i = 0; i < count; i++) {
    renew((uint64_t)i, right);
    serve(guest);
    if (answered != SIZE || memcmp(answer, right, SIZE) != 0) {
      printf("{\"error\":\"request %d has a wrong answer\"}\n", i);
      free(laps);
      return;
    }
    int64_t time = now(CLOCK_MONOTONIC);
    laps[i] = time - lap;
    lap = time;
  }
  cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  qsort(laps, (size_t)count, sizeof *laps, by_value);
  printf("{\"ops\":%d,\"wall\":%" PRId64 ",\"cpu\":%" PRId64 ",\"p50\":%" PRId64 ",\"p99\":%" PRId64 ",\"max\":%" PRId64 "}\n", count,
         lap - begun, cpu, percentile(laps, count, 0.5), percentile(laps, count, 0.99), laps[count - 1]);
  free(laps);
}

int main(int argc, char** argv) {
  if (argc != 4) fail("usage: pooling MODULE RESIDENT-BYTES INSTANCES", NULL, NULL);
  struct guest guest = prepare(argv[1], strtoull(argv[2], NULL, 10), (uint32_t)strtoul(argv[3], NULL, 10));
  char line[256], job[64];
  int count;
  setvbuf(stdout, NULL, _IOLBF, 0);
  while (fgets(line, sizeof line, stdin) != NULL) {
    if (sscanf(line, "run %63s %d", job, &count) != 2 || count < 1) return 2;
    repeat(&guest, count);
  }
  return 0;
}
