/* What is measured: a greeting, an echo, and a computation of any length. */
#include "edge.h"

EDGED_EXPORT(hello)
{
	static const char text[] = "hello, world\n";
	edge_set_header("Content-Type", "text/plain; charset=utf-8");
	return edged_output_write(text, sizeof text - 1) < 0;
}

EDGED_EXPORT(echo)
{
	size_t len = 0;
	void *body = edge_input(&len);
	return body == NULL || edged_output_write(body, len) < 0;
}

/* Nothing that a compiler could shorten: about 1.6^n calls. */
__attribute__((noinline)) static uint32_t number(uint32_t n)
{
	return n < 2 ? n : number(n - 1) + number(n - 2);
}

/* The query is n. */
EDGED_EXPORT(fib)
{
	char text[16];
	int32_t len = edged_meta_get("query", 5, text, sizeof text - 1);
	if (len <= 0 || len >= (int32_t)sizeof text)
		return edge_fail("the query is no number");
	text[len] = '\0';
	return edge_printf("%u", (unsigned)number((uint32_t)atoi(text))) != EDGE_OK;
}
