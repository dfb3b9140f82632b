/*
 * The hot path of the wasmtime server in C: store, instance, start-up, entry and tear-down are one call from Go, and what the guest
 * imports is answered without leaving C. That is the best a Go program can have of wasmtime.
 */
#include "host.h"
#include "abi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bench_host {
	wasm_engine_t *engine;
	wasmtime_module_t *module;
	wasmtime_instance_pre_t *pre;
	int command;
};

/* What a store carries while it lives. */
typedef struct {
	bench_call *call;
	wasmtime_memory_t memory;
} running;

/* A range of the guest's memory, NULL when it is outside. */
static uint8_t *range(wasmtime_context_t *context, running *r, int32_t ptr, int32_t len)
{
	size_t size = wasmtime_memory_data_size(context, &r->memory);
	uint64_t end = (uint64_t)(uint32_t)ptr + (uint32_t)len;
	return end <= size ? wasmtime_memory_data(context, &r->memory) + (uint32_t)ptr : NULL;
}

static int append(uint8_t **buf, size_t *len, size_t *cap, const void *data, size_t n)
{
	if (*len + n > *cap) {
		size_t want = (*len + n) * 2;
		uint8_t *grown = realloc(*buf, want);
		if (grown == NULL)
			return -1;
		*buf = grown;
		*cap = want;
	}
	memcpy(*buf + *len, data, n);
	*len += n;
	return 0;
}

#define HOST_FUNCTION(name)                                                                                            \
	static wasm_trap_t *name(void *env, wasmtime_caller_t *caller, wasmtime_val_raw_t *v, size_t n)
#define HOST_BEGIN                                                                                                     \
	(void)env;                                                                                                     \
	(void)n;                                                                                                       \
	wasmtime_context_t *context = wasmtime_caller_context(caller);                                                 \
	running *r = wasmtime_context_get_data(context);                                                               \
	bench_call *call = r->call;

HOST_FUNCTION(input_len)
{
	HOST_BEGIN
	v[0].i32 = (int32_t)call->body_len;
	return NULL;
}

HOST_FUNCTION(input_read)
{
	HOST_BEGIN
	size_t off = (uint32_t)v[0].i32, cap = (uint32_t)v[2].i32;
	uint8_t *buf = range(context, r, v[1].i32, v[2].i32);
	size_t left = off < call->body_len ? call->body_len - off : 0;
	size_t take = left < cap ? left : cap;
	if (buf == NULL)
		take = 0;
	else
		memcpy(buf, call->body + off, take);
	v[0].i32 = (int32_t)take;
	return NULL;
}

HOST_FUNCTION(output_write)
{
	HOST_BEGIN
	int32_t len = v[1].i32;
	uint8_t *data = range(context, r, v[0].i32, len);
	v[0].i32 = data != NULL && append(&call->out, &call->out_len, &call->out_cap, data, (uint32_t)len) == 0 ? len : -4;
	return NULL;
}

HOST_FUNCTION(output_header)
{
	HOST_BEGIN
	uint8_t *name = range(context, r, v[0].i32, v[1].i32), *value = range(context, r, v[2].i32, v[3].i32);
	int bad = name == NULL || value == NULL;
	bad = bad || append(&call->fields, &call->fields_len, &call->fields_cap, name, (uint32_t)v[1].i32);
	bad = bad || append(&call->fields, &call->fields_len, &call->fields_cap, ": ", 2);
	bad = bad || append(&call->fields, &call->fields_len, &call->fields_cap, value, (uint32_t)v[3].i32);
	bad = bad || append(&call->fields, &call->fields_len, &call->fields_cap, "\r\n", 2);
	v[0].i32 = bad ? -2 : 0;
	return NULL;
}

HOST_FUNCTION(meta_get)
{
	HOST_BEGIN
	uint8_t *key = range(context, r, v[0].i32, v[1].i32), *buf = range(context, r, v[2].i32, v[3].i32);
	if (key == NULL || buf == NULL || v[1].i32 != 5 || memcmp(key, "query", 5) != 0) {
		v[0].i32 = -1;
		return NULL;
	}
	if (call->query_len <= (uint32_t)v[3].i32)
		memcpy(buf, call->query, call->query_len);
	v[0].i32 = (int32_t)call->query_len;
	return NULL;
}

HOST_FUNCTION(fail)
{
	HOST_BEGIN
	uint8_t *text = range(context, r, v[0].i32, v[1].i32);
	snprintf(call->text, sizeof call->text, "%.*s", text == NULL ? 0 : (int)v[1].i32, text == NULL ? "" : (char *)text);
	call->failed = 1;
	return NULL;
}

/* WASI functions that a reactor imports by its libc and never calls here: EBADF. */
HOST_FUNCTION(badf)
{
	(void)env;
	(void)caller;
	if (n > 0)
		v[0].i32 = 8;
	return NULL;
}

static const struct {
	const char *name;
	wasmtime_func_unchecked_callback_t function;
} functions[] = {
	{ "input_len", input_len }, { "input_read", input_read }, { "output_write", output_write },
	{ "output_header", output_header }, { "meta_get", meta_get }, { "error", fail },
};

static int is(const wasm_byte_vec_t *name, const char *text)
{
	return name->size == strlen(text) && memcmp(name->data, text, name->size) == 0;
}

/* Takes an error or trap into text. Returns 0 when it is a program's exit with 0. */
static int explain(wasmtime_error_t *error, wasm_trap_t *trap, char text[256])
{
	wasm_byte_vec_t message = { 0, NULL };
	int status = -1;
	if (error != NULL && wasmtime_error_exit_status(error, &status) && status == 0) {
		wasmtime_error_delete(error);
		return 0;
	}
	if (error != NULL) {
		wasmtime_error_message(error, &message);
		wasmtime_error_delete(error);
	} else if (trap != NULL) {
		wasm_trap_message(trap, &message);
		wasm_trap_delete(trap);
	}
	snprintf(text, 256, "%.*s", (int)message.size, message.data == NULL ? "" : message.data);
	wasm_byte_vec_delete(&message);
	return -1;
}

/* Gives every import of the module its function. */
static int link_imports(bench_host *host, wasmtime_linker_t *linker, char text[256])
{
	wasm_importtype_vec_t imports;
	wasmtime_error_t *error = NULL;
	wasmtime_module_imports(host->module, &imports);
	for (size_t i = 0; i < imports.size && error == NULL; i++) {
		const wasm_byte_vec_t *module = wasm_importtype_module(imports.data[i]), *name = wasm_importtype_name(imports.data[i]);
		wasmtime_func_unchecked_callback_t function = is(module, "edged") ? NULL : badf;
		if (host->command && !is(module, "edged"))
			continue; /* the engine's own WASI */
		for (size_t k = 0; k < sizeof functions / sizeof *functions && function == NULL; k++)
			if (is(name, functions[k].name))
				function = functions[k].function;
		if (function == NULL) {
			snprintf(text, 256, "no function for import %.*s", (int)name->size, name->data);
			wasm_importtype_vec_delete(&imports);
			return -1;
		}
		error = wasmtime_linker_define_func_unchecked(linker, module->data, module->size, name->data, name->size,
			wasm_externtype_as_functype_const(wasm_importtype_type(imports.data[i])), function, NULL, NULL);
	}
	wasm_importtype_vec_delete(&imports);
	return error == NULL ? 0 : explain(error, NULL, text);
}

bench_host *bench_host_new(const uint8_t *wasm, size_t len, int command, int64_t keep_resident, char text[256])
{
	bench_host *host = calloc(1, sizeof *host);
	wasm_config_t *config = wasm_config_new();
	if (host == NULL || config == NULL)
		return NULL;
	if (keep_resident >= 0) {
		wasmtime_pooling_allocation_config_t *pool = wasmtime_pooling_allocation_config_new();
		wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, (size_t)keep_resident);
		wasmtime_pooling_allocation_config_table_keep_resident_set(pool, (size_t)keep_resident);
		wasmtime_pooling_allocation_strategy_set(config, pool);
		wasmtime_pooling_allocation_config_delete(pool);
	}
	host->command = command;
	host->engine = wasm_engine_new_with_config(config);
	wasmtime_error_t *error = wasmtime_module_new(host->engine, wasm, len, &host->module);
	if (error != NULL) {
		explain(error, NULL, text);
		return NULL;
	}
	wasmtime_linker_t *linker = wasmtime_linker_new(host->engine);
	if (command && (error = wasmtime_linker_define_wasi(linker)) != NULL) {
		explain(error, NULL, text);
		return NULL;
	}
	if (link_imports(host, linker, text) != 0)
		return NULL;
	error = wasmtime_linker_instantiate_pre(linker, host->module, &host->pre);
	if (error != NULL) {
		explain(error, NULL, text);
		return NULL;
	}
	return host; /* it lives as long as the process */
}

/* Calls an export without parameters. */
static int enter(wasmtime_context_t *context, wasmtime_instance_t *instance, const char *name, size_t len, int must, bench_call *call)
{
	wasmtime_extern_t item;
	wasm_trap_t *trap = NULL;
	wasmtime_val_raw_t result = { 0 };
	if (!wasmtime_instance_export_get(context, instance, name, len, &item) || item.kind != 0) {
		if (must)
			snprintf(call->text, sizeof call->text, "no export %.*s", (int)len, name);
		return must ? -1 : 0;
	}
	wasmtime_error_t *error = wasmtime_func_call_unchecked(context, &item.of.func, &result, 1, &trap);
	if (error != NULL || trap != NULL)
		return explain(error, trap, call->text);
	if (result.i32 != 0)
		call->failed = 1;
	return 0;
}

int bench_host_run(bench_host *host, bench_call *call, const char *entry, size_t entry_len, const uint8_t *query, size_t query_len, const uint8_t *body, size_t body_len)
{
	running r = { .call = call };
	call->query = query, call->query_len = query_len;
	call->body = body, call->body_len = body_len;
	call->out_len = call->fields_len = 0;
	call->failed = 0;
	wasmtime_store_t *store = wasmtime_store_new(host->engine, &r, NULL);
	wasmtime_context_t *context = wasmtime_store_context(store);
	wasmtime_instance_t instance;
	wasm_trap_t *trap = NULL;
	wasmtime_error_t *error = host->command ? wasmtime_context_set_wasi(context, wasi_config_new()) : NULL;
	if (error == NULL)
		error = wasmtime_instance_pre_instantiate(host->pre, context, &instance, &trap);
	int result;
	wasmtime_extern_t memory;
	if (error != NULL || trap != NULL) {
		result = explain(error, trap, call->text);
	} else if (!wasmtime_instance_export_get(context, &instance, "memory", 6, &memory) || memory.kind != 3) {
		snprintf(call->text, sizeof call->text, "no export memory");
		result = -1;
	} else {
		r.memory = memory.of.memory;
		result = host->command ? enter(context, &instance, "_start", 6, 1, call) : enter(context, &instance, "_initialize", 11, 0, call);
		if (result == 0 && !host->command)
			result = enter(context, &instance, entry, entry_len, 1, call);
	}
	wasmtime_store_delete(store);
	call->query = call->body = NULL;
	return result;
}
