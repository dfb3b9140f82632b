// A command: what it does is its first argument.
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static volatile int sink;
static int recurse(int n) { return sink < 0 ? 0 : recurse(n + 1) * 3 + n; }

int main(int argc, char** argv) {
  const char* verb = argc > 1 ? argv[1] : "";
  if (!strcmp(verb, "args"))
    for (int i = 2; i < argc; i++) printf("[%s]", argv[i]);
  if (!strcmp(verb, "upper"))
    for (int c; (c = getchar()) != EOF;) putchar(toupper(c));
  if (!strcmp(verb, "complain")) fputs("complaint\n", stderr);
  if (!strcmp(verb, "exit")) exit(atoi(argv[2]));
  if (!strcmp(verb, "trap")) __builtin_trap();
  if (!strcmp(verb, "env")) fputs(getenv(argv[2]) ? getenv(argv[2]) : "(none)", stdout);
  if (!strcmp(verb, "spin"))
    for (;;) sink++;
  if (!strcmp(verb, "recurse")) return recurse(0);
  if (!strcmp(verb, "flood"))
    for (int i = 0; i < 1 << 16; i++) fputs("0123456789abcdef", stdout);
  if (!strcmp(verb, "write")) {
    FILE* file = fopen(argv[2], "w");
    if (file == NULL) return 4;
    fputs("content", file);
    fclose(file);
    fputs("written", stdout);
  }
  return 0;
}
