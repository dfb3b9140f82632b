package server

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ErrCommand is wrapped when a command of edged fails.
var ErrCommand = errors.New("edged")

// Edged is a folder with everything that an edged daemon keeps. Daemons can be started in it one after another.
type Edged struct {
	Binary string // path of edged
	Config string // contents of the configuration file, YAML; may be empty
	CPUs   []int  // see Options
	Dir    string // of everything; short, because paths of Unix sockets are
}

// Start starts a daemon with its default settings but for Config.
func (e *Edged) Start(ctx context.Context) (*Server, error) {
	command := []string{
		e.Binary, "serve", "--data", filepath.Join(e.Dir, "data"), "--http", "127.0.0.1:0", "--uds", filepath.Join(e.Dir, "http.sock"),
		"--admin", e.Admin(), "--log-level", "warn",
	}
	if e.Config != "" {
		config := filepath.Join(e.Dir, "config.yaml")
		if err := os.WriteFile(config, []byte(e.Config), 0o600); err != nil {
			return nil, err
		}
		command = append(command, "--config", config)
	}
	s, err := Start(ctx, Options{CPUs: e.CPUs, Log: filepath.Join(e.Dir, "log"), Command: command})
	if err != nil {
		return nil, fmt.Errorf("start edged: %w", err)
	}
	return s, nil
}

// Admin returns the path of the management socket.
func (e *Edged) Admin() string { return filepath.Join(e.Dir, "admin.sock") }

// Run runs a command of edged and returns its standard output.
func (e *Edged) Run(ctx context.Context, args ...string) ([]byte, error) {
	command := exec.CommandContext(ctx, e.Binary, args...) //nolint:gosec // what is measured is a parameter
	out, err := command.Output()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("%w %s: %w", ErrCommand, strings.Join(args, " "), context.Cause(ctx))
	}
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("%w %s: %w: %s", ErrCommand, strings.Join(args, " "), err, exit.Stderr)
	}
	return out, err
}

// Deploy deploys the app in a folder to the daemon that runs and waits until its best build serves.
func (e *Edged) Deploy(ctx context.Context, dirs ...string) error {
	for _, dir := range dirs {
		if _, err := e.Run(ctx, "deploy", dir, "--admin", e.Admin()); err != nil {
			return err
		}
	}
	for {
		out, err := e.Run(ctx, "ls", "--json", "--admin", e.Admin())
		if err != nil {
			return err
		}
		ready, err := allReady(out)
		if err != nil || ready {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the optimised builds: %w", context.Cause(ctx))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// allReady reads what `edged ls --json` says.
func allReady(list []byte) (bool, error) {
	var apps []struct{ Name, State string }
	if err := json.Unmarshal(list, &apps); err != nil {
		return false, fmt.Errorf("list of apps: %w", err)
	}
	for _, app := range apps {
		switch app.State {
		case "ready":
		case "optimising":
			return false, nil
		default:
			return false, fmt.Errorf("%w: app %s is %s", ErrCommand, app.Name, app.State)
		}
	}
	return true, nil
}
