package e2e_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// innocent builds the well-behaved guest, in a version that it names in its answers.
func innocent(t *testing.T, version int) string {
	t.Helper()
	return testutil.BuildCFile(t, filepath.Join("testdata", "innocent.c"), append(testutil.Reactor(),
		"-I", filepath.Join("..", "sdk", "c"), fmt.Sprintf("-DVERSION=%d", version))...)
}

// hostile builds the guest that does everything wrong, one export a kind.
func hostile(t *testing.T) string {
	t.Helper()
	return testutil.BuildCFile(t, filepath.Join("testdata", "hostile.c"), append(testutil.Reactor(),
		"-I", filepath.Join("..", "sdk", "c"))...)
}

// app writes the folder of an app and returns it. settings are lines of its manifest beside version, app and module.
func app(t *testing.T, name, module string, settings ...string) string {
	t.Helper()
	dir := t.TempDir()
	text := fmt.Sprintf("version: 1\napp: %s\nmodule: %s\n%s\n", name, module, strings.Join(settings, "\n"))
	if err := os.WriteFile(filepath.Join(dir, "edged.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// file writes a file of that content and returns its path.
func file(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// large builds a guest whose code is above the size from which the daemon compiles it twice: at once and cheaply first.
// Some 90 functions are enough for that; 400 take the compiler a second at once and many at its best.
func large(t *testing.T, functions int) string {
	t.Helper()
	var src strings.Builder
	src.WriteString("#include \"edge.h\"\n")
	for i := range functions {
		fmt.Fprintf(&src, "static __attribute__((noinline)) uint64_t f%d(uint64_t x, uint64_t y) {\n", i)
		for j := range 12 {
			fmt.Fprintf(&src, "  if (x %% %d == %d) y = y * %du + (x >> %d); else x ^= y << %d;\n", 7+j, j, 2654435761+i*97+j, 1+(i+j)%31, 1+(i*3+j)%29)
		}
		src.WriteString("  return x ^ y;\n}\n")
	}
	src.WriteString("EDGED_EXPORT(mix) {\n  uint64_t h = (uint64_t)atoll(edge_input(NULL));\n")
	for i := range functions {
		fmt.Fprintf(&src, "  h = f%d(h, %d);\n", i, i)
	}
	src.WriteString("  return edge_printf(\"%llu\", (unsigned long long)h);\n}\n")
	return testutil.BuildC(t, src.String(), append(testutil.Reactor(), "-I", filepath.Join("..", "sdk", "c"))...)
}
