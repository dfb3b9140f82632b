package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/internal/testutil"
	"edged.dev/edge/sdk"
)

// newProject makes a project in an empty folder and goes into it.
func newProject(t *testing.T, lang string) Deps {
	t.Helper()
	t.Chdir(t.TempDir())
	deps := withManifests(Deps{SDK: sdk.Files()})
	if r := run(t, deps, "init", "my-app", "--lang", lang); r.code != 0 || !strings.Contains(r.out, "cd my-app && edged build && edged deploy") {
		t.Fatalf("init: %+v", r)
	}
	t.Chdir("my-app")
	return deps
}

func TestProjectManifest(t *testing.T) {
	for _, lang := range languages() {
		t.Run(lang.name, func(t *testing.T) {
			newProject(t, lang.name)
			m, err := manifest.Load("edged.yaml")
			if err != nil {
				t.Fatal(err)
			}
			f := m.Functions["my-app"]
			if m.App != "my-app" || m.Module != "app.wasm" || f.Entry != "handle" || f.HTTP.Path != "/my-app" {
				t.Errorf("app %s, module %s, function %+v", m.App, m.Module, f)
			}
			for _, file := range []string{"README.md", ".gitignore", "Makefile"} {
				if _, err := os.Stat(file); err != nil {
					t.Error(err)
				}
			}
			err = filepath.WalkDir(".", func(path string, _ os.DirEntry, err error) error {
				if strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".tmpl") || strings.Contains(path, "testdata") {
					t.Errorf("%s has no place in a project", path)
				}
				return err
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// TestBuildGo builds what init made with the real toolchain, with every way to the network cut.
func TestBuildGo(t *testing.T) {
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("needs the go command")
	}
	t.Setenv("GOPROXY", "off")
	t.Setenv("GOFLAGS", "-mod=readonly")
	deps := newProject(t, "go")
	checkBuild(t, deps)
	if out, err := exec.CommandContext(t.Context(), "go", "vet", "./...").CombinedOutput(); err != nil {
		t.Errorf("vet: %v\n%s", err, out)
	}
}

// TestBuildC builds with clang, where there is one for WebAssembly.
func TestBuildC(t *testing.T) {
	probe := exec.CommandContext(t.Context(), "clang", "--target=wasm32-wasi", "-mexec-model=reactor", "-x", "c", "-", "-o", filepath.Join(t.TempDir(), "probe"))
	probe.Stdin = strings.NewReader("#include <stdio.h>\nint x(void) { return printf(\"x\"); }\n")
	if out, err := probe.CombinedOutput(); err != nil {
		t.Skipf("needs clang, lld, wasi-libc and libclang-rt-dev-wasm32: %v %s", err, out)
	}
	checkBuild(t, newProject(t, "c"))
}

// TestBuildRust builds with rustc, where one has the library for WASI.
func TestBuildRust(t *testing.T) {
	testutil.Require(t, "a rustc with its library for wasm32-wasi (scripts/install-rust.sh)", func() error {
		return exec.CommandContext(t.Context(), "../../../scripts/install-rust.sh", "--check").Run()
	})
	checkBuild(t, newProject(t, "rust"))
}

// TestBuildAssemblyScript builds with asc, where it is installed.
func TestBuildAssemblyScript(t *testing.T) {
	var out []byte
	testutil.Require(t, "the AssemblyScript compiler (scripts/install-assemblyscript.sh)", func() (err error) {
		out, err = exec.CommandContext(t.Context(), "../../../scripts/install-assemblyscript.sh", "--print").Output()
		return err
	})
	bin, err := filepath.Abs(filepath.Dir(strings.TrimSpace(string(out))))
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+string(filepath.ListSeparator)+os.Getenv("PATH"))
	checkBuild(t, newProject(t, "assemblyscript"))
}

func checkBuild(t *testing.T, deps Deps) {
	t.Helper()
	r := run(t, deps, "build")
	if r.code != 0 || !strings.HasPrefix(r.out, "built app.wasm (") {
		t.Fatalf("build: %+v", r)
	}
	module, err := os.ReadFile("app.wasm")
	if err != nil || !strings.HasPrefix(string(module), wasm) || !strings.Contains(string(module), "\x06handle\x00") {
		t.Errorf("%v; the module does not export the function handle", err)
	}
}

func TestInitRefuses(t *testing.T) {
	t.Chdir(t.TempDir())
	deps := Deps{SDK: sdk.Files()}
	write(t, "full/x", "precious")
	if r := run(t, deps, "init", "full"); r.code != 1 || !strings.Contains(r.errOut, "exists and is not empty") {
		t.Errorf("%+v", r)
	}
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	if r := run(t, deps, "init", "empty"); r.code != 0 {
		t.Errorf("an empty folder: %+v", r)
	}
	for _, name := range []string{"../up", "a/b", ".", "Ab", "-x", strings.Repeat("a", 64)} {
		if r := run(t, deps, "init", "--", name); r.code != 2 {
			t.Errorf("name %q: %+v", name, r)
		}
	}
}

func TestBuildExplains(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "go", "go.mod"), "module x\n")
	write(t, filepath.Join(dir, "c", "x.c"), "")
	write(t, filepath.Join(dir, "rust", "main.rs"), "")
	write(t, filepath.Join(dir, "as", "main.ts"), "")
	write(t, filepath.Join(dir, "none", "x.rs"), "")
	write(t, filepath.Join(dir, "badmanifest", "go.mod"), "module x\n")
	write(t, filepath.Join(dir, "badmanifest", "edged.yaml"), "version: [")
	t.Setenv("PATH", t.TempDir()) // no tool is found
	for path, want := range map[string]string{
		"go":          "go is not installed\n  install Go 1.24",
		"c":           "clang is not installed\n  apt install clang lld wasi-libc",
		"rust":        "rustc is not installed\n  apt install rustc libstd-rust-dev-wasm32",
		"as":          "asc is not installed\n  npm install assemblyscript",
		"none":        "has no go.mod, main.rs, main.ts or *.c file\n  'edged init NAME'",
		"missing":     "is no folder",
		"badmanifest": "edged.yaml:1:",
	} {
		if r := run(t, withManifests(Deps{}), "build", filepath.Join(dir, path)); r.code != 1 || !strings.Contains(r.errOut, want) {
			t.Errorf("%s: %+v, want %q", path, r, want)
		}
	}
}

func TestGoIsNewEnough(t *testing.T) {
	for version, want := range map[string]bool{
		"go1.26.8\n": true, "go1.24": true, "go1.23.9": false, "go1.19": false, "devel go1.27-abc": true, "devel +abc": true, "": false, "gccgo": false,
	} {
		if got := goIsNewEnough(version); got != want {
			t.Errorf("goIsNewEnough(%q) = %t", version, got)
		}
	}
}
