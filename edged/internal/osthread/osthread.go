// Package osthread asks the kernel to treat a thread as one that has little to do and wants to do it at once.
package osthread

import (
	"runtime"

	"golang.org/x/sys/unix"
)

const (
	// slice is the shortest time slice that the kernel gives, in nanoseconds.
	slice = 100_000
	// nice gives three times the weight of a thread with none (sched(7)): enough to be let in before a guest that computes,
	// and not so much that a flood of requests leaves guests nothing.
	nice = -5
)

// LockPrompt binds the calling goroutine to its thread for good, as [runtime.LockOSThread] does, and, when the thread is under the
// kernel's normal policy, gives it a short time slice and, where the process may do that (root, CAP_SYS_NICE), more weight.
//
// Such a thread shares its core with guests that compute. What runs may finish its slice, 3 ms by default, before the
// kernel looks at a thread that wakes up, unless that one's slice is shorter (EEVDF, from Linux 6.12 on; before it has no
// effect) and it has not had more than its part of the core lately. All this is a matter of latency only, so a kernel that does
// not know or allow it may refuse.
func LockPrompt() {
	runtime.LockOSThread()
	attr, err := unix.SchedGetAttr(0, 0)
	if err != nil || attr.Policy != unix.SCHED_NORMAL {
		return
	}
	before := attr.Nice
	attr.Runtime, attr.Nice = slice, min(before, nice)
	if unix.SchedSetAttr(0, attr, 0) != nil {
		attr.Nice = before
		_ = unix.SchedSetAttr(0, attr, 0)
	}
}
