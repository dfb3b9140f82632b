package front

import (
	"errors"
	"testing"

	"edged.dev/edge/bench/hostabi"
)

func TestTake(t *testing.T) {
	for _, c := range []struct {
		name, data         string
		size               int
		entry, query, body string
		fails              bool
	}{
		{"no body", "GET /app/hello?a=1 HTTP/1.1\r\nHost: x\r\n\r\nrest", 40, "hello", "a=1", "", false},
		{"a body", "POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcd", 45, "echo", "", "abc", false},
		{"a head that is not complete", "GET / HTTP/1.1\r\n", 0, "", "", "", false},
		{"a body that is not complete", "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nab", 0, "", "", "", false},
		{"no request line", "x\r\n\r\n", 0, "", "", "", true},
		{"a length that is none", "POST / HTTP/1.1\r\nContent-Length: -3\r\n\r\n", 0, "", "", "", true},
	} {
		var call hostabi.Call
		size, err := take([]byte(c.data), &call)
		if size != c.size || errors.Is(err, ErrRequest) != c.fails || string(call.Entry) != c.entry || string(call.Query) != c.query || string(call.Body) != c.body {
			t.Errorf("%s: %d bytes, %v, call %q %q %q", c.name, size, err, call.Entry, call.Query, call.Body)
		}
	}
}

func TestAnswer(t *testing.T) {
	for _, c := range []struct {
		name    string
		handler Handler
		want    string
	}{
		{"a body", func(c *hostabi.Call) error {
			c.Header([]byte("A"), []byte("b"))
			c.Write([]byte("text"))
			return nil
		}, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 4\r\n\r\ntext"},
		{"a guest that failed", func(c *hostabi.Call) error { c.Fail([]byte("why")); return nil }, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 3\r\n\r\nwhy"},
		{"an engine that failed", func(*hostabi.Call) error { return ErrRequest }, "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 22\r\n\r\nrequest not understood"},
	} {
		s := server{handler: c.handler}
		if got := string(s.answer(nil, new(hostabi.Call))); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// FuzzTake checks that no request makes it read outside of what has come.
func FuzzTake(f *testing.F) {
	f.Add([]byte("POST /echo HTTP/1.1\r\nContent-Length: 3\r\n\r\nabcd"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := take(data, new(hostabi.Call)); n < 0 || n > len(data) || (n > 0 && err != nil) {
			t.Errorf("%d of %d bytes, %v", n, len(data), err)
		}
	})
}
