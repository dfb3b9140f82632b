// Command bench measures edged over HTTP, beside other servers, and prints tables.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"edged.dev/edge/bench/suite"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) } //nolint:forbidigo // the entry of the program

const usage = `Measures edged over HTTP, beside other servers, and prints tables in Markdown.

  go run ./cmd/bench [OPTIONS] [WORKLOAD...]      in the folder bench; without a workload all of them

It builds edged from this checkout, the servers beside it and the guests, runs each server on one core and the load generator
on another, and lets all sides take turns. Use a quiet machine. Workloads:

`

func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 3, "let all sides take turns `N` times")
	duration := flags.Duration("duration", 1500*time.Millisecond, "measure each side for `TIME` in a round")
	quick := flags.Bool("quick", false, "one short round of everything, to see that all works: not for numbers to believe")
	results := flags.String("csv", "", "write every measurement to `FOLDER`/WORKLOAD.csv")
	markdown := flags.String("markdown", "", "write the tables to `FILE` too")
	edged := flags.String("edged", "", "measure the binary `FILE` instead of building this checkout")
	flags.Usage = func() {
		_, _ = io.WriteString(stderr, usage)
		for _, w := range suite.Workloads() {
			_, _ = fmt.Fprintf(stderr, "  %-5s %s\n", w.Name, w.Text)
		}
		_, _ = io.WriteString(stderr, "\nOptions:\n\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if *quick {
		*rounds, *duration = 1, 500*time.Millisecond
	}
	options := suite.Options{
		Rounds: *rounds, Duration: *duration, Quick: *quick, Edged: *edged, Results: *results, Markdown: stdout,
		Progress: stderr,
	}
	if err := measure(options, *markdown, flags.Args()); err != nil {
		_, _ = fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

func measure(options suite.Options, markdown string, workloads []string) (err error) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if options.Bench, err = folder(); err != nil {
		return err
	}
	if options.Edged != "" {
		if options.Edged, err = filepath.Abs(options.Edged); err != nil {
			return err
		}
	}
	if markdown != "" {
		file, err := os.Create(markdown)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		options.Markdown = io.MultiWriter(options.Markdown, file)
	}
	lab, err := suite.NewLab(options)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lab.Close()) }()
	return lab.Run(ctx, workloads...)
}

// folder finds the module's folder, which has the sources that are built.
func folder() (string, error) {
	dir, err := filepath.Abs(".")
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, "apps", "basic", "basic.c")); err != nil {
		return "", fmt.Errorf("run this in the folder bench of a checkout: %w", err)
	}
	return dir, nil
}
