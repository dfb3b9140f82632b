/* Greets the caller: by ?name=, else by the request body, else the world. */
#include "edge.h"

EDGED_EXPORT(hello)
{
	size_t len = 0;
	char *name = edge_query("name");
	if (name == NULL)
		name = (char *)edge_input(&len);
	if (name == NULL)
		return edge_fail("out of memory");
	if (*name == '\0')
		name = "world";
	edge_set_header("Content-Type", "text/plain; charset=utf-8");
	return edge_printf("hello, %s\n", name) == EDGE_OK ? 0 : edge_fail("cannot write the response");
}
