package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"edged.dev/edge/edged/internal/cli"
)

// childEnv makes this test binary a daemon that answers signals as the variable's value says.
const childEnv = "MAIN_TEST_CHILD"

func TestMain(m *testing.M) {
	if kind := os.Getenv(childEnv); kind != "" {
		deps := dependencies()
		deps.Serve = serveLike(kind)
		os.Exit(run([]string{"serve"}, deps))
	}
	os.Exit(m.Run())
}

// serveLike is a daemon without anything to serve. "drains" ends with its context, "hangs" says that it was told to stop
// and goes on.
func serveLike(kind string) func(context.Context, cli.ServeOptions) error {
	return func(ctx context.Context, options cli.ServeOptions) error {
		if err := options.Ready(cli.Ready{}); err != nil {
			return err
		}
		<-ctx.Done()
		if kind == "drains" {
			return nil
		}
		if _, err := fmt.Fprintln(os.Stdout, "draining"); err != nil {
			return err
		}
		select {}
	}
}

// child starts the test binary as a daemon and waits for its ready line.
func child(t *testing.T, kind string) (*exec.Cmd, *bufio.Reader) {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0])
	command.Env = append(os.Environ(), childEnv+"="+kind)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if line, err := lines.ReadString('\n'); err != nil || line != `{"event":"ready","http":"","uds":"","admin":""}`+"\n" {
		t.Fatalf("first line %q, %v", line, err)
	}
	return command, lines
}

func TestFirstSignalDrains(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(sig.String(), func(t *testing.T) {
			command, _ := child(t, "drains")
			if err := command.Process.Signal(sig); err != nil {
				t.Fatal(err)
			}
			if err := command.Wait(); err != nil {
				t.Errorf("the daemon ended with %v, want 0", err)
			}
		})
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	command, lines := child(t, "hangs")
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if line, err := lines.ReadString('\n'); err != nil || line != "draining\n" {
		t.Fatalf("after the first signal: %q, %v", line, err)
	}
	if err := command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := command.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("after the second signal: %v, want exit code 1", err)
	}
}
