// What the three files of templates share: capture, attach and reset (shim_template.c), which pages are copied and whether
// the others are protected (shim_template_learn.c), protected memory (shim_template_cold.c).
#ifndef EDGED_SHIM_TEMPLATE_INTERNAL_H
#define EDGED_SHIM_TEMPLATE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "shim_internal.h"
#include "shim_template.h"

// So many writes to protected pages are gathered before the layout is looked at.
#define FAULTS_GATHERED 32

struct edge_template {
  int file;
  uint64_t bytes;
  uint32_t pages;  // of the linear memory, 64 KiB each
  uint8_t* image;  // shared and read-only; NULL when there is no memory
  uint32_t globals;
  char** names;
  WasmEdge_Value* values;
  int spoiled;  // enum edge_spoil

  _Atomic uint32_t version;  // of layout: instances whose own is another take the layout over at their next reset

  pthread_mutex_t mu;
  // All of the following is guarded by mu.
  edge_layout layout;
  uint16_t* heat;       // how often each page of the system was found written, as far as it matters
  uint8_t* used;        // hot pages that a sample found changed
  uint32_t watched;     // resets since learning began
  uint32_t revisions;   // layouts since then
  uint64_t resets;      // of guarded instances, since the layout was last looked at
  uint32_t faults;      // of theirs meanwhile
  uint32_t met[FAULTS_GATHERED + EDGE_COLD_WINDOWS];  // the pages that were written
  uint32_t samples;
  uint64_t open_resets;  // without guard; at relearn of them learning begins anew
  uint64_t relearn;
};

// edge_page returns the size of a page of the system.
uint64_t edge_page(void);

// edge_learn_begin makes what learning needs; -1 when there is no memory. edge_template_free frees it.
int edge_learn_begin(edge_template* template);
// edge_learn_watch takes in what the call before this reset wrote, for an instance whose layout is EDGE_LAYOUT_WATCHED, before
// its pages are dropped.
void edge_learn_watch(edge_template* template, const edge_cold* cold);
// edge_learn_guarded takes in the resets of a guarded instance, and its windows, since it last reported.
void edge_learn_guarded(edge_template* template, edge_cold* cold);
// edge_learn_sample looks which hot pages the call before this reset changed. The instance's hot pages are copied after it.
void edge_learn_sample(edge_template* template, edge_cold* cold);
// edge_learn_open takes in the resets of an instance that has no guard.
void edge_learn_open(edge_template* template, edge_cold* cold);

// edge_cold_switch puts the whole memory into the template's state and under another layout. 0, or -1 when it cannot.
int edge_cold_switch(edge_cold* cold, edge_layout layout, uint32_t version);
// edge_cold_restore drops the cold pages that were opened since the last reset, and protects them again. 0 or -1.
int edge_cold_restore(edge_cold* cold);
// edge_cold_drop drops all cold pages of an instance without guard. 0 or -1.
int edge_cold_drop(const edge_cold* cold);

#endif
