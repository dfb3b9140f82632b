/*
 * edge.h - the C interface of edged, in one header.
 *
 * Build a function with nothing but clang, lld and wasi-libc:
 *
 *     clang --target=wasm32-wasi -O2 -msimd128 -mexec-model=reactor -I DIR_OF_THIS_FILE -o app.wasm app.c
 *
 *     #include "edge.h"
 *
 *     EDGED_EXPORT(hello) {
 *         edge_printf("hello, %s\n", edge_method());
 *         return 0;
 *     }
 *
 * Two layers:
 *   edged_*  the raw imports of module "edged", one C function an import, nothing added;
 *   edge_*   conveniences over them: buffers of the right size, C strings, printf.
 *
 * Memory. What an edge_* function returns in a buffer was made with malloc and is the caller's to free; an instance is
 * put back to its first state after every call, so a function that answers and ends may as well not free it. Every
 * returned buffer has a NUL byte after its last byte that is not part of its length, so text can be used as a C string.
 * Nothing keeps a pointer that it was given: the host copies before it returns.
 *
 * Lengths and capacities are in bytes, times in milliseconds. A pointer and length that are not wholly inside the
 * linear memory end the call with a trap.
 *
 * State. Global variables do not survive a call: use the key-value store. What ran in constructors before the first call
 * is shared by all calls, random numbers drawn there included; getentropy() is fresh at every call.
 *
 * C99 and later, and C++. Not thread-safe; guests have one thread.
 */
#ifndef EDGED_EDGE_H
#define EDGED_EDGE_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Results below zero are errors, the same numbers for every function. */
enum edge_result {
	EDGE_OK = 0,
	EDGE_NOT_FOUND = -1,   /* no such key, header, setting or secret */
	EDGE_INVALID = -2,     /* an argument is malformed: empty or too long key, bad header name, bad status */
	EDGE_DENIED = -3,      /* the manifest grants no such thing */
	EDGE_TOO_LARGE = -4,   /* above a limit of the host, or out of memory in this guest */
	EDGE_CONFLICT = -5,    /* compare-and-set lost, the token holds no lock, or it is too late for status and headers */
	EDGE_TIMEOUT = -6,     /* not done in time */
	EDGE_UNREACHABLE = -7, /* another node does not answer */
	EDGE_LIMIT = -8,       /* a quota of this app or of this call is used up */
	EDGE_UNSUPPORTED = -9, /* this host cannot do it */
	EDGE_INTERNAL = -10,   /* the host failed; its log says why */
	EDGE_CANCELLED = -11   /* the call was cancelled */
};

/* Levels of edged_log. */
enum edge_level { EDGE_DEBUG = 0, EDGE_INFO = 1, EDGE_WARN = 2, EDGE_ERROR = 3 };

/* The attributes only mean something on Wasm; natively the names are ordinary externals that a test can define. */
#ifdef __wasm__
#define EDGED_IMPORT(name) __attribute__((import_module("edged"), import_name(#name)))
#define EDGED_EXPORT_AS(name) __attribute__((export_name(#name)))
#else
#define EDGED_IMPORT(name)
#define EDGED_EXPORT_AS(name)
#endif
#if defined(__GNUC__) || defined(__clang__)
#define EDGED_FORMAT(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define EDGED_FORMAT(fmt, args)
#endif

/*
 * EDGED_EXPORT(name) { ... } defines an entry: a function of the app, exported under that name. It returns 0 when it
 * went well; any other number fails the call (HTTP 500), best with a reason: see edge_fail.
 */
#define EDGED_EXPORT(name)                                                                                            \
	EDGED_EXPORT_AS(name) int32_t name(void);                                                                      \
	int32_t name(void)

/* ---------------------------------------------------------------- raw imports */

/* Length of the request body. */
EDGED_IMPORT(input_len) int32_t edged_input_len(void);

/* Copies up to cap bytes of the body from offset off on into buf. Returns how many; 0 at and after its end. */
EDGED_IMPORT(input_read) int32_t edged_input_read(size_t off, void *buf, size_t cap);

/* Appends to the response body. Returns len, EDGE_TOO_LARGE (nothing was taken) or EDGE_CANCELLED (the client has gone).
   Blocks while a client takes a large response slowly. */
EDGED_IMPORT(output_write) int32_t edged_output_write(const void *data, size_t len);

/* Sets the HTTP status, 200 unless set. EDGE_INVALID when it is not in 200..599; EDGE_CONFLICT once the head has been
   sent because the body is large. */
EDGED_IMPORT(output_status) int32_t edged_output_status(int32_t code);

/* Adds a response header field; one of that name that is there already stays. EDGE_INVALID for a malformed name or value;
   EDGE_DENIED for those that frame the message (Content-Length and its like); EDGE_LIMIT for too many; EDGE_CONFLICT once
   the head has been sent because the body is large. */
EDGED_IMPORT(output_header)
int32_t edged_output_header(const char *name, size_t name_len, const char *value, size_t value_len);

/* Fails the call, whatever the entry returns: the caller gets this text with status 500. The last one counts. */
EDGED_IMPORT(error) void edged_error(const char *text, size_t len);

/* Reads a fact about the call. Keys: "method" "path" "query" "header:<name>" "param:<name>" "trigger" "key" "kind" "event_id"
   "attempt" "app" "function" "node" "route" "path_info" "proto" "host" "remote" "result:status". Returns the full length and copies only when that is <= cap; EDGE_NOT_FOUND. */
EDGED_IMPORT(meta_get) int32_t edged_meta_get(const void *key, size_t key_len, void *buf, size_t cap);

/* Writes a line to the app's log (edged logs APP) at an enum edge_level. */
EDGED_IMPORT(log) void edged_log(int32_t level, const char *text, size_t len);

/* Reads a setting (manifest: grants.config). Length rule as for edged_meta_get; EDGE_NOT_FOUND, also when it is not
   granted. */
EDGED_IMPORT(config_get) int32_t edged_config_get(const void *key, size_t key_len, void *buf, size_t cap);

/* Reads a secret (manifest: grants.secrets). Length rule as for edged_meta_get; EDGE_NOT_FOUND, also when it is not
   granted. */
EDGED_IMPORT(secret_get) int32_t edged_secret_get(const void *key, size_t key_len, void *buf, size_t cap);

/* Reads a value of the app's space. Length rule as for edged_meta_get; EDGE_NOT_FOUND, EDGE_INVALID. */
EDGED_IMPORT(kv_get) int32_t edged_kv_get(const void *key, size_t key_len, void *buf, size_t cap);

/* Writes a value; returns when it is as durable as the manifest's kv.durability says. Keys are 1 to 1,024 bytes, values
   at most 16 MiB: EDGE_INVALID, EDGE_TOO_LARGE. EDGE_LIMIT when the disk or the quota is full, EDGE_TIMEOUT at the call's
   deadline; whether the write was done is then open. The same holds for the writes below. */
EDGED_IMPORT(kv_set) int32_t edged_kv_set(const void *key, size_t key_len, const void *value, size_t value_len);

/* Deletes a key. 1: deleted, 0: there was none. */
EDGED_IMPORT(kv_delete) int32_t edged_kv_delete(const void *key, size_t key_len);

/* Replaces the value in one step when it is what the caller believes. old_len -1: expects that the key is absent;
   new_len -1: deletes. EDGE_CONFLICT when it is something else by now. */
EDGED_IMPORT(kv_cas)
int32_t edged_kv_cas(const void *key, size_t key_len, const void *old, int32_t old_len, const void *value,
                     int32_t value_len);

/* Reads keys that begin with prefix, in byte order, as many entries as fit into buf: {u32 key length, key, u32 value
   length, value}, little-endian, unaligned. cursor is 16 bytes, all zero to start; the host moves it, and it is all zero
   again when there is no more. Returns the bytes written; more than cap: nothing was written and the cursor stands,
   because the next entry alone needs that many. EDGE_INVALID for a cursor that is none, which one of more than 16 walks at
   once becomes. */
EDGED_IMPORT(kv_scan)
int32_t edged_kv_scan(const void *prefix, size_t prefix_len, void *cursor, void *buf, size_t cap);

/* Runs several operations as one: all or none. Returns the length of the packed results, copied when they fit; when they do
   not, ops_len 0 gives them again and runs nothing. For the packed form and the errors see struct edge_batch. */
EDGED_IMPORT(kv_batch) int32_t edged_kv_batch(const void *ops, size_t ops_len, void *out, size_t cap);

/* Waits for a lock on a key, which need not have a value, and takes it for ttl_ms (to 24 hours). Returns a token above
   zero, or EDGE_TIMEOUT, EDGE_LIMIT when too many wait, EDGE_INVALID. The lease ends by itself after ttl_ms, not with the
   call, so work under it must be short or use the token to fence. */
EDGED_IMPORT(kv_lock) int64_t edged_kv_lock(const void *key, size_t key_len, int32_t ttl_ms);

/* Gives a lock back. EDGE_CONFLICT when the token does not hold it, for instance because its lease is over. */
EDGED_IMPORT(kv_unlock) int32_t edged_kv_unlock(const void *key, size_t key_len, int64_t token);

/* Runs another function, "function" or "app/function", with an input, and waits for it. Returns the full length of its
   response body and copies only when that is <= cap; the rest is read with edged_result_read. Errors: EDGE_NOT_FOUND (no such
   function), EDGE_DENIED (not granted), EDGE_INTERNAL (the callee failed), EDGE_TIMEOUT, EDGE_CANCELLED, EDGE_TOO_LARGE,
   EDGE_LIMIT, EDGE_CONFLICT (it would wait for itself). The same holds for the functions below. */
EDGED_IMPORT(call)
int32_t edged_call(const char *fn, size_t fn_len, const void *input, size_t input_len, void *buf, size_t cap);

/* Copies from offset off on of the result that edged_call or edged_rget gave last, or of the text of the error that they
   failed with. Returns how many bytes; 0 at and after the end. */
EDGED_IMPORT(result_read) int32_t edged_result_read(size_t off, void *buf, size_t cap);

/* Starts a call and does not wait. Returns the number of its result, above zero. The call runs on when this one ends. */
EDGED_IMPORT(rcall) int64_t edged_rcall(const char *fn, size_t fn_len, const void *input, size_t input_len);

/* Makes an object of bytes, at most 32 MiB. Returns its number, above zero. Every function of this app can read it. */
EDGED_IMPORT(rput) int64_t edged_rput(const void *data, size_t len);

/* Waits for an object and reads it, length rule as for edged_call. timeout_ms 0: does not wait, -1: until the deadline;
   EDGE_TIMEOUT. EDGE_NOT_FOUND when it is gone. */
EDGED_IMPORT(rget) int32_t edged_rget(int64_t object, void *buf, size_t cap, int32_t timeout_ms);

/* The length of an object; EDGE_TIMEOUT while its call runs. */
EDGED_IMPORT(rlen) int32_t edged_rlen(int64_t object);

/* Waits until want of n objects are there. Returns how many are, fewer when the time has passed; ready[i] is 1 for each of
   those, else 0. A call that has failed is there. */
EDGED_IMPORT(rwait)
int32_t edged_rwait(const int64_t *objects, size_t n, size_t want, int32_t timeout_ms, uint8_t *ready);

/* Ends a call that has not ended; its result is EDGE_CANCELLED then. */
EDGED_IMPORT(rcancel) int32_t edged_rcancel(int64_t object);

/* Gives an object up. What nobody holds is freed; a call that runs goes on. */
EDGED_IMPORT(rdrop) int32_t edged_rdrop(int64_t object);

/* The number of the actor of a class (a function with `actor: true` in the manifest) and a key, above zero and always the same;
   it is made for its first message. EDGE_INVALID when fn is no class or the key has not 1 to 512 bytes. Global variables of
   its instance stay; the exports edged_save and edged_load keep them over restarts, see docs/ABI.md. */
EDGED_IMPORT(actor_new) int64_t edged_actor_new(const char *fn, size_t fn_len, const char *key, size_t key_len);

/* Sends a message to an actor: runs fn of this app, or its class when fn_len is 0, in the actor's instance, after the messages
   that came before. Returns the number of its answer, an object as of edged_rcall; EDGE_LIMIT when too many wait. */
EDGED_IMPORT(actor_call)
int64_t edged_actor_call(int64_t actor, const char *fn, size_t fn_len, const void *input, size_t input_len);

/* ---------------------------------------------------------------- results */

/* The English name of a result, for logs; never NULL, not to be freed. */
static inline const char *edge_strerror(int32_t result)
{
	switch (result) {
	case EDGE_NOT_FOUND: return "not found";
	case EDGE_INVALID: return "invalid argument";
	case EDGE_DENIED: return "denied";
	case EDGE_TOO_LARGE: return "too large";
	case EDGE_CONFLICT: return "conflict";
	case EDGE_TIMEOUT: return "timed out";
	case EDGE_UNREACHABLE: return "unreachable";
	case EDGE_LIMIT: return "limit reached";
	case EDGE_UNSUPPORTED: return "not supported";
	case EDGE_INTERNAL: return "internal error of the host";
	case EDGE_CANCELLED: return "cancelled";
	default: return result >= 0 ? "ok" : "unknown error";
	}
}

/* A formatted string in malloc'ed memory, its length in *len; NULL when out of memory. For the functions below. */
static inline char *edge_vformat(size_t *len, const char *format, va_list args)
{
	va_list again;
	va_copy(again, args);
	int need = vsnprintf(NULL, 0, format, again);
	va_end(again);
	if (need < 0)
		return NULL;
	char *text = (char *)malloc((size_t)need + 1);
	if (text == NULL)
		return NULL;
	vsnprintf(text, (size_t)need + 1, format, args);
	*len = (size_t)need;
	return text;
}

/* ---------------------------------------------------------------- input */

/* The whole request body, its length in *len (len may be NULL). NULL when out of memory, never for an empty body. */
static inline void *edge_input(size_t *len)
{
	size_t total = (size_t)edged_input_len(), have = 0;
	char *body = (char *)malloc(total + 1);
	if (body == NULL)
		return NULL;
	while (have < total) {
		int32_t n = edged_input_read(have, body + have, total - have);
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	body[have] = '\0';
	if (len != NULL)
		*len = have;
	return body;
}

/* What edged_meta_get, edged_config_get, edged_secret_get and edged_kv_get have in common. */
typedef int32_t (*edge_getter)(const void *key, size_t key_len, void *buf, size_t cap);

/* Reads through getter into a buffer of the right size. EDGE_OK with *value (the caller's to free) and *len, or an error
   with both untouched. The value may grow between sizing and reading, so this tries again with the new size. */
static inline int32_t edge_fetch(edge_getter getter, const void *key, size_t key_len, void **value, size_t *len)
{
	size_t cap = 256;
	for (;;) {
		char *buf = (char *)malloc(cap + 1);
		if (buf == NULL)
			return EDGE_TOO_LARGE;
		int32_t n = getter(key, key_len, buf, cap);
		if (n >= 0 && (size_t)n <= cap) {
			buf[n] = '\0';
			*value = buf;
			*len = (size_t)n;
			return EDGE_OK;
		}
		free(buf);
		if (n < 0)
			return n;
		cap = (size_t)n;
	}
}

static inline char *edge_fetch_text(edge_getter getter, const char *key)
{
	void *value = NULL;
	size_t len = 0;
	return edge_fetch(getter, key, strlen(key), &value, &len) == EDGE_OK ? (char *)value : NULL;
}

/* A fact about the call (keys: see edged_meta_get), or NULL when there is none. */
static inline char *edge_meta(const char *key) { return edge_fetch_text(edged_meta_get, key); }

/* The request's method ("POST" for triggers other than HTTP) and path. */
static inline char *edge_method(void) { return edge_meta("method"); }
static inline char *edge_path(void) { return edge_meta("path"); }

/* A setting or a secret of the app, or NULL when it is missing or not granted. */
static inline char *edge_config(const char *name) { return edge_fetch_text(edged_config_get, name); }
static inline char *edge_secret(const char *name) { return edge_fetch_text(edged_secret_get, name); }

/* prefix and name in one malloc'ed string. */
static inline char *edge_prefixed_meta(const char *prefix, const char *name)
{
	size_t a = strlen(prefix), b = strlen(name);
	char *key = (char *)malloc(a + b + 1);
	if (key == NULL)
		return NULL;
	memcpy(key, prefix, a);
	memcpy(key + a, name, b + 1);
	char *value = edge_meta(key);
	free(key);
	return value;
}

/* A request header, its name in any case; a named part of the route. NULL when there is none. */
static inline char *edge_header(const char *name) { return edge_prefixed_meta("header:", name); }
static inline char *edge_param(const char *name) { return edge_prefixed_meta("param:", name); }

static inline int edge_hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* Decodes "+" and "%XX" of a query part in place; a malformed escape stays as it is. text must be NUL-terminated. */
static inline void edge_unescape(char *text)
{
	char *out = text;
	for (; *text != '\0'; text++, out++) {
		int high, low;
		if (*text == '%' && (high = edge_hex_digit(text[1])) >= 0 && (low = edge_hex_digit(text[2])) >= 0) {
			*out = (char)(high * 16 + low);
			text += 2;
		} else {
			*out = *text == '+' ? ' ' : *text;
		}
	}
	*out = '\0';
}

/* The first value of a query parameter, decoded; "" when it has none; NULL when it is not in the query. */
static inline char *edge_query(const char *name)
{
	char *query = edge_meta("query");
	if (query == NULL)
		return NULL;
	for (char *next, *pair = query; pair != NULL; pair = next) {
		next = strchr(pair, '&');
		if (next != NULL)
			*next++ = '\0';
		char *value = strchr(pair, '=');
		if (value != NULL)
			*value++ = '\0';
		else
			value = pair + strlen(pair);
		edge_unescape(pair);
		if (*pair != '\0' && strcmp(pair, name) == 0) {
			edge_unescape(value);
			memmove(query, value, strlen(value) + 1);
			return query;
		}
	}
	free(query);
	return NULL;
}

/* ---------------------------------------------------------------- output */

/* Appends to the response body: bytes, a C string, or formatted text. EDGE_OK or an error of edged_output_write. */
static inline int32_t edge_write(const void *data, size_t len)
{
	int32_t n = edged_output_write(data, len);
	return n < 0 ? n : EDGE_OK;
}

static inline int32_t edge_puts(const char *text) { return edge_write(text, strlen(text)); }

EDGED_FORMAT(1, 2) static inline int32_t edge_printf(const char *format, ...)
{
	size_t len = 0;
	va_list args;
	va_start(args, format);
	char *text = edge_vformat(&len, format, args);
	va_end(args);
	if (text == NULL)
		return EDGE_TOO_LARGE;
	int32_t result = edge_write(text, len);
	free(text);
	return result;
}

/* Sets the status or adds a header; before the first write. EDGE_OK, EDGE_INVALID. */
static inline int32_t edge_set_status(int32_t code) { return edged_output_status(code); }
static inline int32_t edge_set_header(const char *name, const char *value)
{
	return edged_output_header(name, strlen(name), value, strlen(value));
}

/* Writes a formatted line to the app's log. */
EDGED_FORMAT(2, 3) static inline void edge_logf(enum edge_level level, const char *format, ...)
{
	size_t len = 0;
	va_list args;
	va_start(args, format);
	char *text = edge_vformat(&len, format, args);
	va_end(args);
	if (text == NULL)
		return;
	edged_log((int32_t)level, text, len);
	free(text);
}

/* Fails the call with a formatted text for the caller: `return edge_fail("no such user: %s", name);`. Returns 1. */
EDGED_FORMAT(1, 2) static inline int32_t edge_fail(const char *format, ...)
{
	size_t len = 0;
	va_list args;
	va_start(args, format);
	char *text = edge_vformat(&len, format, args);
	va_end(args);
	if (text != NULL)
		edged_error(text, len);
	free(text);
	return 1;
}

/* ---------------------------------------------------------------- key-value store, keys as C strings */

/* Reads a value. EDGE_OK with *value (the caller's to free) and *len, or EDGE_NOT_FOUND, EDGE_INVALID, EDGE_TOO_LARGE. */
static inline int32_t edge_kv_get(const char *key, void **value, size_t *len)
{
	return edge_fetch(edged_kv_get, key, strlen(key), value, len);
}

/* Writes a value, see edged_kv_set. */
static inline int32_t edge_kv_set(const char *key, const void *value, size_t len)
{
	return edged_kv_set(key, strlen(key), value, len);
}

/* Deletes a key. 1: deleted, 0: there was none. */
static inline int32_t edge_kv_delete(const char *key) { return edged_kv_delete(key, strlen(key)); }

/* Compare and set. old NULL: expects that the key is absent; value NULL: deletes. EDGE_OK or EDGE_CONFLICT. Lengths
   count up to 2 GiB, far above what a value may have. */
static inline int32_t edge_kv_cas(const char *key, const void *old, size_t old_len, const void *value, size_t value_len)
{
	return edged_kv_cas(key, strlen(key), old, old == NULL ? -1 : (int32_t)old_len, value,
	                    value == NULL ? -1 : (int32_t)value_len);
}

/*
 * A walk over the keys that begin with a prefix:
 *
 *     struct edge_scan scan;
 *     edge_scan_start(&scan, "user/");
 *     while (edge_scan_next(&scan) > 0)
 *         use(scan.key, scan.key_len, scan.value, scan.value_len);
 *     if (scan.result < 0) ...
 *     edge_scan_end(&scan);
 *
 * key and value point into the walk's buffer until the next edge_scan_next or edge_scan_end; no NUL follows them. Keys
 * set or deleted meanwhile may or may not be seen; no key is seen twice.
 */
struct edge_scan {
	const char *key;
	size_t key_len;
	const void *value;
	size_t value_len;
	int32_t result; /* EDGE_OK, or the error that ended the walk */
	const char *prefix;
	unsigned char cursor[16];
	unsigned char *buf;
	size_t cap, have, at;
	int last;
};

/* Begins a walk; prefix must live as long as it does. "" walks over all keys. */
static inline void edge_scan_start(struct edge_scan *scan, const char *prefix)
{
	memset(scan, 0, sizeof *scan);
	scan->prefix = prefix;
	scan->cap = 4096;
}

static inline size_t edge_load_u32(const unsigned char *p)
{
	return (size_t)p[0] | (size_t)p[1] << 8 | (size_t)p[2] << 16 | (size_t)p[3] << 24;
}

static inline void edge_store_u32(unsigned char *p, size_t value)
{
	p[0] = (unsigned char)value;
	p[1] = (unsigned char)(value >> 8);
	p[2] = (unsigned char)(value >> 16);
	p[3] = (unsigned char)(value >> 24);
}

/* Reads the next page of entries. 1: there is one, 0: the walk is over, below zero: an error. */
static inline int32_t edge_scan_fill(struct edge_scan *scan)
{
	static const unsigned char zero[16] = {0};
	for (;;) {
		if (scan->buf == NULL && (scan->buf = (unsigned char *)malloc(scan->cap)) == NULL)
			return EDGE_TOO_LARGE;
		int32_t n = edged_kv_scan(scan->prefix, strlen(scan->prefix), scan->cursor, scan->buf, scan->cap);
		if (n < 0)
			return n;
		if ((size_t)n <= scan->cap) {
			scan->have = (size_t)n;
			scan->at = 0;
			scan->last = memcmp(scan->cursor, zero, sizeof zero) == 0;
			return n > 0;
		}
		free(scan->buf);
		scan->buf = NULL;
		scan->cap = (size_t)n;
	}
}

/* Steps to the next entry. 1: key and value are set, 0: the walk is over, below zero: an error. */
static inline int32_t edge_scan_next(struct edge_scan *scan)
{
	if (scan->at >= scan->have) {
		if (scan->last || scan->result < 0)
			return scan->result;
		int32_t n = edge_scan_fill(scan);
		if (n <= 0) {
			scan->last = 1;
			scan->result = n;
			return n;
		}
	}
	const unsigned char *entry = scan->buf + scan->at;
	scan->key_len = edge_load_u32(entry);
	scan->key = (const char *)entry + 4;
	scan->value_len = edge_load_u32(entry + 4 + scan->key_len);
	scan->value = entry + 8 + scan->key_len;
	scan->at += 8 + scan->key_len + scan->value_len;
	return 1;
}

/* Frees the walk's buffer. May be called at any time after edge_scan_start, more than once. */
static inline void edge_scan_end(struct edge_scan *scan)
{
	free(scan->buf);
	scan->buf = NULL;
	scan->have = scan->at = 0;
	scan->last = 1;
}

/* Takes and gives back a lock, see edged_kv_lock. */
static inline int64_t edge_kv_lock(const char *key, int32_t ttl_ms) { return edged_kv_lock(key, strlen(key), ttl_ms); }
static inline int32_t edge_kv_unlock(const char *key, int64_t token)
{
	return edged_kv_unlock(key, strlen(key), token);
}

/*
 * Several operations as one: all or, when one fails, none. An operation sees what those before it did.
 *
 *     struct edge_batch batch;
 *     edge_batch_start(&batch);
 *     edge_batch_cas(&batch, "stock", "3", 1, "2", 1);
 *     edge_batch_set(&batch, "order/17", order, order_len);
 *     int32_t result = edge_batch_run(&batch);
 *     edge_batch_end(&batch);
 *
 * Results, one for each operation in order, are read with edge_batch_next after a run that gave EDGE_OK.
 *
 * The packed form, little-endian and unaligned. An operation: u8 kind (1 get, 2 set, 3 delete, 4 compare and set), 3 zero
 * bytes, u32 key length, u32 length of a, u32 length of b, key, a, b. set: a is the value. cas: a is the expected value
 * and b the new one, 0xffffffff as a length for absent. Other lengths are 0. A result: i32 code, u32 length, value.
 */
struct edge_batch {
	const void *value; /* of the result that edge_batch_next stepped to: a get's value, in the batch's buffer */
	size_t value_len;
	int32_t code; /* get: EDGE_OK or EDGE_NOT_FOUND; delete: 1 or 0 as edged_kv_delete; set, cas: EDGE_OK */
	int32_t error;
	unsigned char *ops, *results;
	size_t len, cap, have, at;
};

enum edge_batch_kind { EDGE_BATCH_GET = 1, EDGE_BATCH_SET = 2, EDGE_BATCH_DELETE = 3, EDGE_BATCH_CAS = 4 };

static inline void edge_batch_start(struct edge_batch *batch) { memset(batch, 0, sizeof *batch); }

/* Makes room for n more bytes of operations; NULL, and the error kept for edge_batch_run, when out of memory. */
static inline unsigned char *edge_batch_room(struct edge_batch *batch, size_t n)
{
	if (batch->error != EDGE_OK)
		return NULL;
	if (n > batch->cap - batch->len) {
		size_t cap = (batch->len + n) * 2;
		unsigned char *ops = (unsigned char *)realloc(batch->ops, cap);
		if (ops == NULL) {
			batch->error = EDGE_TOO_LARGE;
			return NULL;
		}
		batch->ops = ops;
		batch->cap = cap;
	}
	batch->len += n;
	return batch->ops + batch->len - n;
}

/* Appends one operation; a NULL string has length 0, or is absent when kind is EDGE_BATCH_CAS. */
static inline void edge_batch_add(struct edge_batch *batch, enum edge_batch_kind kind, const char *key, const void *a,
                                  size_t a_len, const void *b, size_t b_len)
{
	size_t key_len = strlen(key), none = kind == EDGE_BATCH_CAS ? 0xffffffffu : 0;
	if (a == NULL)
		a_len = 0;
	if (b == NULL)
		b_len = 0;
	unsigned char *op = edge_batch_room(batch, 16 + key_len + a_len + b_len);
	if (op == NULL)
		return;
	edge_store_u32(op, (size_t)kind);
	edge_store_u32(op + 4, key_len);
	edge_store_u32(op + 8, a == NULL ? none : a_len);
	edge_store_u32(op + 12, b == NULL ? none : b_len);
	op += 16;
	memcpy(op, key, key_len);
	if (a_len > 0)
		memcpy(op + key_len, a, a_len);
	if (b_len > 0)
		memcpy(op + key_len + a_len, b, b_len);
}

static inline void edge_batch_get(struct edge_batch *batch, const char *key)
{
	edge_batch_add(batch, EDGE_BATCH_GET, key, NULL, 0, NULL, 0);
}
static inline void edge_batch_set(struct edge_batch *batch, const char *key, const void *value, size_t len)
{
	edge_batch_add(batch, EDGE_BATCH_SET, key, value, len, NULL, 0);
}
static inline void edge_batch_delete(struct edge_batch *batch, const char *key)
{
	edge_batch_add(batch, EDGE_BATCH_DELETE, key, NULL, 0, NULL, 0);
}
/* old NULL: expects that the key is absent; value NULL: deletes it. */
static inline void edge_batch_cas(struct edge_batch *batch, const char *key, const void *old, size_t old_len,
                                  const void *value, size_t value_len)
{
	edge_batch_add(batch, EDGE_BATCH_CAS, key, old, old_len, value, value_len);
}

/* Runs what was added, once. EDGE_OK; EDGE_CONFLICT when a cas found another value, EDGE_TOO_LARGE, EDGE_LIMIT or
   EDGE_INVALID with nothing applied. A batch without operations is EDGE_OK. */
static inline int32_t edge_batch_run(struct edge_batch *batch)
{
	if (batch->error != EDGE_OK || batch->len == 0)
		return batch->error;
	const void *ops = batch->ops;
	size_t len = batch->len, cap = 1024;
	for (;;) {
		batch->results = (unsigned char *)malloc(cap);
		if (batch->results == NULL)
			return batch->error = EDGE_TOO_LARGE;
		int32_t n = edged_kv_batch(ops, len, batch->results, cap);
		if (n < 0)
			return batch->error = n;
		if ((size_t)n <= cap) {
			batch->have = (size_t)n;
			return EDGE_OK;
		}
		/* Applied, but the results did not fit: no operations at all ask for them again. */
		free(batch->results);
		cap = (size_t)n;
		len = 0;
	}
}

/* Steps to the next result: 1 when code, value and value_len are set, 0 after the last. */
static inline int32_t edge_batch_next(struct edge_batch *batch)
{
	if (batch->at >= batch->have)
		return 0;
	const unsigned char *result = batch->results + batch->at;
	batch->code = (int32_t)edge_load_u32(result);
	batch->value_len = edge_load_u32(result + 4);
	batch->value = result + 8;
	batch->at += 8 + batch->value_len;
	return 1;
}

/* Frees what the batch holds. May be called at any time after edge_batch_start, more than once. */
static inline void edge_batch_end(struct edge_batch *batch)
{
	free(batch->ops);
	free(batch->results);
	memset(batch, 0, sizeof *batch);
}

/* ---------------------------------------------------------------- calls and objects */

/* What edged_result_read has from offset have on, appended to buf, which has room for total bytes and a NUL. */
static inline size_t edge_result_rest(char *buf, size_t have, size_t total)
{
	for (int32_t n; have < total && (n = edged_result_read(have, buf + have, total - have)) > 0;)
		have += (size_t)n;
	buf[have] = '\0';
	return have;
}

/* The result of length n that a call has just given, first bytes in small. */
static inline int32_t edge_result_take(int32_t n, const char *small, size_t cap, void **result, size_t *len)
{
	if (n < 0)
		return n;
	char *buf = (char *)malloc((size_t)n + 1);
	if (buf == NULL)
		return EDGE_TOO_LARGE;
	size_t have = (size_t)n <= cap ? (size_t)n : 0;
	memcpy(buf, small, have);
	if (edge_result_rest(buf, have, (size_t)n) < (size_t)n) { /* dropped meanwhile */
		free(buf);
		return EDGE_NOT_FOUND;
	}
	*result = buf;
	if (len != NULL)
		*len = (size_t)n;
	return EDGE_OK;
}

/* Runs another function ("function" or "app/function") and waits for it. EDGE_OK with *result (the caller's to free) and
   *len, or an error with both untouched; edge_call_error then has what the callee said. len may be NULL. */
static inline int32_t edge_call(const char *fn, const void *input, size_t input_len, void **result, size_t *len)
{
	char small[1024];
	return edge_result_take(edged_call(fn, strlen(fn), input, input_len, small, sizeof small), small, sizeof small, result, len);
}

/* Waits for an object, timeout_ms as for edged_rget, and reads it as edge_call does. */
static inline int32_t edge_get(int64_t object, int32_t timeout_ms, void **result, size_t *len)
{
	char small[1024];
	return edge_result_take(edged_rget(object, small, sizeof small, timeout_ms), small, sizeof small, result, len);
}

/* The text of the error that the last of edge_call and edge_get failed with, the caller's to free; "" when there is none,
   NULL when out of memory. At most 16 KiB of it. */
static inline char *edge_call_error(void)
{
	const size_t most = 16 << 10;
	char *text = (char *)malloc(most + 1);
	if (text != NULL)
		edge_result_rest(text, 0, most);
	return text;
}

/* Starts a call, see edged_rcall. */
static inline int64_t edge_start(const char *fn, const void *in, size_t len) { return edged_rcall(fn, strlen(fn), in, len); }

/* The actor of a class and a key, see edged_actor_new, and a message to it; fn NULL or "" is the class itself. */
static inline int64_t edge_actor(const char *class_name, const char *key)
{
	return edged_actor_new(class_name, strlen(class_name), key, strlen(key));
}
static inline int64_t edge_send(int64_t actor, const char *fn, const void *input, size_t input_len)
{
	return edged_actor_call(actor, fn, fn == NULL ? 0 : strlen(fn), input, input_len);
}

/* Waits until all of n objects are there: EDGE_OK, EDGE_TIMEOUT or another error. A call that failed is there: edge_get has
   its error. */
static inline int32_t edge_wait_all(const int64_t *objects, size_t n, int32_t timeout_ms)
{
	uint8_t *ready = (uint8_t *)malloc(n + 1);
	if (ready == NULL)
		return EDGE_TOO_LARGE;
	int32_t there = edged_rwait(objects, n, n, timeout_ms, ready);
	free(ready);
	return there < 0 ? there : (size_t)there == n ? EDGE_OK : EDGE_TIMEOUT;
}

#ifdef __cplusplus
}
#endif

#endif
