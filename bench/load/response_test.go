package load

import (
	"errors"
	"strings"
	"testing"
)

// read feeds a stream to a reader in pieces of that size and returns what came out.
func read(stream []byte, piece int) (list []string, err error) {
	var r reader
	for len(stream) > 0 {
		n := min(piece, len(stream), len(r.space()))
		copy(r.space(), stream[:n])
		r.feed(n)
		stream = stream[n:]
		for {
			answer, ok, err := r.next()
			if err != nil {
				return list, err
			}
			if !ok {
				break
			}
			text := string(rune('0'+answer.status/100)) + string(answer.body)
			if answer.close {
				text += " close"
			}
			list = append(list, text)
		}
	}
	return list, nil
}

func TestReader(t *testing.T) {
	large := strings.Repeat("x", 100_000)
	for _, c := range []struct {
		name, stream string
		want         string // responses joined by "|"
		fails        bool
	}{
		{"a body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "2hello", false},
		{"no body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "2", false},
		{"names in any case", "HTTP/1.1 200 OK\r\ncontent-LENGTH:2\r\nx: y\r\n\r\nab", "2ab", false},
		{"two at once", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 429 No\r\nContent-Length: 1\r\n\r\nb", "2a|4b", false},
		{"the end of the connection", "HTTP/1.1 503 X\r\nConnection: close\r\nContent-Length: 1\r\n\r\na", "5a close", false},
		{"chunks", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "2abcde", false},
		{"a large body", "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + large, "2" + large, false},
		{"not complete", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", "", false},
		{"another protocol", "HTTP/1.0 200 OK\r\n\r\n", "", true},
		{"no status", "HTTP/1.1 2xx OK\r\n\r\n", "", true},
		{"a length that is none", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "", true},
		{"a chunk size that is none", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "", true},
		{"a chunk without end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n", "", true},
		{"a head without end", "HTTP/1.1 200 OK\r\n" + strings.Repeat("a: b\r\n", 20_000), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, piece := range []int{1, 7, 4099, 1 << 20} {
				if piece < 10 && len(c.stream) > 10_000 {
					continue // it would take seconds
				}
				list, err := read([]byte(c.stream), piece)
				if got := strings.Join(list, "|"); got != c.want || c.fails != errors.Is(err, ErrResponse) {
					t.Errorf("in pieces of %d: %.60q, %v", piece, got, err)
				}
			}
		})
	}
}

// FuzzReader checks that the pieces in which a stream comes do not matter.
func FuzzReader(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 429 X\r\n\r\n"), 3)
	f.Add([]byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"), 1)
	f.Fuzz(func(t *testing.T, stream []byte, piece int) {
		if piece < 1 || len(stream) > 1<<16 {
			return
		}
		whole, wholeErr := read(stream, 1<<20)
		parts, partsErr := read(stream, piece)
		if strings.Join(whole, "|") != strings.Join(parts, "|") || (wholeErr == nil) != (partsErr == nil) {
			t.Errorf("at once %q, %v; in pieces of %d %q, %v", whole, wholeErr, piece, parts, partsErr)
		}
	})
}
