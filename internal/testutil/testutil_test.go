package testutil

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// recorder is a testing.TB that keeps failures and skips instead of acting on them; methods that end a test panic with
// it, as the real ones end the goroutine.
type recorder struct {
	testing.TB
	cleanups []func()
	failed   bool
	skipped  bool
	text     string
}

func (r *recorder) Helper()           {}
func (r *recorder) Failed() bool      { return r.failed }
func (r *recorder) Cleanup(f func())  { r.cleanups = append(r.cleanups, f) }
func (r *recorder) TempDir() string   { return r.TB.TempDir() }
func (r *recorder) Fatal(args ...any) { r.end(false, fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any) {
	r.failed, r.text = true, fmt.Sprintf(f, args...)
}
func (r *recorder) Fatalf(f string, args ...any) { r.end(false, fmt.Sprintf(f, args...)) }
func (r *recorder) Skipf(f string, args ...any)  { r.end(true, fmt.Sprintf(f, args...)) }

func (r *recorder) end(skip bool, text string) {
	r.failed, r.skipped, r.text = !skip, skip, text
	panic(r)
}

// record runs f against a recorder, then the cleanups it registered.
func record(t *testing.T, f func(tb testing.TB)) *recorder {
	t.Helper()
	r := &recorder{TB: t}
	func() {
		defer func() {
			if got := recover(); got != nil && got != any(r) {
				panic(got)
			}
		}()
		f(r)
	}()
	for _, cleanup := range r.cleanups {
		cleanup()
	}
	return r
}

func TestNoLeaksAcceptsWhatIsClosed(t *testing.T) {
	r := record(t, func(tb testing.TB) {
		tb.Helper()
		NoLeaks(tb)
		done := make(chan struct{})
		go close(done)
		file, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		<-done
	})
	if r.failed {
		t.Errorf("a clean test is blamed: %s", r.text)
	}
}

func TestNoLeaksNamesWhatIsLeft(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for leaks to go away, which takes seconds; run without -short")
	}
	release := make(chan struct{})
	name := filepath.Join(t.TempDir(), "left-open")
	var file *os.File
	r := record(t, func(tb testing.TB) {
		tb.Helper()
		NoLeaks(tb)
		go func() { <-release }()
		var err error
		if file, err = os.Create(name); err != nil {
			t.Fatal(err)
		}
	})
	close(release)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if !r.failed || !strings.Contains(r.text, name) || !strings.Contains(r.text, "TestNoLeaksNamesWhatIsLeft") {
		t.Errorf("want the leaked goroutine and file named, got failed=%v %q", r.failed, r.text)
	}
}

func TestRequire(t *testing.T) {
	missing := errors.New("no such thing")
	for _, c := range []struct {
		name, env    string
		err          error
		skips, fails bool
	}{
		{"there", "", nil, false, false},
		{"missing", "", missing, true, false},
		{"missing though demanded", "all", missing, false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(requireEnv, c.env)
			r := record(t, func(tb testing.TB) { tb.Helper(); Require(tb, "a thing", func() error { return c.err }) })
			if r.skipped != c.skips || r.failed != c.fails {
				t.Errorf("skipped=%v failed=%v, want %v %v", r.skipped, r.failed, c.skips, c.fails)
			}
			if c.err != nil && !strings.Contains(r.text, "no such thing") {
				t.Errorf("the reason is not named: %q", r.text)
			}
		})
	}
}

func TestBuildC(t *testing.T) {
	t.Setenv(cacheEnv, t.TempDir())
	const src = "__attribute__((export_name(\"answer\"))) int answer(void) { return 42; }\n"
	first := BuildC(t, src, Freestanding()...)
	if module := Read(t, first); !bytes.HasPrefix(module, []byte("\x00asm")) || !bytes.Contains(module, []byte("answer")) {
		t.Fatalf("%s is no module that exports answer", first)
	}
	before, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if again := BuildC(t, src, Freestanding()...); again != first {
		t.Errorf("the same source gave %s and %s", first, again)
	}
	after, err := os.Stat(first)
	if err != nil {
		t.Fatal(err)
	}
	if !os.SameFile(before, after) || !before.ModTime().Equal(after.ModTime()) {
		t.Error("the same source was compiled twice")
	}
	if other := BuildC(t, src, append(Freestanding(), "-O0")...); other == first {
		t.Error("other flags gave the same file")
	}
	if command := BuildC(t, "#include <stdio.h>\nint main(void) { puts(\"x\"); return 0; }\n"); !bytes.Contains(Read(t, command), []byte("_start")) {
		t.Error("a program with main exports no _start")
	}
}

func TestBuildCHeaderDecidesKey(t *testing.T) {
	t.Setenv(cacheEnv, t.TempDir())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.c"), "#include \"a.h\"\n__attribute__((export_name(\"f\"))) int f(void) { return N; }\n")
	write(t, filepath.Join(dir, "a.h"), "#define N 1\n")
	first := BuildCFile(t, filepath.Join(dir, "a.c"), Freestanding()...)
	write(t, filepath.Join(dir, "a.h"), "#define N 2\n")
	if second := BuildCFile(t, filepath.Join(dir, "a.c"), Freestanding()...); second == first {
		t.Error("a changed header gave the old module")
	}
}

func TestBuildCReportsCompilerError(t *testing.T) {
	requireClang(t)
	r := record(t, func(tb testing.TB) { tb.Helper(); BuildC(tb, "this is not C") })
	if !r.failed || !strings.Contains(r.text, "error:") {
		t.Errorf("want the compiler's words, got %q", r.text)
	}
}

func TestBuildGo(t *testing.T) {
	t.Setenv(cacheEnv, t.TempDir())
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go.mod"), "module guest\n\ngo 1.24\n")
	write(t, filepath.Join(dir, "main.go"), "package main\n\n//go:wasmexport answer\nfunc answer() int32 { return 42 }\n\nfunc main() {}\n")
	reactor := BuildGo(t, dir, true)
	if module := Read(t, reactor); !bytes.Contains(module, []byte("_initialize")) || !bytes.Contains(module, []byte("answer")) {
		t.Errorf("%s is no reactor that exports answer", reactor)
	}
	if again := BuildGo(t, dir, true); again != reactor {
		t.Errorf("the same package gave %s and %s", reactor, again)
	}
	command := BuildGo(t, dir, false)
	if command == reactor || !bytes.Contains(Read(t, command), []byte("_start")) {
		t.Errorf("%s is no command", command)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
