package server

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
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ErrNotReady is wrapped when a server did not print its ready line.
var ErrNotReady = errors.New("the server did not become ready")

// Bounds that only a server which hangs reaches.
const (
	startTimeout = time.Minute
	stopTimeout  = 30 * time.Second
)

// Options say what to start.
type Options struct {
	Command []string // program and arguments
	CPUs    []int    // cores it may use, its children too; nil for all
	Log     string   // file that gets its standard error, appended
}

// Server is a running child process. Its methods may be called by any goroutine.
type Server struct {
	address string
	command *exec.Cmd
	log     string
	started time.Time
	ended   chan struct{} // closed when the process has ended
	stop    sync.Once
}

// Start starts a server and waits for its ready line. Close ends it; when this process dies or the context ends, so does the
// server.
func Start(ctx context.Context, options Options) (*Server, error) {
	log, err := os.OpenFile(options.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the server's log: %w", err)
	}
	defer func() { _ = log.Close() }() // the child has its own
	//nolint:gosec // what is measured is a parameter
	s := &Server{command: exec.CommandContext(ctx, options.Command[0], options.Command[1:]...), log: options.Log, ended: make(chan struct{})}
	s.command.Stderr = log
	s.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := s.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	s.started = time.Now()
	if err := on(options.CPUs, s.command.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", options.Command[0], err)
	}
	lines := make(chan string, 1)
	go func() {
		reader := bufio.NewReader(stdout)
		line, _ := reader.ReadString('\n')
		lines <- line
		_, _ = io.Copy(io.Discard, reader)
		_ = s.command.Wait()
		close(s.ended)
	}()
	select {
	case line := <-lines:
		var ready struct{ HTTP string }
		if err := json.Unmarshal([]byte(line), &ready); err != nil || ready.HTTP == "" {
			return nil, errors.Join(fmt.Errorf("%w: its first line is %q; its log:\n%s", ErrNotReady, line, s.tail()), s.Close())
		}
		s.address = ready.HTTP
		return s, nil
	case <-ctx.Done():
		return nil, errors.Join(context.Cause(ctx), s.Close())
	case <-time.After(startTimeout):
		return nil, errors.Join(fmt.Errorf("%w within %v; its log:\n%s", ErrNotReady, startTimeout, s.tail()), s.Close())
	}
}

// tail returns the end of the server's log.
func (s *Server) tail() []byte {
	const most = 4 << 10
	log, err := os.ReadFile(s.log)
	if err != nil {
		return []byte(err.Error())
	}
	return log[max(0, len(log)-most):]
}

// on runs start on a thread that may use those cores, which a child begun by it inherits.
func on(cpus []int, start func() error) error {
	if cpus == nil {
		return start()
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return os.NewSyscallError("sched_getaffinity", err)
	}
	for _, cpu := range cpus {
		set.Set(cpu)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return os.NewSyscallError("sched_setaffinity", err)
	}
	defer func() { _ = unix.SchedSetaffinity(0, &before) }()
	return start()
}

// Address returns host:port of its HTTP port.
func (s *Server) Address() string { return s.address }

// Started returns when the process was started.
func (s *Server) Started() time.Time { return s.started }

// PID returns the process's number.
func (s *Server) PID() int { return s.command.Process.Pid }

// Close asks the server to end, kills it when it does not within 30 s, and waits for that. Further calls do nothing.
func (s *Server) Close() error {
	var err error
	s.stop.Do(func() {
		_ = s.command.Process.Signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(stopTimeout):
			err = fmt.Errorf("%w: %s has not ended within %v; it was killed", context.DeadlineExceeded, s.command.Path, stopTimeout)
			_ = s.command.Process.Kill()
			<-s.ended
		}
	})
	return err
}

// Kill ends the server at once and waits for that.
func (s *Server) Kill() {
	s.stop.Do(func() {
		_ = s.command.Process.Kill()
		<-s.ended
	})
}
