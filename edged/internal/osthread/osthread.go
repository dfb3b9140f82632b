// Package osthread asks the kernel to treat a thread as one that has little to do and wants to do it at once.
package osthread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// slice is the shortest time slice that the kernel gives, in nanoseconds.
const slice = 100_000

// LockPrompt binds the calling goroutine to its thread for good, as [runtime.LockOSThread] does, and gives the thread a short
// time slice when it is under the kernel's normal policy.
//
// Such a thread shares its core with guests that compute. What runs may finish its slice, 3 ms by default, before the
// kernel looks at a thread that wakes up, unless that one's slice is shorter (EEVDF, from Linux 6.12 on; before it has no
// effect). It takes no privilege, for the thread gets no larger part of the core, and it is a matter of latency only, so a
// kernel that does not know it may refuse.
func LockPrompt() {
	runtime.LockOSThread()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return
	}
	attr.Runtime = slice
	_ = unix.SchedSetAttr(0, attr, 0)
}
