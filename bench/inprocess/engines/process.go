package engines

import (
	"bytes"
	"fmt"
	"os/exec"

	"edged.dev/edge/bench/inprocess/contest"
)

// processEach starts a program for every request, with the request as its stdin.
func processEach(setup Setup, serve func(contest.Perform) error) error {
	x := newExchange()
	return serve(x.fresh(func() error {
		var out bytes.Buffer
		command := exec.Command(setup.Program) //nolint:gosec,noctx // a program that was just built, ended by the end of its input
		command.Stdin, command.Stdout = bytes.NewReader(x.request[:]), &out
		if err := command.Run(); err != nil {
			return fmt.Errorf("run the program: %w", err)
		}
		x.take(out.Bytes())
		return nil
	}))
}
