package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Bounds that only a hang reaches.
const (
	startTimeout = time.Minute
	callTimeout  = time.Minute
	stopTimeout  = time.Minute
	waitTimeout  = 3 * time.Minute

	commandTimeout = 2 * time.Minute // for a command, a deploy above all
)

// edgedPath is the daemon and its command line, built once for all tests.
var edgedPath string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "edged-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	edgedPath = filepath.Join(dir, "edged")
	build := exec.Command("go", "build", "-buildmode=pie", "-o", edgedPath, "./edged")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build edged: %v\n%s", err, out)
		return 1
	}
	code := m.Run()
	if shared.daemon == nil {
		return code
	}
	if err := shared.daemon.end(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	_ = os.RemoveAll(shared.daemon.home.dir)
	return code
}

// shared is the daemon of the tests that neither end it nor need a configuration; TestMain ends it.
var shared struct {
	once   sync.Once
	daemon *daemon
	err    error
}

// sharedDaemon returns the shared daemon without any app. The test removes what it has deployed by ending.
func sharedDaemon(t *testing.T) *daemon {
	t.Helper()
	shared.once.Do(func() {
		dir, err := os.MkdirTemp("", "edged-e2e-") //nolint:usetesting // it outlives the test
		if err != nil {
			shared.err = err
			return
		}
		shared.daemon, shared.err = (&home{dir: dir, binary: edgedPath, http: "127.0.0.1:0"}).launch()
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	d := *shared.daemon
	d.clients = d.dial(t)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the daemon's log:\n%s", d.home.tail())
		}
		var apps []struct{ Name string }
		got := edgedWith(context.Background(), nil, "ls", "--json", "--admin", d.ready.Admin)
		if err := json.Unmarshal([]byte(got.stdout), &apps); err != nil {
			t.Errorf("the shared daemon does not list its apps: %+v", got)
		}
		for _, app := range apps {
			if got := edgedWith(context.Background(), nil, "rm", app.Name, "--admin", d.ready.Admin); got.code != 0 {
				t.Errorf("rm %s: %+v", app.Name, got)
			}
		}
	})
	return &d
}

// ready is the line that the daemon prints once it serves.
type ready struct {
	Event string `json:"event"`
	HTTP  string `json:"http"`
	UDS   string `json:"uds"`
	Admin string `json:"admin"`
}

// home is where a daemon keeps everything. Daemons may be started in it one after another.
type home struct {
	dir    string   // short, for socket paths are limited to 108 bytes
	config string   // path of a configuration file, or empty
	binary string   // what to start
	http   string   // address to listen on
	prefix []string // command to start the daemon with, such as unshare -n
}

// newHome makes a home with that configuration, which may be empty.
func newHome(t *testing.T, config string) *home {
	t.Helper()
	dir, err := os.MkdirTemp("", "edged-e2e-") //nolint:usetesting // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	h := &home{dir: dir, binary: edgedPath, http: "127.0.0.1:0"}
	if config != "" {
		h.config = filepath.Join(dir, "config.yaml")
		if err := os.WriteFile(h.config, []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func (h *home) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

// daemon is one run of `edged serve`.
type daemon struct {
	home    *home
	ready   ready
	command *exec.Cmd
	ended   chan struct{} // closed when the process has ended
	err     error         // of the process; set before ended is closed
	clients []transport
}

// serveCommand is the command line of a daemon in the home.
func (h *home) serveCommand() []string {
	args := append(append([]string{}, h.prefix...), h.binary, "serve", "--data", h.path("data"), "--http", h.http,
		"--uds", h.path("http.sock"), "--admin", h.path("admin.sock"))
	if h.config != "" {
		args = append(args, "--config", h.config)
	}
	return args
}

// start starts a daemon and waits until it is ready. It is killed at the end of the test if it still runs then.
func (h *home) start(t *testing.T) *daemon {
	t.Helper()
	d, err := h.launch()
	if err != nil {
		t.Fatal(err)
	}
	d.clients = d.dial(t)
	t.Cleanup(func() {
		d.kill()
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", h.tail())
		}
	})
	return d
}

// startDaemon starts a daemon in a home of its own.
func startDaemon(t *testing.T, config string) *daemon {
	t.Helper()
	return newHome(t, config).start(t)
}

func (h *home) launch() (*daemon, error) {
	logs, err := os.OpenFile(h.path("log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = logs.Close() }() // the process has its own
	args := h.serveCommand()
	d := &daemon{home: h, ended: make(chan struct{})}
	d.command = exec.Command(args[0], args[1:]...)
	d.command.Stderr = logs
	d.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := d.command.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := d.command.Start(); err != nil {
		return nil, fmt.Errorf("start edged: %w", err)
	}
	line := make(chan string, 1)
	go func() {
		reader := bufio.NewReader(stdout)
		first, _ := reader.ReadString('\n')
		line <- first
		_, _ = io.Copy(io.Discard, reader)
		d.err = d.command.Wait()
		close(d.ended)
	}()
	select {
	case first := <-line:
		if err := json.Unmarshal([]byte(first), &d.ready); err != nil || d.ready.Event != "ready" {
			d.kill()
			return nil, fmt.Errorf("first line of edged serve is %q, not its ready event; its log:\n%s", first, h.tail())
		}
		return d, nil
	case <-time.After(startTimeout):
		d.kill()
		return nil, fmt.Errorf("edged serve said nothing for %v; its log:\n%s", startTimeout, h.tail())
	}
}

// kill ends the process with SIGKILL and waits for it.
func (d *daemon) kill() {
	_ = d.command.Process.Kill()
	<-d.ended
}

// terminate asks the daemon to end, as an init system does.
func (d *daemon) terminate(t *testing.T) {
	t.Helper()
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the end of the process and returns its exit code, -1 when a signal ended it.
func (d *daemon) exit(t *testing.T) int {
	t.Helper()
	select {
	case <-d.ended:
		return d.command.ProcessState.ExitCode()
	case <-time.After(stopTimeout):
		t.Fatalf("the daemon has not ended within %v; its log:\n%s", stopTimeout, d.home.tail())
		return 0
	}
}

// stop asks the daemon to stop and requires that it ends well.
func (d *daemon) stop(t *testing.T) {
	t.Helper()
	if err := d.end(); err != nil {
		t.Fatal(err)
	}
}

func (d *daemon) end() error {
	if err := d.command.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case <-d.ended:
		if d.err != nil {
			return fmt.Errorf("after SIGTERM: %w; its log:\n%s", d.err, d.home.tail())
		}
		return nil
	case <-time.After(stopTimeout):
		d.kill()
		return fmt.Errorf("the daemon has not ended within %v of SIGTERM; its log:\n%s", stopTimeout, d.home.tail())
	}
}

// log returns all that the daemons of the home have logged.
func (h *home) log() string {
	log, err := os.ReadFile(h.path("log"))
	if err != nil {
		return err.Error()
	}
	return string(log)
}

// tail returns the end of the log.
func (h *home) tail() string {
	const most = 16 << 10
	log := h.log()
	return log[max(0, len(log)-most):]
}

// output is how a command ended.
type output struct {
	code           int
	stdout, stderr string
}

// cli runs a client verb against the daemon, whatever comes of it.
func (d *daemon) cli(t *testing.T, args ...string) output {
	t.Helper()
	return edged(t, nil, append(args, "--admin", d.ready.Admin)...)
}

// must is cli for commands that have to succeed; it returns their standard output.
func (d *daemon) must(t *testing.T, args ...string) string {
	t.Helper()
	got := d.cli(t, args...)
	if got.code != 0 {
		t.Fatalf("edged %s ended with %d\n%s%s", strings.Join(args, " "), got.code, got.stdout, got.stderr)
	}
	return got.stdout
}

// edged runs the command line with that standard input.
func edged(t *testing.T, stdin io.Reader, args ...string) output {
	t.Helper()
	return edgedWith(t.Context(), stdin, args...)
}

// edgedWith is edged where there is no test to fail: what keeps the command from running is its standard error, with code -1.
func edgedWith(ctx context.Context, stdin io.Reader, args ...string) output {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	var stdout, stderr bytes.Buffer
	command := exec.CommandContext(ctx, edgedPath, args...)
	command.Stdin, command.Stdout, command.Stderr = stdin, &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return output{-1, stdout.String(), err.Error()}
	}
	return output{command.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}
