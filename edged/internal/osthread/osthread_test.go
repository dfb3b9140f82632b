package osthread

import (
	"testing"

	"golang.org/x/sys/unix"
)

// TestLockPrompt: the thread has the short slice afterwards, or the kernel does not have such a thing.
func TestLockPrompt(t *testing.T) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		LockPrompt() // the thread ends with the goroutine
		attr, err := unix.SchedGetAttr(0, 0)
		if err != nil {
			t.Log("no sched_getattr:", err)
			return
		}
		if attr.Policy != unix.SCHED_NORMAL || attr.Nice != nice && attr.Nice != 0 {
			t.Errorf("policy %d, nice %d: neither what was asked for nor what was there", attr.Policy, attr.Nice)
		}
		if attr.Runtime != slice && attr.Runtime != 0 { // kernels before 6.12 report 0
			t.Errorf("its slice is %d ns", attr.Runtime)
		}
	}()
	<-done
}
