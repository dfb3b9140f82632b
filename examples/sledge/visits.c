// A function for Sledge: body in on stdin, body out on stdout, and scratch storage for what has to last.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SCRATCH(name) __attribute__((import_module("scratch_storage"), import_name(#name)))

SCRATCH(get_size) uint32_t scratch_storage_get_size(const void* key, uint32_t key_len);
SCRATCH(get) int scratch_storage_get(const void* key, uint32_t key_len, void* buf, uint32_t len);
SCRATCH(set) int scratch_storage_set(const void* key, uint32_t key_len, const void* value, uint32_t len);
SCRATCH(delete) int scratch_storage_delete(const void* key, uint32_t key_len);
SCRATCH(upsert) void scratch_storage_upsert(const void* key, uint32_t key_len, const void* value, uint32_t len);

int main(int argc, char** argv) {
  if (argc < 2) {
    fputs("name a key: ?KEY\n", stdout);
    return 0;
  }
  const char* key = argv[1];
  uint32_t key_len = (uint32_t)strlen(key);
  char body[256];
  uint32_t len = (uint32_t)fread(body, 1, sizeof body, stdin);
  if (argc > 2 && strcmp(argv[2], "forget") == 0) {
    printf("%s\n", scratch_storage_delete(key, key_len) == 0 ? "forgotten" : "not known");
    return 0;
  }
  if (len > 0 && scratch_storage_set(key, key_len, body, len) == 1) {
    printf("replaced %u bytes\n", scratch_storage_get_size(key, key_len));
    scratch_storage_upsert(key, key_len, body, len);
    return 0;
  }
  uint32_t size = scratch_storage_get_size(key, key_len);
  char* value = malloc(size + 1);
  if (value == NULL || scratch_storage_get(key, key_len, value, size) != 0) {
    printf("%s is not known\n", key);
    return 0;
  }
  printf("%s is %.*s\n", key, (int)size, value);
  return 0;
}
