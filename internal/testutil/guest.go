package testutil

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// clangName is the C compiler for guests; Debian's clang has the wasm32 target.
const clangName = "clang"

// Freestanding returns the flags of [BuildC] for a module that needs no libc and has no start function: nothing is
// exported but the memory and what carries __attribute__((export_name("..."))).
func Freestanding() []string {
	return []string{"-nostdlib", "-ffreestanding", "-Wl,--no-entry"}
}

// Reactor returns the flag of [BuildC] for a module that is initialised once (_initialize) and has no main.
func Reactor() []string { return []string{"-mexec-model=reactor"} }

// BuildC compiles C source text to a wasm32-wasi module and returns the path of the .wasm file, which belongs to the
// cache: read it, never write it. Without flags the result is a command linked with wasi-libc, at -O2; flags come after
// these and so override them. The test is skipped when this machine has no C compiler for guests, and fails with the
// compiler's words when the source does not compile. Safe for concurrent use, from several processes too.
func BuildC(tb testing.TB, src string, flags ...string) string {
	tb.Helper()
	file := filepath.Join(tb.TempDir(), "guest.c")
	if err := os.WriteFile(file, []byte(src), 0o600); err != nil {
		tb.Fatal(err)
	}
	return BuildCFile(tb, file, flags...)
}

// BuildCFile is [BuildC] for a source file; its #include "..." are found beside it.
func BuildCFile(tb testing.TB, file string, flags ...string) string {
	tb.Helper()
	requireClang(tb)
	args := append([]string{"--target=wasm32-wasi", "-O2", "-g0"}, flags...)
	// What the compiler sees after preprocessing is all that decides the result, headers of the SDK included.
	source := run(tb, "", nil, clangName, append(append([]string{}, args...), "-E", "-P", "-Wno-unused-command-line-argument", file)...)
	key := newKey("c", string(run(tb, "", nil, clangName, "--version")), strings.Join(args, "\x00"), string(source))
	return cached(tb, key, func(out string) {
		run(tb, "", nil, clangName, append(append([]string{}, args...), file, "-o", out)...)
	})
}

// requireClang skips the test unless clang can link an empty wasm32-wasi program: the target, the linker, wasi-libc and
// the compiler's run-time library are four packages, and any of them may be missing.
func requireClang(tb testing.TB) {
	tb.Helper()
	Require(tb, "a C compiler for guests", func() error {
		path, err := exec.LookPath(clangName)
		if err != nil {
			return fmt.Errorf("%w; install clang, lld, wasi-libc and libclang-rt-dev-wasm32", err)
		}
		dir, err := cacheDir()
		if err != nil {
			return err
		}
		probe := filepath.Join(dir, newKey("clang", path))
		if _, err := os.Stat(probe); err == nil {
			return nil
		}
		cmd := exec.CommandContext(tb.Context(), path, "--target=wasm32-wasi", "-x", "c", "-", "-o", filepath.Join(tb.TempDir(), "probe.wasm")) //nolint:gosec // found on the PATH
		cmd.Stdin = strings.NewReader("int main(void) { return 0; }\n")
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s cannot link a program for wasm32-wasi (install lld, wasi-libc and libclang-rt-dev-wasm32): %s", path, firstLine(text))
		}
		return os.WriteFile(probe, nil, 0o600)
	})
}

// BuildGo compiles the main package in dir with the stock Go compiler for wasip1 and returns the path of the .wasm
// file, which belongs to the cache: read it, never write it. A reactor is initialised once (_initialize) and answers
// through its //go:wasmexport functions; otherwise the result is a command. The build fails the test with the
// compiler's words when the package does not compile. Safe for concurrent use, from several processes too.
func BuildGo(tb testing.TB, dir string, reactor bool) string {
	tb.Helper()
	RequireCommand(tb, "go")
	env := append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	args := []string{"build", "-trimpath", "-ldflags=-s -w"}
	if reactor {
		args = append(args, "-buildmode=c-shared")
	}
	version := run(tb, dir, env, "go", "version")
	// One line a package that is not of the standard library: its folder, then every file that goes into the build.
	list := run(tb, dir, env, "go", "list", "-deps", "-f",
		"{{if not .Standard}}{{.Dir}}{{range .GoFiles}}\t{{.}}{{end}}{{range .EmbedFiles}}\t{{.}}{{end}}{{end}}", ".")
	digest := sha256.New()
	for line := range strings.Lines(string(list)) {
		hashFiles(tb, digest, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	key := newKey("go", string(version), strings.Join(args, "\x00"), hex.EncodeToString(digest.Sum(nil)))
	return cached(tb, key, func(out string) {
		run(tb, dir, env, "go", append(args, "-o", out, ".")...)
	})
}

// hashFiles adds the files of one package to the digest: fields[0] is the folder, the rest are names in it.
func hashFiles(tb testing.TB, digest hash.Hash, fields []string) {
	tb.Helper()
	for _, name := range fields[1:] {
		content, err := os.ReadFile(filepath.Join(fields[0], name))
		if err != nil {
			tb.Fatal(err)
		}
		digest.Write(fmt.Appendf(nil, "%s\x00%d\x00", name, len(content)))
		digest.Write(content)
	}
}

// newKey returns the name under which a result made from these parts is kept.
func newKey(kind string, parts ...string) string {
	digest := sha256.New()
	for _, part := range parts {
		digest.Write(fmt.Appendf(nil, "%d\x00%s", len(part), part))
	}
	return kind + "-" + hex.EncodeToString(digest.Sum(nil)[:16])
}

// cached returns the module kept under key, built first when there is none. The build goes to a file of its own that is
// renamed when complete, so another process sees the whole module or none.
func cached(tb testing.TB, key string, build func(out string)) string {
	tb.Helper()
	dir, err := cacheDir()
	if err != nil {
		tb.Fatal(err)
	}
	path := filepath.Join(dir, key+".wasm")
	content, err := os.ReadFile(path)
	if err == nil && bytes.HasPrefix(content, []byte("\x00asm")) {
		return path
	}
	temp, err := os.MkdirTemp(dir, "build-*") //nolint:usetesting // tb.TempDir may be on another file system
	if err != nil {
		tb.Fatal(err)
	}
	defer func() {
		if err := os.RemoveAll(temp); err != nil {
			tb.Error(err)
		}
	}()
	out := filepath.Join(temp, "guest.wasm")
	build(out)
	if err := os.Rename(out, path); err != nil {
		tb.Fatal(err)
	}
	return path
}

// run runs a command and returns its standard output; a failure ends the test with what the command said.
func run(tb testing.TB, dir string, env []string, name string, args ...string) []byte {
	tb.Helper()
	cmd := exec.CommandContext(tb.Context(), name, args...) //nolint:gosec // the tests say which command
	cmd.Dir, cmd.Env = dir, env
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

func firstLine(text []byte) []byte {
	line, _, _ := bytes.Cut(bytes.TrimSpace(text), []byte("\n"))
	return line
}
