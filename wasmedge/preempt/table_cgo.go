package preempt

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Werror
// #include "preempt.h"
import "C"

import "unsafe"

// Table returns the address of the mechanism's C table (preempt_ops in preempt.h). It is constant and never freed.
//
// SAFETY: the pointer is to static C storage; only C code dereferences it.
func Table() unsafe.Pointer { return unsafe.Pointer(C.preempt_table()) }
