package httptrigger_test

import (
	"bufio"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// inline answers on the loop itself: what is left is the cost of the transport alone.
type inline struct{}

func (inline) Submit(inv *invoke.Invocation) error {
	inv.Done(inv, invoke.Result{Body: []byte("hello")})
	return nil
}

// thread is one worker on a thread of its own that takes what there is and flushes once behind it, as the scheduler's do.
type thread struct {
	queue chan *invoke.Invocation
	flush func()
}

func (w *thread) Submit(inv *invoke.Invocation) error { return w.SubmitMore(inv) }

func (w *thread) SubmitMore(inv *invoke.Invocation) error {
	w.queue <- inv
	return nil
}

func (w *thread) Flush() {}

func (w *thread) work() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for inv := range w.queue {
		inv.Done(inv, invoke.Result{Body: []byte("hello"), More: true})
		if len(w.queue) == 0 {
			w.flush()
		}
	}
}

// BenchmarkRequest measures a request's way in and out. With depth 1 it is a round trip; with more, the work per
// request. The client is in the numbers but allocates nothing.
func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct {
		name   string
		depth  int
		inline bool
		thread bool
	}{
		{"inline/depth=1", 1, true, false},
		{"inline/depth=64", 64, true, false},
		{"workers/depth=1", 1, false, false},
		{"workers/depth=64", 64, false, false},
		{"thread/depth=1", 1, false, true},
		{"thread/depth=64", 64, false, true},
	} {
		b.Run(bench.name, func(b *testing.B) {
			table, err := router.Build([]router.Entry{{App: "t", Function: "echo", Target: target{"echo", func(*invoke.Invocation) invoke.Result {
				return invoke.Result{Body: []byte("hello")}
			}}}})
			if err != nil {
				b.Fatal(err)
			}
			var r router.Router
			r.Swap(table)
			opts := httptrigger.Options{Addr: "127.0.0.1:0", Router: &r, Submitter: inline{}}
			one := &thread{queue: make(chan *invoke.Invocation, 1024)}
			switch {
			case bench.thread:
				opts.Submitter = one
			case !bench.inline:
				opts.Submitter = newWorkers(b, 2)
			}
			s := httptrigger.New(opts)
			one.flush = s.Flush
			go one.work()
			defer close(one.queue)
			if err := s.Start(b.Context()); err != nil {
				b.Fatal(err)
			}
			defer func() { _ = s.Close(b.Context()) }()
			c, err := net.Dial("tcp", s.Addr().String())
			if err != nil {
				b.Fatal(err)
			}
			defer func() { _ = c.Close() }()
			exchange(b, c, bench.depth)
		})
	}
}

// exchange sends batches of requests and reads as many responses of known length.
func exchange(b *testing.B, c net.Conn, depth int) {
	b.Helper()
	one := get("/t/echo/x?y=z", "User-Agent: bench/1.0", "Accept: */*")
	batch := []byte(strings.Repeat(one, depth))
	r := bufio.NewReaderSize(c, 64<<10)
	if _, err := io.WriteString(c, one); err != nil {
		b.Fatal(err)
	}
	length := 0
	for !strings.HasSuffix(string(must(r.Peek(length))), "\r\n\r\nhello") {
		length++
	}
	_, _ = r.Discard(length)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += depth {
		if _, err := c.Write(batch); err != nil {
			b.Fatal(err)
		}
		for range depth {
			if _, err := r.Discard(length); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func must(p []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return p
}
