// Command edged runs WebAssembly functions on this machine. This file owns what only a process can own: signals, the
// standard streams and the exit code; everything else is in internal/cli and internal/daemon.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/term"

	"edged.dev/edge/edged/internal/cli"
	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/sdk"
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
		CompileChild:   aot.ChildMain,
		ManifestSchema: func() ([]byte, error) { return manifest.Schema(), nil },
		ModulePath:     modulePath,
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
