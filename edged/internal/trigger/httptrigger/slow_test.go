package httptrigger_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// short makes the timeouts under test end soon; all others stay long, so that only the right one can be the cause.
func short(change func(*httptrigger.Timeouts)) httptrigger.Options {
	t := httptrigger.Timeouts{Header: time.Hour, Body: time.Hour, Idle: time.Hour, Write: time.Hour, Linger: time.Hour}
	change(&t)
	return httptrigger.Options{Timeouts: t}
}

const soon = 60 * time.Millisecond

// drip sends one byte after the other until the server has had enough.
func drip(c *client, first string) {
	go func() {
		if _, err := io.WriteString(c.Conn, first); err != nil {
			return
		}
		for tick := time.NewTicker(soon / 6); ; <-tick.C {
			if _, err := io.WriteString(c.Conn, "a"); err != nil {
				tick.Stop()
				return
			}
		}
	}()
}

func TestSlowHead(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		s := serve(t, setup{unix: unix, opts: short(func(t *httptrigger.Timeouts) { t.Header, t.Linger = soon, soon })})
		c := s.dial(t)
		drip(c, "GET /t/echo HTTP/1.1\r\nHost: h\r\nX: ")
		c.expect(408)
		eventually(t, "closed", func() bool { return s.Connections() == 0 })
	})
}

func TestSlowBody(t *testing.T) {
	const head = "POST /t/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n"
	t.Run("silent", func(t *testing.T) {
		s := serve(t, setup{opts: short(func(t *httptrigger.Timeouts) { t.Body, t.Linger = soon, soon })})
		c := s.dial(t)
		c.send("%sabc", head)
		c.expect(408)
		eventually(t, "closed", func() bool { return s.Connections() == 0 })
	})
	t.Run("dripping", func(t *testing.T) {
		opts := short(func(t *httptrigger.Timeouts) { t.Body, t.Linger = soon, soon })
		opts.Limits.BodyRate = 1 << 20
		s := serve(t, setup{opts: opts})
		c := s.dial(t)
		drip(c, head)
		c.expect(408)
	})
	t.Run("waiting for 100 is not slow", func(t *testing.T) {
		gate := make(chan struct{})
		s := serve(t, setup{
			opts: short(func(t *httptrigger.Timeouts) { t.Body, t.Linger = soon, soon }),
			guests: map[invoke.FunctionName]guest{"wait": func(*invoke.Invocation) invoke.Result {
				<-gate
				return invoke.Result{}
			}},
		})
		c, other := s.dial(t), s.dial(t)
		c.send("%sPOST /t/echo HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", get("/t/wait"))
		other.send("%sabc", head)
		other.expect(408) // as much time as this takes has passed for both
		close(gate)
		c.expect(200)
		if a := c.receive("POST"); a.StatusCode != http.StatusContinue {
			t.Fatalf("status %d", a.StatusCode)
		}
		c.send("hi")
		c.expect(200)
	})
}

func TestIdleIsClosedSilently(t *testing.T) {
	s := serve(t, setup{opts: short(func(t *httptrigger.Timeouts) { t.Idle = soon })})
	fresh, used := s.dial(t), s.dial(t)
	used.send("%s", get("/t/echo"))
	used.expect(200)
	fresh.ended()
	used.ended()
}

// TestBusyIsNotIdle lets a call take longer than every timeout: nobody waits for the client meanwhile.
func TestBusyIsNotIdle(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, setup{
		opts: short(func(t *httptrigger.Timeouts) { t.Idle, t.Header, t.Body, t.Write = soon, soon, soon, soon }),
		guests: map[invoke.FunctionName]guest{"wait": func(*invoke.Invocation) invoke.Result {
			<-gate
			return invoke.Result{}
		}},
	})
	c, idle := s.dial(t), s.dial(t)
	c.send("%s", get("/t/wait"))
	idle.ended()
	close(gate)
	c.expect(200)
}

func TestSlowReader(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		big := make([]byte, 16<<20)
		s := serve(t, setup{
			unix:   unix,
			opts:   short(func(t *httptrigger.Timeouts) { t.Write = soon }),
			guests: map[invoke.FunctionName]guest{"big": func(*invoke.Invocation) invoke.Result { return invoke.Result{Body: big} }},
		})
		c := s.dial(t)
		c.send("%s", get("/t/big"))
		eventually(t, "closed", func() bool { return s.called("big") == 1 && s.Connections() == 0 })
		if _, err := io.Copy(io.Discard, c.r); err == nil && !unix {
			t.Error("the connection ended as if the response were complete")
		}
	})
}

func TestStream(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		parts := func(inv *invoke.Invocation) invoke.Result {
			h := []invoke.Header{{Name: "X-H", Value: "v"}, {Name: "Content-Length", Value: "3"}}
			for i := range 100 {
				if err := inv.Stream(inv, 201, h, fmt.Appendf(nil, "part %d;", i)); err != nil {
					t.Errorf("part %d: %v", i, err)
				}
			}
			return invoke.Result{Body: []byte("rest")}
		}
		var all strings.Builder
		for i := range 100 {
			fmt.Fprintf(&all, "part %d;", i)
		}
		want := all.String() + "rest"
		s := serve(t, setup{unix: unix, guests: map[invoke.FunctionName]guest{
			"parts": parts,
			"breaks": func(inv *invoke.Invocation) invoke.Result {
				if err := inv.Stream(inv, 200, nil, []byte("half")); err != nil {
					t.Error(err)
				}
				return invoke.Result{Err: invoke.ErrGuest}
			},
			"bad": func(inv *invoke.Invocation) invoke.Result {
				err := inv.Stream(inv, 200, []invoke.Header{{Name: "A", Value: "b\n"}}, []byte("x"))
				if !errors.Is(err, httptrigger.ErrResponse) {
					t.Errorf("got %v", err)
				}
				return invoke.Result{Err: err}
			},
			"none": func(inv *invoke.Invocation) invoke.Result {
				if err := inv.Stream(inv, 204, nil, []byte("nobody reads this")); err != nil {
					t.Error(err)
				}
				return invoke.Result{Body: []byte("nor this")}
			},
		}})
		c := s.dial(t)
		c.send("%s", get("/t/parts")+get("/t/echo")+"HEAD /t/parts HTTP/1.1\r\nHost: h\r\n\r\n"+get("/t/none")+get("/t/bad"))
		a := c.expect(201)
		if a.body != want || a.Header.Get("X-H") != "v" || len(a.TransferEncoding) != 1 || a.Header.Get("Content-Length") != "" {
			t.Errorf("got %q %v", a.body, a.Header)
		}
		c.expect(200)
		if a := c.receive("HEAD"); a.StatusCode != http.StatusCreated || a.body != "" {
			t.Errorf("HEAD: %d %q", a.StatusCode, a.body)
		}
		c.expect(204)
		c.expect(500)

		old := s.dial(t)
		old.send("GET /t/parts HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
		if a := old.expect(201); a.body != want || !a.Close {
			t.Errorf("1.0: got %q", a.body)
		}

		for _, version := range []string{"1.0", "1.1"} {
			broken := s.dial(t)
			broken.send("GET /t/breaks HTTP/%s\r\nHost: h\r\nConnection: keep-alive\r\n\r\n%s", version, get("/t/echo"))
			got, err := io.ReadAll(broken.r)
			if strings.Contains(string(got), "\r\n0\r\n") || strings.Contains(string(got), "X-Path") || version == "1.0" && err == nil && !unix {
				t.Errorf("HTTP/%s: the response looks complete: %q, %v", version, got, err)
			}
		}
	})
}

// TestBlockedResponsesStayIntact has one connection blocked with small parts waiting while another one of the same loop
// is served: what waits must not share memory with what is written for others.
func TestBlockedResponsesStayIntact(t *testing.T) {
	const parts, size = 16000, 4000 // more than socket buffers take
	s := serve(t, setup{
		opts: httptrigger.Options{Loops: 1, Limits: httptrigger.Limits{OutboundBytes: 64 << 10}},
		guests: map[invoke.FunctionName]guest{"many": func(inv *invoke.Invocation) invoke.Result {
			for i := range parts {
				if err := inv.Stream(inv, 200, nil, bytes.Repeat([]byte{byte('a' + i%26)}, size)); err != nil {
					t.Error(err)
				}
			}
			return invoke.Result{}
		}},
	})
	c, other := s.dial(t), s.dial(t)
	c.send("%s", get("/t/many"))
	if _, err := c.r.Peek(1); err != nil {
		t.Fatal(err)
	}
	batch := strings.Repeat(post("/t/echo", strings.Repeat("#", 7000)), 16) // overwrites as much as may wait
	for range 50 {
		other.send("%s", batch)
		for range 16 {
			other.expect(200)
		}
	}
	body := c.expect(200).body
	if len(body) != parts*size {
		t.Fatalf("got %d bytes", len(body))
	}
	for i := range body {
		if body[i] != byte('a'+i/size%26) {
			t.Fatalf("byte %d is %q", i, body[i])
		}
	}
}

// TestStreamHoldsBack has a guest produce more than the client takes: the guest is blocked, bounded by its deadline, and
// told when the client goes.
func TestStreamHoldsBack(t *testing.T) {
	var produced atomic.Int64
	ended := make(chan error, 1)
	part := make([]byte, 64<<10)
	s := serve(t, setup{
		opts: httptrigger.Options{Limits: httptrigger.Limits{OutboundBytes: 128 << 10}},
		guests: map[invoke.FunctionName]guest{"flood": func(inv *invoke.Invocation) invoke.Result {
			for {
				if err := inv.Stream(inv, 200, nil, part); err != nil {
					ended <- err
					return invoke.Result{Err: err}
				}
				produced.Add(int64(len(part)))
			}
		}},
	})
	t.Run("deadline", func(t *testing.T) {
		c := s.dial(t)
		c.send("%s", get("/t/flood", "X-Edged-Deadline-Ms: 200"))
		if err := <-ended; !errors.Is(err, invoke.ErrTimeout) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		// What the socket buffers of both ends hold, and the bound; never what a fast guest makes in that time.
		if n := produced.Load(); n > 64<<20 {
			t.Errorf("%d bytes were produced for a client that reads nothing", n)
		}
	})
	t.Run("client goes", func(t *testing.T) {
		c := s.dial(t)
		c.send("%s", get("/t/flood"))
		if _, err := c.r.Peek(1); err != nil {
			t.Fatal(err)
		}
		_ = c.Close()
		if err := <-ended; !errors.Is(err, httptrigger.ErrClientGone) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("client reads", func(t *testing.T) {
		before := produced.Load()
		c := s.dial(t)
		c.send("%s", get("/t/flood"))
		if _, err := io.CopyN(io.Discard, c.r, 50<<20); err != nil {
			t.Fatal(err)
		}
		if n := produced.Load() - before; n < 49<<20 {
			t.Errorf("read more than the %d bytes produced", n)
		}
		_ = c.Close()
		<-ended
	})
}

// TestClientGoes resets connections in all states: nothing is left, and the results are dropped.
func TestClientGoes(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, setup{guests: map[invoke.FunctionName]guest{"wait": func(*invoke.Invocation) invoke.Result {
		<-gate
		return invoke.Result{Body: make([]byte, 1<<20)}
	}}})
	for _, sent := range []string{
		"", "GET /t/ec", "POST /t/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nhalf",
		"POST /t/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe", get("/t/wait"),
	} {
		c := s.dial(t)
		c.send("%s", sent)
		if strings.Contains(sent, "wait") {
			eventually(t, "the call", func() bool { return s.called("wait") == 1 })
		}
		_ = c.Conn.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	close(gate)
	eventually(t, "all closed", func() bool { return s.Connections() == 0 })
	c := s.dial(t)
	c.send("%s", get("/t/echo"))
	c.expect(200)
}

func TestConnectionsLimit(t *testing.T) {
	s := serve(t, setup{opts: httptrigger.Options{Limits: httptrigger.Limits{Connections: 2}}})
	first, second := s.dial(t), s.dial(t)
	for _, c := range []*client{first, second} {
		c.send("%s", get("/t/echo"))
		c.expect(200)
	}
	third := s.dial(t)
	a := third.expect(503)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	third.ended()
	_ = first.Close()
	eventually(t, "room", func() bool { return s.Connections() == 1 })
	fourth := s.dial(t)
	fourth.send("%s", get("/t/echo"))
	fourth.expect(200)
}

// TestUploadsAreBounded holds bodies back on many connections: memory for them ends, is told, and comes back.
func TestUploadsAreBounded(t *testing.T) {
	const body = 1 << 20
	s := serve(t, setup{opts: httptrigger.Options{Limits: httptrigger.Limits{UploadBytes: 3 * body}}})
	head := fmt.Sprintf("POST /t/echo HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", body)
	refused := 0
	var held []*client
	for range 8 {
		c := s.dial(t)
		c.send("%s%s", head, strings.Repeat("x", body-1))
		c.send("%s", "") // the rest is held back
		held = append(held, c)
	}
	for _, c := range held {
		_, _ = io.WriteString(c.Conn, "x")
		a := c.receive("POST")
		if a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "" {
			refused++
		} else if a.StatusCode != http.StatusOK || len(a.body) != body {
			t.Errorf("status %d, %d bytes", a.StatusCode, len(a.body))
		}
	}
	if refused == 0 || refused == len(held) {
		t.Errorf("%d of %d were refused", refused, len(held))
	}
	c := s.dial(t)
	c.send("%s", post("/t/echo", strings.Repeat("y", body)))
	c.expect(200)
}

// TestHammer has everything at once: requests, streams, resets, half-closes and garbage on many connections, and Close
// in the middle. Nothing may be left, and the race detector must have nothing to say.
func TestHammer(t *testing.T) {
	s := serve(t, setup{
		opts: httptrigger.Options{Loops: 3, Limits: httptrigger.Limits{PipelineDepth: 8, OutboundBytes: 8 << 10}},
		guests: map[invoke.FunctionName]guest{"parts": func(inv *invoke.Invocation) invoke.Result {
			for range 4 {
				if err := inv.Stream(inv, 200, nil, make([]byte, 5000)); err != nil {
					return invoke.Result{Err: err}
				}
			}
			return invoke.Result{Body: []byte("end")}
		}},
	})
	requests := []string{
		get("/t/echo"), get("/t/parts"), post("/t/echo", strings.Repeat("b", 20000)), get("/none"), "GARBAGE\n\n",
		"POST /t/echo HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /t/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nhalf",
	}
	var wg sync.WaitGroup
	for g := range 12 {
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(uint64(g), 1))
			for range 40 {
				c, err := net.Dial(s.network, s.address)
				if err != nil {
					return // closed by now
				}
				_ = c.SetDeadline(time.Now().Add(patience))
				for range 1 + rnd.IntN(12) {
					if _, err := io.WriteString(c, requests[rnd.IntN(len(requests))]); err != nil {
						break
					}
				}
				switch rnd.IntN(3) {
				case 0:
					_ = c.(*net.TCPConn).CloseWrite()
					_, _ = io.Copy(io.Discard, c)
				case 1:
					_, _ = io.CopyN(io.Discard, c, 100)
				default:
					_ = c.(*net.TCPConn).SetLinger(0)
				}
				_ = c.Close()
			}
		})
	}
	eventually(t, "some calls", func() bool { return s.called("parts") > 50 })
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = s.Close(ctx) // in time or not: both are right here
	wg.Wait()
	if n := s.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
}

// TestOutOfDescriptors lets accept fail: those connected are served on, and the one that waits is served when there are
// descriptors again.
func TestOutOfDescriptors(t *testing.T) {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	logs := &lines{has: make(chan string, 16)}
	s := serve(t, setup{opts: httptrigger.Options{Logger: slog.New(slog.NewTextHandler(logs, nil))}})
	first := s.dial(t)
	first.send("%s", get("/t/echo"))
	first.expect(200)
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	free := null.Fd()
	_ = null.Close()
	t.Cleanup(func() { _ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit) })
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: uint64(free) + 1, Max: limit.Max}); err != nil {
		t.Fatal(err)
	}
	second := s.dial(t) // takes the last descriptor
	second.send("%s", get("/t/echo"))
	if line := <-logs.has; !strings.Contains(line, "accept connection; pausing") {
		t.Fatalf("logged %q", line)
	}
	first.send("%s", get("/t/echo"))
	first.expect(200)
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	second.expect(200)
}

// lines hands on what is logged.
type lines struct{ has chan string }

func (l *lines) Write(p []byte) (int, error) {
	select {
	case l.has <- string(p):
	default:
	}
	return len(p), nil
}

func TestCloseDrains(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		t.Helper()
		gate := make(chan struct{})
		s := serve(t, setup{unix: unix, guests: map[invoke.FunctionName]guest{"wait": func(*invoke.Invocation) invoke.Result {
			<-gate
			return invoke.Result{Body: []byte("done")}
		}}})
		idle, busy, half := s.dial(t), s.dial(t), s.dial(t)
		idle.send("%s", get("/t/echo"))
		idle.expect(200)
		busy.send("%s", get("/t/wait")+get("/t/wait"))
		half.send("POST /t/echo HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nha")
		eventually(t, "two calls", func() bool { return s.called("wait") == 2 && s.Connections() == 3 })
		closed := make(chan error, 1)
		go func() { closed <- s.Close(context.Background()) }()
		idle.ended()
		if c, err := net.Dial(s.network, s.address); err == nil {
			// The listener is gone by now: idle was closed after it.
			_ = c.Close()
			t.Error("a connection was accepted while draining")
		}
		half.send("lf")
		if a := half.expect(200); a.body != "half" || !a.Close {
			t.Errorf("got %q, close %v", a.body, a.Close)
		}
		close(gate)
		busy.expect(200)
		if a := busy.expect(200); a.body != "done" || !a.Close {
			t.Errorf("got %q, close %v", a.body, a.Close)
		}
		busy.ended()
		if err := <-closed; err != nil {
			t.Error(err)
		}
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("second Close: %v", err)
		}
		if err := s.Start(t.Context()); !errors.Is(err, httptrigger.ErrClosed) {
			t.Errorf("Start after Close: %v", err)
		}
	})
}

func TestCloseIsBounded(t *testing.T) {
	gate := make(chan struct{})
	s := serve(t, setup{guests: map[invoke.FunctionName]guest{"wait": func(inv *invoke.Invocation) invoke.Result {
		<-gate
		return invoke.Result{Err: inv.Stream(inv, 200, nil, []byte("nobody reads this"))}
	}}})
	c := s.dial(t)
	c.send("%s", get("/t/wait"))
	eventually(t, "the call", func() bool { return s.called("wait") == 1 })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := io.ReadAll(c.r); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Error(err)
	}
	close(gate) // the worker answers a server that is gone
}

func TestStartErrors(t *testing.T) {
	if err := httptrigger.New(httptrigger.Options{}).Start(t.Context()); !errors.Is(err, httptrigger.ErrOptions) {
		t.Errorf("without router: %v", err)
	}
	s := serve(t, setup{})
	if err := s.Start(t.Context()); !errors.Is(err, httptrigger.ErrStarted) {
		t.Errorf("second Start: %v", err)
	}
	never := httptrigger.New(httptrigger.Options{})
	if err := never.Close(t.Context()); err != nil || never.Addr() != nil {
		t.Errorf("Close before Start: %v", err)
	}
}

// idleClients is what the 10,000 connections test runs in a child process: descriptors are limited per process and both
// ends need one each.
const idleClients = "httptrigger-idle-clients"

func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == idleClients {
		os.Exit(holdConnections(os.Args[2], os.Args[3]))
	}
	os.Exit(m.Run())
}

// holdConnections opens n connections, proves each one works, holds them until stdin ends, and proves it again.
func holdConnections(path, count string) int {
	n, err := strconv.Atoi(count)
	if err != nil {
		return 2
	}
	conns := make([]net.Conn, n)
	ask := func(c net.Conn) error {
		if _, err := io.WriteString(c, get("/none")); err != nil {
			return err
		}
		buf := make([]byte, 1024)
		if k, err := c.Read(buf); err != nil || !strings.HasPrefix(string(buf[:k]), "HTTP/1.1 404 ") {
			return fmt.Errorf("got %q, %w", buf[:k], err)
		}
		return nil
	}
	for i := range conns {
		if conns[i], err = net.Dial("unix", path); err == nil {
			err = ask(conns[i])
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "connection %d: %v\n", i, err)
			return 1
		}
	}
	_, _ = io.WriteString(os.Stdout, "held\n")
	_, _ = io.Copy(io.Discard, os.Stdin)
	for i, c := range conns {
		if err := ask(c); err != nil {
			fmt.Fprintf(os.Stderr, "connection %d, again: %v\n", i, err)
			return 1
		}
	}
	return 0
}

func TestTenThousandIdleConnections(t *testing.T) {
	const n = 10000
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil || limit.Cur < n+500 {
		t.Skipf("RLIMIT_NOFILE is %d, %d are needed: %v", limit.Cur, n+500, err)
	}
	s := serve(t, setup{unix: true})
	before := heap()
	cmd := exec.CommandContext(t.Context(), os.Args[0], idleClients, filepath.Clean(s.address), strconv.Itoa(n))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 5)
	if _, err := io.ReadFull(stdout, line); err != nil || string(line) != "held\n" {
		t.Fatalf("the clients say %q, %v", line, err)
	}
	if got := s.Connections(); got != n {
		t.Errorf("%d connections", got)
	}
	each := (heap() - before) / n
	t.Logf("%d bytes of heap a connection", each)
	if each > 2048 {
		t.Errorf("an idle connection costs %d bytes", each)
	}
	if g := runtime.NumGoroutine(); g > 100 {
		t.Errorf("%d goroutines for %d connections", g, n)
	}
	_ = stdin.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("the clients: %v", err)
	}
	eventually(t, "all closed", func() bool { return s.Connections() == 0 })
}

// heap returns the live bytes.
func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
