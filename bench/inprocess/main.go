// Command inprocess measures edged's engine beside its peers without a network between: what a fresh request costs, how fast
// compiled code is, what stopping it costs, and whether two cores do twice the work.
//
//	go run ./inprocess [--quick] [--csv FOLDER] [--markdown FILE] [--rounds N] b2 b2b b4 b8 b19 | all
//
// Run it in the folder bench, on a quiet machine. Each contestant is a process of its own; they take turns round by round.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"

	"edged.dev/edge/bench/inprocess/engines"
	"edged.dev/edge/wasmedge/aot"
)

// The hidden commands: this binary is also every contestant, and both compilers.
const (
	contestantCommand = "contestant"
	compileCommand    = "compile" // the name that package aot starts
	plainCommand      = "compile-plain"
)

// plainLevel is the optimisation level of plainCommand, that of edged's artifacts.
const plainLevel = 3

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "inprocess:", err)
		os.Exit(1) //nolint:forbidigo // this is a main
	}
}

func run(arguments []string) error {
	if len(arguments) > 0 {
		switch arguments[0] {
		case contestantCommand:
			return engines.Serve(arguments[len(arguments)-1], os.Stdin, os.Stdout)
		case compileCommand:
			os.Exit(aot.ChildMain(arguments[1:], os.Stdin, os.Stdout, os.Stderr)) //nolint:forbidigo // what ChildMain asks for
		case plainCommand:
			return engines.CompilePlain(arguments[1], arguments[2], plainLevel)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	return measure(ctx, arguments, os.Stdout, os.Stderr)
}

// measure runs the benchmarks that the arguments name.
func measure(ctx context.Context, arguments []string, stdout, stderr io.Writer) (err error) {
	flags := flag.NewFlagSet("inprocess", flag.ContinueOnError)
	flags.SetOutput(stderr)
	quick := flags.Bool("quick", false, "few operations and rounds: shows that everything runs, not how fast")
	out := flags.String("csv", "", "write each table to `FOLDER`/NAME.csv, and all rounds to FOLDER/NAME-rounds.csv")
	markdown := flags.String("markdown", "", "write the tables to `FILE` too")
	rounds := flags.Int("rounds", 0, "rounds that count, one more warms up (default: the benchmark's own number)")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	chosen, err := choose(flags.Args())
	if err != nil {
		return err
	}
	if *markdown != "" {
		file, err := os.Create(*markdown)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		stdout = io.MultiWriter(stdout, file)
	}
	b, err := newBench(ctx, bench{quick: *quick, rounds: *rounds, out: *out, stderr: stderr})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.folder.Close()) }() //nolint:contextcheck // what ends ctx must not keep the folder from closing
	for _, name := range chosen {
		if err := b.one(ctx, name, stdout); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// choose returns the names of the benchmarks to run.
func choose(arguments []string) ([]string, error) {
	all := order()
	if slices.Equal(arguments, []string{"all"}) {
		return all, nil
	}
	if len(arguments) == 0 {
		return nil, fmt.Errorf("name what to measure: %v or all", all)
	}
	for _, name := range arguments {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("there is no benchmark %q; there are %v and all", name, all)
		}
	}
	return arguments, nil
}
