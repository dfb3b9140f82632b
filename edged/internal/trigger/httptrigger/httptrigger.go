// Package httptrigger turns HTTP/1.1 requests on a TCP or a Unix socket into invocations and their results into
// responses.
//
// # Way of a request
//
// An event loop reads bytes, the framer cuts them into messages, the router finds the function and the submitter
// takes the invocation: all on the thread that is at the loop, none of it blocks. A worker answers through Done (or Stream);
// that only stores the result and wakes the loop, which writes whatever is ready, in the order of the requests, in one
// system call for each connection. Nothing in here runs a guest. A worker may be the one who is at a loop, between two guests, which
// saves the wake-ups in both directions: see attend.go.
//
// # Why event loops of our own
//
// A loop is epoll, a stack of connections that have something to write, and a list of tasks (poller.go, loop.go). The
// engine of gnet v2.9.7 reads whenever a socket is readable and cannot be told to stop (a client that sends faster than it
// is served fills memory), closes a connection as soon as the client shuts down its sending side (the answer in flight
// is lost, and so is what its outbound buffer cannot write at that moment), does not say when its outbound buffer has
// drained (nothing to block a streaming guest on), ends as a whole when accept fails for want of descriptors, and cannot
// stop accepting while it serves on. Its poller alone could be used, but yields to the Go scheduler whenever a poll has
// found nothing: beside workers that are bound to their threads each such yield wakes and stops several threads. And it
// writes to its eventfd for every answer, also while the loop is awake.
//
// # Wake-ups
//
// A loop that is awake looks at what was added before it sleeps, so only one that sleeps is woken by a system call, and
// answers that come together share it: see [Server.Flush]. Likewise requests that come together share the wake-up of a
// worker when the submitter is a [trigger.Batcher]: it is flushed before the loop writes and before it sleeps.
//
// # Strictness
//
// The framer accepts less than RFC 9112 allows wherever leniency has been a way to smuggle a second request: line ends
// are CRLF, no folding, one Content-Length of digits or one Transfer-Encoding of exactly "chunked", never both. After
// any framing error the connection answers once and closes; no later byte is interpreted.
//
// # Concurrency
//
// A connection belongs to one loop, and a loop to the one thread that is at it. Shared with others are only an exchange's done flag, its stream (own mutex), the
// loop's stack of woken connections and its flag that it sleeps (atomics), and its tasks (loop.mu, which is also held to
// wake it). Lock order: stream.mu and loop.mu are never held together.
package httptrigger

import (
	"context"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger"
)

// Server accepts connections and serves HTTP on them. Make it with [New]; all methods may be called from any goroutine.
type Server struct {
	opts   Options
	batch  trigger.Batcher // opts.Submitter, when it is one
	source invoke.Source
	loops  []*loop
	ids    *atomic.Uint64
	open   atomic.Int64  // connections, those on their way to a loop included
	unread atomic.Int64  // bytes of responses that connections hold because their clients do not take them
	upload atomic.Int64  // bytes held for bodies of requests that are not answered yet
	begun  atomic.Bool   // loops is complete and stays as it is
	halt   chan struct{} // closed by Close to end the ticker
	wg     sync.WaitGroup

	mu     sync.Mutex
	addr   net.Addr      // guarded by mu
	state  state         // guarded by mu
	closed chan struct{} // closed when Close is through
}

type state uint8

const (
	stateNew state = iota
	stateServing
	stateClosed
)

// New returns a server that does nothing until [Server.Start]. The options are copied and completed with defaults.
func New(opts Options) *Server {
	opts.complete()
	ids := opts.IDs
	if ids == nil {
		ids = new(atomic.Uint64)
	}
	batch, _ := opts.Submitter.(trigger.Batcher)
	return &Server{opts: opts, batch: batch, ids: ids, halt: make(chan struct{}), closed: make(chan struct{})}
}

// Start listens and serves until [Server.Close]; it returns when connections are accepted. ctx bounds only the set-up.
// A failed Start leaves nothing open, a given Listener included. The errors are [ErrOptions], [ErrStarted], [ErrClosed] and those of listening.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state {
	case stateServing:
		return ErrStarted
	case stateClosed:
		return ErrClosed
	case stateNew:
	}
	if err := s.opts.validate(); err != nil {
		if s.opts.Listener != nil {
			_ = s.opts.Listener.Close()
		}
		return err
	}
	fd, addr, err := listen(ctx, s.opts)
	if err != nil {
		return err
	}
	s.source = invoke.SourceHTTP
	if addr.Network() == "unix" {
		s.source = invoke.SourceUDS
	}
	if err := s.openLoops(fd); err != nil {
		return err
	}
	s.addr, s.state = addr, stateServing
	s.begun.Store(true)
	for _, l := range s.loops {
		s.wg.Go(l.run)
	}
	s.wg.Go(s.tick)
	return nil
}

// openLoops makes the loops; the first one accepts. It owns fd: on an error it is closed.
func (s *Server) openLoops(fd int) error {
	for i := range s.opts.Loops {
		l, err := newLoop(s)
		if err == nil {
			l.place = i
		}
		if err == nil && i == 0 {
			err = l.accepts(fd)
		}
		if l != nil {
			s.loops = append(s.loops, l)
		}
		if err != nil {
			closeFD(fd)
			for _, l := range s.loops {
				l.close()
			}
			s.loops = nil
			return fmt.Errorf("open event loop: %w", err)
		}
	}
	return nil
}

// Addr returns the address that is listened on, with the real port; nil before Start.
func (s *Server) Addr() net.Addr {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// Connections returns how many connections are open.
func (s *Server) Connections() int { return int(s.open.Load()) }

// Close stops accepting, closes idle connections, and lets the others finish the requests that they have begun to send
// or that are in flight; requests behind those are not read any more. When ctx ends first, what is left is closed and
// the error wraps ctx's. Results of invocations that are still running then are dropped. Close is idempotent: a later
// call waits for the first one and returns nil.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	was := s.state
	s.state = stateClosed
	s.mu.Unlock()
	switch was {
	case stateNew:
		close(s.closed)
		return nil
	case stateClosed:
		<-s.closed
		return nil
	case stateServing:
	}
	for _, l := range s.loops {
		l.post(l.drain)
	}
	<-s.loops[0].deaf // else a loop could be given a connection after its end
	var err error
	for _, l := range s.loops {
		select {
		case <-l.drained:
		case <-ctx.Done():
			err = fmt.Errorf("drain connections: %w", context.Cause(ctx))
		}
	}
	close(s.halt)
	for _, l := range s.loops {
		l.halt()
	}
	s.wg.Wait()
	for _, l := range s.loops {
		l.close()
	}
	close(s.closed)
	return err
}

// Flush sends answers whose [invoke.Result.More] has promised it: whoever gives such answers calls it after the last of
// them. Any goroutine may call it, and it costs a few loads when nothing is left to send. Answers that it is forgotten for
// leave at the next tick of the loops' timers, at most half a second later.
func (s *Server) Flush() {
	if !s.begun.Load() {
		return
	}
	for _, l := range s.loops {
		l.flush()
	}
}

// tick drives the loops' timers. One goroutine serves all connections; loops without any are left asleep.
func (s *Server) tick() {
	ticker := time.NewTicker(s.opts.Timeouts.tick())
	defer ticker.Stop()
	for {
		select {
		case <-s.halt:
			return
		case <-ticker.C:
		}
		for _, l := range s.loops {
			if l.open.Load() > 0 || l.resting.Load() {
				l.post(l.expire)
			}
		}
	}
}
