/* The guest as a program of its own that is started for each request: stdin is the request, stdout the answer. */
#include <unistd.h>

#include "echo.h"

int input(unsigned char* to, int capacity) {
  int length = 0;
  for (;;) {
    ssize_t n = read(0, to + length, (size_t)(capacity - length));
    if (n <= 0) return length;
    length += (int)n;
  }
}

void output(const unsigned char* from, int length) {
  while (length > 0) {
    ssize_t n = write(1, from, (size_t)length);
    if (n <= 0) _exit(1);
    from += n;
    length -= (int)n;
  }
}

int main(void) { return handle(); }
