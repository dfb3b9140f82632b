// Package contest runs contestants against each other: each in a process of its own, so that none disturbs another's
// signal handlers, garbage collector or address space, taking turns round by round, so that what else happens on the machine
// hits all of them alike.
package contest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrContestant is returned when a contestant ended, did not answer as agreed, or could not do its job; the text says which and why.
var ErrContestant = errors.New("contestant")

// Contestant is a program that speaks the protocol of [Serve].
type Contestant struct {
	Name    string
	Command []string
	// CPU is the only core that the process may use; below 0 for all.
	CPU int
}

// Turn is what one contestant does in each round.
type Turn struct {
	Contestant string
	Job        string
	Count      int // operations a round
}

// Field is the contestants of one benchmark, started and waiting.
type Field struct {
	children map[string]*child
}

// Start starts all contestants. Close ends them.
func Start(ctx context.Context, contestants []Contestant) (*Field, error) {
	field := &Field{children: make(map[string]*child)}
	for _, contestant := range contestants {
		child, err := start(ctx, contestant)
		if err != nil {
			return nil, errors.Join(err, field.Close())
		}
		field.children[contestant.Name] = child
	}
	return field, nil
}

// Close ends all contestants and waits for them. A second Close does nothing.
func (f *Field) Close() error {
	var errs []error
	for name, child := range f.children {
		errs = append(errs, child.close())
		delete(f.children, name)
	}
	return errors.Join(errs...)
}

// Rounds lets every turn happen once a round, each beginning with the one after the last round's first, and returns the rounds
// of each turn. The first round warms up and is not in the result. progress, when not nil, is told of every round.
func (f *Field) Rounds(turns []Turn, rounds int, progress func(done, total int)) ([][]Round, error) {
	results := make([][]Round, len(turns))
	for round := range rounds + 1 {
		for i := range turns {
			n := (i + round) % len(turns)
			result, err := f.take(turns[n])
			if err != nil {
				return nil, err
			}
			if round > 0 {
				results[n] = append(results[n], result)
			}
		}
		if progress != nil {
			progress(round, rounds)
		}
	}
	return results, nil
}

func (f *Field) take(turn Turn) (Round, error) {
	child := f.children[turn.Contestant]
	if child == nil {
		return Round{}, fmt.Errorf("%w %s: not started", ErrContestant, turn.Contestant)
	}
	round, err := child.run(turn.Job, turn.Count)
	if err != nil {
		return Round{}, fmt.Errorf("%w %s, job %s: %w", ErrContestant, turn.Contestant, turn.Job, err)
	}
	return round, nil
}

// child is a contestant's process.
type child struct {
	name     string
	command  *exec.Cmd
	commands io.WriteCloser
	answers  *bufio.Reader
	stderr   strings.Builder
}

func start(ctx context.Context, contestant Contestant) (*child, error) {
	c := &child{name: contestant.Name}
	c.command = exec.CommandContext(ctx, contestant.Command[0], contestant.Command[1:]...) //nolint:gosec // a contestant is a program that was just built
	c.command.Stderr = &c.stderr
	var err error
	if c.commands, err = c.command.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	answers, err := c.command.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	c.answers = bufio.NewReader(answers)
	if err := startOn(c.command, contestant.CPU); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	return c, nil
}

// startOn starts a command on one core: a child inherits the cores of the thread that forks it, before it has any thread of
// its own that could miss it.
func startOn(command *exec.Cmd, cpu int) error {
	if cpu < 0 {
		return command.Start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, only unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	only.Set(cpu)
	if err := unix.SchedSetaffinity(0, &only); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	started := command.Start()
	return errors.Join(started, os.NewSyscallError("sched_setaffinity", unix.SchedSetaffinity(0, &before)))
}

// CPUs returns the cores that this process may use, lowest first.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

func (c *child) run(job string, count int) (Round, error) {
	if _, err := fmt.Fprintf(c.commands, "run %s %d\n", job, count); err != nil {
		return Round{}, c.broken(err)
	}
	line, err := c.answers.ReadBytes('\n')
	if err != nil {
		return Round{}, c.broken(err)
	}
	var round Round
	if err := json.Unmarshal(line, &round); err != nil {
		return Round{}, c.broken(fmt.Errorf("answer %q: %w", line, err))
	}
	if round.Error != "" {
		return Round{}, errors.New(round.Error)
	}
	return round, nil
}

// broken adds what the contestant wrote to stderr, which is complete once it has ended.
func (c *child) broken(err error) error {
	if closed := c.close(); closed != nil {
		return closed
	}
	return err
}

// close ends the contestant, which sees the end of its commands.
func (c *child) close() error {
	if c.command == nil {
		return nil
	}
	_ = c.commands.Close()
	err := c.command.Wait()
	c.command = nil
	if err != nil {
		return fmt.Errorf("%w %s: %w: %s", ErrContestant, c.name, err, strings.TrimSpace(c.stderr.String()))
	}
	return nil
}
