package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestNative builds a program that prints a number and looks when it is built anew.
func TestNative(t *testing.T) {
	testutil.RequireCommand(t, "gcc")
	f := &Folder{source: t.TempDir(), kept: t.TempDir()}
	write(t, f.Source("main.c"), "#include <stdio.h>\n#include \"number.h\"\nint main(void) { printf(\"%d\", NUMBER + MORE); }\n")
	write(t, f.Source("number.h"), "#define NUMBER 1\n")
	build := func(more string) string {
		t.Helper()
		path, err := f.Native(t.Context(), "gcc", "main", []string{"main.c"}, "-DMORE="+more)
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	said := func(path string) string {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), path).Output()
		if err != nil {
			t.Fatal(err)
		}
		return string(out)
	}
	first := build("10")
	if got := said(first); got != "11" {
		t.Errorf("it says %s, want 11", got)
	}
	write(t, first, "kept")
	if again := build("10"); again != first {
		t.Errorf("%s was built again as %s", first, again)
	}
	if text, err := os.ReadFile(first); err != nil || string(text) != "kept" {
		t.Errorf("it was built again though nothing had changed: %v", err)
	}
	if got := said(build("20")); got != "21" {
		t.Errorf("with other flags it says %s, want 21", got)
	}
	write(t, f.Source("number.h"), "#define NUMBER 2\n")
	if got := said(build("10")); got != "12" {
		t.Errorf("with another header it says %s, want 12", got)
	}
	left, err := filepath.Glob(filepath.Join(f.kept, "*.half"))
	if err != nil || len(left) != 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

func TestFailures(t *testing.T) {
	testutil.RequireCommand(t, "gcc")
	f := &Folder{source: t.TempDir(), kept: t.TempDir()}
	write(t, f.Source("main.c"), "int main(void) { return nothing_of_that_name; }\n")
	if _, err := f.Native(t.Context(), "gcc", "main", []string{"main.c"}); err == nil || !strings.Contains(err.Error(), "nothing_of_that_name") {
		t.Errorf("the compiler's words are missing: %v", err)
	}
	if _, err := f.Native(t.Context(), "gcc", "main", []string{"missing.c"}); err == nil {
		t.Error("a source that is not there was built")
	}
	if _, err := f.Artifact(t.Context(), f.Source("main.c")); err == nil || !strings.Contains(err.Error(), "not a WebAssembly module") {
		t.Errorf("an artifact of C: %v", err)
	}
	if _, err := ModuleDir(t.Context(), "example.invalid/nothing"); err == nil {
		t.Error("a module that is not required was found")
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}

func TestOpen(t *testing.T) {
	f, err := Open(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.Source("inprocess/testdata/echo/echo.c")); err != nil {
		t.Error(err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
}
