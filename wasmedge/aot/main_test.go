//go:build cgo

package aot

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"edged.dev/edge/internal/testutil"
)

// The test binary plays two further parts, chosen by its first argument.
const (
	childPart  = "aot-child"  // the hidden compile command
	daemonPart = "aot-daemon" // a daemon that compiles one module: DIR MODULE
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case childPart:
			os.Exit(ChildMain(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
		case daemonPart:
			os.Exit(daemonMain(os.Args[2], os.Args[3]))
		}
	}
	os.Exit(m.Run())
}

// daemonMain compiles the module and prints each stage.
func daemonMain(dir, module string) int {
	code, err := os.ReadFile(module)
	if err != nil {
		return 1
	}
	c, err := Open(Options{Dir: dir, Self: childSelf(), LargeBytes: 1 << 30, Best: O3})
	if err != nil {
		return 1
	}
	_, err = c.Get(context.Background(), code, func(stage string, _, _ int64) { fmt.Println(stage) })
	fmt.Println("end", err)
	return 0
}

func childSelf() []string { return []string{"/proc/self/exe", childPart} }

// openTest opens a cache whose children are this binary and closes it at the end of the test.
func openTest(t *testing.T, options Options) *Cache {
	t.Helper()
	if options.Dir == "" {
		options.Dir = filepath.Join(t.TempDir(), "aot")
	}
	if len(options.Self) == 0 {
		options.Self = childSelf()
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	c, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

// testWriter puts a log into the test's output.
type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimSpace(string(p)))
	return len(p), nil
}

// smallSource is a module of a few hundred bytes.
const smallSource = `
static int seen[1024];
__attribute__((export_name("add"))) int add(int a, int b) { return a + b; }
__attribute__((export_name("mix"))) int mix(int n) {
	int sum = 0;
	for (int i = 0; i < n; i++) { seen[i & 1023] += i * n; sum += seen[(i * 7) & 1023]; }
	return sum;
}
`

// slowSource is a module of some 100 KiB whose functions differ, so that the optimiser has seconds of work with it.
func slowSource() string {
	var text strings.Builder
	text.WriteString("static unsigned state[4096]; static double real[512];\n")
	for i := range 160 {
		fmt.Fprintf(&text, "__attribute__((export_name(\"f%d\"),noinline)) unsigned f%d(unsigned n, unsigned m) {\n\tunsigned sum = %d;\n", i, i, i*7919)
		text.WriteString("\tfor (unsigned i = 0; i < n; i++) {\n\t\tswitch ((i * m + sum) % 11) {\n")
		for k := range 11 {
			fmt.Fprintf(&text, "\t\tcase %d: for (unsigned j = 0; j < (m & %d); j++) { state[(j * %d + sum) & 4095] ^= sum >> %d; real[j & 511] = real[(j + %d) & 511] * %d.5 + sum; sum += state[(sum ^ j) & 4095] * %dU; } break;\n",
				k, 63+i, 3+k*i, 1+k, i+k, k+i, 2654435761+uint32(i*k))
		}
		text.WriteString("\t\t}\n\t}\n\treturn sum + (unsigned)real[n & 511];\n}\n")
	}
	return text.String()
}

func smallModule(tb testing.TB) []byte {
	tb.Helper()
	return readModule(tb, testutil.BuildC(tb, smallSource, testutil.Freestanding()...))
}

func slowModule(tb testing.TB) []byte {
	tb.Helper()
	return readModule(tb, slowModulePath(tb))
}

func slowModulePath(tb testing.TB) string {
	tb.Helper()
	return testutil.BuildC(tb, slowSource(), testutil.Freestanding()...)
}

func readModule(tb testing.TB, path string) []byte {
	tb.Helper()
	code, err := os.ReadFile(path)
	if err != nil {
		tb.Fatal(err)
	}
	return code
}

// children returns the processes whose parent is pid.
func children(tb testing.TB, pid int) []int {
	tb.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		tb.Fatal(err)
	}
	var found []int
	for _, entry := range entries {
		id, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "stat"))
		if err != nil {
			continue // gone meanwhile
		}
		// "pid (name) state ppid": the name may hold anything, parentheses too.
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) && fields[0] != "Z" {
			found = append(found, id)
		}
	}
	return found
}

// awaitEnd waits until a process that need not be our child has ended.
func awaitEnd(tb testing.TB, pidfd int) {
	tb.Helper()
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, 30_000)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			tb.Fatal(err)
		case n == 0:
			tb.Fatal("the process is still there after 30 s")
		}
		return
	}
}

// awaitLine reads until a line says want.
func awaitLine(tb testing.TB, r io.Reader, want string) {
	tb.Helper()
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if lines.Text() == want {
			return
		}
	}
	tb.Fatalf("the output ended without %q", want)
}

// recorder collects stages.
type recorder struct {
	mu     sync.Mutex
	stages []string // guarded by mu
	done   []int64  // guarded by mu
	total  int64    // guarded by mu
}

func (r *recorder) progress(stage string, done, total int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stages, r.done, r.total = append(r.stages, stage), append(r.done, done), total
}
