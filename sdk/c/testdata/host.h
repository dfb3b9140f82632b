/* A host in memory for native tests of edge.h: it defines the raw imports over a few variables. */
#include "../edge.h"

#include <assert.h>

struct entry { char key[64]; size_t key_len; char *value; size_t len; };
static struct entry store[64];
static size_t stored;

static const char *input = "";
static const char *query, *header_x, *setting;
static char out[1 << 16], headers[1024], log_text[1024], error_text[1024];
static size_t out_len;
static int32_t status = 200, log_level = -1;
static int64_t lease;
static int scan_calls, grow_at_read;

static int32_t give(const char *from, size_t len, void *buf, size_t cap)
{
	if (len <= cap)
		memcpy(buf, from, len);
	return (int32_t)len;
}

static int same(const void *key, size_t len, const char *name)
{
	return strlen(name) == len && memcmp(key, name, len) == 0;
}

int32_t edged_input_len(void) { return (int32_t)strlen(input); }

/* Gives at most 7 bytes at a time, which the interface allows. */
int32_t edged_input_read(size_t off, void *buf, size_t cap)
{
	size_t left = strlen(input) - off;
	size_t n = left < cap ? left : cap;
	if (n > 7)
		n = 7;
	memcpy(buf, input + off, n);
	return (int32_t)n;
}

int32_t edged_output_write(const void *data, size_t len)
{
	if (out_len + len > sizeof out)
		return EDGE_TOO_LARGE;
	memcpy(out + out_len, data, len);
	out_len += len;
	return (int32_t)len;
}

int32_t edged_output_status(int32_t code)
{
	if (code < 200 || code > 599)
		return EDGE_INVALID;
	status = code;
	return 0;
}

int32_t edged_output_header(const char *name, size_t name_len, const char *value, size_t value_len)
{
	snprintf(headers, sizeof headers, "%.*s: %.*s", (int)name_len, name, (int)value_len, value);
	return 0;
}

void edged_error(const char *text, size_t len) { snprintf(error_text, sizeof error_text, "%.*s", (int)len, text); }

int32_t edged_meta_get(const void *key, size_t len, void *buf, size_t cap)
{
	if (same(key, len, "method"))
		return give("PUT", 3, buf, cap);
	if (same(key, len, "query") && query != NULL)
		return give(query, strlen(query), buf, cap);
	if (same(key, len, "header:X-Test") && header_x != NULL)
		return give(header_x, strlen(header_x), buf, cap);
	if (same(key, len, "param:id"))
		return give("", 0, buf, cap);
	return EDGE_NOT_FOUND;
}

void edged_log(int32_t level, const char *text, size_t len)
{
	log_level = level;
	snprintf(log_text, sizeof log_text, "%.*s", (int)len, text);
}

int32_t edged_config_get(const void *key, size_t len, void *buf, size_t cap)
{
	if (!same(key, len, "setting") || setting == NULL)
		return EDGE_NOT_FOUND;
	/* A value that another call makes longer between sizing and reading. */
	if (grow_at_read-- == 1)
		return (int32_t)strlen(setting) / 2;
	return give(setting, strlen(setting), buf, cap);
}

int32_t edged_secret_get(const void *key, size_t len, void *buf, size_t cap)
{
	(void)key, (void)len, (void)buf, (void)cap;
	return EDGE_DENIED;
}

static struct entry *find(const void *key, size_t len)
{
	for (size_t i = 0; i < stored; i++)
		if (store[i].key_len == len && memcmp(store[i].key, key, len) == 0)
			return &store[i];
	return NULL;
}

int32_t edged_kv_get(const void *key, size_t len, void *buf, size_t cap)
{
	struct entry *e = find(key, len);
	return e == NULL ? EDGE_NOT_FOUND : give(e->value, e->len, buf, cap);
}

int32_t edged_kv_set(const void *key, size_t len, const void *value, size_t value_len)
{
	if (len == 0 || len > sizeof store[0].key)
		return EDGE_INVALID;
	struct entry *e = find(key, len);
	if (e == NULL) {
		/* Kept in byte order, as scans give them. */
		size_t at = stored++;
		for (; at > 0 && strncmp(store[at - 1].key, (const char *)key, len) > 0; at--)
			store[at] = store[at - 1];
		e = &store[at];
		memset(e, 0, sizeof *e);
		memcpy(e->key, key, len);
		e->key_len = len;
	}
	free(e->value);
	e->value = (char *)malloc(value_len + 1);
	assert(e->value != NULL);
	memcpy(e->value, value, value_len);
	e->len = value_len;
	return 0;
}

int32_t edged_kv_delete(const void *key, size_t len)
{
	struct entry *e = find(key, len);
	if (e == NULL)
		return 0;
	free(e->value);
	memmove(e, e + 1, (size_t)(store + stored - e - 1) * sizeof *e);
	stored--;
	return 1;
}

int32_t edged_kv_cas(const void *key, size_t len, const void *old, int32_t old_len, const void *value, int32_t value_len)
{
	struct entry *e = find(key, len);
	if ((e == NULL) != (old_len < 0))
		return EDGE_CONFLICT;
	if (e != NULL && (e->len != (size_t)old_len || memcmp(e->value, old, e->len) != 0))
		return EDGE_CONFLICT;
	if (value_len < 0)
		return edged_kv_delete(key, len) > 0 ? 0 : 0;
	return edged_kv_set(key, len, value, (size_t)value_len);
}

/* The cursor's first byte is the number of the next entry, plus one. */
int32_t edged_kv_scan(const void *prefix, size_t len, void *cursor, void *buf, size_t cap)
{
	unsigned char *at = (unsigned char *)cursor, *to = (unsigned char *)buf;
	size_t have = 0, i = *at == 0 ? 0 : *at - 1u;
	scan_calls++;
	for (; i < stored; i++) {
		struct entry *e = &store[i];
		if (e->key_len < len || memcmp(e->key, prefix, len) != 0)
			continue;
		size_t need = 8 + e->key_len + e->len;
		if (have + need > cap) {
			*at = (unsigned char)(i + 1);
			return (int32_t)(have == 0 ? need : have);
		}
		edge_store_u32(to + have, e->key_len);
		memcpy(to + have + 4, e->key, e->key_len);
		edge_store_u32(to + have + 4 + e->key_len, e->len);
		memcpy(to + have + 8 + e->key_len, e->value, e->len);
		have += need;
	}
	*at = 0;
	return (int32_t)have;
}

/* Keeps the results of the latest batch, to give them again when they did not fit. Only what the tests use: no undo. */
int32_t edged_kv_batch(const void *ops, size_t len, void *buf, size_t cap)
{
	static unsigned char results[1 << 16];
	static size_t have;
	if (len > 0)
		have = 0;
	for (const unsigned char *op = (const unsigned char *)ops; len > 0;) {
		size_t key_len = edge_load_u32(op + 4), a_len = edge_load_u32(op + 8), b_len = edge_load_u32(op + 12);
		size_t a_real = a_len == 0xffffffffu ? 0 : a_len, b_real = b_len == 0xffffffffu ? 0 : b_len;
		const unsigned char *key = op + 16, *a = key + key_len, *b = a + a_real;
		struct entry *e = find(key, key_len);
		int32_t code = 0;
		size_t value_len = 0;
		assert(op[1] == 0 && op[2] == 0 && op[3] == 0 && 16 + key_len + a_real + b_real <= len);
		switch (op[0]) {
		case 1:
			assert(a_len == 0 && b_len == 0);
			code = e == NULL ? EDGE_NOT_FOUND : EDGE_OK;
			value_len = e == NULL ? 0 : e->len;
			memcpy(results + have + 8, e == NULL ? "" : e->value, value_len);
			break;
		case 2:
			assert(b_len == 0);
			code = edged_kv_set(key, key_len, a, a_len);
			break;
		case 3:
			assert(a_len == 0 && b_len == 0);
			code = edged_kv_delete(key, key_len);
			break;
		case 4:
			code = edged_kv_cas(key, key_len, a, (int32_t)a_len, b, (int32_t)b_len);
			if (code < 0)
				return code;
			break;
		default:
			return EDGE_INVALID;
		}
		edge_store_u32(results + have, (size_t)(uint32_t)code);
		edge_store_u32(results + have + 4, value_len);
		have += 8 + value_len;
		len -= 16 + key_len + a_real + b_real;
		op += 16 + key_len + a_real + b_real;
	}
	return give((const char *)results, have, buf, cap);
}

int64_t edged_kv_lock(const void *key, size_t len, int32_t ttl_ms)
{
	(void)key, (void)len;
	if (lease != 0)
		return EDGE_CONFLICT;
	return lease = ((int64_t)1 << 40) + ttl_ms;
}

int32_t edged_kv_unlock(const void *key, size_t len, int64_t token)
{
	(void)key, (void)len;
	if (lease != token)
		return EDGE_CONFLICT;
	lease = 0;
	return 0;
}

/* Calls: "upper" answers its input in capitals, "large" 5,000 bytes, any other fails with a text. Results are kept for
   edged_result_read and, of edged_rcall and edged_rput, as objects. */
static char last[8192], object[16][8192];
static size_t last_len, object_len[16];
static int32_t object_error[16];
static int64_t objects;

static int32_t answer(const char *fn, size_t fn_len, const char *in, size_t in_len, char *to, size_t *len)
{
	if (same(fn, fn_len, "upper")) {
		for (size_t i = 0; i < in_len; i++)
			to[i] = in[i] >= 'a' && in[i] <= 'z' ? (char)(in[i] - 32) : in[i];
		*len = in_len;
		return 0;
	}
	if (same(fn, fn_len, "large")) {
		memset(to, 'L', *len = 5000);
		return 0;
	}
	memcpy(to, "it failed", *len = 9);
	return EDGE_INTERNAL;
}

int32_t edged_call(const char *fn, size_t fn_len, const void *in, size_t in_len, void *buf, size_t cap)
{
	int32_t err = answer(fn, fn_len, (const char *)in, in_len, last, &last_len);
	return err < 0 ? err : give(last, last_len, buf, cap);
}

/* Gives at most 1,000 bytes at a time, which the interface allows. */
int32_t edged_result_read(size_t off, void *buf, size_t cap)
{
	size_t n = off < last_len ? last_len - off : 0;
	if (n > cap)
		n = cap;
	if (n > 1000)
		n = 1000;
	memcpy(buf, last + off, n);
	return (int32_t)n;
}

int64_t edged_rcall(const char *fn, size_t fn_len, const void *in, size_t in_len)
{
	object_error[objects] = answer(fn, fn_len, (const char *)in, in_len, object[objects], &object_len[objects]);
	return ++objects;
}

int64_t edged_rput(const void *data, size_t len)
{
	memcpy(object[objects], data, object_len[objects] = len);
	return ++objects;
}

int32_t edged_rget(int64_t h, void *buf, size_t cap, int32_t timeout_ms)
{
	if (h < 1 || h > objects)
		return EDGE_NOT_FOUND;
	if (timeout_ms == 7)
		return EDGE_TIMEOUT;
	memcpy(last, object[h - 1], last_len = object_len[h - 1]);
	return object_error[h - 1] < 0 ? object_error[h - 1] : give(last, last_len, buf, cap);
}

int32_t edged_rlen(int64_t h) { return h < 1 || h > objects ? EDGE_NOT_FOUND : (int32_t)object_len[h - 1]; }

int32_t edged_rwait(const int64_t *handles, size_t n, size_t want, int32_t timeout_ms, uint8_t *ready)
{
	if (want > n)
		return EDGE_INVALID;
	memset(ready, 1, n);
	for (size_t i = 0; i < n; i++)
		if (handles[i] < 1 || handles[i] > objects)
			return EDGE_NOT_FOUND;
	return timeout_ms == 7 ? (int32_t)n - 1 : (int32_t)n;
}

int32_t edged_rcancel(int64_t h) { return h < 1 || h > objects ? EDGE_NOT_FOUND : 0; }

int32_t edged_rdrop(int64_t h) { return h < 1 || h > objects ? EDGE_NOT_FOUND : 0; }

/* Actors: only "upper" is a class. */
int64_t edged_actor_new(const char *fn, size_t fn_len, const char *key, size_t key_len)
{
	(void)key;
	return same(fn, fn_len, "upper") && key_len > 0 ? 70 : EDGE_INVALID;
}

int64_t edged_actor_call(int64_t actor, const char *fn, size_t fn_len, const void *in, size_t in_len)
{
	if (actor != 70)
		return EDGE_NOT_FOUND;
	return fn_len == 0 ? edged_rcall("upper", 5, in, in_len) : edged_rcall(fn, fn_len, in, in_len);
}
