/* Asks the host for everything edge.h can ask for and answers "ok", or fails with the first line that was wrong. The tests
   of the examples deploy it. */
#include "../../c/edge.h"

#define EXPECT(condition)                                                                                              \
	do {                                                                                                           \
		if (!(condition))                                                                                      \
			return edge_fail("line %d: %s", __LINE__, #condition);                                         \
	} while (0)

static int is(const char *got, const char *want) { return got != NULL && strcmp(got, want) == 0; }

static int32_t exchange(void)
{
	size_t len = 0;
	char *body = (char *)edge_input(&len);
	EXPECT(len == 100000 && memcmp(body, "01234567890123", 14) == 0 && body[99999] == '9');
	EXPECT(is(edge_method(), "POST") && is(edge_path(), "/probe-c/probe") && is(edge_query("a"), "1 2"));
	EXPECT(is(edge_header("x-probe"), "yes") && edge_header("X-None") == NULL && edge_query("b") == NULL);
	EXPECT(is(edge_meta("app"), "probe-c") && is(edge_meta("function"), "probe"));
	EXPECT(is(edge_config("greeting"), "ahoy") && edge_config("none") == NULL && edge_secret("none") == NULL);
	EXPECT(edge_set_status(202) == EDGE_OK && edge_set_status(99) == EDGE_INVALID);
	EXPECT(edge_set_header("X-Probe", "1") == EDGE_OK && edge_set_header("X-Probe", "2") == EDGE_OK);
	EXPECT(edge_set_header("a b", "") == EDGE_INVALID && edge_set_header("Content-Length", "1") == EDGE_DENIED);
	edge_logf(EDGE_WARN, "a line of %s", "the probe");
	return 0;
}

static int32_t store(void)
{
	void *value = NULL;
	size_t len = 0;
	static char large[1 << 20];
	memset(large, 7, sizeof large);
	EXPECT(edge_kv_get("s/none", &value, &len) == EDGE_NOT_FOUND && edge_kv_set("", "x", 1) == EDGE_INVALID);
	EXPECT(edge_kv_set("s/large", large, sizeof large) == EDGE_OK && edge_kv_get("s/large", &value, &len) == EDGE_OK);
	EXPECT(len == sizeof large && memcmp(value, large, len) == 0);
	edge_kv_delete("s/e");
	EXPECT(edge_kv_cas("s/e", "x", 1, "y", 1) == EDGE_CONFLICT && edge_kv_cas("s/e", NULL, 0, "", 0) == EDGE_OK);
	EXPECT(edge_kv_cas("s/e", NULL, 0, "x", 1) == EDGE_CONFLICT && edge_kv_cas("s/e", "", 0, NULL, 0) == EDGE_OK);
	EXPECT(edge_kv_delete("s/large") == 1 && edge_kv_delete("s/large") == 0);
	int64_t token = edge_kv_lock("l", 60000);
	EXPECT(token > 0 && edge_kv_unlock("l", token) == EDGE_OK && edge_kv_unlock("l", token) == EDGE_CONFLICT);
	EXPECT(edge_kv_lock("l", 0) == EDGE_INVALID);
	return 0;
}

static int32_t scan(void)
{
	struct edge_scan walk;
	static char value[50000];
	char key[16];
	int n = 0;
	for (int i = 0; i < 50; i++) {
		snprintf(key, sizeof key, "n/%02d", i);
		EXPECT(edge_kv_set(key, value, (size_t)i * 1000) == EDGE_OK);
	}
	edge_scan_start(&walk, "n/");
	while (edge_scan_next(&walk) > 0) {
		snprintf(key, sizeof key, "n/%02d", n);
		EXPECT(walk.key_len == 4 && memcmp(walk.key, key, 4) == 0 && walk.value_len == (size_t)n * 1000);
		n++;
	}
	EXPECT(n == 50 && walk.result == EDGE_OK);
	edge_scan_end(&walk);
	return 0;
}

static int32_t batch(void)
{
	struct edge_batch run;
	static char value[5000];
	void *stored = NULL;
	size_t len = 0;
	edge_batch_start(&run);
	edge_batch_delete(&run, "b");
	edge_batch_cas(&run, "b", NULL, 0, value, sizeof value);
	edge_batch_get(&run, "b");
	edge_batch_delete(&run, "b");
	edge_batch_get(&run, "b");
	edge_batch_set(&run, "b", NULL, 0);
	EXPECT(edge_batch_run(&run) == EDGE_OK);
	EXPECT(edge_batch_next(&run) && edge_batch_next(&run) && run.code == EDGE_OK);
	EXPECT(edge_batch_next(&run) && run.code == EDGE_OK && run.value_len == sizeof value);
	EXPECT(edge_batch_next(&run) && run.code == 1);
	EXPECT(edge_batch_next(&run) && run.code == EDGE_NOT_FOUND);
	EXPECT(edge_batch_next(&run) && !edge_batch_next(&run));
	edge_batch_end(&run);
	edge_batch_start(&run);
	edge_batch_set(&run, "b", "changed", 7);
	edge_batch_cas(&run, "b", NULL, 0, NULL, 0);
	EXPECT(edge_batch_run(&run) == EDGE_CONFLICT);
	edge_batch_end(&run);
	EXPECT(edge_kv_get("b", &stored, &len) == EDGE_OK && len == 0);
	return 0;
}

/* echo answers with its input, twice. */
EDGED_EXPORT(echo)
{
	size_t len = 0;
	char *body = (char *)edge_input(&len);
	edge_set_status(201);
	return edge_write(body, len) + edge_write(body, len);
}

/* tally counts its messages: a class of actors, in whose instance variables stay. */
EDGED_EXPORT(tally)
{
	static int count;
	return edge_printf("%d", ++count);
}

static int32_t actors(void)
{
	void *one = NULL, *two = NULL;
	size_t len = 0;
	int64_t actor = edge_actor("tally", "probe");
	EXPECT(actor > 0 && edge_actor("tally", "probe") == actor && edge_actor("echo", "probe") == EDGE_INVALID);
	EXPECT(edge_get(edge_send(actor, NULL, NULL, 0), -1, &one, &len) == EDGE_OK);
	EXPECT(edge_get(edge_send(actor, "tally", NULL, 0), -1, &two, &len) == EDGE_OK);
	EXPECT(atoi((char *)two) == atoi((char *)one) + 1);
	return 0;
}

static int32_t calls(void)
{
	static char large[5000];
	void *result = NULL;
	size_t len = 0;
	memset(large, 'c', sizeof large);
	EXPECT(edge_call("echo", "ab", 2, &result, &len) == EDGE_OK && len == 4 && memcmp(result, "abab", 4) == 0);
	EXPECT(is(edge_meta("result:status"), "201"));
	EXPECT(edge_call("echo", large, sizeof large, &result, &len) == EDGE_OK && len == 2 * sizeof large);
	EXPECT(memcmp(result, large, sizeof large) == 0 && memcmp((char *)result + sizeof large, large, sizeof large) == 0);
	EXPECT(edge_call("none", NULL, 0, &result, &len) == EDGE_NOT_FOUND);
	EXPECT(edge_call("fails", NULL, 0, &result, &len) == EDGE_INTERNAL);
	char *text = edge_call_error();
	EXPECT(text != NULL && strstr(text, "as it should, 42") != NULL);

	int64_t list[3] = {edge_start("echo", "x", 1), edge_start("fails", NULL, 0), edged_rput("data", 4)};
	EXPECT(list[0] > 0 && list[1] > 0 && list[2] > 0 && edge_wait_all(list, 3, -1) == EDGE_OK);
	EXPECT(edge_get(list[0], 0, &result, &len) == EDGE_OK && len == 2 && memcmp(result, "xx", 2) == 0);
	EXPECT(edge_get(list[1], 0, &result, &len) == EDGE_INTERNAL);
	EXPECT(edged_rlen(list[2]) == 4 && edge_get(list[2], 0, &result, &len) == EDGE_OK && is((char *)result, "data"));
	EXPECT(edged_rcancel(list[0]) == EDGE_OK && edged_rdrop(list[2]) == EDGE_OK);
	EXPECT(edge_get(12345, 0, &result, &len) == EDGE_NOT_FOUND);
	return 0;
}

EDGED_EXPORT(probe)
{
	if (exchange() != 0 || store() != 0 || scan() != 0 || batch() != 0 || calls() != 0 || actors() != 0)
		return 1;
	return edge_puts("ok\n");
}

/* fails answers with a 500 and this text. */
EDGED_EXPORT(fails) { return edge_fail("as it should, %d", 42); }
