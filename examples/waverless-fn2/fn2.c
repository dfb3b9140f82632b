// The smallest function of waverless: it takes nothing, and prints.
#include <stdio.h>

__attribute__((export_name("fn2"))) void fn2(void) {
  puts("hello world");
  fflush(stdout);
}
