// Package build makes what the contestants run: guests from C and Go, native programs, and compiled artifacts of guests. All
// of it is kept in a folder and only made again when its sources, its compiler or its flags change.
package build

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// benchModule is the module that this package is part of.
const benchModule = "edged.dev/edge/bench"

// Folder is where things are built from and kept. Its methods belong to one goroutine.
type Folder struct {
	source string // of the module bench
	kept   string
	cache  *aot.Cache // nil until the first artifact
	level  aot.Level
}

// Open finds the sources of the module bench, in which the caller must be, and the folder that things are kept in. level is how
// artifacts are optimised. The caller closes the folder.
func Open(ctx context.Context, level aot.Level) (*Folder, error) {
	source, err := ModuleDir(ctx, benchModule)
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(filepath.Dir(source), ".cache", "bench")
	if err := os.MkdirAll(kept, 0o750); err != nil {
		return nil, fmt.Errorf("make the folder for what is built: %w", err)
	}
	return &Folder{source: source, kept: kept, level: level}, nil
}

// Close gives the artifacts up for others to use. A second Close does nothing.
func (f *Folder) Close() error {
	if f.cache == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := f.cache.Close(ctx)
	f.cache = nil
	return err
}

// ModuleDir returns the folder of a module that the module in the current folder is or requires.
func ModuleDir(ctx context.Context, module string) (string, error) {
	out, err := output(exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)) //nolint:gosec // the callers name modules
	if err != nil {
		return "", fmt.Errorf("find the module %s (run this in the folder bench): %w", module, err)
	}
	dir := strings.TrimSpace(string(out))
	if dir == "" {
		return "", fmt.Errorf("find the module %s: it is not downloaded; run 'go mod download'", module)
	}
	return dir, nil
}

// Source returns the path of a file or folder of the module bench.
func (f *Folder) Source(name string) string { return filepath.Join(f.source, filepath.FromSlash(name)) }

// Native compiles C for this machine with gcc or clang. sources are files of the module bench; flags come after them, so that
// libraries are found.
func (f *Folder) Native(ctx context.Context, compiler, name string, sources []string, flags ...string) (string, error) {
	return f.compile(ctx, name, compiler, sources, append([]string{"-O3"}, flags...))
}

// Wasm compiles C to a module without libc and without a start function.
func (f *Folder) Wasm(ctx context.Context, name string, sources []string, flags ...string) (string, error) {
	base := []string{"--target=wasm32-wasi", "-O3", "-mbulk-memory", "-nostdlib", "-ffreestanding", "-Wl,--no-entry"}
	return f.compile(ctx, name+".wasm", "clang", sources, append(base, flags...))
}

// compile runs a C compiler unless it has been run with the same flags on the same files. What is included must be beside
// the sources.
func (f *Folder) compile(ctx context.Context, name, compiler string, sources, flags []string) (string, error) {
	version, err := output(exec.CommandContext(ctx, compiler, "--version"))
	if err != nil {
		return "", fmt.Errorf("build %s (scripts/install-guest-toolchain.sh installs clang): %w", name, err)
	}
	digest := sha256.New()
	_, _ = fmt.Fprintf(digest, "%s\x00%s\x00%s\x00", version, strings.Join(flags, "\x00"), strings.Join(sources, "\x00"))
	arguments := make([]string, 0, len(sources)+len(flags)+2)
	for _, source := range sources {
		path := f.Source(source)
		arguments = append(arguments, path)
		headers, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.h")) // the pattern is right
		for _, file := range append(headers, path) {
			text, err := os.ReadFile(file)
			if err != nil {
				return "", fmt.Errorf("build %s: %w", name, err)
			}
			_, _ = fmt.Fprintf(digest, "%d\x00%s", len(text), text)
		}
	}
	path := filepath.Join(f.kept, hex.EncodeToString(digest.Sum(nil)[:8])+"-"+name)
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	half := path + ".half"
	arguments = append(arguments, flags...)
	if _, err := output(exec.CommandContext(ctx, compiler, append(arguments, "-o", half)...)); err != nil { //nolint:gosec // one of two names
		return "", fmt.Errorf("build %s: %w", name, err)
	}
	return path, os.Rename(half, path)
}

// GoGuest compiles a main package of the module bench with the stock Go compiler: as a reactor, which is initialised once, or as
// a command. Go's own cache makes the second time quick.
func (f *Folder) GoGuest(ctx context.Context, folder string, reactor bool) (string, error) {
	path := filepath.Join(f.kept, filepath.Base(folder)+".wasm")
	arguments := []string{"build", "-trimpath", "-ldflags=-s -w", "-o", path}
	if reactor {
		arguments = append(arguments, "-buildmode=c-shared")
	}
	command := exec.CommandContext(ctx, "go", append(arguments, ".")...) //nolint:gosec // the callers name packages
	command.Dir = f.Source(folder)
	command.Env = append(command.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0", "PWD="+command.Dir)
	if _, err := output(command); err != nil {
		return "", fmt.Errorf("build the guest in %s: %w", folder, err)
	}
	return path, nil
}

// Keeper returns the artifact that the engine needs.
func (f *Folder) Keeper(ctx context.Context) (string, error) {
	return f.artifact(ctx, wasmedge.KeeperModule())
}

// Artifact returns the native code of a module as edged makes it: of what the loader gate lets through, by a child process.
func (f *Folder) Artifact(ctx context.Context, wasm string) (string, error) {
	text, err := os.ReadFile(wasm)
	if err != nil {
		return "", fmt.Errorf("compile a guest: %w", err)
	}
	module, err := gate.Check(text, gate.Limits{})
	if err != nil {
		return "", fmt.Errorf("compile %s: %w", wasm, err)
	}
	return f.artifact(ctx, module.Code)
}

func (f *Folder) artifact(ctx context.Context, code []byte) (string, error) {
	if f.cache == nil {
		cache, err := aot.Open(aot.Options{
			Dir: filepath.Join(f.kept, "aot-"+f.level.String()), LargeBytes: 1 << 30, Best: f.level, // no O0 first: what is measured is the best code
			Limits: aot.ChildLimits{FirstWall: 10 * time.Minute},
		})
		if err != nil {
			return "", fmt.Errorf("open the artifacts: %w", err)
		}
		f.cache = cache
	}
	artifact, err := f.cache.Get(ctx, code, nil)
	if err != nil {
		return "", fmt.Errorf("compile: %w", err)
	}
	return artifact.Path, nil
}

// Plain returns the native code of a module as the engine's own compiler makes it, without the loader gate. compile is the
// command that compiles one file to another; the two paths are appended.
func (f *Folder) Plain(ctx context.Context, wasm string, compile ...string) (string, error) {
	path := strings.TrimSuffix(wasm, ".wasm") + ".plain.so"
	if made, err := os.Stat(path); err == nil {
		if source, err := os.Stat(wasm); err == nil && made.ModTime().After(source.ModTime()) {
			return path, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	arguments := append(slices.Clone(compile), wasm, path)
	if _, err := output(exec.CommandContext(ctx, arguments[0], arguments[1:]...)); err != nil { //nolint:gosec // this binary
		return "", fmt.Errorf("compile %s: %w", wasm, err)
	}
	return path, nil
}

// output runs a command and returns its stdout; the error has what it wrote to stderr.
func output(command *exec.Cmd) ([]byte, error) {
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", command.Args[0], err, strings.TrimSpace(complaint.String()))
	}
	return out, nil
}
