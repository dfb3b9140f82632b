package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// Limits of what a client may send.
const (
	// DefaultMaxModule is room for the largest stock toolchain output seen (Go, 7 MB) with a language engine beside it.
	DefaultMaxModule   = 64 << 20
	maxManifestBytes   = 1 << 20
	maxRequestBytes    = 64 << 10 // JSON of small requests
	maxInvokeBytes     = 96 << 20 // a body of 64 MiB in base64
	maxValueBytes      = 16 << 20 // the store's own limit
	maxListEntries     = 10_000
	defaultListEntries = 1_000
)

// Options of a server. Path and Service must be set.
type Options struct {
	Path    string  // where the socket is made; its folder must exist
	Service Service // borrowed; must live until Close has returned
	// Metrics writes the Prometheus text for /metrics; nil answers 404.
	Metrics func(io.Writer) error
	// MaxModuleBytes limits an uploaded module; 0 means DefaultMaxModule.
	MaxModuleBytes int64
	// Log gets what cannot be told to a client; nil drops it.
	Log *slog.Logger
}

// Server serves the API on one socket. New, then Start, then Close.
type Server struct {
	options Options
	http    *http.Server

	gate     sync.RWMutex // held for reading by every request, so that Close can wait for them
	shutting atomic.Bool  // no request may start any more

	mu       sync.Mutex
	listener net.Listener  // guarded by mu
	closed   bool          // guarded by mu
	served   chan struct{} // closed when the serving goroutine has ended; nil before Start
}

// New prepares a server; it touches nothing outside.
func New(options Options) *Server {
	if options.MaxModuleBytes <= 0 {
		options.MaxModuleBytes = DefaultMaxModule
	}
	if options.Log == nil {
		options.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{options: options}
	s.http = &http.Server{
		Handler:           requirePeer(s.gated(s.routes())),
		ConnContext:       withPeer,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(options.Log.Handler(), slog.LevelWarn),
	}
	return s
}

// gated lets requests pass until Close, which can wait for those that have.
func (s *Server) gated(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.gate.RLock()
		defer s.gate.RUnlock()
		if s.shutting.Load() {
			writeProblem(w, &Error{Kind: ErrUnavailable, Detail: "the daemon is stopping"})
			return
		}
		next.ServeHTTP(w, r)
	})
}

// Start makes the socket and serves until Close. A socket that a daemon of before left behind is replaced; one that
// answers is not, and the error says so. Requests get contexts below ctx.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("start admin server: %w", ErrClosed)
	}
	listener, err := listen(ctx, s.options.Path)
	if err != nil {
		return fmt.Errorf("start admin server: %w", err)
	}
	s.listener = listener
	s.served = make(chan struct{})
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	go func() {
		defer close(s.served)
		if err := s.http.Serve(listener); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.options.Log.Error("admin server ended", slog.Any("error", err))
		}
	}()
	return nil
}

// closeGrace is how long Close lets requests finish: long enough for an answer on its way, far below any patience at
// SIGTERM. A follower of logs never finishes by itself.
const closeGrace = 500 * time.Millisecond

// Close stops serving: it removes the socket, lets requests in flight finish for half a second, ends the rest by their
// context, and waits until the service is no longer used. It is idempotent and may be called without Start.
func (s *Server) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.listener == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeGrace)
	defer cancel()
	err := s.http.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		err = s.http.Close()
	}
	<-s.served
	s.shutting.Store(true)
	s.gate.Lock()   // every request that came before has ended when this returns
	s.gate.Unlock() //nolint:staticcheck // the section is empty: only the waiting matters
	if err != nil {
		return fmt.Errorf("close admin server: %w", err)
	}
	return nil
}

// listen makes the socket, readable and writable by the owner only. Between its creation and chmod another user may
// connect; that is why the peer's credentials are checked too.
func listen(ctx context.Context, path string) (net.Listener, error) {
	if err := removeStale(ctx, path); err != nil {
		return nil, err
	}
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "unix", path)
	if errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("socket path %s is %d bytes long, above the system's limit of 107: choose a shorter one: %w",
			path, len(path), err)
	}
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("restrict socket: %w", err), listener.Close())
	}
	return listener, nil
}

// removeStale removes a socket nobody listens on. Anything else at that path stays.
func removeStale(ctx context.Context, path string) error {
	stat, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket: %w", err)
	}
	if stat.Mode().Type() != fs.ModeSocket {
		return fmt.Errorf("%s exists and is no socket: remove it or choose another path: %w", path, ErrConflict)
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err == nil {
		return errors.Join(fmt.Errorf("another daemon serves %s: stop it or choose another path: %w", path, ErrConflict), conn.Close())
	}
	if !errors.Is(err, unix.ECONNREFUSED) {
		return fmt.Errorf("probe socket %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove stale socket: %w", err)
	}
	return nil
}
