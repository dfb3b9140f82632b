// A function for Faasm that splits its input and has itself count the parts, each in a call of its own.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "faasm.h"

enum { PARTS = 4 };

// count_words is entered by its pointer, with its part as input. What it found goes to a state that all parts append to.
static int count_words(void) {
  long len = faasm_read_input(NULL, 0);
  char* text = malloc((size_t)len + 1);
  if (text == NULL) {
    return 2;
  }
  faasm_read_input(text, len);
  int words = 0;
  for (long i = 0; i < len; i++) {
    if (text[i] == '!') {
      return 7;  // what the caller gets from await
    }
    words += text[i] != ' ' && (i == 0 || text[i - 1] == ' ');
  }
  faasm_append_state("counts", &words, sizeof words);
  char output[16];
  faasm_write_output(output, snprintf(output, sizeof output, "%d", words));
  return 0;
}

int main(void) {
  long len = faasm_read_input(NULL, 0);
  char* text = malloc((size_t)len + 1);
  if (text == NULL) {
    return 1;
  }
  faasm_read_input(text, len);
  faasm_clear_appended_state("counts");
  unsigned calls[PARTS];
  long from = 0;
  for (int i = 0; i < PARTS; i++) {
    long to = i == PARTS - 1 ? len : len * (i + 1) / PARTS;
    while (to < len && text[to] != ' ') {
      to++;
    }
    if (to < from) {
      to = from;
    }
    calls[i] = faasm_chain_ptr(count_words, text + from, to - from);
    from = to;
  }
  int outputs = 0;
  for (int i = 0; i < PARTS; i++) {
    char* output;
    int output_len;
    int code = i == 0 ? faasm_await_call(calls[i]) : 0;  // both ways to wait, one after the other
    code = code != 0 ? code : faasm_await_call_output(calls[i], &output, &output_len);
    for (int at = 0, number = 0; code == 0 && at < output_len; at++) {
      number = 10 * number + output[at] - '0';
      outputs += at == output_len - 1 ? number : 0;
    }
    if (code != 0) {
      char answer[64];
      snprintf(answer, sizeof answer, "part %d returned %d\n", i, code);
      faasm_write_output(answer, (long)strlen(answer));
      return 0;
    }
  }
  int counts[PARTS], sum = 0;
  faasm_read_appended_state("counts", counts, sizeof counts, PARTS);
  for (int i = 0; i < PARTS; i++) {
    sum += counts[i];
  }
  if (sum != outputs) {
    return 1;
  }
  char answer[64];
  snprintf(answer, sizeof answer, "%d words\n", sum);
  printf("this goes to the log\n");
  faasm_write_output(answer, (long)strlen(answer));
  return 0;
}
