/* Native tests of edge.h, run by edge_test.go under the address and undefined-behaviour sanitizers. */
#include "host.h"

#define CHECK(condition)                                                                                               \
	do {                                                                                                           \
		if (!(condition)) {                                                                                    \
			printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                         \
			failures++;                                                                                    \
		}                                                                                                      \
	} while (0)

static int failures;

/* equals compares a malloc'ed string and frees it. */
static int equals(char *got, const char *want)
{
	int equal = got == NULL || want == NULL ? (const char *)got == want : strcmp(got, want) == 0;
	if (!equal)
		printf("got \"%s\", want \"%s\"\n", got == NULL ? "NULL" : got, want == NULL ? "NULL" : want);
	free(got);
	return equal;
}

static void test_input(void)
{
	size_t len = 99;
	input = "";
	CHECK(equals((char *)edge_input(&len), "") && len == 0);
	input = "longer than the seven bytes of one read";
	CHECK(equals((char *)edge_input(&len), input) && len == strlen(input));
	CHECK(equals((char *)edge_input(NULL), input));
}

static void test_meta(void)
{
	char longest[5000];
	memset(longest, 'x', sizeof longest - 1);
	longest[sizeof longest - 1] = '\0';
	header_x = longest;
	CHECK(equals(edge_method(), "PUT"));
	CHECK(equals(edge_path(), NULL));
	CHECK(equals(edge_header("X-Test"), longest));
	CHECK(equals(edge_header("X-Other"), NULL));
	CHECK(equals(edge_param("id"), ""));
	setting = longest;
	CHECK(equals(edge_config("setting"), longest));
	CHECK(equals(edge_config("other"), NULL));
	grow_at_read = 1;
	CHECK(equals(edge_config("setting"), longest));
	CHECK(equals(edge_secret("s"), NULL));
}

static void test_query(void)
{
	static const struct { const char *query, *name, *want; } cases[] = {
		{ "name=Ada", "name", "Ada" },
		{ "a=1&name=Ada&b=2", "name", "Ada" },
		{ "name=first&name=second", "name", "first" },
		{ "name=a+b%20c%2Bd", "name", "a b c+d" },
		{ "n%61me=x", "name", "x" },
		{ "name=%C5%BDofie", "name", "\xC5\xBDofie" },
		{ "name=50%", "name", "50%" },
		{ "name=%4", "name", "%4" },
		{ "name=%zz", "name", "%zz" },
		{ "name=a=b", "name", "a=b" },
		{ "name", "name", "" },
		{ "name=", "name", "" },
		{ "surname=x", "name", NULL },
		{ "&&=x&", "name", NULL },
		{ "=x", "", NULL },
		{ "", "name", NULL },
		{ NULL, "name", NULL },
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		query = cases[i].query;
		CHECK(equals(edge_query(cases[i].name), cases[i].want));
	}
}

static void test_output(void)
{
	static char big[sizeof out + 1];
	CHECK(edge_puts("one ") == EDGE_OK && edge_write("t\0o", 3) == EDGE_OK);
	CHECK(edge_printf(" %d%%", 3) == EDGE_OK);
	CHECK(out_len == 10 && memcmp(out, "one t\0o 3%", 10) == 0);
	CHECK(edge_write(big, sizeof big) == EDGE_TOO_LARGE);
	CHECK(edge_set_status(404) == EDGE_OK && status == 404);
	CHECK(edge_set_status(42) == EDGE_INVALID && status == 404);
	CHECK(edge_set_header("X-A", "b c") == EDGE_OK && strcmp(headers, "X-A: b c") == 0);
	edge_logf(EDGE_WARN, "disk %s", "full");
	CHECK(log_level == 2 && strcmp(log_text, "disk full") == 0);
	CHECK(edge_fail("no %s", "luck") == 1 && strcmp(error_text, "no luck") == 0);
	CHECK(strcmp(edge_strerror(EDGE_CONFLICT), "conflict") == 0 && strcmp(edge_strerror(7), "ok") == 0);
	CHECK(strcmp(edge_strerror(-99), "unknown error") == 0);
}

static void test_store(void)
{
	void *value = NULL;
	size_t len = 0;
	CHECK(edge_kv_get("k", &value, &len) == EDGE_NOT_FOUND && value == NULL);
	CHECK(edge_kv_set("k", "a\0b", 3) == EDGE_OK);
	CHECK(edge_kv_get("k", &value, &len) == EDGE_OK && len == 3 && memcmp(value, "a\0b", 4) == 0);
	free(value);
	CHECK(edge_kv_set("", "x", 1) == EDGE_INVALID);
	CHECK(edge_kv_cas("k", "wrong", 5, "x", 1) == EDGE_CONFLICT);
	CHECK(edge_kv_cas("k", NULL, 0, "x", 1) == EDGE_CONFLICT);
	CHECK(edge_kv_cas("k", "a\0b", 3, "", 0) == EDGE_OK);
	CHECK(edge_kv_get("k", &value, &len) == EDGE_OK && len == 0);
	free(value);
	CHECK(edge_kv_cas("k", "", 0, NULL, 0) == EDGE_OK && edge_kv_delete("k") == 0);
	CHECK(edge_kv_cas("k", NULL, 0, "new", 3) == EDGE_OK && edge_kv_delete("k") == 1);
	int64_t token = edge_kv_lock("l", 1000);
	CHECK(token > INT32_MAX && edge_kv_lock("l", 1) == EDGE_CONFLICT);
	CHECK(edge_kv_unlock("l", token + 1) == EDGE_CONFLICT && edge_kv_unlock("l", token) == EDGE_OK);
}

static void test_scan(void)
{
	struct edge_scan scan;
	static char big[10000];
	char key[16];
	edge_scan_start(&scan, "n/");
	CHECK(edge_scan_next(&scan) == 0 && edge_scan_next(&scan) == 0 && scan.result == EDGE_OK);
	edge_scan_end(&scan);
	for (int i = 0; i < 40; i++) {
		snprintf(key, sizeof key, "n/%02d", i);
		/* One of them alone does not fit into the first buffer. */
		CHECK(edge_kv_set(key, big, i == 20 ? sizeof big : (size_t)i * 10) == EDGE_OK);
	}
	edge_kv_set("m", "before", 6);
	edge_kv_set("o", "after", 5);
	int n = 0;
	scan_calls = 0;
	edge_scan_start(&scan, "n/");
	while (edge_scan_next(&scan) > 0) {
		snprintf(key, sizeof key, "n/%02d", n);
		CHECK(scan.key_len == 4 && memcmp(scan.key, key, 4) == 0);
		CHECK(scan.value_len == (n == 20 ? sizeof big : (size_t)n * 10));
		n++;
	}
	CHECK(n == 40 && scan.result == EDGE_OK && scan_calls > 2);
	CHECK(edge_scan_next(&scan) == 0);
	edge_scan_end(&scan);
	edge_scan_end(&scan);
	CHECK(edge_scan_next(&scan) == 0);
}

/* result steps to the next result of a batch and compares it. */
static int result(struct edge_batch *batch, int32_t code, const char *value)
{
	return edge_batch_next(batch) == 1 && batch->code == code && batch->value_len == strlen(value) &&
	       memcmp(batch->value, value, batch->value_len) == 0;
}

static void test_batch(void)
{
	struct edge_batch batch;
	static char big[3000];
	edge_batch_start(&batch);
	CHECK(edge_batch_run(&batch) == EDGE_OK && edge_batch_next(&batch) == 0);
	edge_batch_set(&batch, "a", "one", 3);
	edge_batch_get(&batch, "a");
	edge_batch_cas(&batch, "a", "one", 3, "two", 3);
	edge_batch_cas(&batch, "b", NULL, 0, "", 0);
	edge_batch_cas(&batch, "b", "", 0, NULL, 0);
	edge_batch_get(&batch, "b");
	edge_batch_delete(&batch, "a");
	edge_batch_delete(&batch, "a");
	CHECK(edge_batch_run(&batch) == EDGE_OK);
	CHECK(result(&batch, 0, "") && result(&batch, 0, "one") && result(&batch, 0, "") && result(&batch, 0, ""));
	CHECK(result(&batch, 0, "") && result(&batch, EDGE_NOT_FOUND, "") && result(&batch, 1, "") && result(&batch, 0, ""));
	CHECK(edge_batch_next(&batch) == 0);
	edge_batch_end(&batch);
	edge_batch_end(&batch);

	memset(big, 'v', sizeof big - 1);
	edge_batch_start(&batch);
	edge_batch_set(&batch, "big", big, sizeof big - 1);
	edge_batch_get(&batch, "big"); /* does not fit at first */
	CHECK(edge_batch_run(&batch) == EDGE_OK && result(&batch, 0, "") && result(&batch, 0, big));
	edge_batch_end(&batch);

	edge_batch_start(&batch);
	edge_batch_cas(&batch, "big", "other", 5, "x", 1);
	CHECK(edge_batch_run(&batch) == EDGE_CONFLICT && edge_batch_next(&batch) == 0);
	edge_batch_end(&batch);
}

static void test_calls(void)
{
	void *result = NULL;
	size_t len = 0;
	CHECK(edge_call("upper", "abc", 3, &result, &len) == EDGE_OK && len == 3 && strcmp((char *)result, "ABC") == 0);
	free(result);
	CHECK(edge_call("large", NULL, 0, &result, NULL) == EDGE_OK && strlen((char *)result) == 5000);
	free(result);
	result = NULL;
	CHECK(edge_call("none", "x", 1, &result, &len) == EDGE_INTERNAL && result == NULL && len == 3);
	char *text = edge_call_error();
	CHECK(text != NULL && strcmp(text, "it failed") == 0);
	free(text);

	int64_t list[3] = {edge_start("upper", "x", 1), edge_start("none", "", 0), edged_rput("data", 4)};
	CHECK(list[0] > 0 && list[2] > list[1] && edge_wait_all(list, 3, -1) == EDGE_OK);
	CHECK(edge_wait_all(list, 3, 7) == EDGE_TIMEOUT && edge_wait_all(list, 0, -1) == EDGE_OK);
	CHECK(edge_get(list[0], -1, &result, &len) == EDGE_OK && len == 1 && *(char *)result == 'X');
	free(result);
	CHECK(edge_get(list[1], -1, &result, &len) == EDGE_INTERNAL && edge_get(99, -1, &result, &len) == EDGE_NOT_FOUND);
	CHECK(edge_get(list[2], 0, &result, &len) == EDGE_OK && len == 4 && strcmp((char *)result, "data") == 0);
	free(result);
	int64_t actor = edge_actor("upper", "k");
	CHECK(actor > 0 && edge_actor("none", "k") == EDGE_INVALID && edge_send(1, "upper", "", 0) == EDGE_NOT_FOUND);
	CHECK(edge_get(edge_send(actor, NULL, "a", 1), -1, &result, &len) == EDGE_OK && *(char *)result == 'A');
	free(result);
	CHECK(edge_get(edge_send(actor, "large", "", 0), -1, &result, &len) == EDGE_OK && len == 5000);
	free(result);
	CHECK(edged_rlen(list[2]) == 4 && edged_rcancel(list[0]) == EDGE_OK && edged_rdrop(list[2]) == EDGE_OK);
}

EDGED_EXPORT(entry) { return 0; }

int main(void)
{
	test_input();
	test_meta();
	test_query();
	test_output();
	test_store();
	test_scan();
	test_batch();
	test_calls();
	CHECK(entry() == 0);
	while (stored > 0)
		edged_kv_delete(store[0].key, store[0].key_len);
	return failures != 0;
}
