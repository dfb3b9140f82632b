// The wrappers of WasmEdge's intrinsics for arm64, AAPCS64. Arguments are in x0-x7 and v0-v7, results in x0, x1, v0, v1;
// x9 to x15 are free at a call. See shim_intrinsics.c for the purpose.
#include "preempt/offsets.h"

	.section .note.GNU-stack,"",@progbits
	.text
	.p2align 4
	.globl edge_intrinsics_wrappers
	.hidden edge_intrinsics_wrappers
edge_intrinsics_wrappers:
	.set index, 0
	.rept 23
	.p2align 4
	mov w11, #index
	b wrapper
	.p2align 4
	.set index, index + 1
	.endr

	.p2align 4
wrapper:
	mrs x9, tpidr_el0
	adrp x10, :gottprel:edge_slot
	ldr x10, [x10, #:gottprel_lo12:edge_slot]
	ldr x10, [x9, x10]
	ldr x12, [x10, #PREEMPT_SLOT_STACK_LIMIT]
	mov x13, sp
	cmp x13, x12
	b.lo overflow
	ldr w12, [x10, #PREEMPT_SLOT_HOST_DEPTH]
	add w12, w12, #1
	str w12, [x10, #PREEMPT_SLOT_HOST_DEPTH]
	stp x29, x30, [sp, #-32]!
	mov x29, sp
	str x10, [sp, #16]
	adrp x9, edge_intrinsics_original
	add x9, x9, :lo12:edge_intrinsics_original
	ldr x9, [x9, x11, lsl #3]
	blr x9
	ldr x10, [sp, #16]
	ldp x29, x30, [sp], #32
	ldr w12, [x10, #PREEMPT_SLOT_HOST_DEPTH]
	sub w12, w12, #1
	str w12, [x10, #PREEMPT_SLOT_HOST_DEPTH]
	ldr w12, [x10, #PREEMPT_SLOT_DEFERRED]
	cbnz w12, deferred
	ret

overflow:
	and x12, x12, #~15
	mov sp, x12
	bl edge_intrinsics_overflow
	brk #1

deferred:
	// Results live in these until the caller takes them.
	stp x29, x30, [sp, #-64]!
	mov x29, sp
	stp x0, x1, [sp, #16]
	stp q0, q1, [sp, #32]
	bl edge_intrinsics_deferred
	ldp q0, q1, [sp, #32]
	ldp x0, x1, [sp, #16]
	ldp x29, x30, [sp], #64
	ret

	.section .rodata
	.p2align 3
	.globl edge_intrinsics_stride
	.hidden edge_intrinsics_stride
edge_intrinsics_stride:
	.quad 16
