package httptrigger_test

import (
	"bufio"
	"io"
	"net"
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

// BenchmarkRequest measures a request's way in and out. With depth 1 it is a round trip; with more, the work per
// request. The client is in the numbers but allocates nothing.
func BenchmarkRequest(b *testing.B) {
	for _, bench := range []struct {
		name   string
		depth  int
		inline bool
	}{
		{"inline/depth=1", 1, true},
		{"inline/depth=64", 64, true},
		{"workers/depth=1", 1, false},
		{"workers/depth=64", 64, false},
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
			if !bench.inline {
				opts.Submitter = newWorkers(b, 2)
			}
			s := httptrigger.New(opts)
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
