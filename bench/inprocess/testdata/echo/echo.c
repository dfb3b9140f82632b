/*
 * Answers a request of 1 KiB with as much: every byte changed, and the number of calls added to it. Whoever gives each request
 * an instance of its own always sees the first call; whoever does not is found out.
 */
#include "echo.h"

static unsigned char request[SIZE], answer[SIZE];
static unsigned calls;

int handle(void) {
  int length = input(request, SIZE);
  calls++;
  for (int i = 0; i < length; i++) answer[i] = (unsigned char)((request[i] ^ 0x5a) + calls);
  output(answer, length);
  return 0;
}

int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
