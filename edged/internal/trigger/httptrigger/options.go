package httptrigger

import (
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger"
)

// Options configure a [Server]. Router and Submitter are required; every other zero value means its default.
type Options struct {
	// Network is "tcp" (default), "tcp4" or "tcp6". Unix sockets come through Listener, see package udstrigger.
	Network string
	// Addr is host:port; port 0 takes a free one.
	Addr string
	// Listener, when not nil, is used instead of Network and Addr. It must be a *net.TCPListener or a
	// *net.UnixListener. Start takes it over and closes it; a socket file is left to the caller.
	Listener net.Listener

	Router trigger.Router
	// Submitter takes the invocations; one that is a [trigger.Batcher] is flushed whenever those that came together are in.
	Submitter trigger.Submitter
	// System answers the paths under /_edged/. It is called on an event loop, so it must not block, and it answers as
	// a worker does: by calling inv.Done exactly once, at once or later from any goroutine. nil: 404.
	System func(inv *invoke.Invocation)
	// Sent, when not nil, is called on an event loop after a reply was handed to the socket, with the invocation (all
	// stamps set) and the status that was sent. It must not block. It is not called for replies nobody waited for.
	Sent func(inv *invoke.Invocation, status int)
	// IDs numbers the invocations; share one counter between servers to keep the numbers unique. nil: an own one.
	IDs    *atomic.Uint64
	Logger *slog.Logger // nil: slog.Default()

	// Loops is the number of event loops. Default: half of the processors, at least 1 and at most 4: the other half
	// runs guests.
	Loops int
	// Tended, when not nil, says that workers attend to the loops when their core is idle, and is asked whether one will soon be
	// at the loop of that number by itself. See [Server.Attendants].
	Tended   func(loop int) bool
	Limits   Limits
	Timeouts Timeouts
}

// Limits bound what a client may make the server keep. Zero fields take their defaults.
type Limits struct {
	BodyBytes     int64 // request body, decoded; 16 MiB; above: 413
	HeaderBytes   int   // request line and header section; 32 KiB; above: 431
	Headers       int   // header fields; 128; above: 431
	RequestLine   int   // 8 KiB, and always below HeaderBytes; above: 414
	PipelineDepth int   // requests in flight on one connection; 128; above: reading pauses
	Connections   int   // open connections; 16,384; above: 503 and closed
	OutboundBytes int   // response bytes waiting on one connection before Stream blocks and reading pauses; 256 KiB
	// UploadBytes bounds the memory for bodies of more than 16 KiB over all connections, from their first byte until
	// their request is answered; 256 MiB; above: 503.
	UploadBytes int64
	// UnreadBytes bounds the response bytes that clients have not taken, over all connections; 256 MiB; above: connections
	// that wait with more than an equal share of it are reset.
	UnreadBytes int64
	BodyRate    int64 // bytes a second that a body must average once it has taken Timeouts.Body; 256
}

// Timeouts bound how long a client may keep the server waiting. Zero fields take their defaults.
type Timeouts struct {
	Header time.Duration // from the first byte of a request to the end of its head; 10 s; then 408
	Body   time.Duration // between two pieces of a body; 30 s; then 408
	Idle   time.Duration // a connection without a request; 75 s; then closed
	Write  time.Duration // a response of which the client takes nothing; 30 s; then reset
	Linger time.Duration // reading on after the last response, so that it arrives; 2 s
}

func (o *Options) complete() {
	setDefault(&o.Network, "tcp")
	setDefault(&o.Loops, min(max(runtime.GOMAXPROCS(0)/2, 1), 4))
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	l := &o.Limits
	setDefault(&l.BodyBytes, 16<<20)
	setDefault(&l.HeaderBytes, 32<<10)
	setDefault(&l.Headers, 128)
	setDefault(&l.RequestLine, 8<<10)
	setDefault(&l.PipelineDepth, 128)
	setDefault(&l.Connections, 16<<10)
	setDefault(&l.OutboundBytes, 256<<10)
	setDefault(&l.UploadBytes, 256<<20)
	setDefault(&l.UnreadBytes, 256<<20)
	setDefault(&l.BodyRate, 256)
	// So that a line too long is always a 414, wherever the bytes are cut.
	l.RequestLine = min(l.RequestLine, l.HeaderBytes-4)
	t := &o.Timeouts
	setDefault(&t.Header, 10*time.Second)
	setDefault(&t.Body, 30*time.Second)
	setDefault(&t.Idle, 75*time.Second)
	setDefault(&t.Write, 30*time.Second)
	setDefault(&t.Linger, 2*time.Second)
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

func (o *Options) validate() error {
	switch {
	case o.Router == nil:
		return fmt.Errorf("%w: Router is nil", ErrOptions)
	case o.Submitter == nil:
		return fmt.Errorf("%w: Submitter is nil", ErrOptions)
	case o.Limits.HeaderBytes < 64:
		return fmt.Errorf("%w: Limits.HeaderBytes is below 64", ErrOptions)
	case o.Listener != nil:
		return nil
	case o.Network != "tcp" && o.Network != "tcp4" && o.Network != "tcp6":
		return fmt.Errorf("%w: Network %q is not tcp, tcp4 or tcp6; give other sockets as Listener", ErrOptions, o.Network)
	}
	return nil
}

// tick is how often timers are looked at: a quarter of the shortest, so that none ends more than that late.
func (t *Timeouts) tick() time.Duration {
	shortest := min(t.Header, t.Body, t.Idle, t.Write, t.Linger)
	return min(max(shortest/4, 5*time.Millisecond), 500*time.Millisecond)
}
