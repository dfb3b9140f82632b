package httptrigger_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/edged/internal/trigger"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// patience is how long tests wait for what must happen; it is never asserted.
const patience = 30 * time.Second

// guest answers an invocation on a worker's goroutine.
type guest func(inv *invoke.Invocation) invoke.Result

// workers is a scheduler without policy: a bounded queue and goroutines that run guests.
type workers struct {
	queue chan *invoke.Invocation
	wg    sync.WaitGroup
	mu    sync.Mutex
	calls map[invoke.FunctionName]int // guarded by mu
}

func newWorkers(tb testing.TB, n int) *workers {
	tb.Helper()
	w := &workers{queue: make(chan *invoke.Invocation, 4096), calls: map[invoke.FunctionName]int{}}
	for range n {
		w.wg.Go(func() {
			for inv := range w.queue {
				now := time.Now()
				inv.Stamps.Picked, inv.Stamps.Started = now, now
				res := inv.Target.(target).run(inv)
				inv.Stamps.Ended = time.Now()
				inv.Done(inv, res)
			}
		})
	}
	tb.Cleanup(func() {
		close(w.queue)
		w.wg.Wait()
	})
	return w
}

func (w *workers) Submit(inv *invoke.Invocation) error {
	w.mu.Lock()
	w.calls[inv.Function]++
	w.mu.Unlock()
	inv.Stamps.Queued = time.Now()
	select {
	case w.queue <- inv:
		return nil
	default:
		return &invoke.Error{Kind: invoke.ErrQueueFull, Detail: "the queue is full", RetryAfter: 2 * time.Second}
	}
}

func (w *workers) called(f invoke.FunctionName) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.calls[f]
}

type target struct {
	function invoke.FunctionName
	run      guest
}

func (t target) Name() (invoke.AppName, invoke.FunctionName) { return "t", t.function }

// setup is what a test changes of the usual server.
type setup struct {
	opts   httptrigger.Options
	guests map[invoke.FunctionName]guest
	unix   bool
	jobs   int
	wrap   func(*workers) trigger.Submitter // stands between the server and the workers
}

// site is a running server.
type site struct {
	*httptrigger.Server
	*workers
	network, address string
}

// serve starts a server with an echo function and the test's own, and checks at the end that nothing is left of it.
func serve(tb testing.TB, s setup) *site {
	tb.Helper()
	leaks(tb)
	if s.jobs == 0 {
		s.jobs = 4
	}
	w := newWorkers(tb, s.jobs)
	entries := []router.Entry{
		{App: "t", Function: "echo", Target: target{"echo", echo}},
		{App: "t", Function: "brief", Deadline: time.Minute, Target: target{"brief", func(inv *invoke.Invocation) invoke.Result {
			return invoke.Result{Body: []byte(inv.Deadline.Sub(inv.Stamps.Arrived).String())}
		}}},
		{App: "t", Function: "post", Methods: []string{"POST"}, Target: target{"post", echo}},
	}
	for name, g := range s.guests {
		entries = append(entries, router.Entry{App: "t", Function: name, Target: target{name, g}})
	}
	table, err := router.Build(entries)
	if err != nil {
		tb.Fatal(err)
	}
	var r router.Router
	r.Swap(table)
	s.opts.Router, s.opts.Submitter = &r, w
	if s.wrap != nil {
		s.opts.Submitter = s.wrap(w)
	}
	if s.opts.Logger == nil {
		s.opts.Logger = slog.New(slog.DiscardHandler)
	}
	s.opts.Addr = "127.0.0.1:0"
	if s.unix {
		if s.opts.Listener, err = net.Listen("unix", filepath.Join(tb.TempDir(), "s")); err != nil {
			tb.Fatal(err)
		}
	}
	server := httptrigger.New(s.opts)
	if err := server.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = server.Close(ctx)
	})
	return &site{server, w, server.Addr().Network(), server.Addr().String()}
}

// echo answers with what it was sent.
func echo(inv *invoke.Invocation) invoke.Result {
	return invoke.Result{Headers: []invoke.Header{{Name: "X-Path", Value: inv.Request.Path}}, Body: inv.Request.Body}
}

// leaks fails the test when goroutines or descriptors are left at its end.
func leaks(tb testing.TB) {
	tb.Helper()
	goroutines, descriptors := runtime.NumGoroutine(), openFiles(tb)
	tb.Cleanup(func() {
		if tb.Failed() {
			return
		}
		for deadline := time.Now().Add(5 * time.Second); ; runtime.Gosched() {
			g, d := runtime.NumGoroutine(), openFiles(tb)
			if g <= goroutines && d <= descriptors {
				return
			}
			if time.Now().After(deadline) {
				buf := make([]byte, 1<<16)
				tb.Fatalf("%d goroutines (%d before), %d descriptors (%d before)\n%s", g, goroutines, d, descriptors,
					buf[:runtime.Stack(buf, true)])
			}
		}
	})
}

func openFiles(tb testing.TB) int {
	tb.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		tb.Fatal(err)
	}
	return len(entries)
}

// client is a connection with a reader for responses.
type client struct {
	net.Conn
	tb testing.TB
	r  *bufio.Reader
}

func (s *site) dial(tb testing.TB) *client {
	tb.Helper()
	c, err := net.Dial(s.network, s.address)
	if err != nil {
		tb.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	tb.Cleanup(func() { _ = c.Close() })
	return &client{c, tb, bufio.NewReader(c)}
}

func (c *client) send(format string, args ...any) {
	c.tb.Helper()
	if _, err := fmt.Fprintf(c, format, args...); err != nil {
		c.tb.Fatal(err)
	}
}

func (c *client) closeWrite() {
	c.tb.Helper()
	if err := c.Conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		c.tb.Fatal(err)
	}
}

// answer is a response with its body.
type answer struct {
	*http.Response
	body string
}

func (c *client) receive(method string) answer {
	c.tb.Helper()
	res, err := http.ReadResponse(c.r, &http.Request{Method: method})
	if err != nil {
		c.tb.Fatalf("read response: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.tb.Fatalf("read body: %v", err)
	}
	return answer{res, string(body)}
}

// expect reads a response and checks its status.
func (c *client) expect(status int) answer {
	c.tb.Helper()
	a := c.receive("GET")
	if a.StatusCode != status {
		c.tb.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	return a
}

// ended checks that the server closes the connection and sends nothing more.
func (c *client) ended() {
	c.tb.Helper()
	rest, err := io.ReadAll(c.r)
	if err != nil || len(rest) > 0 {
		c.tb.Fatalf("want the end, got %q, %v", rest, err)
	}
}

func get(path string, fields ...string) string {
	return "GET " + path + " HTTP/1.1\r\nHost: h\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

func post(path, body string, fields ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n" +
		strings.Join(append(fields, ""), "\r\n") + "\r\n" + body
}

// eventually waits for a condition that another goroutine brings about.
func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(patience); !ok(); runtime.Gosched() {
		if time.Now().After(deadline) {
			tb.Fatalf("never: %s", what)
		}
	}
}

// transports runs a test over TCP and over a Unix socket.
func transports(t *testing.T, test func(t *testing.T, unix bool)) {
	t.Helper()
	t.Run("tcp", func(t *testing.T) { test(t, false) })
	t.Run("unix", func(t *testing.T) { test(t, true) })
}
