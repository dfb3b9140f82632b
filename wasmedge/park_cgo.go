package wasmedge

// #include <linux/futex.h>
// #include <stdatomic.h>
// #include <stdint.h>
// #include <sys/syscall.h>
// #include <unistd.h>
//
// // A token of one bit: taken by the thread that waits for it, given by whoever wakes it.
// static void edge_wait(_Atomic uint32_t* token) {
//   while (atomic_exchange_explicit(token, 0, memory_order_acquire) == 0) {
//     syscall(SYS_futex, token, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
//   }
// }
//
// static void edge_wake(_Atomic uint32_t* token) {
//   if (atomic_exchange_explicit(token, 1, memory_order_release) == 0) {
//     syscall(SYS_futex, token, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
//   }
// }
//
// static void edge_wait_at(void* token) { edge_wait(token); }
// static void edge_wake_at(void* token) { edge_wake(token); }
//
// // Both take the address of a Thread's token.
import "C"

import "unsafe"

// Wait blocks until [Thread.Wake] has been called since the last Wait returned; it returns at once when it has been
// already. It belongs to the function that runs on the thread.
//
// The goroutine of a guest thread is bound to it. Were it to wait on a channel or a lock, Go would have to pass a processor
// from one thread to another twice for every wake-up; here the thread itself sleeps, as in a system call.
func (t *Thread) Wait() {
	// SAFETY: the token is a field of t, which is alive as long as the call; C keeps no pointer.
	C.edge_wait_at(unsafe.Pointer(&t.token))
}

// Wake makes one Wait return. It may be called from any goroutine and does not block; several calls before the next Wait
// count as one.
func (t *Thread) Wake() {
	// SAFETY: as in Wait.
	C.edge_wake_at(unsafe.Pointer(&t.token))
}
