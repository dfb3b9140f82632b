package aot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// outputName is the shared object's name in its job's folder.
	outputName = "out.so"
	// killGrace bounds the wait for the pipes of a killed child.
	killGrace = 5 * time.Second
	// stderrKept is how much of the beginning and of the end of the child's standard error is kept, in bytes each: the
	// words of an abort come first, a linker's last.
	stderrKept = 4 << 10
	// exitNotFound is the exit status of the dynamic loader when a library is missing, and of a shell without the command.
	exitNotFound = 127
)

// Below crowdedBytes, and crowdedFactor for every byte of code, of free space a crash is put down to the disk: LLVM and the
// linker do not check all of their writes and fail later with other words. Native code is some 4 times as large as the
// code it is made of, and it is on the disk twice while the linker runs.
const (
	crowdedBytes  = 1 << 20
	crowdedFactor = 16
)

// errWall is the cause of the context of a child that has used up its wall time.
var errWall = errors.New("wall time limit")

// runner starts children.
type runner struct {
	self   []string
	env    []string
	engine string
}

// job is one compilation.
type job struct {
	code   []byte
	level  Level
	idle   bool
	limits ChildLimits
	wall   time.Duration
	dir    string // a folder of its own, where the child works
	stage  func(string)
}

func (j job) header(engine string) header {
	return header{
		Version: wireVersion, Engine: engine, Size: int64(len(j.code)), Level: j.level.String(), Idle: j.idle,
		Out: filepath.Join(j.dir, outputName), MemoryBytes: uint64(j.limits.MemoryBytes),
		CPUSeconds: seconds(j.limits.CPU), OutputBytes: uint64(j.limits.OutputBytes),
	}
}

// run compiles in a child process and returns the path of the shared object in the job's folder. Its error is a
// *CompileError, or the cause of ctx when that ended first. When it returns, the child is gone.
func (r runner) run(ctx context.Context, j job) (string, error) {
	type outcome struct {
		path string
		err  error
	}
	done := make(chan outcome, 1) // one send
	// The parent-death signal of a child is bound to the thread that started it, not to the process. So this goroutine
	// keeps its thread from before the start until the child has ended; otherwise the child could be killed when the Go
	// runtime ends that thread, or survive the daemon.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		path, err := r.runLocked(ctx, j)
		done <- outcome{path, err}
	}()
	result := <-done
	return result.path, result.err
}

func (r runner) runLocked(parent context.Context, j job) (string, error) {
	ctx, cancel := context.WithTimeoutCause(parent, j.wall, errWall)
	defer cancel()
	line, err := json.Marshal(j.header(r.engine))
	if err != nil {
		return "", fmt.Errorf("encode the header: %w", err)
	}
	stderr := &headTail{limit: stderrKept}
	cmd := exec.CommandContext(ctx, r.self[0], r.self[1:]...) //nolint:gosec // our own binary
	cmd.Dir = j.dir
	// Nothing of the daemon's environment: it may hold secrets, and would change what the compiler does.
	cmd.Env = append([]string{"GOTRACEBACK=none", "LC_ALL=C", "TMPDIR=" + j.dir}, r.env...)
	cmd.Stdin = io.MultiReader(bytes.NewReader(append(line, '\n')), bytes.NewReader(j.code))
	cmd.Stderr = stderr
	cmd.WaitDelay = killGrace
	// A group of its own keeps a terminal's Ctrl-C for the daemon, which then ends the child in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return "", r.failed(j, ReasonStart, err.Error(), stderr)
	}
	if err := cmd.Start(); err != nil {
		if ctx.Err() != nil {
			return "", r.ended(ctx, j, stderr)
		}
		return "", r.failed(j, ReasonStart, err.Error(), stderr)
	}
	result, _ := readEvents(stdout, j.stage) // why there is no result is told by how the child ended
	_, _ = io.Copy(io.Discard, stdout)
	waitErr := cmd.Wait()
	return r.judge(ctx, j, result, waitErr, cmd.ProcessState, stderr)
}

// judge says what came out of a child that has ended.
func (r runner) judge(ctx context.Context, j job, result *event, waitErr error, state *os.ProcessState, stderr *headTail) (string, error) {
	switch {
	case result != nil && result.Done && waitErr == nil:
		return filepath.Join(j.dir, outputName), nil
	case result != nil && result.Reason.sentinel() != nil:
		return "", r.failed(j, result.Reason, result.Detail, stderr)
	case ctx.Err() != nil:
		return "", r.ended(ctx, j, stderr)
	}
	reason, detail := diagnose(state, stderr.String(), j.limits, hasFullFile(j.dir, j.limits.OutputBytes))
	return "", r.failed(j, reason, detail, stderr)
}

// ended is the error of a child that was killed because its context ended.
func (r runner) ended(ctx context.Context, j job, stderr *headTail) error {
	if cause := context.Cause(ctx); !errors.Is(cause, errWall) {
		return cause
	}
	return r.failed(j, ReasonWall, fmt.Sprintf("not done after %v", j.wall), stderr)
}

func (r runner) failed(j job, reason Reason, detail string, stderr *headTail) *CompileError {
	if free, ok := freeBytes(j.dir); ok && reason == ReasonCrash && free < crowdedBytes+crowdedFactor*int64(len(j.code)) {
		reason, detail = ReasonDisk, fmt.Sprintf("%d KiB are free; %s", free>>10, detail)
	}
	failure := newCompileError(reason, j.level, detail)
	failure.Stderr = stderr.String()
	return failure
}

// memoryWords are how the parts of the child put that memory is at its end: libstdc++, LLVM, the Go runtime, the
// kernel's error text, a thread that gets no stack, the race detector of a test build.
var memoryWords = []string{"std::bad_alloc", "out of memory", "Cannot allocate memory", "cannot allocate memory", "pthread_create failed", "failed to allocate"}

// diagnose finds the reason of a child that ended without a result.
func diagnose(state *os.ProcessState, stderr string, limits ChildLimits, fullFile bool) (Reason, string) {
	status, _ := state.Sys().(syscall.WaitStatus)
	killed := status.Signaled() && status.Signal() == syscall.SIGKILL
	switch {
	case strings.Contains(stderr, "error while loading shared libraries") || status.Exited() && status.ExitStatus() == exitNotFound:
		return ReasonLibrary, firstLine(stderr)
	case containsAny(stderr, memoryWords):
		return ReasonMemory, fmt.Sprintf("limit %d MiB", limits.MemoryBytes>>20)
	case fullFile:
		return ReasonOutput, fmt.Sprintf("wrote %d bytes", limits.OutputBytes)
	case strings.Contains(stderr, "No space left on device"):
		return ReasonDisk, lastLine(stderr)
	case killed && state.UserTime()+state.SystemTime() >= limits.CPU:
		return ReasonCPU, fmt.Sprintf("used %v of CPU time", limits.CPU)
	case killed:
		return ReasonKilled, state.String()
	}
	detail := state.String()
	if line := firstLine(stderr); line != "" {
		detail += ": " + line
	}
	return ReasonCrash, detail
}

// hasFullFile reports whether a file of the folder has reached the size limit: the linker ends the process with
// other words when the file it has to read was cut off.
func hasFullFile(dir string, limit int64) bool {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	for _, entry := range entries {
		if info, err := entry.Info(); err == nil && info.Size() >= limit {
			return true
		}
	}
	return false
}

// freeBytes returns what may still be written to the file system of a folder.
func freeBytes(dir string) (int64, bool) {
	var system unix.Statfs_t
	if err := unix.Statfs(dir, &system); err != nil {
		return 0, false
	}
	return int64(system.Bavail) * system.Bsize, true
}

func containsAny(text string, words []string) bool {
	for _, word := range words {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(text), "\n")
	return clip(line, 300)
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return clip(text[strings.LastIndexByte(text, '\n')+1:], 300)
}

// headTail keeps the first and the last limit bytes of what is written to it. It is written to by one goroutine and
// read after that has ended.
type headTail struct {
	limit   int
	head    []byte
	tail    []byte
	dropped int64
}

// Write keeps what it can and never fails.
func (h *headTail) Write(p []byte) (int, error) {
	rest := p
	if room := h.limit - len(h.head); room > 0 {
		n := min(room, len(rest))
		h.head, rest = append(h.head, rest[:n]...), rest[n:]
	}
	h.tail = append(h.tail, rest...)
	if over := len(h.tail) - h.limit; over > 0 {
		h.tail = append(h.tail[:0], h.tail[over:]...)
		h.dropped += int64(over)
	}
	return len(p), nil
}

// String returns what was kept and how much was not.
func (h *headTail) String() string {
	text := string(h.head)
	if h.dropped > 0 {
		text += fmt.Sprintf("\n[%d bytes left out]\n", h.dropped)
	}
	return strings.ToValidUTF8(text+string(h.tail), "?")
}
