package load

import (
	"bytes"
	"fmt"
	"strconv"
)

const (
	readSize     = 16 << 10 // room that there is at least for a read
	maxHead      = 64 << 10
	maxBodyBytes = 64 << 20
)

// response is a complete answer. Its body is valid until the reader is used again.
type response struct {
	status int
	body   []byte
	close  bool // the server closes the connection after it
}

// reader cuts responses out of what is read from a connection. The zero value is ready.
type reader struct {
	buf  []byte
	from int // buf[from:] has not been handed out
	head head
}

// head is what is known of the response that buf[from:] begins with.
type head struct {
	size    int // bytes with the empty line behind it; 0 while it is not complete
	status  int
	length  int // of the body; -1 when it is chunked
	closing bool
}

// space returns where to read to; what was read is taken by feed.
func (r *reader) space() []byte {
	if r.from == len(r.buf) {
		r.buf, r.from = r.buf[:0], 0
	}
	want := readSize
	if r.head.size > 0 && r.head.length > 0 {
		want = max(want, r.head.size+r.head.length-len(r.buf[r.from:]))
	}
	if cap(r.buf)-len(r.buf) < want {
		grown := make([]byte, len(r.buf)-r.from, len(r.buf)-r.from+want)
		copy(grown, r.buf[r.from:])
		r.buf, r.from = grown, 0
	}
	return r.buf[len(r.buf):cap(r.buf)]
}

// feed takes n bytes that were read into space.
func (r *reader) feed(n int) { r.buf = r.buf[:len(r.buf)+n] }

// next returns the next complete response. It returns false when more has to be read.
func (r *reader) next() (response, bool, error) {
	data := r.buf[r.from:]
	if r.head.size == 0 {
		h, err := parseHead(data)
		if err != nil || h.size == 0 {
			return response{}, false, err
		}
		r.head = h
	}
	h := r.head
	body, size := data[h.size:], h.length
	switch {
	case h.length < 0:
		var err error
		if body, size, err = unchunk(body); err != nil || size < 0 {
			return response{}, false, err
		}
	case len(body) < h.length:
		return response{}, false, nil
	default:
		body = body[:h.length]
	}
	r.from += h.size + size
	r.head = head{}
	return response{h.status, body, h.closing}, true, nil
}

// parseHead reads a response's head; its size is 0 when it is not complete.
func parseHead(data []byte) (head, error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		if len(data) > maxHead {
			return head{}, fmt.Errorf("%w: no end of the head in %d bytes", ErrResponse, len(data))
		}
		return head{}, nil
	}
	h := head{size: end + 4}
	line, rest, _ := bytes.Cut(data[:end+2], []byte("\r\n"))
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return head{}, fmt.Errorf("%w: it begins with %.40q", ErrResponse, line)
	}
	status, err := strconv.Atoi(string(line[9:12]))
	if err != nil || status < 100 {
		return head{}, fmt.Errorf("%w: status line %.40q", ErrResponse, line)
	}
	h.status = status
	for len(rest) > 0 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if err := h.field(line); err != nil {
			return head{}, err
		}
	}
	return h, nil
}

// field takes a header field when it says how the message is framed.
func (h *head) field(line []byte) error {
	if len(line) == 0 || (line[0]|0x20 != 'c' && line[0]|0x20 != 't') {
		return nil // for speed: none of those below begins otherwise
	}
	name, value, ok := bytes.Cut(line, []byte(":"))
	if !ok {
		return fmt.Errorf("%w: field %.40q", ErrResponse, line)
	}
	value = bytes.TrimSpace(value)
	switch {
	case bytes.EqualFold(name, []byte("content-length")):
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 || n > maxBodyBytes {
			return fmt.Errorf("%w: content-length %.40q", ErrResponse, value)
		}
		h.length = n
	case bytes.EqualFold(name, []byte("transfer-encoding")):
		h.length = -1
	case bytes.EqualFold(name, []byte("connection")):
		h.closing = bytes.EqualFold(value, []byte("close"))
	}
	return nil
}

// unchunk returns the body of a chunked message and how many bytes it takes there; -1 when it is not complete.
func unchunk(data []byte) ([]byte, int, error) {
	var body []byte
	size := 0
	for {
		line, rest, ok := bytes.Cut(data[size:], []byte("\r\n"))
		if !ok {
			return nil, -1, nil
		}
		text, _, _ := bytes.Cut(line, []byte(";"))
		n, err := strconv.ParseUint(string(text), 16, 31)
		if err != nil || n > maxBodyBytes || len(body)+int(n) > maxBodyBytes {
			return nil, 0, fmt.Errorf("%w: chunk size %.40q", ErrResponse, text)
		}
		if len(rest) < int(n)+2 {
			return nil, -1, nil
		}
		if !bytes.Equal(rest[n:n+2], []byte("\r\n")) {
			return nil, 0, fmt.Errorf("%w: no line end behind a chunk of %d bytes", ErrResponse, n)
		}
		body = append(body, rest[:n]...)
		size += len(line) + 2 + int(n) + 2
		if n == 0 {
			return body, size, nil // no server here sends trailers
		}
	}
}
