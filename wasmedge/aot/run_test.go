//go:build cgo

package aot

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/internal/testutil"
)

func shell(script string) []string { return []string{"/bin/sh", "-c", script} }

// TestFailures makes each reason happen, with the real compiler where that is possible.
func TestFailures(t *testing.T) {
	testutil.NoLeaks(t)
	slow, small := slowModule(t), smallModule(t)
	invalid := append(bytes.Clone(small[:8]), 3, 2, 1, 0) // a function of a type that does not exist
	cases := []struct {
		name    string
		options Options
		code    []byte
		want    error
		detail  string
	}{
		{"memory: runtime does not start", Options{Limits: ChildLimits{MemoryBytes: 8 << 20}}, slow, ErrMemory, "limit 8 MiB"},
		{"memory: in the compiler", Options{Limits: ChildLimits{MemoryBytes: 110 << 20}}, slow, ErrMemory, "limit 110 MiB"},
		{"cpu", Options{Limits: ChildLimits{CPU: time.Second}, Best: O3}, slow, ErrCPU, "1 s of CPU"},
		{"wall", Options{Limits: ChildLimits{FirstWall: time.Millisecond}}, slow, ErrWall, "not done after 1ms"},
		{"output", Options{Limits: ChildLimits{OutputBytes: 16 << 10}, Best: O0}, slow, ErrOutput, "16384 bytes"},
		{"not a module", Options{}, []byte("hello, world"), ErrInvalid, "magic"},
		{"invalid", Options{}, invalid, ErrInvalid, "section"},
		{"tail call", Options{}, tailCallModule(), ErrInvalid, ""},
		{"no such program", Options{Self: []string{"/nonexistent/edged"}}, small, ErrStart, "/nonexistent/edged"},
		{"missing library", Options{Self: shell("echo 'edged: error while loading shared libraries: libwasmedge.so.0: cannot open shared object file' >&2; exit 127")}, small, ErrLibrary, "libwasmedge.so.0"},
		{"crash", Options{Self: shell("kill -SEGV $$")}, small, ErrCrash, "segmentation fault"},
		{"crash with words", Options{Self: shell("echo 'SIGSEGV: segmentation violation' >&2; exit 2")}, small, ErrCrash, "SIGSEGV"},
		{"killed", Options{Self: shell("kill -KILL $$")}, small, ErrKilled, "killed"},
		{"disk full", Options{Self: shell("echo 'LLVM ERROR: IO failure on output stream: No space left on device' >&2; exit 1")}, small, ErrDisk, "No space left"},
		{"claims to be done", Options{Self: shell(`echo '{"done":true}'; exit 1`)}, small, ErrCrash, "exit status 1"},
		{"talks nonsense", Options{Self: shell("yes | head -c 100000; exit 3")}, small, ErrCrash, "exit status 3"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			runOne(t, tc.options, tc.code, tc.want, tc.detail)
		})
	}
}

// runOne makes one compilation, without the cache's fallback to O0, and checks its error.
func runOne(t *testing.T, options Options, code []byte, want error, detail string) {
	t.Helper()
	options.Dir = "unused"
	if len(options.Self) == 0 {
		options.Self = childSelf()
	}
	options, err := options.withDefaults()
	must(t, err)
	r := runner{self: options.Self, engine: engineVersion()}
	_, err = r.run(t.Context(), job{
		code: code, level: options.Best, limits: options.Limits, wall: options.Limits.FirstWall, dir: t.TempDir(), stage: func(string) {},
	})
	var failure *CompileError
	if !errors.Is(err, want) || !errors.As(err, &failure) {
		if failure != nil {
			t.Logf("stderr: %s", failure.Stderr)
		}
		t.Fatalf("got %v, want %v", err, want)
	}
	if !strings.Contains(failure.Detail, detail) {
		t.Errorf("detail %q, want something of %q", failure.Detail, detail)
	}
	if failure.Remedy == "" || !strings.Contains(err.Error(), failure.Remedy) {
		t.Errorf("%q does not say what to do", err)
	}
	if want == ErrWall && !errors.Is(err, context.DeadlineExceeded) { //nolint:errorlint // one of our own sentinels
		t.Error("a wall limit is no context.DeadlineExceeded")
	}
}

// tailCallModule is valid but for a proposal that is off: (func return_call 0).
func tailCallModule() []byte {
	return []byte{
		0, 'a', 's', 'm', 1, 0, 0, 0,
		1, 4, 1, 0x60, 0, 0, // type: () -> ()
		3, 2, 1, 0, // function 0 has type 0
		10, 6, 1, 4, 0, 0x12, 0, 0x0b, // code: return_call 0; end
	}
}

func TestReplacedLibraryIsNoticed(t *testing.T) {
	c := openTest(t, Options{Best: O0})
	c.runner.engine = "0.0.0"
	if _, err := c.Get(t.Context(), smallModule(t), nil); !errors.Is(err, ErrLibrary) {
		t.Fatalf("got %v", err)
	}
}

// TestFallbackIsRemembered lets optimising fail for good: the O0 artifact is final, also after a restart, until the
// limits change.
func TestFallbackIsRemembered(t *testing.T) {
	testutil.NoLeaks(t)
	code := smallModule(t)
	for _, large := range []int{1, 1 << 30} {
		name := map[int]string{1: "behind", 1 << 30: "at once"}[large]
		t.Run(name, func(t *testing.T) {
			self := childSelf()
			// At O3 the child is killed as the out-of-memory killer does it; at O0 it is the real one.
			picky := append(shell(`read -r header; case $header in *'"O3"'*) kill -KILL $$;; esac; { printf '%s\n' "$header"; cat; } | "$0" "$1"`), "/proc/"+strconv.Itoa(os.Getpid())+"/exe", self[1])
			c := openTest(t, Options{LargeBytes: large, Self: picky})
			a, err := c.Get(t.Context(), code, nil)
			must(t, err)
			if a.Level != O0 || a.Final != (large != 1) {
				t.Fatalf("got %+v", a)
			}
			awaitIdle(t, c)
			if now, found := c.Lookup(code); !found || now.Level != O0 || !now.Final {
				t.Fatalf("Lookup %+v, %v", now, found)
			}
			dir := c.store.dir
			must(t, c.Close(t.Context()))

			c = openTest(t, Options{Dir: dir, LargeBytes: large, Self: []string{"/nonexistent"}})
			if now, err := c.Get(t.Context(), code, nil); err != nil || !now.Final {
				t.Fatalf("after a restart %+v, %v", now, err)
			}
			must(t, c.Close(t.Context()))

			c = openTest(t, Options{Dir: dir, LargeBytes: large, Limits: ChildLimits{MemoryBytes: 3 << 30}})
			better := make(chan *Artifact, 1) // one improvement
			c.OnBetter(func(_ Key, a *Artifact) { better <- a })
			if now, err := c.Get(t.Context(), code, nil); err != nil || now.Final {
				t.Fatalf("with other limits %+v, %v", now, err)
			}
			if now := <-better; now.Level != O3 {
				t.Fatalf("improved to %+v", now)
			}
		})
	}
}

// awaitIdle waits until the background worker has nothing to do.
func awaitIdle(t *testing.T, c *Cache) {
	t.Helper()
	for {
		c.mu.Lock()
		stopped, running, queued := c.behind.stopped, c.behind.cancel != nil, len(c.behind.queue)
		c.mu.Unlock()
		if running {
			<-stopped
			continue
		}
		if queued == 0 {
			return
		}
		runtime.Gosched() // the worker has been woken and is about to take it
	}
}

func TestKilledChild(t *testing.T) {
	testutil.NoLeaks(t)
	c := openTest(t, Options{Best: O0})
	_, err := c.Get(t.Context(), slowModule(t), func(stage string, _, _ int64) {
		if stage != StageTranslate {
			return
		}
		for _, pid := range children(t, os.Getpid()) {
			_ = unix.Kill(pid, unix.SIGKILL)
		}
	})
	if !errors.Is(err, ErrKilled) {
		t.Fatalf("got %v", err)
	}
	if _, err := c.Get(t.Context(), slowModule(t), nil); err != nil {
		t.Fatalf("the next Get: %v", err)
	}
}

// TestKilledDaemon kills a daemon in the middle of a compilation: its child must be gone too, and the next daemon finds
// a clean directory.
func TestKilledDaemon(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "aot")
	daemon := exec.Command("/proc/self/exe", daemonPart, dir, slowModulePath(t))
	stdout, err := daemon.StdoutPipe()
	must(t, err)
	must(t, daemon.Start())
	awaitLine(t, stdout, StageOptimise)
	compilers := children(t, daemon.Process.Pid)
	if len(compilers) != 1 {
		t.Fatalf("children of the daemon: %v, want one", compilers)
	}
	pidfd, err := unix.PidfdOpen(compilers[0], 0)
	must(t, err)
	defer func() { _ = unix.Close(pidfd) }()
	must(t, daemon.Process.Kill())
	_ = daemon.Wait() // killed
	awaitEnd(t, pidfd)
	c := openTest(t, Options{Dir: dir, Best: O0})
	left, err := os.ReadDir(c.store.temp)
	if err != nil || len(left) != 0 {
		t.Errorf("temporary files left: %v, %v", left, err)
	}
	if _, err := c.Get(t.Context(), slowModule(t), nil); err != nil {
		t.Errorf("the next daemon: %v", err)
	}
}

func TestStockGoProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: a stock Go program takes many seconds to compile")
	}
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module hello\n\ngo 1.24\n"), 0o600))
	must(t, os.WriteFile(filepath.Join(dir, "main.go"), []byte("package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n"), 0o600))
	code := readModule(t, testutil.BuildGo(t, dir, false))
	c := openTest(t, Options{Best: O0})
	a, err := c.Get(t.Context(), code, nil)
	must(t, err)
	mustLoad(t, a.Path, 2) // memory, _start
}

func TestChildRefusesOrders(t *testing.T) {
	good := `{"version":1,"engine":"x","size":1,"level":"O0","out":"/tmp/out.so","memory_bytes":1,"cpu_seconds":1,"output_bytes":1}`
	cases := map[string]struct {
		args  []string
		stdin string
	}{
		"arguments":      {args: []string{"x"}, stdin: good + "\n"},
		"nothing":        {},
		"no newline":     {stdin: good},
		"no JSON":        {stdin: "hello\n"},
		"unknown field":  {stdin: `{"shell":"rm"}` + "\n"},
		"two values":     {stdin: good + good + "\n"},
		"version":        {stdin: strings.Replace(good, `"version":1`, `"version":9`, 1) + "\n"},
		"no size":        {stdin: strings.Replace(good, `"size":1`, `"size":0`, 1) + "\n"},
		"giant":          {stdin: strings.Replace(good, `"size":1`, `"size":1099511627776`, 1) + "\n"},
		"level O1":       {stdin: strings.Replace(good, "O0", "O1", 1) + "\n"},
		"relative path":  {stdin: strings.Replace(good, "/tmp/", "", 1) + "\n"},
		"unclean path":   {stdin: strings.Replace(good, "/tmp/", "/tmp/../", 1) + "\n"},
		"no limit":       {stdin: strings.Replace(good, `"cpu_seconds":1`, `"cpu_seconds":0`, 1) + "\n"},
		"line too long":  {stdin: strings.Repeat(" ", maxHeaderBytes+1) + "\n"},
		"endless stream": {stdin: strings.Repeat("x", 1<<20)},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			if code := ChildMain(tc.args, strings.NewReader(tc.stdin), &stdout, &stderr); code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			if stderr.Len() == 0 || stdout.Len() != 0 {
				t.Errorf("stdout %q, stderr %q", &stdout, &stderr)
			}
		})
	}
}

// TestChildIsConfined looks at a real child from outside.
func TestChildIsConfined(t *testing.T) {
	code := slowModule(t)
	for name, idle := range map[string]bool{"awaited": false, "behind": true} {
		t.Run(name, func(t *testing.T) {
			options, err := Options{Dir: "unused", Self: childSelf()}.withDefaults()
			must(t, err)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			checked := false
			r := runner{self: options.Self, engine: engineVersion()}
			_, err = r.run(ctx, job{
				code: code, level: O3, idle: idle, limits: options.Limits, wall: options.Limits.Wall, dir: t.TempDir(),
				stage: func(stage string) {
					if stage != StageTranslate {
						return
					}
					defer cancel()
					pids := children(t, os.Getpid())
					if len(pids) != 1 {
						t.Errorf("children %v, want one", pids)
						return
					}
					checked = true
					checkConfined(t, pids[0])
					checkPriority(t, pids[0], idle)
				},
			})
			if !errors.Is(err, context.Canceled) || !checked {
				t.Errorf("ended with %v, saw a child: %v", err, checked)
			}
		})
	}
}

// checkPriority looks for the thread that compiles: at least one must have the priority (proc(5): fields 19 and 41).
func checkPriority(t *testing.T, pid int, idle bool) {
	t.Helper()
	wantNice, wantPolicy := "10", "0"
	if idle {
		wantNice, wantPolicy = "19", strconv.Itoa(unix.SCHED_IDLE)
	}
	stats, err := filepath.Glob(filepath.Join("/proc", strconv.Itoa(pid), "task", "*", "stat"))
	must(t, err)
	var seen []string
	for _, path := range stats {
		stat, err := os.ReadFile(path)
		if err != nil {
			continue // the thread is gone
		}
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:])) // from field 3 on
		nice, policy := fields[19-3], fields[41-3]
		if nice == wantNice && policy == wantPolicy {
			return
		}
		seen = append(seen, "nice "+nice+" policy "+policy)
	}
	// A machine that runs the tests niced may be below already.
	if own, err := unix.Getpriority(unix.PRIO_PROCESS, 0); err == nil && !idle && 20-own > 10 {
		return
	}
	t.Errorf("threads have %q, want one with nice %s policy %s", seen, wantNice, wantPolicy)
}

func checkConfined(t *testing.T, pid int) {
	t.Helper()
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	limits, err := os.ReadFile(filepath.Join(proc, "limits"))
	if err != nil {
		t.Error(err)
		return
	}
	for _, want := range [][3]string{
		{"Max core file size", "0", "0"},
		{"Max data size", "4294967296", "4294967296"},
		{"Max cpu time", "600", "603"},
		{"Max file size", "1073741824", "1073741824"},
		{"Max open files", "64", "64"},
	} {
		found := false
		for line := range strings.Lines(string(limits)) {
			if rest, ok := strings.CutPrefix(line, want[0]); ok {
				fields := strings.Fields(rest)
				found = fields[0] == want[1] && fields[1] == want[2]
			}
		}
		if !found {
			t.Errorf("%q is not %s/%s in:\n%s", want[0], want[1], want[2], limits)
		}
	}
	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	if err != nil || bytes.Contains(environ, []byte("HOME=")) {
		t.Errorf("the child has the daemon's environment: %q, %v", environ, err)
	}
}

func FuzzReadHeader(f *testing.F) {
	f.Add([]byte(`{"version":1,"engine":"x","size":1,"level":"O0","out":"/o","memory_bytes":1,"cpu_seconds":1,"output_bytes":1}` + "\nmodule"))
	f.Add([]byte("{}\n"))
	f.Add([]byte("null\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		h, err := readHeader(bufio.NewReader(bytes.NewReader(input)))
		if err != nil {
			return
		}
		if err := h.check(); err != nil || !bytes.Contains(input, []byte("\n")) {
			t.Fatalf("accepted %+v: %v", h, err)
		}
	})
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte("{\"stage\":\"link\"}\n{\"done\":true}\n"))
	f.Add([]byte("{\"reason\":\"cpu\"}\n"))
	f.Fuzz(func(t *testing.T, input []byte) {
		e, err := readEvents(bytes.NewReader(input), func(string) {})
		if (e == nil) == (err == nil) {
			t.Fatalf("result %+v with error %v", e, err)
		}
	})
}

func TestHeadTail(t *testing.T) {
	h := &headTail{limit: 4}
	for _, part := range []string{"ab", "cdef", "ghijklmnop"} {
		if n, err := h.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got, want := h.String(), "abcd\n[8 bytes left out]\nmnop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestCPULevel(t *testing.T) {
	x86 := func(flags string) string {
		return cpuLevel("amd64", "vendor_id\t: X\ncpu family\t: 6\nmodel\t: 1\nflags\t\t: "+flags+"\n\nflags\t\t: mmx\n", nil)
	}
	arm := func(hwcap uint64) string {
		auxv := binary.NativeEndian.AppendUint64(binary.NativeEndian.AppendUint64(nil, atHWCAP), hwcap)
		return cpuLevel("arm64", "flags : avx2", auxv)
	}
	base := x86("sse2 avx2 fpu")
	cases := map[string]struct {
		a, b string
		same bool
	}{
		"order does not matter":       {base, x86("avx2 fpu sse2"), true},
		"mitigations do not matter":   {base, x86("sse2 avx2 fpu ibrs_enhanced"), true},
		"instructions matter":         {base, x86("sse2 avx2 fpu avx512f"), false},
		"arm64 capabilities matter":   {arm(1), arm(3), false},
		"arm64 is the same each time": {arm(3), arm(3), true},
		"architectures differ":        {base, arm(3), false},
	}
	for name, tc := range cases {
		if (tc.a == tc.b) != tc.same {
			t.Errorf("%s: %s and %s", name, tc.a, tc.b)
		}
	}
}

func TestKeys(t *testing.T) {
	on := target{"1", "amd64", "cpu"}
	base := on.keyOf([]byte("code"))
	for name, other := range map[string]Key{
		"code":         on.keyOf([]byte("code2")),
		"engine":       target{"2", "amd64", "cpu"}.keyOf([]byte("code")),
		"architecture": target{"1", "arm64", "cpu"}.keyOf([]byte("code")),
		"cpu":          target{"1", "amd64", "cpv"}.keyOf([]byte("code")),
		"boundaries":   target{"1a", "md64", "cpu"}.keyOf([]byte("code")),
	} {
		if other == base {
			t.Errorf("another %s has the same key", name)
		}
	}
	if parsed, err := ParseKey(base.String()); err != nil || parsed != base {
		t.Errorf("ParseKey: %v, %v", parsed, err)
	}
	for _, bad := range []string{"", "ab", strings.Repeat("zz", 32), strings.ToUpper(base.String()), base.String() + "00"} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey accepted %q", bad)
		}
	}
}
