// The interface of Faasm, as far as this example uses it.
#pragma once

#define FAASM(name) __attribute__((import_module("env"), import_name(#name)))

FAASM(__faasm_read_input) long faasm_read_input(void* buf, long len);
FAASM(__faasm_write_output) void faasm_write_output(const void* data, long len);
FAASM(__faasm_read_state) long faasm_read_state(const char* key, void* buf, long len);
FAASM(__faasm_write_state) void faasm_write_state(const char* key, const void* data, long len);
FAASM(__faasm_write_state_offset) void faasm_write_state_offset(const char* key, long total, long off, const void* data, long len);
FAASM(__faasm_read_state_offset) void faasm_read_state_offset(const char* key, long total, long off, void* buf, long len);
FAASM(__faasm_push_state) void faasm_push_state(const char* key);
FAASM(__faasm_pull_state) void faasm_pull_state(const char* key, long len);
FAASM(__faasm_lock_state_write) void faasm_lock_state_write(const char* key);
FAASM(__faasm_unlock_state_write) void faasm_unlock_state_write(const char* key);
