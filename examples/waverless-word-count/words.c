// Counts words: split_file cuts a text into slices, each slice starts handle_one_slice, and result puts the counts together.
#include <ctype.h>
#include <stdio.h>

#include "waverless.h"

enum { SLICE = 64 << 10 };

static int number_key(char* key, const char* prefix, int number) { return sprintf(key, "%s%d", prefix, number); }

// get returns a value with a NUL behind it, or nothing. The caller frees it.
static char* get(const char* key, int* len) {
  int id = 0;
  *len = 0;
  kv_get_len(key, (int)strlen(key), len, &id);
  char* value = malloc((size_t)*len + 1);
  if (value == NULL) {
    abort();
  }
  if (*len > 0) {
    kv_get(id, value);
  }
  value[*len] = '\0';
  return value;
}

EXPORT(split_file) void split_file(const char* text, int len) {
  char key[32];
  int slices = 0;
  for (int from = 0; from < len;) {
    int to = from + SLICE < len ? from + SLICE : len;
    while (to < len && !isspace((unsigned char)text[to])) {
      to++;
    }
    kv_set(key, number_key(key, "wordcount_slice_", slices), text + from, to - from);
    slices++;
    from = to;
  }
  char count[16];
  kv_set("wordcount_slices", 16, count, sprintf(count, "%d", slices));
}

// A table of words by their text.
typedef struct {
  char* word;
  int count;
} entry;

typedef struct {
  entry* entries;
  unsigned size, used;
} table;

static entry* find(table* t, const char* word, size_t len) {
  unsigned hash = 2166136261U;
  for (size_t i = 0; i < len; i++) {
    hash = (hash ^ (unsigned char)word[i]) * 16777619U;
  }
  for (unsigned at = hash & (t->size - 1);; at = (at + 1) & (t->size - 1)) {
    entry* e = &t->entries[at];
    if (e->word == NULL || (strlen(e->word) == len && memcmp(e->word, word, len) == 0)) {
      return e;
    }
  }
}

static void add(table* t, const char* word, size_t len, int count) {
  if (2 * t->used >= t->size) {
    table larger = {calloc(t->size ? 2 * t->size : 1024, sizeof(entry)), t->size ? 2 * t->size : 1024, t->used};
    if (larger.entries == NULL) {
      abort();
    }
    for (unsigned i = 0; i < t->size; i++) {
      if (t->entries[i].word != NULL) {
        *find(&larger, t->entries[i].word, strlen(t->entries[i].word)) = t->entries[i];
      }
    }
    free(t->entries);
    *t = larger;
  }
  entry* e = find(t, word, len);
  if (e->word == NULL) {
    if ((e->word = malloc(len + 1)) == NULL) {
      abort();
    }
    memcpy(e->word, word, len);
    e->word[len] = '\0';
    t->used++;
  }
  e->count += count;
}

static int by_word(const void* a, const void* b) { return strcmp(((const entry*)a)->word, ((const entry*)b)->word); }

// print makes one line of each word, in order. The caller frees it.
static char* print(table* t, int* len) {
  size_t room = 1;
  unsigned used = 0;
  for (unsigned i = 0; i < t->size; i++) {
    if (t->entries[i].word != NULL) {
      room += strlen(t->entries[i].word) + 16;
      t->entries[used++] = t->entries[i];
    }
  }
  if (used > 0) {
    qsort(t->entries, used, sizeof(entry), by_word);
  }
  char* text = malloc(room);
  if (text == NULL) {
    abort();
  }
  *len = 0;
  for (unsigned i = 0; i < used; i++) {
    *len += sprintf(text + *len, "%s %d\n", t->entries[i].word, t->entries[i].count);
  }
  return text;
}

// handle_one_slice is called with the key that was written. What it writes follows from the slice alone, so that it does no
// harm when it is called twice.
EXPORT(handle_one_slice) void handle_one_slice(const char* key, int key_len) {
  char slice[64];
  if (key_len >= (int)sizeof slice) {
    return;
  }
  memcpy(slice, key, (size_t)key_len);
  slice[key_len] = '\0';
  int len;
  char* text = get(slice, &len);
  if (len == 0) {
    return;  // it has been done already
  }
  table words = {0};
  for (char* at = text; *at != '\0';) {
    char* from = at;
    while (*at != '\0' && !isspace((unsigned char)*at)) {
      at++;
    }
    if (at > from) {
      add(&words, from, (size_t)(at - from), 1);
    }
    while (*at != '\0' && isspace((unsigned char)*at)) {
      at++;
    }
  }
  char* counts = print(&words, &len);
  char name[64];
  int name_len = sprintf(name, "wordcount_%s", slice + strlen("wordcount_slice_"));
  int id, ops[] = {2, SET, (int)name, name_len, (int)counts, len, DELETE, (int)slice, key_len};
  kv_batch_ope(ops, sizeof ops / sizeof *ops, &id);
}

EXPORT(result) void result(void) {
  int len;
  int slices = atoi(get("wordcount_slices", &len));
  table words = {0};
  for (int i = 0; i < slices; i++) {
    char key[32];
    number_key(key, "wordcount_", i);
    char* counts = get(key, &len);
    if (len == 0) {
      write_result("not yet\n", 8);
      return;
    }
    for (char* at = counts; *at != '\0';) {
      char* space = strchr(at, ' ');
      char* end = strchr(at, '\n');
      add(&words, at, (size_t)(space - at), atoi(space + 1));
      at = end + 1;
    }
    free(counts);
  }
  char* text = print(&words, &len);
  write_result(text, len);
}
