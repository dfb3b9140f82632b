// The interface of waverless, as far as this example uses it.
#pragma once

#include <stdlib.h>
#include <string.h>

#define WAVERLESS(name) __attribute__((import_module("env"), import_name(#name)))
#define EXPORT(name) __attribute__((export_name(#name)))

WAVERLESS(kv_set) void kv_set(const char* key, int key_len, const char* value, int len);
WAVERLESS(kv_get_len) void kv_get_len(const char* key, int key_len, int* len, int* id);
WAVERLESS(kv_get) void kv_get(int id, char* value);
WAVERLESS(kv_batch_ope) void kv_batch_ope(const int* ops, int words, int* id);
WAVERLESS(kv_batch_res) void kv_batch_res(int id, const int* args, int words);
WAVERLESS(write_result) void write_result(const char* text, int len);

enum { SET = 1, GET = 2, LOCK = 3, DELETE = 4 };

// The host asks for room for what it passes.
EXPORT(allocate) void* allocate(int len) { return malloc((size_t)len); }
