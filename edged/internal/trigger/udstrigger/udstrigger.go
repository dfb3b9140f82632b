// Package udstrigger serves HTTP on a Unix socket. The protocol is package httptrigger's; this package looks after the
// socket file: who may open it, what to do with one that a crash has left, and its removal.
package udstrigger

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// DefaultMode lets the owner and the group connect.
const DefaultMode fs.FileMode = 0o660

// maxPath is what fits into a socket address on Linux, its NUL included (unix(7): sun_path has 108 bytes).
const maxPath = 107

// Options configure a [Server].
type Options struct {
	// Path is where the socket is made; its directory must exist.
	Path string
	// Mode is the socket's permissions, umask or not; connecting needs write permission. Zero is [DefaultMode].
	Mode fs.FileMode
	// HTTP configures the protocol. Network, Addr and Listener are ignored.
	HTTP httptrigger.Options
}

// Server serves HTTP on a Unix socket. All methods may be called from any goroutine.
type Server struct {
	path string
	mode fs.FileMode
	http httptrigger.Options

	server atomic.Pointer[httptrigger.Server] // set once, by Start, with mu held

	mu   sync.Mutex
	made fs.FileInfo // the socket file that is ours; guarded by mu
}

// New returns a server that does nothing until [Server.Start].
func New(opts Options) *Server {
	s := &Server{path: opts.Path, mode: opts.Mode, http: opts.HTTP}
	if s.mode == 0 {
		s.mode = DefaultMode
	}
	return s
}

// Start makes the socket and serves until [Server.Close]. A socket file on which nobody answers, left by a process that
// was killed, is replaced. The errors are [ErrInUse], [ErrPath], those of making the socket, and those of
// [httptrigger.Server.Start]; after one nothing is left open and no file of ours is left.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server.Load() != nil {
		return httptrigger.ErrStarted
	}
	ln, made, err := listen(ctx, s.path, s.mode)
	if err != nil {
		return err
	}
	opts := s.http
	opts.Listener = ln
	server := httptrigger.New(opts)
	if err := server.Start(ctx); err != nil {
		return errors.Join(err, remove(s.path, made))
	}
	s.made = made
	s.server.Store(server)
	return nil
}

// Addr returns the socket's address; nil before Start.
func (s *Server) Addr() net.Addr {
	server := s.server.Load()
	if server == nil {
		return nil
	}
	return server.Addr()
}

// Close removes the socket file, unless someone has put another in its place, and drains as
// [httptrigger.Server.Close] does. It is idempotent.
func (s *Server) Close(ctx context.Context) error {
	s.mu.Lock()
	server, made := s.server.Load(), s.made
	s.made = nil
	s.mu.Unlock()
	if server == nil {
		return nil
	}
	var err error
	if made != nil {
		err = remove(s.path, made)
	}
	return errors.Join(err, server.Close(ctx))
}

// listen makes the socket with its permissions: never, not for a moment, with wider ones.
func listen(ctx context.Context, path string, mode fs.FileMode) (*net.UnixListener, fs.FileInfo, error) {
	if path == "" || len(path) > maxPath || path[0] == '@' {
		return nil, nil, fmt.Errorf("%w: %q: give a path of 1 to %d bytes that does not begin with @", ErrPath, path, maxPath)
	}
	if err := clearStale(ctx, path); err != nil {
		return nil, nil, err
	}
	config := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var chmod error
		// On Linux bind takes the file's mode, less the umask, from the socket.
		err := c.Control(func(fd uintptr) { chmod = unix.Fchmod(int(fd), uint32(mode.Perm())) })
		return errors.Join(err, chmod)
	}}
	ln, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, nil, fmt.Errorf("listen on unix socket: %w", err)
	}
	l := ln.(*net.UnixListener)
	l.SetUnlinkOnClose(false)
	made, err := os.Lstat(path)
	if err == nil {
		err = os.Chmod(path, mode.Perm()) // what the umask has taken
	}
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("set mode of unix socket: %w", err), l.Close(), os.Remove(path))
	}
	return l, made, nil
}

// dialTimeout bounds the question whether anyone answers. A full backlog counts as an answer.
const dialTimeout = 2 * time.Second

// clearStale removes a socket on which nobody listens. Whatever else is at path stays.
func clearStale(ctx context.Context, path string) error {
	found, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket path: %w", err)
	}
	if found.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%w: %s is there and is not a socket; remove it or choose another path", ErrPath, path)
	}
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return fmt.Errorf("%w: %s: another process serves there, or this one may not ask; stop it or choose another path",
			ErrInUse, path)
	}
	return remove(path, found)
}

// remove deletes the file at path if it still is the one that is meant.
func remove(path string, meant fs.FileInfo) error {
	found, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at unix socket: %w", err)
	}
	if !os.SameFile(found, meant) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove unix socket: %w", err)
	}
	return nil
}

// Flush sends answers whose sending was put off, see [httptrigger.Server.Flush].
func (s *Server) Flush() {
	if server := s.server.Load(); server != nil {
		server.Flush()
	}
}

// Connections returns how many connections are open.
func (s *Server) Connections() int {
	server := s.server.Load()
	if server == nil {
		return 0
	}
	return server.Connections()
}
