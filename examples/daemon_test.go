package examples_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Bounds that only a hang reaches.
const (
	startTimeout  = time.Minute
	deployTimeout = 10 * time.Minute
	callTimeout   = time.Minute
	stopTimeout   = time.Minute
)

// daemon is a running `edged serve` with a data directory of its own.
type daemon struct {
	dir     string // holds bin/, data/ and the sockets
	edged   string // the binary
	ready   ready
	process *exec.Cmd
	ended   chan error // receives the exit once
	logs    *os.File
}

// ready is the line that the daemon prints once it serves.
type ready struct {
	Event string `json:"event"`
	HTTP  string `json:"http"`
	UDS   string `json:"uds"`
	Admin string `json:"admin"`
}

// shared is the daemon of all tests; TestMain stops it.
var shared *daemon

func TestMain(m *testing.M) {
	code := m.Run()
	if shared != nil {
		if err := shared.close(); err != nil {
			fmt.Fprintln(os.Stderr, "examples_test:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// theDaemon starts the shared daemon at the first call.
func theDaemon(t *testing.T) *daemon {
	t.Helper()
	if shared == nil {
		d, err := newDaemon(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		shared = d
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the daemon's log:\n%s", shared.tail())
		}
	})
	return shared
}

// newDaemon builds the binary from this checkout and starts it. Socket paths are limited to 108 bytes, so the directory
// is not below the long name that t.TempDir would give.
func newDaemon(ctx context.Context) (*daemon, error) {
	dir, err := os.MkdirTemp("", "edged-examples-")
	if err != nil {
		return nil, err
	}
	d := &daemon{dir: dir, edged: filepath.Join(dir, "edged"), ended: make(chan error, 1)}
	build := exec.CommandContext(ctx, "go", "build", "-buildmode=pie", "-o", d.edged, "./edged")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		_ = os.RemoveAll(dir)
		return nil, fmt.Errorf("build edged: %w\n%s", err, out)
	}
	if err := d.start(); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

// start runs the daemon and waits for its ready line.
func (d *daemon) start() error {
	logs, err := os.OpenFile(filepath.Join(d.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	d.logs = logs
	// Not tied to a test's context: the daemon outlives the test that started it.
	d.process = exec.Command(d.edged, "serve", "--data", filepath.Join(d.dir, "data"), "--http", "127.0.0.1:0",
		"--uds", filepath.Join(d.dir, "http.sock"), "--admin", filepath.Join(d.dir, "admin.sock"))
	d.process.Stderr = logs
	stdout, err := d.process.StdoutPipe()
	if err != nil {
		return err
	}
	if err := d.process.Start(); err != nil {
		return fmt.Errorf("start edged: %w", err)
	}
	line := make(chan string, 1)
	go func() {
		reader := bufio.NewReader(stdout)
		first, _ := reader.ReadString('\n')
		line <- first
		_, _ = io.Copy(io.Discard, reader)
		d.ended <- d.process.Wait()
	}()
	select {
	case first := <-line:
		if err := json.Unmarshal([]byte(first), &d.ready); err != nil || d.ready.Event != "ready" {
			return fmt.Errorf("first line of edged serve is %q, not its ready event; its log:\n%s", first, d.tail())
		}
		return nil
	case <-time.After(startTimeout):
		return fmt.Errorf("edged serve said nothing for %v; its log:\n%s", startTimeout, d.tail())
	}
}

// close asks the daemon to stop, waits for it and removes everything. A daemon that does not exit with 0 is an error.
func (d *daemon) close() error {
	var err error
	if d.process != nil && d.process.Process != nil {
		_ = d.process.Process.Signal(syscall.SIGTERM)
		select {
		case err = <-d.ended:
			if err != nil {
				err = fmt.Errorf("edged serve after SIGTERM: %w; its log:\n%s", err, d.tail())
			}
		case <-time.After(stopTimeout):
			_ = d.process.Process.Kill()
			err = errors.Join(fmt.Errorf("edged serve did not stop within %v of SIGTERM", stopTimeout), <-d.ended)
		}
	}
	if d.logs != nil {
		_ = d.logs.Close()
	}
	return errors.Join(err, os.RemoveAll(d.dir))
}

// tail returns the end of the daemon's log.
func (d *daemon) tail() string {
	log, err := os.ReadFile(filepath.Join(d.dir, "log"))
	if err != nil {
		return err.Error()
	}
	const most = 8 << 10
	return string(log[max(0, len(log)-most):])
}

// run runs a client verb against the daemon and returns its standard output.
func (d *daemon) run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deployTimeout)
	defer cancel()
	command := exec.CommandContext(ctx, d.edged, append(args, "--admin", d.ready.Admin)...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		t.Fatalf("edged %s: %v\n%s%s", strings.Join(args, " "), err, &stdout, &stderr)
	}
	return stdout.String()
}

// transport is one way to the daemon's functions.
type transport struct {
	name   string
	client *http.Client
	base   string // scheme and host
}

// transports returns both ways: TCP and the Unix socket, with the same protocol on each.
func (d *daemon) transports(t *testing.T) []transport {
	t.Helper()
	dial := func(network, address string) *http.Client {
		pool := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, address)
		}}
		t.Cleanup(pool.CloseIdleConnections)
		return &http.Client{Transport: pool, Timeout: callTimeout}
	}
	return []transport{
		{"http", dial("tcp", d.ready.HTTP), "http://" + d.ready.HTTP},
		{"uds", dial("unix", d.ready.UDS), "http://edged"},
	}
}

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// call sends a request and reads the whole response.
func (tr transport) call(ctx context.Context, method, target string, body []byte) (reply, error) {
	return tr.send(ctx, method, target, body, nil)
}

// send is call with header fields.
func (tr transport) send(ctx context.Context, method, target string, body []byte, header http.Header) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, tr.base+target, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	maps.Copy(request.Header, header)
	response, err := tr.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, fmt.Errorf("read the response: %w", err)
	}
	return reply{response.StatusCode, response.Header, content}, nil
}

// must is call for requests that have to be answered.
func (tr transport) must(t *testing.T, method, target string, body []byte) reply {
	t.Helper()
	got, err := tr.call(t.Context(), method, target, body)
	if err != nil {
		t.Fatalf("%s %s over %s: %v", method, target, tr.name, err)
	}
	return got
}
