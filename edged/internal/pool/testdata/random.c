/* Answers with random numbers of every source that a C guest has. */
#include "edge.h"

#include <unistd.h>

static unsigned char at_start[8];

__attribute__((constructor)) static void draw_at_start(void) { getentropy(at_start, sizeof at_start); }

static void hex(const unsigned char *from, size_t n)
{
	for (size_t i = 0; i < n; i++)
		edge_printf("%02x", from[i]);
	edge_printf("\n");
}

EDGED_EXPORT(sequence)
{
	for (int i = 0; i < 8; i++) {
		unsigned char drawn[8];
		if (getentropy(drawn, sizeof drawn) != 0)
			return edge_fail("no random numbers");
		hex(drawn, sizeof drawn);
	}
	return 0;
}

/* What the constructor drew is part of the state that all calls start from. */
EDGED_EXPORT(start)
{
	hex(at_start, sizeof at_start);
	return 0;
}
