// Which pages are hot, that is, copied at every reset, and whether the others are worth a guard. Nothing here decides what is
// restored, only how: whatever is learnt, every page that was written is copied or dropped.
//
// Costs, measured in a virtual machine on two busy cores: copying a page 50 to 80 ns; dropping a range 0.5 us however small; the
// first write to a dropped page 3 to 5 us; a write to a protected page, with the protection back at the reset, 10 us more.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shim_template_internal.h"

// How many resets are watched before the hot pages are settled.
#define LEARNING_RESETS 16
// A page that two of them wrote is hot, if there is room: even one write in 200 calls costs more than the copies.
#define HEAT_MIN 2
// But no more than this is copied for the sake of a few calls, as much as two of their faults cost ...
#define HOT_BYTES_MAX (UINT64_C(256) << 10)
// ... and this for pages that half of the calls write: each copy saves a fault, 40 times as dear. The bound is for the memory
// that instances waiting for a request hold.
#define HOT_BYTES_OFTEN (UINT64_C(8) << 20)
#define COPIES_A_FAULT 128
// Without guard every range means one more to be dropped.
#define OPEN_RANGES_MAX 6
// A guard that is hit more often than once in so many resets costs more than dropping everything cold at each.
#define RESETS_A_FAULT 8
// Every new layout costs all instances a switch, of some 20 us.
#define REVISIONS_MAX 32
// Without guard nothing is learnt, so now and then everything is learnt anew; each time after twice as many resets.
#define RELEARN_MIN (UINT64_C(1) << 14)
#define RELEARN_MAX (UINT64_C(1) << 22)
// So many samples that never found a page changed make it cold.
#define SAMPLES 64

static uint64_t pages_of(const edge_template* template) { return template->bytes / edge_page(); }

// read_pagemap reads the kernel's words for the pages of [base, base + bytes); 0 when it could not.
static int read_pagemap(const uint8_t* base, uint64_t bytes, uint64_t* words) {
  int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    return 0;
  }
  uint64_t count = bytes / edge_page();
  off_t offset = (off_t)((uintptr_t)base / edge_page() * sizeof *words);
  ssize_t want = (ssize_t)(count * sizeof *words);
  ssize_t got = pread(file, words, (size_t)want, offset);
  close(file);
  return got == want;
}

// Bits of a pagemap word (Documentation/admin-guide/mm/pagemap.rst of the kernel).
#define PAGEMAP_PRESENT (UINT64_C(1) << 63)
#define PAGEMAP_SWAPPED (UINT64_C(1) << 62)
#define PAGEMAP_FILE (UINT64_C(1) << 61)

static void note_written(edge_template* template, const uint8_t* base) {
  uint64_t count = pages_of(template);
  uint64_t* words = calloc(count, sizeof *words);
  if (words == NULL) {
    return;
  }
  if (read_pagemap(base, template->bytes, words)) {
    for (uint64_t i = 0; i < count; i++) {
      if ((words[i] & (PAGEMAP_PRESENT | PAGEMAP_SWAPPED)) && !(words[i] & PAGEMAP_FILE)) {
        template->heat[i]++;
      }
    }
  }
  free(words);
}

// arrange makes ranges of the pages whose heat is at least `least`, and of what lies between two that are no more than `gap`
// pages apart. 0 when they are too many ranges or too many bytes.
static int arrange(const edge_template* template, unsigned least, uint64_t gap, edge_layout* layout) {
  uint32_t ranges_max = layout->mode == EDGE_LAYOUT_GUARDED ? EDGE_HOT_RANGES : OPEN_RANGES_MAX;
  uint64_t pages = pages_of(template), total = 0;
  uint64_t most = least >= LEARNING_RESETS / 2 ? HOT_BYTES_OFTEN : HOT_BYTES_MAX;
  layout->ranges = 0;
  for (uint64_t i = 0; i < pages; i++) {
    if (template->heat[i] < least) {
      continue;
    }
    edge_range* last = layout->ranges == 0 ? NULL : &layout->hot[layout->ranges - 1];
    uint64_t added = 1;
    if (last != NULL && i - (last->first + last->pages) <= gap) {
      added = i + 1 - (last->first + last->pages);
      last->pages += (uint32_t)added;
    } else if (layout->ranges == ranges_max) {
      return 0;
    } else {
      layout->hot[layout->ranges++] = (edge_range){(uint32_t)i, 1};
    }
    total += added;
    if (total * edge_page() > most) {
      return 0;
    }
  }
  return 1;
}

// choose finds the most pages that fit, with the least between them.
static void choose(const edge_template* template, edge_layout* layout) {
  for (unsigned least = HEAT_MIN; least <= LEARNING_RESETS; least++) {
    for (uint64_t gap = 0; gap * edge_page() < HOT_BYTES_MAX; gap = gap == 0 ? 1 : gap * 2) {
      if (arrange(template, least, gap, layout)) {
        return;
      }
    }
  }
  layout->ranges = 0;
}

// publish makes a layout the template's.
static void publish(edge_template* template, const edge_layout* layout) {
  template->layout = *layout;
  template->revisions++;
  template->resets = 0;
  template->faults = 0;
  template->samples = 0;
  memset(template->used, 0, pages_of(template));
  atomic_fetch_add_explicit(&template->version, 1, memory_order_release);
}

static void settle(edge_template* template, uint32_t mode) {
  edge_layout layout = {.mode = mode};
  choose(template, &layout);
  publish(template, &layout);
}

void edge_learn_watch(edge_template* template, const edge_cold* cold) {
  pthread_mutex_lock(&template->mu);
  // An instance that has not been told yet that learning is over, or has begun anew, has nothing to say.
  if (template->layout.mode == EDGE_LAYOUT_WATCHED && cold->version == atomic_load(&template->version)) {
    note_written(template, cold->base);
    if (++template->watched == LEARNING_RESETS) {
      settle(template, EDGE_LAYOUT_GUARDED);
    }
  }
  pthread_mutex_unlock(&template->mu);
}

// promote makes pages hot that were written so often that copying them costs less; 0 when there was none.
static int promote(edge_template* template) {
  int promoted = 0;
  for (uint32_t i = 0; i < template->faults; i++) {
    uint32_t page = template->met[i], times = 0;
    for (uint32_t j = 0; j < template->faults; j++) {
      times += template->met[j] == page;
    }
    if (page == EDGE_COLD_UNKNOWN || times < 2 || times * COPIES_A_FAULT < template->resets) {
      continue;
    }
    uint16_t heat = times * 2 >= template->resets ? LEARNING_RESETS : HEAT_MIN;
    if (template->heat[page] < heat) {
      template->heat[page] = heat;
      promoted = 1;
    }
  }
  return promoted;
}

// revise looks at what the guard has met.
static void revise(edge_template* template) {
  int costly = template->faults * RESETS_A_FAULT > template->resets;
  if (template->revisions < REVISIONS_MAX && promote(template)) {
    settle(template, EDGE_LAYOUT_GUARDED);
  } else if (costly) {
    settle(template, EDGE_LAYOUT_OPEN);
    template->open_resets = 0;
  }
  template->resets = 0;
  template->faults = 0;
}

void edge_learn_guarded(edge_template* template, edge_cold* cold) {
  pthread_mutex_lock(&template->mu);
  if (cold->version == atomic_load(&template->version)) {
    template->resets += cold->resets;
    for (uint32_t i = 0; i < cold->windows; i++) {
      template->met[template->faults++] = cold->written[i];
    }
    if (template->faults >= FAULTS_GATHERED) {
      revise(template);
    }
  }
  cold->resets = 0;
  pthread_mutex_unlock(&template->mu);
}

// cool makes hot pages cold that no sample found changed, when that saves a quarter of the copying.
static void cool(edge_template* template) {
  uint32_t hot = 0, unused = 0;
  for (uint32_t i = 0; i < template->layout.ranges; i++) {
    edge_range r = template->layout.hot[i];
    for (uint32_t page = r.first; page < r.first + r.pages; page++) {
      hot++;
      unused += template->heat[page] >= HEAT_MIN && !template->used[page];
    }
  }
  template->samples = 0;
  if (unused * 4 < hot || unused == 0) {
    memset(template->used, 0, pages_of(template));
    return;
  }
  for (uint64_t page = 0; page < pages_of(template); page++) {
    template->heat[page] = template->used[page] ? template->heat[page] : 0;
  }
  settle(template, EDGE_LAYOUT_GUARDED);
}

void edge_learn_sample(edge_template* template, edge_cold* cold) {
  pthread_mutex_lock(&template->mu);
  if (cold->version == atomic_load(&template->version)) {
    for (uint32_t i = 0; i < cold->layout.ranges; i++) {
      edge_range r = cold->layout.hot[i];
      for (uint64_t page = r.first; page < (uint64_t)r.first + r.pages; page++) {
        uint64_t at = page * edge_page();
        template->used[page] |= memcmp(cold->base + at, template->image + at, edge_page()) != 0;
      }
    }
    template->resets += cold->resets;
    if (++template->samples == SAMPLES) {
      cool(template);
    }
  }
  cold->resets = 0;
  pthread_mutex_unlock(&template->mu);
}

void edge_learn_open(edge_template* template, edge_cold* cold) {
  pthread_mutex_lock(&template->mu);
  if (cold->version == atomic_load(&template->version) && template->layout.mode == EDGE_LAYOUT_OPEN) {
    template->open_resets += cold->resets;
    if (template->open_resets >= template->relearn) {
      template->relearn = template->relearn < RELEARN_MAX ? template->relearn * 2 : RELEARN_MAX;
      template->watched = 0;
      template->revisions = 0;
      memset(template->heat, 0, pages_of(template) * sizeof *template->heat);
      edge_layout watched = {.mode = EDGE_LAYOUT_WATCHED};
      publish(template, &watched);
    }
  }
  cold->resets = 0;
  pthread_mutex_unlock(&template->mu);
}

int edge_learn_begin(edge_template* template) {
  template->relearn = RELEARN_MIN;
  template->heat = calloc(pages_of(template), sizeof *template->heat);
  template->used = calloc(pages_of(template), sizeof *template->used);
  return template->heat == NULL || template->used == NULL ? -1 : 0;
}

void edge_template_force(edge_template* template, int mode) {
  pthread_mutex_lock(&template->mu);
  settle(template, (uint32_t)mode);
  pthread_mutex_unlock(&template->mu);
}

uint64_t edge_template_hot(edge_template* template) {
  uint64_t total = 0;
  pthread_mutex_lock(&template->mu);
  for (uint32_t i = 0; i < template->layout.ranges; i++) {
    total += template->layout.hot[i].pages * edge_page();
  }
  pthread_mutex_unlock(&template->mu);
  return total;
}

int edge_template_mode(edge_template* template) {
  pthread_mutex_lock(&template->mu);
  int mode = (int)template->layout.mode;
  pthread_mutex_unlock(&template->mu);
  return mode;
}
