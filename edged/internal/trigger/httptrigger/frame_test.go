package httptrigger

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	"edged.dev/edge/edged/internal/invoke"
)

// message is a request as the framer understood it.
type message struct {
	method, path, query, host, proto, body string
	headers                                []invoke.Header
	keep, expect, chunked                  bool
}

// outcome is what a stream of bytes means: messages, then perhaps a refusal, then perhaps an incomplete message.
type outcome struct {
	messages []message
	status   int // of the refusal; 0: none
	partial  bool
}

func (o outcome) String() string {
	var text strings.Builder
	for _, m := range o.messages {
		fmt.Fprintf(&text, "%s %s?%s %q; ", m.method, m.path, m.query, m.body)
	}
	return fmt.Sprintf("%sstatus %d partial %v", text.String(), o.status, o.partial)
}

func testLimits() *Limits {
	o := Options{}
	o.complete()
	o.Limits.BodyBytes = 1 << 20
	return &o.Limits
}

// frame runs the framer on pieces, as a connection does.
func frame(limits *Limits, pieces ...[]byte) outcome {
	var out outcome
	f := framer{limits: limits}
	var h head
	var m message
	begun := false
	end := func() bool {
		m.body = string(f.body)
		out.messages = append(out.messages, m)
		begun = false
		f.reset()
		return m.keep
	}
	for _, p := range pieces {
		for len(p) > 0 {
			n, what, err := f.next(p, &h)
			if err != nil {
				out.status = err.status
				return out
			}
			p = p[n:]
			switch what {
			case eventHead:
				begun = true
				m = message{
					method: h.method, path: h.path, query: h.query, host: h.host, proto: h.proto,
					headers: slices.Clone(h.headers), keep: h.keep, expect: h.expect, chunked: h.chunked,
				}
				if !h.hasBody() && !end() {
					return out
				}
			case eventDone:
				if !end() {
					return out
				}
			case eventMore:
			}
		}
	}
	out.partial = begun || f.inHead()
	return out
}

func TestSmuggling(t *testing.T) {
	if n := len(smuggling()); n < 150 {
		t.Fatalf("%d cases", n)
	}
	seen := map[string]bool{}
	for _, c := range smuggling() {
		t.Run(c.name, func(t *testing.T) {
			if seen[c.name] {
				t.Fatal("the name is taken")
			}
			seen[c.name] = true
			whole := frame(testLimits(), []byte(c.stream))
			if whole.status != c.status || len(whole.messages) != len(c.bodies) || whole.partial != c.partial {
				t.Fatalf("got %v; want %d messages, status %d, partial %v", whole, len(c.bodies), c.status, c.partial)
			}
			for i, m := range whole.messages {
				if m.body != c.bodies[i] {
					t.Errorf("body %d is %q, want %q", i, m.body, c.bodies[i])
				}
			}
			single := make([][]byte, 0, len(c.stream))
			for i := range len(c.stream) {
				single = append(single, []byte(c.stream[i:i+1]))
			}
			if got := frame(testLimits(), single...); got.String() != whole.String() {
				t.Errorf("byte by byte: %v, in one piece: %v", got, whole)
			}
			readBack(t, whole)
			if c.status != 0 {
				return
			}
			if n := netHTTPCount(c.stream); n >= 0 && n != len(whole.messages) {
				t.Errorf("net/http reads %d messages, we %d", n, len(whole.messages))
			}
		})
	}
}

// netHTTPCount returns how many requests net/http's reader finds in a stream before it ends or fails; -1 when it fails.
func netHTTPCount(stream string) int {
	r := bufio.NewReader(strings.NewReader(stream))
	for n := 0; ; n++ {
		req, err := http.ReadRequest(r)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return n
		}
		if err != nil {
			return -1
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return n
			}
			return -1
		}
		if req.Close {
			return n + 1
		}
	}
}

// readBack serialises each message and has net/http and fasthttp read it: both must see exactly this request and
// nothing behind it.
func readBack(t *testing.T, out outcome) {
	t.Helper()
	for _, m := range out.messages {
		wire := serialise(m)
		r := bufio.NewReader(bytes.NewReader(wire))
		req, err := http.ReadRequest(r)
		if err != nil {
			t.Fatalf("net/http refuses %q: %v", wire, err)
		}
		body, err := io.ReadAll(req.Body)
		if err != nil {
			t.Fatalf("net/http does not read the body of %q: %v", wire, err)
		}
		if req.Method != m.method || req.RequestURI != target(m) || string(body) != m.body || r.Buffered() != 0 {
			t.Fatalf("net/http reads %s %s %q and leaves %d bytes of %q", req.Method, req.RequestURI, body, r.Buffered(), wire)
		}
		var fast fasthttp.Request
		fr := bufio.NewReader(bytes.NewReader(wire))
		if err := fast.Read(fr); err != nil {
			t.Fatalf("fasthttp refuses %q: %v", wire, err)
		}
		if string(fast.Header.Method()) != m.method || string(fast.Header.RequestURI()) != target(m) || fr.Buffered() != 0 {
			t.Fatalf("fasthttp reads %s %s and leaves %d bytes of %q", fast.Header.Method(), fast.Header.RequestURI(), fr.Buffered(), wire)
		}
		// fasthttp reads no body where the method defines none; the bytes must still be accounted for, checked above.
		if string(fast.Body()) != m.body && m.method == "POST" {
			t.Fatalf("fasthttp reads the body %q of %q", fast.Body(), wire)
		}
	}
}

func target(m message) string {
	if m.query == "" {
		return m.path
	}
	return m.path + "?" + m.query
}

// serialise writes a message anew, with framing fields of our own.
func serialise(m message) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\n", m.method, target(m))
	fmt.Fprintf(&b, "Host: %s\r\n", m.host)
	for _, h := range m.headers {
		switch strings.ToLower(h.Name) {
		case "host", "content-length", "transfer-encoding", "connection", "expect", "trailer":
			continue
		}
		fmt.Fprintf(&b, "%s: %s\r\n", h.Name, h.Value)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n%s", len(m.body), m.body)
	return b.Bytes()
}

// FuzzFramer feeds a stream in one piece and cut at random: the meaning must be the same, and what is accepted must be
// read in the same way by others.
func FuzzFramer(f *testing.F) {
	for i, c := range smuggling() {
		f.Add([]byte(c.stream), uint64(i))
	}
	limits := testLimits()
	limits.HeaderBytes, limits.RequestLine, limits.Headers, limits.BodyBytes = 512, 128, 8, 256
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64) {
		whole := frame(limits, stream)
		rnd := rand.New(rand.NewPCG(seed, 0))
		var pieces [][]byte
		for rest := stream; len(rest) > 0; {
			n := 1 + rnd.IntN(min(len(rest), 1+rnd.IntN(64)))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		if got := frame(limits, pieces...); got.String() != whole.String() || len(got.messages) != len(whole.messages) {
			t.Fatalf("cut: %v\nwhole: %v", got, whole)
		}
		for i := range whole.messages {
			if whole.messages[i].path == "*" {
				return
			}
		}
		readBack(t, whole)
	})
}

func TestHeadFields(t *testing.T) {
	stream := "POST /a/f?x=1?&y HTTP/1.1\r\nhOsT: Example.com:80\r\nX-Two:  a \t b\t \r\nx-two:c\r\nX-Empty:\r\n" +
		"Content-Length: 002\r\nX-High: \xc3\xa9\r\nConnection: foo, Keep-Alive\r\n\r\nhi"
	out := frame(testLimits(), []byte(stream))
	if len(out.messages) != 1 {
		t.Fatalf("got %v", out)
	}
	m := out.messages[0]
	if m.path != "/a/f" || m.query != "x=1?&y" || m.host != "Example.com:80" || m.body != "hi" || !m.keep {
		t.Errorf("got %+v", m)
	}
	want := []invoke.Header{
		{Name: "hOsT", Value: "Example.com:80"},
		{Name: "X-Two", Value: "a \t b"},
		{Name: "x-two", Value: "c"},
		{Name: "X-Empty"},
		{Name: "Content-Length", Value: "002"},
		{Name: "X-High", Value: "\xc3\xa9"},
		{Name: "Connection", Value: "foo, Keep-Alive"},
	}
	if !slices.Equal(m.headers, want) {
		t.Errorf("got %q", m.headers)
	}
}

func TestTargets(t *testing.T) {
	cases := []struct{ name, line, path, query, host string }{
		{"origin", "GET /a?b HTTP/1.1", "/a", "b", "h"},
		{"absolute", "GET http://other:81/a/b?c HTTP/1.1", "/a/b", "c", "other:81"},
		{"absolute, upper case, no path", "GET HTTP://other HTTP/1.1", "/", "", "other"},
		{"absolute, query only", "GET https://other?x HTTP/1.1", "/", "x", "other"},
		{"star", "OPTIONS * HTTP/1.1", "*", "", "h"},
		{"two slashes are a path", "GET //x/y HTTP/1.1", "//x/y", "", "h"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			out := frame(testLimits(), []byte(c.line+"\r\nHost: h\r\n\r\n"))
			if len(out.messages) != 1 {
				t.Fatalf("got %v", out)
			}
			if m := out.messages[0]; m.path != c.path || m.query != c.query || m.host != c.host {
				t.Errorf("got %q %q %q", m.path, m.query, m.host)
			}
		})
	}
}

// TestLimitsAtTheEdge finds each limit exactly: what just fits passes, one byte more does not.
func TestLimitsAtTheEdge(t *testing.T) {
	limits := testLimits()
	limits.HeaderBytes, limits.RequestLine, limits.Headers, limits.BodyBytes = 600, 100, 5, 50
	pad := func(n int) string { return strings.Repeat("a", n) }
	line := func(n int) string { return "GET /" + pad(n-len("GET / HTTP/1.1")) + " HTTP/1.1\r\nHost: h\r\n\r\n" }
	section := func(n int) string {
		s := "GET / HTTP/1.1\r\nHost: h\r\nX: "
		return s + pad(n-len(s)-4) + "\r\n\r\n"
	}
	fields := func(n int) string {
		return "GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("X: y\r\n", n-1) + "\r\n"
	}
	length := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", n, pad(n))
	}
	chunks := func(n int) string {
		return fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n14\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", pad(20), n-20, pad(n-20))
	}
	cases := []struct {
		name   string
		make   func(int) string
		limit  int
		status int
	}{
		{"request line", line, 100, 414},
		{"header section", section, 600, 431},
		{"fields", fields, 5, 431},
		{"content-length", length, 50, 413},
		{"chunks", chunks, 50, 413},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if out := frame(limits, []byte(c.make(c.limit))); out.status != 0 || len(out.messages) != 1 {
				t.Errorf("at the limit: %v", out)
			}
			if out := frame(limits, []byte(c.make(c.limit+1))); out.status != c.status || len(out.messages) != 0 {
				t.Errorf("above the limit: %v, want %d", out, c.status)
			}
		})
	}
}

func BenchmarkFramer(b *testing.B) {
	stream := []byte("GET /hello/world?x=1 HTTP/1.1\r\nHost: localhost:8080\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\n" +
		"Accept-Encoding: gzip, deflate\r\nAccept-Language: en\r\nCookie: a=b; c=d\r\nX-Request-Id: 0123456789abcdef\r\n\r\n")
	b.Run("edged", func(b *testing.B) {
		f := framer{limits: testLimits()}
		var h head
		b.ReportAllocs()
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			if _, what, err := f.next(stream, &h); what != eventHead || err != nil {
				b.Fatal(what, err)
			}
			f.reset()
		}
	})
	b.Run("fasthttp", func(b *testing.B) {
		var h fasthttp.RequestHeader
		source := bytes.NewReader(stream)
		r := bufio.NewReader(source)
		b.ReportAllocs()
		b.SetBytes(int64(len(stream)))
		for b.Loop() {
			source.Reset(stream)
			r.Reset(source)
			if err := h.Read(r); err != nil {
				b.Fatal(err)
			}
			// What an invocation needs of it: strings and a list of fields.
			headers := make([]invoke.Header, 0, inlineHeaders)
			for k, v := range h.All() {
				headers = append(headers, invoke.Header{Name: string(k), Value: string(v)})
			}
			_, _ = string(h.Method()), string(h.RequestURI())
			if len(headers) == 0 {
				b.Fatal("no fields")
			}
		}
	})
}
