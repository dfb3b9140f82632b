package hostfn

import (
	"errors"
	"net/http"
	"slices"
	"strings"
)

// response is what the guest has answered so far.
type response struct {
	status      int // 0: none set
	headers     []Header
	headerBytes int
	body        []byte
	total       int // bytes of body, the streamed parts included
	reported    string
	overflowed  bool  // a write to stdout was refused for the limit
	streamed    bool  // the hook has been called
	gone        error // from the hook: nobody takes the response any more
	hook        func(status int, headers []Header, part []byte) error
	head0       []byte // a command's output up to the end of its CGI header fields
	headAt      int    // where in head0 the line begins that has no end yet
	headDone    bool
	headErr     error
}

func (r *response) reset() {
	*r = response{headers: r.headers[:0], body: keep(r.body), head0: keep(r.head0)}
}

// head returns the status and header fields as they are sent.
func (r *response) head() (int, []Header) {
	if r.status == 0 {
		return http.StatusOK, r.headers
	}
	return r.status, r.headers
}

// These errors are why a part of the response is not taken.
var (
	errFull       = errors.New("response above its limit")
	errBadHeader  = errors.New("not a valid header field")
	errOwnHeader  = errors.New("header field is the server's own")
	errHeaderFull = errors.New("header fields above their limit")
)

// write takes all of p or nothing: errFull above the limit, or what the hook returned. It blocks as long as the hook does.
func (r *response) write(p []byte, limits *Limits) error {
	if r.gone != nil {
		return r.gone
	}
	if len(p) > limits.OutputBytes-r.total {
		return errFull
	}
	r.total += len(p)
	if r.hook == nil {
		r.body = append(r.body, p...)
		return nil
	}
	for len(p) > 0 {
		n := min(len(p), limits.StreamBytes-len(r.body))
		r.body = append(r.body, p[:n]...)
		p = p[n:]
		if len(r.body) < limits.StreamBytes {
			break
		}
		if err := r.pass(); err != nil {
			return err
		}
	}
	return nil
}

// pass hands what is kept of the body to the hook.
func (r *response) pass() error {
	status, headers := r.head()
	r.streamed = true
	err := r.hook(status, headers, r.body)
	r.body = r.body[:0]
	r.gone = err
	return err
}

// add appends a header field: errBadHeader when a client could read it as something else, errOwnHeader when the server
// itself says how the response is framed, errHeaderFull above the limits.
func (r *response) add(name, value []byte, limits *Limits) error {
	if !validName(name) || !validValue(value) {
		return errBadHeader
	}
	if slices.ContainsFunc(ownHeaders, func(own string) bool { return len(own) == len(name) && strings.EqualFold(own, string(name)) }) {
		return errOwnHeader
	}
	if len(r.headers) >= limits.Headers || len(name)+len(value) > limits.HeaderBytes-r.headerBytes {
		return errHeaderFull
	}
	r.headerBytes += len(name) + len(value)
	// Most responses of an app have the same fields: what is left of the one before is used when it is equal.
	if n := len(r.headers); n < cap(r.headers) {
		if before := r.headers[:n+1][n]; before.Name == string(name) && before.Value == string(value) {
			r.headers = r.headers[:n+1]
			return nil
		}
	}
	r.headers = append(r.headers, Header{Name: string(name), Value: string(value)})
	return nil
}

// ownHeaders frame the response or belong to one connection (RFC 9110, 7.6.1); only the server sets them.
var ownHeaders = []string{
	"Connection", "Content-Length", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
}

// validName reports whether b is a token (RFC 9110, 5.6.2).
func validName(b []byte) bool {
	for _, c := range b {
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !letter && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// validValue reports whether b holds no control character but the tab (RFC 9110, 5.5).
func validValue(b []byte) bool {
	for _, c := range b {
		if c < ' ' && c != '\t' || c == 0x7f {
			return false
		}
	}
	return true
}

// setStatus fixes the status, and reports whether a response can have it.
func (r *response) setStatus(code uint64) bool {
	if code < http.StatusOK || code > 599 {
		return false
	}
	r.status = int(code)
	return true
}
