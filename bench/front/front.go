// Package front serves HTTP/1.1 for the servers that edged is measured beside.
//
// The usual one is as cheap as can be: gnet's event loops, the guest runs on the loop without a queue, and only the request line and
// Content-Length are read. So a server that uses it has the best front that its engine could have, and the engine decides. The other
// one is net/http, where a guest that computes does not keep the connections of others waiting longer than the schedulers
// of Go and Linux make it.
package front

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"strconv"

	"github.com/panjf2000/gnet/v2"
	"golang.org/x/sys/unix"

	"edged.dev/edge/bench/hostabi"
)

// ErrRequest is wrapped by errors about a request that this front does not take.
var ErrRequest = errors.New("request not understood")

// Handler answers a call. It is called on an event loop, by several at once when the server has several cores.
type Handler func(call *hostabi.Call) error

// Ready is the line that a server prints to standard output once it accepts connections, as `edged serve` does.
type Ready struct {
	Event string `json:"event"` // "ready"
	HTTP  string `json:"http"`  // host:port
}

// WriteReady writes the ready line of a server at the address.
func WriteReady(out io.Writer, address string) error {
	return json.NewEncoder(out).Encode(Ready{"ready", address})
}

// The kinds of fronts.
const (
	Loop    = "loop"     // gnet; guests run on the event loop
	Threads = "net/http" // a goroutine for each connection
)

// Serve answers at a free port of the loopback address until the process ends.
func Serve(ctx context.Context, kind string, handler Handler) error {
	switch kind {
	case Loop:
		return serveLoop(handler)
	case Threads:
		return serveThreads(ctx, handler)
	default:
		return fmt.Errorf("%w: front %q is neither %q nor %q", errors.ErrUnsupported, kind, Loop, Threads)
	}
}

func serveLoop(handler Handler) error {
	s := &server{handler: handler, calls: make(chan *hostabi.Call, 1024)}
	err := gnet.Run(s, "tcp://127.0.0.1:0", gnet.WithNumEventLoop(runtime.GOMAXPROCS(0)), gnet.WithReuseAddr(true),
		gnet.WithTCPNoDelay(gnet.TCPNoDelay), gnet.WithReadBufferCap(128<<10), gnet.WithLogger(quiet{}))
	if err != nil {
		return fmt.Errorf("serve: %w", err)
	}
	return s.err
}

// quiet keeps gnet's log from standard output, where the ready line goes; what matters comes back as an error.
type quiet struct{}

func (quiet) Debugf(string, ...any) {}
func (quiet) Infof(string, ...any)  {}
func (quiet) Warnf(string, ...any)  {}
func (quiet) Errorf(string, ...any) {}
func (quiet) Fatalf(string, ...any) {}

type server struct {
	gnet.BuiltinEventEngine
	handler Handler
	calls   chan *hostabi.Call // free ones; bounded, the rest is garbage
	err     error              // why it could not begin
}

// OnBoot prints the address.
func (s *server) OnBoot(engine gnet.Engine) gnet.Action {
	s.err = announce(engine)
	if s.err != nil {
		return gnet.Shutdown
	}
	return gnet.None
}

func announce(engine gnet.Engine) error {
	fd, err := engine.Dup()
	if err != nil {
		return fmt.Errorf("ask for the listener: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	name, err := unix.Getsockname(fd)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	address, ok := name.(*unix.SockaddrInet4)
	if !ok {
		return fmt.Errorf("%w: listening on %T", errors.ErrUnsupported, name)
	}
	port := netip.AddrPortFrom(netip.AddrFrom4(address.Addr), uint16(address.Port))
	return WriteReady(os.Stdout, port.String())
}

// OnTraffic answers all complete requests that have come, in one write.
func (s *server) OnTraffic(c gnet.Conn) gnet.Action {
	data, err := c.Peek(-1)
	if err != nil {
		return gnet.Close
	}
	var call *hostabi.Call
	select {
	case call = <-s.calls:
	default:
		call = new(hostabi.Call)
	}
	defer func() {
		select {
		case s.calls <- call:
		default:
		}
	}()
	var out []byte
	used := 0
	for used < len(data) {
		n, err := take(data[used:], call)
		if err != nil {
			return gnet.Close
		}
		if n == 0 {
			break
		}
		used += n
		out = s.answer(out, call)
	}
	if len(out) > 0 {
		if _, err := c.Write(out); err != nil {
			return gnet.Close
		}
	}
	if _, err := c.Discard(used); err != nil {
		return gnet.Close
	}
	return gnet.None
}

// answer runs the handler and appends its response.
func (s *server) answer(out []byte, call *hostabi.Call) []byte {
	err := s.handler(call)
	status, body := "500 Internal Server Error", call.Failed
	switch {
	case err != nil:
		body = []byte(err.Error())
	case call.Failed == nil:
		status, body = "200 OK", call.Out
	}
	out = append(append(append(out, "HTTP/1.1 "...), status...), "\r\n"...)
	out = append(append(out, call.Fields...), "Content-Length: "...)
	out = append(strconv.AppendInt(out, int64(len(body)), 10), "\r\n\r\n"...)
	return append(out, body...)
}

// take reads the request that data begins with into call, which then refers to data. It returns how many bytes that is, 0
// when the request is not complete.
func take(data []byte, call *hostabi.Call) (int, error) {
	end := bytes.Index(data, []byte("\r\n\r\n"))
	if end < 0 {
		return 0, nil
	}
	line, fields, _ := bytes.Cut(data[:end+2], []byte("\r\n"))
	_, target, ok := bytes.Cut(line, []byte(" "))
	target, _, more := bytes.Cut(target, []byte(" "))
	if !ok || !more {
		return 0, fmt.Errorf("%w: line %.40q", ErrRequest, line)
	}
	length := 0
	// As our generator and wrk write it.
	if _, rest, found := bytes.Cut(fields, []byte("Content-Length: ")); found {
		value, _, _ := bytes.Cut(rest, []byte("\r"))
		n, err := strconv.Atoi(string(value))
		if err != nil || n < 0 {
			return 0, fmt.Errorf("%w: length %.40q", ErrRequest, value)
		}
		length = n
	}
	if len(data) < end+4+length {
		return 0, nil
	}
	call.Reset(target, data[end+4:end+4+length])
	return end + 4 + length, nil
}

// Main runs a server as a program: it prints why it ends and returns the exit code.
func Main(serve func(ctx context.Context) error) int {
	if err := serve(context.Background()); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
