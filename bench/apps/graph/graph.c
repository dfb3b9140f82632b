/* What functions do with keys and with each other. Those that are measured inside of the guest answer with numbers of nanoseconds. */
#include <time.h>
#include <unistd.h>

#include "edge.h"

EDGED_IMPORT(actor_new) int64_t host_actor_new(const char *fn, size_t fn_len, const char *key, size_t key_len);
EDGED_IMPORT(actor_call)
int64_t host_actor_call(int64_t actor, const char *fn, size_t fn_len, const void *input, size_t input_len);

static int64_t now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* A number of the query. */
static size_t number(const char *name, size_t otherwise)
{
	char *text = edge_query(name);
	return text == NULL ? otherwise : strtoul(text, NULL, 10);
}

static char value[1 << 20];

/* Stores ?size= bytes under a key of its own. */
EDGED_EXPORT(put)
{
	uint64_t random;
	if (getentropy(&random, sizeof random) != 0)
		return edge_fail("no random number");
	char key[32];
	int n = snprintf(key, sizeof key, "put/%016llx", (unsigned long long)random);
	int32_t r = edged_kv_set(key, (size_t)n, value, number("size", 100));
	return r < 0 ? edge_fail("set: %s", edge_strerror(r)) : edge_puts("ok");
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

#define GETS 2000

/* Reads a value of ?size= bytes that many times. Answers with the median. */
EDGED_EXPORT(get)
{
	static int64_t took[GETS];
	size_t size = number("size", 100);
	char key[32];
	size_t n = (size_t)snprintf(key, sizeof key, "get/%zu", size);
	int32_t r = edged_kv_set(key, n, value, size);
	if (r < 0)
		return edge_fail("set: %s", edge_strerror(r));
	for (int i = 0; i < GETS; i++) {
		int64_t begin = now();
		r = edged_kv_get(key, n, value, sizeof value);
		took[i] = now() - begin;
		if (r != (int32_t)size)
			return edge_fail("get: %d", (int)r);
	}
	qsort(took, GETS, sizeof *took, ascending);
	return edge_printf("%lld", (long long)took[GETS / 2]) != EDGE_OK;
}

EDGED_EXPORT(noop) { return 0; }

/* Starts ?n= calls of noop, and waits for all of them. */
EDGED_EXPORT(fan)
{
	size_t n = number("n", 10000);
	int64_t *objects = malloc(n * sizeof *objects);
	int64_t begin = now();
	for (size_t i = 0; i < n; i++)
		if ((objects[i] = edged_rcall("noop", 4, NULL, 0)) < 0)
			return edge_fail("call %zu: %s", i, edge_strerror((int32_t)objects[i]));
	for (size_t i = 0; i < n; i++) {
		int32_t length = edged_rget(objects[i], NULL, 0, -1);
		if (length != 0)
			return edge_fail("result %zu: %d", i, (int)length);
		edged_rdrop(objects[i]);
	}
	return edge_printf("%lld", (long long)(now() - begin)) != EDGE_OK;
}

/* Calls itself as deep as its input says. */
EDGED_EXPORT(deeper)
{
	char input[16] = "";
	edged_input_read(0, input, sizeof input - 1);
	int left = atoi(input);
	if (left == 0)
		return 0;
	size_t n = (size_t)snprintf(input, sizeof input, "%d", left - 1);
	int32_t r = edged_call("deeper", 6, input, n, NULL, 0);
	return r == 0 ? 0 : edge_fail("%d more: %d", left, (int)r);
}

#define CHAINS 500

/* Makes chains of ?n= calls. Answers with the median of a chain. */
EDGED_EXPORT(chain)
{
	static int64_t took[CHAINS];
	char input[16];
	size_t n = (size_t)snprintf(input, sizeof input, "%zu", number("n", 10) - 1);
	for (int i = 0; i < CHAINS; i++) {
		int64_t begin = now();
		int32_t r = edged_call("deeper", 6, input, n, NULL, 0);
		took[i] = now() - begin;
		if (r != 0)
			return edge_fail("call: %d", (int)r);
	}
	qsort(took, CHAINS, sizeof *took, ascending);
	return edge_printf("%lld", (long long)took[CHAINS / 2]) != EDGE_OK;
}

/* An actor: how many messages it has had. */
EDGED_EXPORT(count)
{
	static int n;
	return edge_printf("%d", ++n) != EDGE_OK;
}

#define WINDOW 1000 /* an actor has at most 1,024 messages waiting */

/* Sends ?n= messages to one actor. Answers with the time and what the actor has counted. */
EDGED_EXPORT(tally)
{
	static int64_t objects[WINDOW];
	size_t n = number("n", 10000);
	char last[16] = "", *key = edge_query("key");
	if (key == NULL)
		return edge_fail("no ?key=");
	int64_t actor = host_actor_new("count", 5, key, strlen(key)), begin = now();
	for (size_t i = 0; i < n + WINDOW; i++) {
		int64_t *object = &objects[i % WINDOW];
		if (i >= WINDOW && i - WINDOW < n) {
			int32_t length = edged_rget(*object, last, sizeof last - 1, -1);
			if (length < 0)
				return edge_fail("message %zu: %d", i - WINDOW, (int)length);
			last[length] = '\0';
			edged_rdrop(*object);
		}
		if (i < n && (*object = host_actor_call(actor, "", 0, NULL, 0)) < 0)
			return edge_fail("message %zu: %d", i, (int)*object);
	}
	return edge_printf("%lld %s", (long long)(now() - begin), last) != EDGE_OK;
}
