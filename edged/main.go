// Command edged runs WebAssembly functions on this machine. This file owns what only a process can own: signals, the
// standard streams and the exit code; everything else is in internal/cli and internal/daemon.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/cli"
	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/edged/internal/daemon"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/manifest/waverless"
	"edged.dev/edge/sdk"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
)

// version is set at link time: -ldflags "-X main.version=v1.2.3".
var version = "dev"

func main() {
	os.Exit(run(os.Args[1:], dependencies()))
}

// run runs the command line under the signals of the process. The first SIGINT or SIGTERM ends the command's context, by
// which the daemon drains and a client gives up; the second ends the process at once.
func run(args []string, deps cli.Deps) int {
	if len(args) == 1 && args[0] == "compile" { // the compile child takes the process over, signals included
		return cli.Run(context.Background(), args, deps)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		first := <-signals
		cancel()
		second := <-signals
		fmt.Fprintf(os.Stderr, "edged: %v after %v: ending at once\n", second, first)
		os.Exit(1)
	}()
	return cli.Run(ctx, args, deps)
}

// dependencies gives the command line what it needs from this process.
func dependencies() cli.Deps {
	return cli.Deps{
		Version:        version,
		AdminPath:      config.AdminPath(""),
		NoColor:        config.NoColor(),
		Stdin:          os.Stdin,
		Stdout:         os.Stdout,
		Stderr:         os.Stderr,
		StdoutTerminal: term.IsTerminal(int(os.Stdout.Fd())),
		StderrTerminal: term.IsTerminal(int(os.Stderr.Fd())),
		Engine:         "WasmEdge " + wasmedge.Version(),
		Serve:          serve,
		RunModule:      runModule,
		Compile:        compile,
		CompileChild:   aot.ChildMain,
		ManifestSchema: func() ([]byte, error) { return manifest.Schema(), nil },
		ModulePath:     modulePath,
		Convert:        convert,
		LocalChecks:    localChecks,
		SDK:            sdk.Files(),
	}
}

// modulePath returns the path of the module that a manifest names.
func modulePath(name string, text []byte) (string, error) {
	m, err := manifest.Parse(name, text)
	if err != nil {
		return "", err
	}
	return m.Module, nil
}

// convert makes a manifest of a project file of waverless.
func convert(name, folder string, text []byte, modules []string) (made []byte, module string, notes []string, err error) {
	m, notes, err := waverless.Convert(name, folder, text, modules)
	if err != nil {
		return nil, "", nil, err
	}
	made, err = m.YAML()
	return made, m.Module, notes, err
}

// serve runs the daemon.
func serve(ctx context.Context, o cli.ServeOptions) error {
	loaded, err := config.Load(config.Options{File: o.ConfigFile, Flags: o.Flags})
	if err != nil {
		if _, without := config.Load(config.Options{File: o.ConfigFile}); without == nil {
			return cli.WrongUsage("edged serve", err) // it is the flags that are wrong
		}
		return err
	}
	d, err := daemon.New(daemon.Options{Config: loaded, Version: version, Logger: logger(o.Stderr, loaded.Log)})
	if err != nil {
		return err
	}
	err = d.Run(ctx, func(r daemon.Ready) error { return o.Ready(cli.Ready(r)) })
	return errors.Join(err, d.Close())
}

func logger(w io.Writer, l config.Log) *slog.Logger {
	options := &slog.HandlerOptions{Level: l.SlogLevel()}
	if l.Format == config.FormatJSON {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// localChecks looks at this machine without a daemon.
func localChecks(ctx context.Context) []admin.Check {
	loaded, err := config.Load(config.Options{})
	if err != nil {
		return []admin.Check{{Name: "configuration", State: admin.CheckFail, Detail: err.Error()}}
	}
	return daemon.LocalChecks(ctx, loaded)
}

func runModule(ctx context.Context, o cli.RunOptions) (int, error) {
	dirs := make([]daemon.RunDir, len(o.Dirs))
	for i, dir := range o.Dirs {
		dirs[i] = daemon.RunDir(dir)
	}
	return daemon.RunModule(ctx, daemon.RunOptions{
		File: o.File, Module: o.Module, Args: o.Args, Dirs: dirs, Env: o.Env, Stdin: o.Stdin, Stdout: o.Stdout, Stderr: o.Stderr,
		Timeout: o.Timeout,
	})
}

func compile(ctx context.Context, o cli.CompileOptions) (cli.CompileResult, error) {
	result, err := daemon.Compile(ctx, daemon.CompileOptions{
		File: o.File, Module: o.Module, Output: o.Output, Optimise: o.Optimise,
		Progress: func(stage string, done, total int64) {
			o.Progress(admin.Progress{Stage: "compile", Done: done, Total: total, Message: stage})
		},
	})
	if err != nil {
		return cli.CompileResult{}, err
	}
	return cli.CompileResult{
		Bytes: result.Bytes, Optimised: result.Optimised, Exports: result.Exports, Imports: daemon.ImportList(result.Imports),
	}, nil
}
