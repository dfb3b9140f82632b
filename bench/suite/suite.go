package suite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
)

// Workload is one of the suite.
type Workload struct {
	Name string // as on the command line
	Text string // what it measures, a line
	run  func(*Lab, context.Context) ([]*table, error)
}

// Workloads returns all of them in the order in which they run.
func Workloads() []Workload {
	return []Workload{
		{"b1", "hello at 1, 16 and 64 connections, beside every peer", (*Lab).hello},
		{"b2b", "hello of a stock Go guest, beside engines that start it up for each request", (*Lab).stockGo},
		{"b3", "echo of 1 KiB and 64 KiB, beside the peers", (*Lab).echo},
		{"b5", "fib(10) beside fib(40) with deadlines, by policy and preemption", (*Lab).bimodal},
		{"b5b", "hello on 4 connections beside computations", (*Lab).beside},
		{"b6", "functions of four lengths with tight deadlines", (*Lab).mix},
		{"b7", "twice as many requests as can be answered", (*Lab).overload},
		{"b9", "a quiet app beside a noisy one", (*Lab).tenants},
		{"b10", "reads and writes of keys, beside bbolt", (*Lab).keys},
		{"b11", "a chain of 100 functions that start each other by keys", (*Lab).chain},
		{"b12", "counting the words of 10 MB in slices", (*Lab).words},
		{"b13", "functions that call each other, and actors", (*Lab).calls},
		{"b17", "memory of 1,000 idle functions and of live instances", (*Lab).density},
		{"b18", "from the start of the process to the first answer, with 100 apps", (*Lab).boot},
		{"wrk", "wrk on a function of 1 ms beside one of 2 s", (*Lab).shortAndLong},
	}
}

// Run runs workloads by name, all without any, and writes their tables.
func (l *Lab) Run(ctx context.Context, names ...string) error {
	all := Workloads()
	for _, name := range names {
		if !slices.ContainsFunc(all, func(w Workload) bool { return w.Name == name }) {
			return fmt.Errorf("%w: %q; --help lists them", ErrWorkload, name)
		}
	}
	if err := l.Build(ctx); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(l.options.Markdown, "Machine: %s.\n\n", l.Machine()); err != nil {
		return err
	}
	for _, w := range all {
		if len(names) > 0 && !slices.Contains(names, w.Name) {
			continue
		}
		if err := l.one(ctx, w); err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
	}
	return nil
}

func (l *Lab) one(ctx context.Context, w Workload) error {
	tables, err := w.run(l, ctx)
	if err = errors.Join(err, l.end(w.Name, tables)); err != nil {
		return err
	}
	for _, t := range tables {
		if err := t.write(l.options.Markdown); err != nil {
			return err
		}
	}
	return nil
}

func writeText(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
