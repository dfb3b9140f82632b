package testutil

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// leakWait bounds how long [NoLeaks] lets goroutines and descriptors that are on their way out finish: an event loop
// that has been told to stop, a keep-alive connection that the peer has closed.
const leakWait = 5 * time.Second

// leakPoll is the pause between two looks.
const leakPoll = 5 * time.Millisecond

// NoLeaks fails the test when, after everything it deferred and registered later has run, goroutines or file
// descriptors are left that were not there at the call; it prints their stacks and targets. Call it first in a test.
// It looks at the whole process, so the test must not run beside others (no t.Parallel).
func NoLeaks(tb testing.TB) {
	tb.Helper()
	openPoller(tb)
	goroutines, files := goroutineStacks(), openFiles(tb)
	tb.Cleanup(func() {
		tb.Helper()
		if tb.Failed() {
			return // a test that ended early leaves things behind; its own failure is the news
		}
		if report := awaitNone(func() string {
			return leftGoroutines(goroutines, goroutineStacks()) + leftFiles(files, openFiles(tb))
		}); report != "" {
			tb.Errorf("the test leaks:\n%s", report)
		}
	})
}

// awaitNone returns "" as soon as look does, or what it said last when leakWait is over.
func awaitNone(look func() string) string {
	deadline := time.NewTimer(leakWait)
	defer deadline.Stop()
	tick := time.NewTicker(leakPoll)
	defer tick.Stop()
	for {
		report := look()
		if report == "" {
			return ""
		}
		select {
		case <-deadline.C:
			return report
		case <-tick.C:
		}
	}
}

// openPoller makes the Go runtime open its epoll descriptors, which it does once at the first pipe or socket and keeps
// for good; otherwise the first test that opens one would be blamed for them.
func openPoller(tb testing.TB) {
	tb.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		tb.Fatal(err)
	}
}

// goroutineStacks returns the stack of every goroutine but the caller's, by its number; numbers are never reused.
func goroutineStacks() map[string]string {
	buf := make([]byte, 64<<10)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for i, text := range strings.Split(string(buf), "\n\n") {
		header, _, _ := strings.Cut(text, " [")
		if i > 0 && !ofRuntime(text) { // the first is the caller
			stacks[header] = text
		}
	}
	return stacks
}

// ofRuntime reports whether the goroutine belongs to the Go runtime or to the test framework, which start theirs when
// they like and keep them.
func ofRuntime(stack string) bool {
	for _, mark := range []string{
		"os/signal.loop(", "os/signal.signal_recv(", "runtime.ensureSigM(", "runtime/trace.", "testing.(*T).Run(",
		"testing.(*M).startAlarm", "testing.runFuzzing(", "testing.runTests.func", "testing.tRunner.func",
	} {
		if strings.Contains(stack, mark) {
			return true
		}
	}
	return false
}

// openFiles returns the target of every open descriptor of this process, by descriptor and target.
func openFiles(tb testing.TB) map[string]bool {
	tb.Helper()
	const dir = "/proc/self/fd"
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatalf("list open files: %v", err)
	}
	files := make(map[string]bool)
	for _, entry := range entries {
		// The descriptor that the listing itself used is closed by now, so its link is gone.
		if target, err := os.Readlink(filepath.Join(dir, entry.Name())); err == nil {
			files[fmt.Sprintf("fd %s -> %s", entry.Name(), target)] = true
		}
	}
	return files
}

func leftGoroutines(before, after map[string]string) string {
	var report strings.Builder
	for _, id := range slices.Sorted(maps.Keys(after)) {
		if _, there := before[id]; !there {
			report.WriteString(after[id] + "\n\n")
		}
	}
	return report.String()
}

func leftFiles(before, after map[string]bool) string {
	var report strings.Builder
	for _, file := range slices.Sorted(maps.Keys(after)) {
		if !before[file] {
			report.WriteString(file + "\n")
		}
	}
	return report.String()
}
