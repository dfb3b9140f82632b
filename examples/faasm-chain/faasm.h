// The interface of Faasm, as far as this example uses it.
#pragma once

#define FAASM(name) __attribute__((import_module("env"), import_name(#name)))

FAASM(__faasm_read_input) long faasm_read_input(void* buf, long len);
FAASM(__faasm_write_output) void faasm_write_output(const void* data, long len);
FAASM(__faasm_chain_ptr) unsigned faasm_chain_ptr(int (*function)(void), const void* input, long len);
FAASM(__faasm_chain_name) unsigned faasm_chain_name(const char* name, const void* input, long len);
FAASM(__faasm_await_call) int faasm_await_call(unsigned id);
FAASM(__faasm_await_call_output) int faasm_await_call_output(unsigned id, char** output, int* len);
FAASM(__faasm_append_state) void faasm_append_state(const char* key, const void* data, long len);
FAASM(__faasm_read_appended_state) void faasm_read_appended_state(const char* key, void* buf, long len, long count);
FAASM(__faasm_clear_appended_state) void faasm_clear_appended_state(const char* key);
