/* A chain of 100 steps, each started by the key that the one before has written. */
#include "edge.h"

#define STEPS 100

/* Writes the key that starts a step of a run. */
static int32_t begin(const char *run, int step)
{
	char key[128];
	int n = snprintf(key, sizeof key, "longchain_%s_%d", run, step);
	return n < (int)sizeof key ? edged_kv_set(key, (size_t)n, "", 0) : EDGE_TOO_LARGE;
}

/* The name of the run in the query: letters and digits. */
static const char *run_of_query(void)
{
	char *run = edge_query("run");
	return run == NULL || *run == '\0' ? "0" : run;
}

EDGED_EXPORT(start)
{
	int32_t r = begin(run_of_query(), 1);
	return r < 0 ? edge_fail("cannot begin: %s", edge_strerror(r)) : 0;
}

EDGED_EXPORT(step)
{
	char *run = edge_param("run"), *n = edge_param("n");
	if (run == NULL || n == NULL)
		return edge_fail("a step is started by a key longchain_RUN_N");
	int step = atoi(n);
	char key[128];
	int length = snprintf(key, sizeof key, "end/%s", run);
	int32_t r = step < STEPS ? begin(run, step + 1) : edged_kv_set(key, (size_t)length, n, strlen(n));
	return r < 0 ? edge_fail("step %d: %s", step, edge_strerror(r)) : 0;
}

EDGED_EXPORT(end)
{
	char key[128];
	snprintf(key, sizeof key, "end/%s", run_of_query());
	char *at = edge_fetch_text(edged_kv_get, key);
	return edge_printf("%s\n", at == NULL ? "not yet" : at) == EDGE_OK ? 0 : edge_fail("cannot write the response");
}
