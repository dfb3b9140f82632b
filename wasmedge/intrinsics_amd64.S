// The wrappers of WasmEdge's intrinsics for amd64, System V calling convention. Every intrinsic takes its arguments in
// registers and returns in rax, rdx or xmm0, xmm1; r10 and r11 are free at a call. See shim_intrinsics.c for the purpose.
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
	movl $index, %r11d
	jmp wrapper
	.p2align 4
	.set index, index + 1
	.endr

	.p2align 4
wrapper:
	movq edge_slot@gottpoff(%rip), %r10
	movq %fs:(%r10), %r10
	cmpq PREEMPT_SLOT_STACK_LIMIT(%r10), %rsp
	jb overflow
	incl PREEMPT_SLOT_HOST_DEPTH(%r10)
	leaq edge_intrinsics_original(%rip), %r10
	subq $8, %rsp
	call *(%r10,%r11,8)
	addq $8, %rsp
	movq edge_slot@gottpoff(%rip), %r10
	movq %fs:(%r10), %r10
	decl PREEMPT_SLOT_HOST_DEPTH(%r10)
	cmpl $0, PREEMPT_SLOT_DEFERRED(%r10)
	jne deferred
	ret

overflow:
	movq PREEMPT_SLOT_STACK_LIMIT(%r10), %rsp
	andq $-16, %rsp
	call edge_intrinsics_overflow
	ud2

deferred:
	// Results live in these until the caller takes them.
	subq $56, %rsp
	movq %rax, (%rsp)
	movq %rdx, 8(%rsp)
	movups %xmm0, 16(%rsp)
	movups %xmm1, 32(%rsp)
	call edge_intrinsics_deferred
	movups 32(%rsp), %xmm1
	movups 16(%rsp), %xmm0
	movq 8(%rsp), %rdx
	movq (%rsp), %rax
	addq $56, %rsp
	ret

	.section .rodata
	.p2align 3
	.globl edge_intrinsics_stride
	.hidden edge_intrinsics_stride
edge_intrinsics_stride:
	.quad 16
