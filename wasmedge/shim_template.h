// Templates: the state of an instance after its start-up, and putting other instances of the same module into that state
// for about the price of a call. What a template holds is the linear memory and the mutable globals; a module that can
// change its tables or drop its segments has no template.
#ifndef EDGED_SHIM_TEMPLATE_H
#define EDGED_SHIM_TEMPLATE_H

#include "shim.h"

typedef struct edge_template edge_template;

// edge_template_new captures the state of an instance that has just been started and is not running. names are the export
// names of its mutable globals. Returns NULL and sets *error to an errno when there is no memory for the image.
edge_template* edge_template_new(edge_instance* instance, const char** names, uint32_t globals, int* error);
// edge_template_free frees it; instances that were attached to it stay usable, but may not be reset any more.
void edge_template_free(edge_template* template);
// edge_template_attach puts an instance into the template's state for the first time: its memory becomes a private view of
// the image. Returns 0 or an errno; after a failure the instance may only be freed.
int edge_template_attach(edge_template* template, edge_instance* instance);
// edge_template_reset puts an attached instance back into the template's state after a call that ended well. Returns 0, or
// -1 when it cannot be (its memory has grown): then the instance may only be freed.
int edge_template_reset(edge_template* template, edge_instance* instance);
// edge_template_bytes returns the size of the image.
uint64_t edge_template_bytes(const edge_template* template);
// edge_template_hot returns how many bytes a reset copies.
uint64_t edge_template_hot(edge_template* template);

#endif
