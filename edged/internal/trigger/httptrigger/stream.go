package httptrigger

import (
	"context"
	"fmt"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// stream is a response that grows while it is sent. A worker adds parts, the loop takes them; at most
// Limits.OutboundBytes (and one part) lie between them.
type stream struct {
	status  int
	headers []invoke.Header
	room    chan struct{} // capacity 1: something was taken, or the connection was closed

	mu    sync.Mutex
	parts [][]byte // guarded by mu
	bytes int      // in parts; guarded by mu

	begun bool // the head is written; the loop's own
}

// signal lets a waiting worker look again.
func (s *stream) signal() {
	select {
	case s.room <- struct{}{}:
	default:
	}
}

// part is the invocation's Stream. It copies data and blocks while the connection has enough to send. The errors are
// [ErrClientGone], [ErrResponse], and an [*invoke.Error] of kind ErrTimeout at the deadline.
func (ex *exchange) part(inv *invoke.Invocation, status int, headers []invoke.Header, data []byte) error {
	c := ex.conn
	s := ex.stream.Load()
	if s == nil {
		if err := checkResponse(&status, headers); err != nil {
			return err
		}
		s = &stream{status: status, headers: append([]invoke.Header(nil), headers...), room: make(chan struct{}, 1)}
		ex.stream.Store(s)
	}
	if c.closed.Load() {
		return ErrClientGone
	}
	if ex.isHead || bodyless(s.status) {
		c.loop.wake(c, false)
		return nil
	}
	bound := c.loop.server.opts.Limits.OutboundBytes
	for len(data) > 0 {
		n := min(len(data), bound)
		if err := s.add(c, append([]byte(nil), data[:n]...), bound, inv.Deadline); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}

// add puts one owned part behind the others as soon as there is room.
func (s *stream) add(c *conn, data []byte, bound int, deadline time.Time) error {
	var timeout <-chan time.Time
	for {
		s.mu.Lock()
		if s.bytes+len(data) <= bound || s.bytes == 0 {
			s.parts = append(s.parts, data)
			s.bytes += len(data)
			s.mu.Unlock()
			c.loop.wake(c, false)
			return nil
		}
		s.mu.Unlock()
		if timeout == nil && !deadline.IsZero() {
			timer := time.NewTimer(time.Until(deadline))
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-s.room:
		case <-timeout:
			return &invoke.Error{
				Kind: invoke.ErrTimeout, Cause: context.DeadlineExceeded,
				Detail: "the client did not take the response before the deadline",
			}
		}
		if c.closed.Load() {
			return ErrClientGone
		}
	}
}

// take removes parts of at most room bytes, but one at least if there is any. rest reports whether some stay.
func (s *stream) take(room int) (parts [][]byte, rest bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for n < len(s.parts) && room > 0 {
		room -= len(s.parts[n])
		s.bytes -= len(s.parts[n])
		n++
	}
	parts, s.parts = s.parts[:n:n], s.parts[n:]
	return parts, len(s.parts) > 0
}

// emitStream writes what a streamed response has so far. over reports that it is complete, more that there is more to
// take as soon as this is written.
func (c *conn) emitStream(ex *exchange, s *stream, done bool) (over, more bool) {
	b := &c.loop.batch
	silent := ex.isHead || bodyless(s.status)
	if !s.begun {
		s.begun = true
		if ex.old && !silent {
			ex.keep = false // the end of the connection is the end of the body
		}
		r := c.reply(ex)
		r.chunked, r.noLength = !ex.old && !silent, true
		b.head = appendResponseHead(b.head, s.status, s.headers, -1, r)
	}
	room := c.loop.server.opts.Limits.OutboundBytes - c.outBytes - b.pending()
	parts, more := s.take(room)
	for _, p := range parts {
		b.chunk(p, ex.old)
	}
	if len(parts) > 0 {
		s.signal()
	}
	if !done || more {
		return false, more
	}
	if ex.result.Err != nil {
		c.loop.server.opts.Logger.Warn("streamed response aborted", "id", ex.inv.ID, "app", string(ex.inv.App),
			"function", string(ex.inv.Function), "error", ex.result.Err)
		c.abort = true
		return true, false
	}
	if silent {
		return true, false
	}
	b.chunk(ex.result.Body, ex.old)
	if !ex.old {
		b.head = append(b.head, "0\r\n\r\n"...)
	}
	return true, false
}

// checkResponse makes sure that a response can be sent as it is; a zero status becomes 200.
func checkResponse(status *int, headers []invoke.Header) error {
	if *status == 0 {
		*status = 200
	}
	if *status < 200 || *status > 599 {
		return fmt.Errorf("%w: status %d is not between 200 and 599", ErrResponse, *status)
	}
	if len(headers) > maxResponseHeaders {
		return fmt.Errorf("%w: there are %d header fields, %d are allowed", ErrResponse, len(headers), maxResponseHeaders)
	}
	size := 0
	for _, h := range headers {
		size += len(h.Name) + len(h.Value)
		if !validName(h.Name) {
			return fmt.Errorf("%w: %q is not a header field name", ErrResponse, clip(h.Name))
		}
		if !validValue(h.Value) {
			return fmt.Errorf("%w: the value of header field %s has a control character", ErrResponse, h.Name)
		}
	}
	if size > maxResponseHeaderBytes {
		return fmt.Errorf("%w: the header fields have %d bytes, %d are allowed", ErrResponse, size, maxResponseHeaderBytes)
	}
	return nil
}

// Bounds for what a guest may put into a response's header section; clients commonly take 16 to 64 KiB.
const (
	maxResponseHeaders     = 256
	maxResponseHeaderBytes = 64 << 10
)

func validName(s string) bool {
	for i := range len(s) {
		if !isToken(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= 256
}

func validValue(s string) bool {
	for i := range len(s) {
		if !isText(s[i]) {
			return false
		}
	}
	return true
}

// clip shortens what a guest sent to what an error message should carry.
func clip(s string) string { return s[:min(len(s), 64)] }
