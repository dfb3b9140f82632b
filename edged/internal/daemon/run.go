package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// RunOptions are a module to run once, without a daemon.
type RunOptions struct {
	File    string // for messages, and the guest's own name
	Module  []byte
	Args    []string
	Dirs    []RunDir // folders that it may change
	Env     []string // NAME=VALUE
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Timeout time.Duration // 0: none
}

// RunDir is a folder of this machine that a module may change, and the absolute path under which it finds it. Relative
// paths of the module begin at /.
type RunDir struct{ Host, Guest string }

// maxStdinBytes bounds what a module that is run without a daemon can read from its standard input.
const maxStdinBytes = 256 << 20

// RunModule compiles a module, unless that has been done before, and runs it once in this process: a command from _start,
// a reactor's only function. It returns the guest's exit code. A process can do this once.
func RunModule(ctx context.Context, o RunOptions) (int, error) {
	checked, err := gate.Check(o.Module, gate.DefaultLimits())
	if err != nil {
		return 0, fmt.Errorf("%s: %w", o.File, err)
	}
	names, types := functionExports(checked)
	entry, err := runEntry(names, types)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", o.File, err)
	}
	if table, err := gate.Bind(checked.Imports, provided(hostfn.All())); err != nil {
		return 0, fmt.Errorf("%s: %w\n\n%s", o.File, err, table)
	}
	engine, cache, err := toolEngine(slog.New(slog.NewTextHandler(o.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return 0, err
	}
	defer closeCache(cache)
	artifact, err := cache.Get(ctx, checked.Code, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", o.File, err)
	}
	module, err := load(engine, checked, artifact)
	if err != nil {
		return 0, err
	}
	abi := hostfn.ABIStdio
	if entry != "_start" {
		abi = hostfn.ABIEdged
	}
	return runOnce(ctx, o, engine, module, startUp(checked, names, abi), entry, types[entry])
}

// runEntry picks what to call.
func runEntry(names []string, types map[string]wasmedge.FuncType) (string, error) {
	abi, err := hostfn.Detect(names)
	if err != nil {
		return "", err
	}
	if abi.Command() {
		return "_start", nil
	}
	var entries []string
	for _, name := range names {
		if hostfn.ABIEdged.Entry(types[name]) && name != "_initialize" && name != "__wasm_call_ctors" && name != "edged_restore" {
			entries = append(entries, name)
		}
	}
	if len(entries) != 1 {
		return "", fmt.Errorf("it is no command, and it exports %d functions %q; deploy it to a daemon to call one of them",
			len(entries), entries)
	}
	return entries[0], nil
}

// toolEngine opens the engine for a tool, over an artifact cache in the user's cache folder; a temporary one while another
// tool has that.
func toolEngine(logger *slog.Logger) (*wasmedge.Engine, *aot.Cache, error) {
	options := engineOptions{compile: config.Default().Compile, logger: logger}
	if dir, err := os.UserCacheDir(); err == nil {
		options.dir = filepath.Join(dir, "edged", "aot")
		if err := os.MkdirAll(options.dir, 0o700); err == nil {
			engine, cache, err := openEngine(options)
			if !errors.Is(err, aot.ErrLocked) {
				return engine, cache, err
			}
		}
	}
	dir, err := os.MkdirTemp("", "edged-aot")
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for compiled code: %w", err)
	}
	options.dir = dir
	return openEngine(options)
}

func runOnce(ctx context.Context, o RunOptions, engine *wasmedge.Engine, module *wasmedge.Module, starts []string, entry string,
	typ wasmedge.FuncType,
) (int, error) {
	guest, err := runGuest(o)
	if err != nil {
		return 0, err
	}
	defer func() { _ = guest.Close() }() // directories; nothing to be told
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, o.Timeout, fmt.Errorf("%s timed out after %v", o.File, o.Timeout))
		defer cancel()
	}
	input, err := runInput(ctx, o.Stdin)
	if err != nil {
		return 0, err
	}
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	err = engine.Go(func(t *wasmedge.Thread) {
		r := run{ctx: ctx, thread: t, env: guest.NewEnv(), stdout: o.Stdout}
		code, err := r.run(module, starts, entry, typ, input)
		ended <- end{code, err}
	})
	if err != nil {
		return 0, err
	}
	last := <-ended
	if last.err != nil && ctx.Err() != nil {
		return 0, context.Cause(ctx) // by which it was ended, whatever it says of that itself
	}
	return last.code, last.err
}

// runGuest makes what the guest may use.
func runGuest(o RunOptions) (*hostfn.App, error) {
	options := hostfn.AppOptions{
		Name: filepath.Base(o.File), ABI: hostfn.ABIStdio, Args: o.Args, Environ: o.Env, Log: stderrSink{o.Stderr},
		Limits: hostfn.Limits{OutputBytes: 1 << 40, StreamBytes: 1, LogBytes: 1 << 40},
	}
	for _, dir := range o.Dirs {
		options.Dirs = append(options.Dirs, hostfn.Dir{Guest: dir.Guest, Host: dir.Host})
	}
	if !slices.ContainsFunc(o.Env, func(v string) bool { return strings.HasPrefix(v, "PWD=") }) {
		// Go takes its working folder from here; without it that is the first of the folders, and relative paths mean
		// something else than for wasi-libc, which begins at / always.
		options.Environ = append(slices.Clone(o.Env), "PWD=/")
	}
	return hostfn.NewApp(options)
}

// runInput reads standard input, unless it is a terminal or nothing, until ctx ends. The goroutine that reads is left
// behind then: a read of a pipe cannot be taken back, and the process ends with its command.
func runInput(ctx context.Context, stdin io.Reader) ([]byte, error) {
	if file, ok := stdin.(*os.File); ok {
		if info, err := file.Stat(); err != nil || info.Mode()&os.ModeCharDevice != 0 {
			return nil, nil //nolint:nilerr // a closed standard input is an empty one
		}
	}
	if stdin == nil {
		return nil, nil
	}
	type read struct {
		input []byte
		err   error
	}
	done := make(chan read, 1)
	go func() {
		input, err := io.ReadAll(io.LimitReader(stdin, maxStdinBytes+1))
		done <- read{input, err}
	}()
	select {
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case r := <-done:
		if r.err == nil && len(r.input) > maxStdinBytes {
			r.err = fmt.Errorf("it is above the limit of %d bytes", maxStdinBytes)
		}
		if r.err != nil {
			return nil, fmt.Errorf("read standard input: %w", r.err)
		}
		return r.input, nil
	}
}

// run is one run of a module on its thread.
type run struct {
	ctx    context.Context //nolint:containedctx // lives as long as the one call that it is for
	thread *wasmedge.Thread
	env    *hostfn.Env
	stdout io.Writer
}

func (r *run) run(module *wasmedge.Module, starts []string, entry string, typ wasmedge.FuncType, input []byte) (int, error) {
	instance, err := r.thread.Instantiate(module)
	if err != nil {
		return 0, err
	}
	defer instance.Close()
	for _, name := range starts {
		if code, err := r.call(instance, name, wasmedge.FuncType{}, nil); err != nil || code != 0 {
			return code, err
		}
	}
	return r.call(instance, entry, typ, runRequest(input))
}

// call calls one export and writes what it puts out.
func (r *run) call(instance *wasmedge.Instance, name string, typ wasmedge.FuncType, request hostfn.Request) (int, error) {
	fn, err := instance.Func(name, typ)
	if err != nil {
		return 0, err
	}
	r.env.Begin(r.ctx, request)
	r.env.OnOutput(func(_ int, _ []hostfn.Header, part []byte) error {
		_, err := r.stdout.Write(part)
		return err
	})
	ticket := r.thread.Next()
	stop := context.AfterFunc(r.ctx, func() { r.thread.Kill(ticket, context.Cause(r.ctx)) })
	defer stop()
	var stack [1]uint64
	err = r.thread.Call(instance, fn, r.env, stack[:])
	out := r.env.Finish(err)
	if _, werr := r.stdout.Write(out.Body); werr != nil {
		return 0, werr
	}
	var exit *wasmedge.ExitError
	switch {
	case errors.As(err, &exit):
		return int(exit.Code), nil
	case out.Err != nil && out.GuestError != "":
		return 0, fmt.Errorf("%w: %s", out.Err, out.GuestError)
	case out.Err != nil:
		return 0, out.Err
	}
	return int(uint32(stack[0])), nil
}

// runRequest is standard input as a request.
type runRequest []byte

// Meta implements hostfn.Request.
func (runRequest) Meta(string) (string, bool) { return "", false }

// Headers implements hostfn.Request.
func (runRequest) Headers(func(name, value string) bool) {}

// Origin implements hostfn.Request: there is no invocation.
func (runRequest) Origin() any { return nil }

// Body implements hostfn.Request.
func (r runRequest) Body() []byte { return r }

// stderrSink writes what a guest logs to standard error.
type stderrSink struct{ w io.Writer }

// Log implements hostfn.LogSink.
func (s stderrSink) Log(line hostfn.LogLine) {
	_, _ = fmt.Fprintln(s.w, strings.TrimRight(line.Text, "\n")) // standard error: there is no other place to complain
}

// CompileOptions are a module to compile without a daemon.
type CompileOptions struct {
	File     string // for messages
	Module   []byte
	Output   string // where the compiled code is copied; empty: nowhere
	Optimise bool   // a large module too, which a deploy does in the background only
	Progress func(stage string, done, total int64)
}

// CompileResult is what Compile found in a module.
type CompileResult struct {
	Bytes     int64 // of the compiled code
	Optimised bool
	Exports   []string
	Imports   gate.Table
}

// Compile passes a module through the gate, binds its imports, and compiles it as a deploy does: a large module at the
// fast level, unless it is to be optimised.
func Compile(ctx context.Context, o CompileOptions) (CompileResult, error) {
	checked, err := gate.Check(o.Module, gate.DefaultLimits())
	if err != nil {
		return CompileResult{}, fmt.Errorf("%s: %w", o.File, err)
	}
	names, _ := functionExports(checked)
	table, err := gate.Bind(checked.Imports, provided(hostfn.All()))
	if err != nil {
		return CompileResult{}, fmt.Errorf("%s: %w\n\n%s", o.File, err, table)
	}
	dir, err := os.MkdirTemp("", "edged-compile")
	if err != nil {
		return CompileResult{}, fmt.Errorf("make a folder for compiled code: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary folder
	cache, err := aot.Open(compileCache(dir, len(checked.Code), o.Optimise))
	if err != nil {
		return CompileResult{}, err
	}
	defer closeCache(cache)
	artifact, err := cache.Get(ctx, checked.Code, o.Progress)
	if err != nil {
		return CompileResult{}, fmt.Errorf("%s: %w", o.File, err)
	}
	result := CompileResult{Exports: names, Imports: table, Optimised: artifact.Level != aot.O0}
	code, err := os.ReadFile(artifact.Path)
	if err != nil {
		return CompileResult{}, err
	}
	result.Bytes = int64(len(code))
	if o.Output != "" {
		err = os.WriteFile(o.Output, code, 0o644) //nolint:gosec // compiled code is no secret
	}
	return result, err
}

// compileCache are the options of a cache that compiles one module, and does so once.
func compileCache(dir string, size int, optimise bool) aot.Options {
	limits := config.Default().Compile
	options := aot.Options{Dir: dir, Self: compileChild(), LargeBytes: 1 << 30, Limits: aot.ChildLimits{
		MemoryBytes: int64(limits.Memory), CPU: limits.CPU, Wall: limits.Wall, FirstWall: limits.Wall,
	}}
	if !optimise && size > aot.DefaultLargeBytes {
		options.Best = aot.O0
	}
	return options
}
