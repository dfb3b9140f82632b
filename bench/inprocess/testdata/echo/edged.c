/* The guest's two host functions by way of edged's own interface, docs/ABI.md. */
#include "echo.h"

#define EDGED(name) __attribute__((import_module("edged"), import_name(#name)))

EDGED(input_read) int input_read(unsigned offset, void* buffer, unsigned capacity);
EDGED(output_write) int output_write(const void* bytes, unsigned length);

int input(unsigned char* to, int capacity) { return input_read(0, to, (unsigned)capacity); }

void output(const unsigned char* from, int length) { output_write(from, (unsigned)length); }
