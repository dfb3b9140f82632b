/* One module on wasmtime, run in a fresh instance for every call; see host.c. */
#ifndef BENCH_WASMTIME_HOST_H
#define BENCH_WASMTIME_HOST_H

#include <stddef.h>
#include <stdint.h>

typedef struct bench_host bench_host;

/* What a call gives back, and for its time what it is given. out and fields are kept from call to call and grow; text is of a failure. */
typedef struct {
	const uint8_t *query, *body;
	size_t query_len, body_len;
	uint8_t *out, *fields;
	size_t out_len, out_cap, fields_len, fields_cap;
	char text[256];
	int failed;
} bench_call;

/* Compiles a module; NULL with a message in text. keep_resident is of the pooling allocator, negative for none of it. */
bench_host *bench_host_new(const uint8_t *wasm, size_t len, int command, int64_t keep_resident, char text[256]);

/* Makes an instance, runs the entry, drops the instance. 0 when the guest answered or said that it failed. */
int bench_host_run(bench_host *host, bench_call *call, const char *entry, size_t entry_len, const uint8_t *query, size_t query_len, const uint8_t *body, size_t body_len);

#endif
