package preempt

// #cgo CFLAGS: -std=gnu11 -O2 -Wall -Wextra -Werror
// #include "preempt.h"
import "C"

import (
	"syscall"
	"unsafe"
)

// Table returns the address of the mechanism's C table (preempt_ops in preempt.h). It is constant and never freed.
//
// SAFETY: the pointer is to static C storage; only C code dereferences it.
func Table() unsafe.Pointer { return unsafe.Pointer(C.preempt_table()) }

// Signal returns the interrupt signal. Nothing else in the process may handle, block or ignore it.
func Signal() syscall.Signal { return syscall.Signal(C.preempt_signal()) }
