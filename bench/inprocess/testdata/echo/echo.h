/* What the guest is given, and does: the same source for every contestant. */
#ifndef ECHO_H
#define ECHO_H

#define SIZE 1024 /* bytes of a request and of its answer */

#ifdef __wasm__
#define EXPORT(name) __attribute__((export_name(#name)))
#else
#define EXPORT(name)
#endif
#if defined(__wasm__) && !defined(EDGED_ABI)
#define IMPORT(name) __attribute__((import_module("bench"), import_name(#name)))
#else
#define IMPORT(name)
#endif

/* input copies the request to where the guest wants it and returns its length; output takes the answer. */
IMPORT(input) int input(unsigned char* to, int capacity);
IMPORT(output) void output(const unsigned char* from, int length);

/* handle answers one request; it returns 0. */
EXPORT(handle) int handle(void);

/* fib computes and touches no memory. */
EXPORT(fib) int fib(int n);

#endif
