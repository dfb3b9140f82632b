package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// What to install when a toolchain is missing: the names of Debian's packages.
const (
	goRemedy = "install Go 1.24 or later (Debian 13: apt install golang-go; Debian 12: apt install -t bookworm-backports golang-go)"
	cRemedy  = "apt install clang lld wasi-libc libclang-rt-dev-wasm32"

	rustRemedy = "apt install rustc libstd-rust-dev-wasm32, or with rustup: rustup target add wasm32-wasip1"
	ascRemedy  = "npm install assemblyscript, in the project's folder"
)

// minGoMinor is the first Go 1.x with go:wasmexport and c-shared for wasip1.
const minGoMinor = 24

func (p *program) buildCommand() *cli.Command {
	return &cli.Command{
		Name:      "build",
		Usage:     "compile a project to WebAssembly",
		ArgsUsage: "[DIR]",
		Description: "DIR (default: this folder) is Go when it has a go.mod, Rust when it has a main.rs, AssemblyScript when it has\n" +
			"a main.ts, and C when it has *.c files. The result goes where the manifest's module says, else to app.wasm.\n\n" + examples("edged build", "edged build ./shop"),
		Action: p.build,
	}
}

// build is one run of a toolchain.
type build struct {
	dir    string
	output string // relative to dir
	out    io.Writer
}

func (p *program) build(c *cli.Context) error {
	args, err := wantArgs(c, 0, 1)
	if err != nil {
		return err
	}
	dir := "."
	if len(args) == 1 {
		dir = args[0]
	}
	name, err := detect(dir)
	if err != nil {
		return err
	}
	lang, err := languageNamed(name)
	if err != nil {
		return err
	}
	output, err := p.moduleOf(dir)
	if err != nil {
		return err
	}
	b := &build{dir: dir, output: output, out: p.Stderr}
	if err := lang.build(b, c.Context); err != nil {
		return err
	}
	stat, err := os.Stat(filepath.Join(dir, output))
	if err != nil {
		return fmt.Errorf("build: the toolchain ended well but made no module: %w", err)
	}
	p.printf("built %s (%s)\n", filepath.Join(dir, output), sizeText(stat.Size()))
	return nil
}

// detect tells the language of a project by its files.
func detect(dir string) (string, error) {
	if stat, err := os.Stat(dir); err != nil || !stat.IsDir() {
		return "", fmt.Errorf("build: %s is no folder", dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
		return "go", nil
	}
	if _, err := os.Stat(filepath.Join(dir, rustMain)); err == nil {
		return "rust", nil
	}
	if _, err := os.Stat(filepath.Join(dir, ascMain)); err == nil {
		return "assemblyscript", nil
	}
	sources, err := cSources(dir)
	if err != nil {
		return "", err
	}
	if len(sources) > 0 {
		return "c", nil
	}
	return "", withRemedy(fmt.Errorf("build: %s has no go.mod, main.rs, main.ts or *.c file", dir),
		"'edged init NAME' makes a project; a module built otherwise needs no build here, only 'edged deploy'")
}

func cSources(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("build: %w", err)
	}
	var sources []string
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".c" && !entry.IsDir() {
			sources = append(sources, "./"+entry.Name()) // a name that begins with - is no option
		}
	}
	return sources, nil
}

// moduleOf returns where the manifest of dir expects the module.
func (p *program) moduleOf(dir string) (string, error) {
	file := filepath.Join(dir, manifestName)
	manifest, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) || p.ModulePath == nil {
		return "app.wasm", nil
	}
	if err != nil {
		return "", fmt.Errorf("build: %w", err)
	}
	return p.ModulePath(file, manifest)
}

// goModule builds with stock Go, as a reactor. The network and other modules around the project stay out of it.
func (b *build) goModule(ctx context.Context) error {
	if err := b.need("go", goRemedy); err != nil {
		return err
	}
	version, err := b.command(ctx, "go", "env", "GOVERSION").Output()
	if err != nil {
		return fmt.Errorf("build: go env: %w", err)
	}
	if !goIsNewEnough(string(version)) {
		return withRemedy(fmt.Errorf("build: %s cannot export functions from WebAssembly", strings.TrimSpace(string(version))), goRemedy)
	}
	command := b.command(ctx, "go", "build", "-buildmode=c-shared", "-ldflags=-s -w", "-o", b.output, ".")
	command.Env = append(command.Environ(), "GOOS=wasip1", "GOARCH=wasm", "GOWORK=off", "CGO_ENABLED=0")
	return b.run(ctx, command)
}

// goVersion matches what go env GOVERSION prints; a development version has no minor number and is taken as new.
var goVersion = regexp.MustCompile(`go1\.(\d+)`)

func goIsNewEnough(version string) bool {
	match := goVersion.FindStringSubmatch(version)
	if match == nil {
		return strings.HasPrefix(version, "devel")
	}
	minor, err := strconv.Atoi(match[1])
	return err == nil && minor >= minGoMinor
}

// c builds every *.c file with clang, as a reactor.
func (b *build) c(ctx context.Context) error {
	for _, tool := range []string{"clang", "wasm-ld"} {
		if err := b.need(tool, cRemedy); err != nil {
			return err
		}
	}
	sources, err := cSources(b.dir)
	if err != nil {
		return err
	}
	args := []string{"--target=wasm32-wasi", "-O2", "-mexec-model=reactor", "-Wl,-s", "-I", "edged", "-o", b.output}
	if err := b.run(ctx, b.command(ctx, "clang", append(args, sources...)...)); err != nil {
		return withRemedy(err, "if headers or libraries are missing: %s", cRemedy)
	}
	return nil
}

// rustMain is the file that a Rust project is built from.
const rustMain = "main.rs"

// rust builds main.rs with the first compiler that has the library for WASI: one that another installer has put before the
// system's in the path may have none.
func (b *build) rust(ctx context.Context) error {
	if err := b.need("rustc", rustRemedy); err != nil {
		return err
	}
	for _, compiler := range []string{"rustc", "/usr/bin/rustc"} {
		root, err := b.command(ctx, compiler, "--print", "sysroot").Output()
		if err != nil {
			continue
		}
		for _, target := range []string{"wasm32-wasip1", "wasm32-wasi"} { // its name from Rust 1.78 on, and before
			if _, err := os.Stat(filepath.Join(strings.TrimSpace(string(root)), "lib", "rustlib", target, "lib")); err == nil {
				return b.run(ctx, b.command(ctx, compiler, "--edition", "2021", "--target", target, "-O", "--crate-type", "cdylib",
					"-C", "strip=symbols", "-o", b.output, rustMain))
			}
		}
	}
	return withRemedy(errors.New("build: no rustc has the library for wasm32-wasip1"), "%s", rustRemedy)
}

// ascMain is the file that an AssemblyScript project is built from.
const ascMain = "main.ts"

// assemblyScript builds main.ts with the project's own compiler, else with one in the path. Abort and seed are where init has put
// the SDK.
func (b *build) assemblyScript(ctx context.Context) error {
	compiler := filepath.Join("node_modules", ".bin", "asc")
	if _, err := os.Stat(filepath.Join(b.dir, compiler)); err != nil {
		if err := b.need("asc", ascRemedy); err != nil {
			return err
		}
		compiler = "asc"
	} else if compiler, err = filepath.Abs(filepath.Join(b.dir, compiler)); err != nil {
		return fmt.Errorf("build: %w", err)
	}
	return b.run(ctx, b.command(ctx, compiler, ascMain, "-O", "--runtime", "incremental", "--exportStart", "_initialize",
		"--use", "abort=edged/edged/abort", "--use", "seed=edged/edged/seed", "-o", b.output))
}

func (b *build) need(tool, remedy string) error {
	if _, err := exec.LookPath(tool); err != nil {
		return withRemedy(fmt.Errorf("build: %s is not installed", tool), "%s", remedy)
	}
	return nil
}

func (b *build) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	command := exec.CommandContext(ctx, name, args...) //nolint:gosec // go or clang, and no shell between
	command.Dir = b.dir
	return command
}

// run runs a tool with its output where the user sees it.
func (b *build) run(ctx context.Context, command *exec.Cmd) error {
	command.Stdout, command.Stderr = b.out, b.out
	if err := command.Run(); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("build: %s: %w", strings.Join(command.Args, " "), err)
	}
	return nil
}
