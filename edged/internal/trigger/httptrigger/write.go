package httptrigger

import (
	"errors"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// smallBody is the size up to which copying a body behind its head is cheaper than another element of the write.
const smallBody = 8 << 10

// maxVectors is IOV_MAX on Linux.
const maxVectors = 1024

// maxSpareBatch is how large a batch's buffer may be and still be kept for the next one.
const maxSpareBatch = 256 << 10

// batch collects responses that are ready together. Heads and small bodies go into one buffer of the loop, large
// bodies stay where they are.
type batch struct {
	head   []byte   // buffer of heads and small bodies
	mark   int      // what of head is in parts already
	parts  [][]byte // what to write, in order
	shared []bool   // for each part: it lies in head and must be copied to outlive the batch
	large  int      // bytes in parts that are not shared
	sent   []sent
}

// sent is a response in the batch, for what happens after the write.
type sent struct {
	ex     *exchange
	status int
}

// body adds p behind what is there.
func (b *batch) body(p []byte) {
	if len(p) <= smallBody {
		b.head = append(b.head, p...)
		return
	}
	b.cut()
	b.parts, b.shared = append(b.parts, p), append(b.shared, false)
	b.large += len(p)
}

// chunk adds p as one chunk, or as it is for HTTP/1.0. An empty one would end the body.
func (b *batch) chunk(p []byte, plain bool) {
	if len(p) == 0 {
		return
	}
	if plain {
		b.body(p)
		return
	}
	b.head = strconv.AppendInt(b.head, int64(len(p)), 16)
	b.head = append(b.head, "\r\n"...)
	b.body(p)
	b.head = append(b.head, "\r\n"...)
}

// cut makes what was added to head a part.
func (b *batch) cut() {
	if n := len(b.head); n > b.mark {
		b.parts, b.shared = append(b.parts, b.head[b.mark:n:n]), append(b.shared, true)
		b.mark = n
	}
}

// pending returns how many bytes the batch holds.
func (b *batch) pending() int { return len(b.head) + b.large }

// clear empties the batch, keeping what is worth keeping.
func (b *batch) clear() {
	if cap(b.head) > maxSpareBatch {
		b.head = nil
	}
	clear(b.parts)
	clear(b.sent)
	*b = batch{head: b.head[:0], parts: b.parts[:0], shared: b.shared[:0], sent: b.sent[:0]}
}

// flush writes the responses that are ready, in order, in one call. It reports whether a stream has more to give.
func (c *conn) flush() bool {
	more := false
	b := &c.loop.batch
	for ex := c.first; ex != nil && !c.ending && c.outBytes+b.pending() < maxBatch; ex = c.first {
		var over bool
		if over, more = c.emit(ex); !over {
			break
		}
		c.pop()
		c.ending = !ex.keep || c.abort
	}
	if b.pending() > 0 && !c.closed.Load() {
		c.deliver()
	}
	c.afterSent()
	b.clear()
	if c.abort && !c.closed.Load() {
		// Where the end of the connection is the end of the body, only a reset tells the client.
		c.reset()
	}
	return (more || c.first != nil && c.first.done.Load()) && !c.ending && c.outBytes == 0 && !c.closed.Load()
}

// maxBatch is how many bytes of responses one round puts together; the next round goes on.
const maxBatch = 1 << 20

// emit adds what there is of the response of the first exchange. over reports that it is complete.
func (c *conn) emit(ex *exchange) (over, more bool) {
	b := &c.loop.batch
	done := ex.done.Load() // before the stream is looked at: parts come before done
	if s := ex.stream.Load(); s != nil && ex.fault == nil {
		over, more = c.emitStream(ex, s, done)
		if over {
			b.sent = append(b.sent, sent{ex, s.status})
		}
		return over, more
	}
	if !done {
		c.emitContinue(ex)
		return false, false
	}
	b.sent = append(b.sent, sent{ex, c.emitResult(ex)})
	return true, false
}

// emitContinue sends 100 Continue when it is the turn of the request whose body the client holds back.
func (c *conn) emitContinue(ex *exchange) {
	if ex != c.reading || !ex.expect || ex.continued {
		return
	}
	ex.continued = true
	if c.bodyBytes == 0 { // else the client did not wait
		c.loop.batch.head = append(c.loop.batch.head, "HTTP/1.1 100 Continue\r\n\r\n"...)
	}
}

// emitResult adds a whole response and returns its status.
func (c *conn) emitResult(ex *exchange) int {
	b := &c.loop.batch
	r := c.reply(ex)
	if ex.fault != nil {
		b.head = ex.fault.append(b.head, nil, r)
		return ex.fault.status
	}
	res := &ex.result
	if res.Err != nil {
		p := problemOf(res.Err, ex.allow)
		b.head = p.append(b.head, &ex.inv, r)
		return p.status
	}
	if res.Status == 0 {
		res.Status = 200
	}
	b.head = appendResponseHead(b.head, res.Status, res.Headers, len(res.Body), r)
	if !r.isHead && !bodyless(res.Status) {
		b.body(res.Body)
	}
	return res.Status
}

// reply describes the response due for ex. It settles whether the connection goes on.
func (c *conn) reply(ex *exchange) reply {
	l := c.loop
	if l.draining && ex.next == nil && c.framer.idle() {
		ex.keep = false
	}
	r := reply{date: l.date.at(l.now), end: !ex.keep, keep: ex.old && ex.keep, isHead: ex.isHead}
	if ex.timing {
		r.timing = &ex.inv.Stamps
		r.now = time.Now()
	}
	return r
}

// deliver writes the batch, or puts it behind what waits already.
func (c *conn) deliver() {
	b := &c.loop.batch
	b.cut()
	parts := b.parts
	written := 0
	if c.outBytes == 0 {
		var err error
		if written, err = writeAll(c.fd, parts); err != nil {
			c.close()
			return
		}
	}
	for i, p := range parts {
		if written >= len(p) {
			written -= len(p)
			continue
		}
		if p = p[written:]; b.shared[i] {
			p = append([]byte(nil), p...)
		}
		written = 0
		c.out = append(c.out, p)
		c.owe(len(p))
	}
	s := c.loop.server
	if all := s.opts.Limits.UnreadBytes; s.unread.Load() > all && int64(c.outBytes) > all/max(s.open.Load(), 1) {
		c.reset()
	}
}

// owe notes that the client has yet to take so many bytes more.
func (c *conn) owe(n int) {
	c.outBytes += n
	c.loop.server.unread.Add(int64(n))
}

// write goes on with what the socket did not take before.
func (c *conn) write() {
	n, err := writeAll(c.fd, c.out)
	if err != nil {
		c.close()
		return
	}
	if n > 0 {
		c.loop.set(&c.writeTimer, timeNone, false) // progress: arm sets it anew
	}
	c.owe(-n)
	for len(c.out) > 0 && n >= len(c.out[0]) {
		n -= len(c.out[0])
		c.out[0] = nil
		c.out = c.out[1:]
	}
	if len(c.out) == 0 {
		c.out = nil
		return
	}
	c.out[0] = c.out[0][n:]
}

// writeAll writes as much as the socket takes and returns how much that is.
func writeAll(fd int, parts [][]byte) (int, error) {
	total := 0
	first := 0 // bytes of parts[0] that are written
	var held [1][]byte
	for len(parts) > 0 {
		vector := parts[:min(len(parts), maxVectors)]
		if first > 0 {
			held[0] = parts[0][first:]
			vector = held[:]
		}
		n, err := writeParts(fd, vector)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
			return total, nil
		case err != nil:
			return total, err
		}
		total += n
		n += first
		for len(parts) > 0 && n >= len(parts[0]) {
			n -= len(parts[0])
			parts = parts[1:]
		}
		first = n
	}
	return total, nil
}

// writeParts writes in one call what it can.
func writeParts(fd int, parts [][]byte) (int, error) {
	if len(parts) == 1 {
		return unix.Write(fd, parts[0]) // no list to make
	}
	return unix.Writev(fd, parts)
}

// afterSent stamps what was handed to the socket and tells who wants to know.
func (c *conn) afterSent() {
	b := &c.loop.batch
	if len(b.sent) == 0 || c.closed.Load() {
		return
	}
	now := time.Now()
	report := c.loop.server.opts.Sent
	for _, s := range b.sent {
		s.ex.inv.Stamps.Sent = now
		if report != nil && s.ex.fault == nil {
			report(&s.ex.inv, s.status)
		}
	}
}
