package httptrigger

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection. It belongs to its loop; only the fields that say so are touched from elsewhere. It holds no
// buffer while nothing is under way.
type conn struct {
	loop   *loop
	fd     int
	remote string
	watch  interest
	closed atomic.Bool // read by workers
	woken  atomic.Bool // it is in loop.woken; whoever sets it puts it there
	below  *conn       // the next one in loop.woken

	framer  framer
	reading *exchange // the request whose body is being read; it is the last of the queue
	first   *exchange // queue of requests not yet answered, in order
	last    *exchange
	queued  int
	kept    []byte // read but not interpreted: the queue is full

	out      [][]byte // responses that the socket did not take, owned
	outBytes int

	eof       bool // the client has shut down its sending side
	stopped   bool // nothing more is interpreted
	ending    bool // the last response is written or being written
	abort     bool // a streamed response broke off
	lingering bool // all is written; what comes is dropped until the client closes
	progress  bool // body bytes came since the timer was armed
	bodySince time.Time
	bodyBytes int64
	upload    int64 // what of server.upload is this connection's

	readTimer, writeTimer timer
}

func newConn(l *loop, fd int, remote string) *conn {
	c := &conn{loop: l, fd: fd, remote: remote}
	c.framer.limits = &l.server.opts.Limits
	c.readTimer.conn, c.writeTimer.conn = c, c
	return c
}

// onEvent is called when the socket is ready.
func (c *conn) onEvent(events uint32) {
	if c.outBytes > 0 && events&unix.EPOLLOUT != 0 {
		c.write()
	}
	if !c.closed.Load() && events&(unix.EPOLLIN|unix.EPOLLERR|unix.EPOLLHUP) != 0 {
		c.read()
	}
	c.advance()
}

// read takes what the socket has, at most one buffer.
func (c *conn) read() {
	n, err := unix.Read(c.fd, c.loop.buf)
	switch {
	case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		return
	case err != nil: // reset
		c.close()
		return
	case n == 0:
		c.endOfInput()
		return
	}
	if c.reading != nil {
		c.progress = true
		c.bodyBytes += int64(n)
	}
	switch {
	case c.stopped:
	case len(c.kept) > 0:
		c.kept = append(c.kept, c.loop.buf[:n]...)
	default:
		c.input(c.loop.buf[:n])
	}
	if c.reading == nil {
		return
	}
	if held := c.account(); c.tooMuch(held, c.upload) {
		c.refuse(refuse(503, "too many large requests are being received or worked on; try again later"))
		return
	}
	if c.tooSlow() {
		c.refuse(refuse(408, "the body comes too slowly"))
	}
}

// smallUpload is the size up to which a body is never refused for what others hold: as many as there can be of these fit
// beside the rest, and whoever sends large ones must not keep away all others.
const smallUpload = 16 << 10

// tooMuch reports whether a body that takes own bytes is to be refused when all take held.
func (c *conn) tooMuch(held, own int64) bool {
	return own > smallUpload && held > c.loop.server.opts.Limits.UploadBytes
}

// account brings up to date what this connection holds for a body being received and returns what all hold.
func (c *conn) account() int64 {
	held := int64(0)
	if c.reading != nil {
		held = int64(cap(c.framer.body))
	}
	change := held - c.upload
	c.upload = held
	return c.loop.server.upload.Add(change)
}

// tooSlow reports whether the body stays below the minimum rate although it had time to show it.
func (c *conn) tooSlow() bool {
	opts := &c.loop.server.opts
	took := c.loop.now.Sub(c.bodySince)
	return took > opts.Timeouts.Body && float64(c.bodyBytes) < took.Seconds()*float64(opts.Limits.BodyRate)
}

// endOfInput handles the client's shutdown of its sending side: what is in flight is still answered.
func (c *conn) endOfInput() {
	c.eof = true
	if c.stopped || len(c.kept) > 0 {
		return
	}
	c.cutShort()
}

// cutShort refuses a request that can never become complete.
func (c *conn) cutShort() {
	if c.reading != nil || c.framer.inHead() {
		c.refuse(refuse(400, "the connection ended in the middle of a request"))
	}
}

// input interprets bytes until they are used up, the queue is full, or nothing more may be interpreted.
func (c *conn) input(p []byte) {
	for len(p) > 0 && !c.stopped {
		if c.framer.idle() && !c.mayBegin() {
			c.kept = append([]byte(nil), p...)
			return
		}
		n, what, err := c.framer.next(p, &c.loop.head)
		p = p[n:]
		switch {
		case err != nil:
			c.refuse(err)
		case what == eventHead:
			c.begin(&c.loop.head)
		case what == eventDone:
			c.complete()
		}
	}
}

// mayBegin reports whether another request may be taken up.
func (c *conn) mayBegin() bool {
	limits := &c.loop.server.opts.Limits
	return c.queued < limits.PipelineDepth && c.outBytes < limits.OutboundBytes && !c.loop.draining
}

// begin takes up a request whose head is complete.
func (c *conn) begin(h *head) {
	ex := newExchange(c, h)
	c.push(ex)
	c.reading = ex
	if !h.hasBody() {
		c.complete()
		return
	}
	c.bodySince, c.bodyBytes = c.loop.now, 0
	if ex.acceptable() {
		return
	}
	if ex.expect {
		// The client may or may not send the body now: only closing leaves no doubt about where the next request begins.
		ex.keep, c.stopped, c.reading = false, true, nil
		ex.done.Store(true)
		return
	}
	c.framer.skim = true
}

// complete dispatches the request being read: all of it is there.
func (c *conn) complete() {
	ex := c.reading
	c.reading = nil
	ex.inv.Request.Body = c.framer.body
	c.framer.reset()
	// From here on the exchange answers for the body's memory: workers may have it longer than the connection lives.
	ex.upload = int64(cap(ex.inv.Request.Body))
	c.loop.server.upload.Add(ex.upload)
	if held := c.account(); c.tooMuch(held, ex.upload) && ex.fault == nil {
		ex.fault = &problem{status: http.StatusServiceUnavailable, detail: "too many large requests are being worked on; try again later", retry: defaultRetry}
	}
	c.stopped = !ex.keep
	ex.inv.Stamps.Arrived = c.loop.now
	ex.dispatch()
}

// refuse answers the message being read with an error of the protocol, behind the answers still due, and interprets
// nothing more.
func (c *conn) refuse(r *refusal) {
	ex := c.reading
	if ex == nil {
		ex = newExchange(c, &head{})
		c.push(ex)
	}
	ex.fault = &problem{status: r.status, detail: r.detail}
	if r.status == http.StatusServiceUnavailable {
		ex.fault.retry = defaultRetry
	}
	ex.keep = false
	ex.done.Store(true)
	c.stopped, c.reading, c.kept = true, nil, nil
	c.framer.reset()
}

func (c *conn) push(ex *exchange) {
	if c.last == nil {
		c.first = ex
	} else {
		c.last.next = ex
	}
	c.last = ex
	c.queued++
}

func (c *conn) pop() {
	c.first = c.first.next
	if c.first == nil {
		c.last = nil
	}
	c.queued--
}

// maxRounds is how often a connection is served in a row before the others have their turn.
const maxRounds = 4

// advance writes what is ready, takes up what was kept, and settles what to wait for. It ends every event.
func (c *conn) advance() {
	if c.upload > 0 {
		c.account()
	}
	for round := 0; ; round++ {
		more := c.flush()
		if c.closed.Load() {
			return
		}
		if c.resume() {
			more = true
		}
		if !more {
			break
		}
		if round == maxRounds {
			c.loop.wake(c, false)
			break
		}
	}
	if c.finish() {
		return
	}
	c.arm()
	if err := c.observe(c.wanted()); err != nil {
		c.loop.server.opts.Logger.Error("watch connection", "remote", c.remote, "error", err)
		c.close()
	}
}

// resume interprets what was kept, once there is room. It reports whether there was any.
func (c *conn) resume() bool {
	if len(c.kept) == 0 || !c.mayBegin() {
		return false
	}
	p := c.kept
	c.kept = nil
	c.input(p)
	if c.eof && !c.stopped && len(c.kept) == 0 {
		c.cutShort()
	}
	return true
}

// finish closes a connection that has nothing left to do and reports whether it did.
func (c *conn) finish() bool {
	if c.outBytes > 0 {
		return false
	}
	switch {
	case c.ending && (c.eof || c.loop.draining):
		if !c.eof {
			_ = unix.Shutdown(c.fd, unix.SHUT_WR)
		}
		c.close()
		return true
	case c.ending && !c.lingering:
		// Closing now would reset the connection if input is unread, and the reset may overtake the response.
		_ = unix.Shutdown(c.fd, unix.SHUT_WR)
		c.lingering = true
		return false
	case c.first != nil || c.ending:
		return false
	case c.eof && len(c.kept) == 0, c.loop.draining && c.framer.idle():
		c.close()
		return true
	}
	return false
}

// wanted returns what the poller should watch for.
func (c *conn) wanted() interest {
	want := watchNone
	full := len(c.kept) > 0 || c.framer.idle() && !c.mayBegin()
	if !c.eof && (c.lingering || !c.stopped && !full) {
		want |= watchRead
	}
	if c.outBytes > 0 {
		want |= watchWrite
	}
	return want
}

// observe sets what the connection is watched for.
func (c *conn) observe(want interest) error {
	if want == c.watch {
		return nil
	}
	was := c.watch
	c.watch = want
	return c.loop.poller.watch(c.fd, was, want)
}

// arm sets the timers for what is waited for. While a worker has the request, nobody waits for the client.
func (c *conn) arm() {
	class, again := timeNone, false
	switch {
	case c.lingering:
		class = timeLinger
	case c.eof || c.stopped || len(c.kept) > 0:
	case c.reading != nil:
		if !c.reading.expect || c.reading.continued {
			class, again = timeBody, c.progress
		}
	case c.framer.inHead():
		class = timeHeader
	case c.first == nil && c.outBytes == 0:
		class = timeIdle
	}
	c.progress = false
	c.loop.set(&c.readTimer, class, again)
	if c.outBytes > 0 {
		c.loop.set(&c.writeTimer, timeWrite, false)
	} else {
		c.loop.set(&c.writeTimer, timeNone, false)
	}
}

// expire is called when a timer has ended.
func (c *conn) expire(class timerClass) {
	switch class {
	case timeHeader:
		c.refuse(refuse(408, "the head of the request did not come in time"))
	case timeBody:
		c.refuse(refuse(408, "the body of the request did not come in time"))
	case timeWrite:
		c.reset()
		return
	case timeIdle, timeLinger, classes, timeNone:
		c.close()
		return
	}
	c.advance()
}

// reset closes the connection so that the client sees it was not a regular end.
func (c *conn) reset() {
	if !c.closed.Load() {
		_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	c.close()
}

// close ends the connection. Workers that still have its requests are not told, but those that stream are: their next
// part is refused.
func (c *conn) close() {
	if c.closed.Swap(true) {
		return
	}
	l := c.loop
	if c.watch != watchNone {
		_ = l.poller.watch(c.fd, c.watch, watchNone)
		c.watch = watchNone
	}
	delete(l.conns, c.fd)
	closeFD(c.fd)
	l.set(&c.readTimer, timeNone, false)
	l.set(&c.writeTimer, timeNone, false)
	for ex := c.first; ex != nil; ex = ex.next {
		if s := ex.stream.Load(); s != nil {
			s.signal()
		}
	}
	c.owe(-c.outBytes)
	c.first, c.last, c.reading, c.kept, c.out = nil, nil, nil, nil, nil
	c.framer.reset()
	if c.upload > 0 {
		c.account()
	}
	l.server.open.Add(-1)
	l.open.Add(-1)
	l.checkDrained()
}

// isSystem reports whether a path is the daemon's own.
func isSystem(path string) bool {
	rest, ok := strings.CutPrefix(path, "/_edged")
	return ok && (rest == "" || rest[0] == '/')
}
