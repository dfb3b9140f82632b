package aot

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

const (
	// childFiles is more than the compiler opens at once (the object, its output, /proc files of the Go runtime).
	childFiles = 64
	// cpuGrace is what the child has after the signal at its CPU limit to say so before the kernel kills it, in seconds.
	cpuGrace = 3
	// niceForeground leaves the cores to the guests that are being served.
	niceForeground = 10
	// niceIdle is the lowest priority (nice(1)).
	niceIdle = 19
	// oomScore makes the kernel's out-of-memory killer take the compiler before anything else (proc(5)).
	oomScore = "1000"
	// ioClassIdle is IOPRIO_CLASS_IDLE in the class bits of ioprio_set(2), ioWhoThread its IOPRIO_WHO_PROCESS.
	ioClassIdle = 3 << 13
	ioWhoThread = 1
)

// confine puts the whole process under the header's limits, for good.
func confine(h header) error {
	closeInherited()
	unix.Umask(0o077)
	// RLIMIT_DATA and not RLIMIT_AS: the Go runtime reserves far more address space than it ever uses, and since Linux
	// 4.7 DATA counts every private writable mapping, the heap of LLVM included.
	limits := []struct {
		name       string
		resource   int
		soft, hard uint64
	}{
		{"core size", unix.RLIMIT_CORE, 0, 0},
		{"memory", unix.RLIMIT_DATA, h.MemoryBytes, h.MemoryBytes},
		{"CPU", unix.RLIMIT_CPU, h.CPUSeconds, h.CPUSeconds + cpuGrace},
		{"file size", unix.RLIMIT_FSIZE, h.OutputBytes, h.OutputBytes},
		{"open files", unix.RLIMIT_NOFILE, childFiles, childFiles},
	}
	for _, limit := range limits {
		var now unix.Rlimit
		if err := unix.Getrlimit(limit.resource, &now); err != nil {
			return fmt.Errorf("read the %s limit: %w", limit.name, err)
		}
		// A stricter limit of the daemon's own stays.
		set := unix.Rlimit{Cur: min(limit.soft, now.Max), Max: min(limit.hard, now.Max)}
		if err := unix.Setrlimit(limit.resource, &set); err != nil {
			return fmt.Errorf("set the %s limit: %w", limit.name, err)
		}
	}
	// Raising one's own score needs no privilege, but /proc may be mounted read-only in a container: no reason to stop.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte(oomScore), 0)
	return nil
}

// closeInherited closes what leaked into this process over exec: every descriptor above 2 without the close-on-exec
// flag. What this process opened itself has the flag, the Go runtime's own descriptors too.
func closeInherited() {
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return // no /proc: nothing can be found, and nothing secret is known to leak
	}
	for _, entry := range entries {
		fd, err := strconv.Atoi(entry.Name())
		if err != nil || fd <= 2 {
			continue
		}
		if flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil && flags&unix.FD_CLOEXEC == 0 {
			_ = unix.Close(fd)
		}
	}
}

// lowerPriority lowers the calling thread's priority, and so that of the threads it starts. Only the nice value must
// work; the idle classes of CPU and disk are taken where the kernel has them.
func lowerPriority(idle bool) error {
	nice := niceForeground
	if idle {
		nice = niceIdle
	}
	current, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return fmt.Errorf("read the priority: %w", err)
	}
	// The system call returns 20 minus the nice value; a daemon niced further than us keeps its own.
	if 20-current < nice {
		if err := unix.Setpriority(unix.PRIO_PROCESS, 0, nice); err != nil {
			return fmt.Errorf("lower the priority: %w", err)
		}
	}
	if idle {
		_ = unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_IDLE, Nice: niceIdle}, 0)
		_, _, _ = unix.Syscall(unix.SYS_IOPRIO_SET, ioWhoThread, 0, ioClassIdle)
	}
	return nil
}
