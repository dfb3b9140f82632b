package udstrigger_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
	"edged.dev/edge/edged/internal/trigger/udstrigger"
)

// door routes everything to itself and answers at once.
type door struct{}

func (door) Name() (invoke.AppName, invoke.FunctionName) { return "a", "f" }

func (d door) Route(inv *invoke.Invocation) ([]string, error) {
	inv.App, inv.Function, inv.Target = "a", "f", d
	return nil, nil
}

func (door) Submit(inv *invoke.Invocation) error {
	go inv.Done(inv, invoke.Result{Body: []byte(string(inv.Source) + " " + inv.Request.Remote)})
	return nil
}

func start(t *testing.T, path string, mode fs.FileMode) (*udstrigger.Server, error) {
	t.Helper()
	s := udstrigger.New(udstrigger.Options{Path: path, Mode: mode, HTTP: httptrigger.Options{Router: door{}, Submitter: door{}}})
	t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s, s.Start(t.Context())
}

func ask(t *testing.T, path string) string {
	t.Helper()
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}
	defer transport.CloseIdleConnections()
	res, err := (&http.Client{Transport: transport}).Get("http://h/a/f")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestServe(t *testing.T) {
	old := syscall.Umask(0o077) // stricter than the mode
	defer syscall.Umask(old)
	path := filepath.Join(t.TempDir(), "data.sock")
	s, err := start(t, path, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := ask(t, path); got != "uds @" {
		t.Errorf("got %q", got)
	}
	if a := s.Addr(); a.Network() != "unix" || a.String() != path {
		t.Errorf("address %v", a)
	}
	found, err := os.Lstat(path)
	if err != nil || found.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", found.Mode(), err)
	}
	if err := s.Start(t.Context()); !errors.Is(err, httptrigger.ErrStarted) {
		t.Errorf("second Start: %v", err)
	}
	for range 2 {
		if err := s.Close(t.Context()); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
}

func TestStalePaths(t *testing.T) {
	listenAt := func(t *testing.T, path string) *net.UnixListener {
		t.Helper()
		l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		l.SetUnlinkOnClose(false)
		return l
	}
	cases := []struct {
		name    string
		prepare func(t *testing.T, path string)
		want    error
		stays   bool // what was there is untouched
	}{
		{"nothing", func(*testing.T, string) {}, nil, false},
		{"left by a crash", func(t *testing.T, path string) { t.Helper(); _ = listenAt(t, path).Close() }, nil, false},
		{"someone answers", func(t *testing.T, path string) {
			t.Helper()
			l := listenAt(t, path)
			t.Cleanup(func() { _ = l.Close() })
		}, udstrigger.ErrInUse, true},
		{"a file", func(t *testing.T, path string) {
			t.Helper()
			if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, udstrigger.ErrPath, true},
		{"a directory", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Mkdir(path, 0o700); err != nil {
				t.Fatal(err)
			}
		}, udstrigger.ErrPath, true},
		{"a link to nothing", func(t *testing.T, path string) {
			t.Helper()
			if err := os.Symlink("nowhere", path); err != nil {
				t.Fatal(err)
			}
		}, udstrigger.ErrPath, true},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			c.prepare(t, path)
			before, _ := os.Lstat(path)
			_, err := start(t, path, 0)
			if !errors.Is(err, c.want) {
				t.Fatalf("got %v, want %v", err, c.want)
			}
			after, _ := os.Lstat(path)
			if c.stays && !os.SameFile(before, after) {
				t.Error("what was there has gone")
			}
			if err != nil && !strings.Contains(err.Error(), path) {
				t.Errorf("%q does not say where", err)
			}
			if err == nil {
				ask(t, path)
			}
		})
	}
}

func TestBadPaths(t *testing.T) {
	for _, path := range []string{"", "@abstract", "/" + strings.Repeat("a", 107)} {
		if _, err := start(t, path, 0); !errors.Is(err, udstrigger.ErrPath) {
			t.Errorf("%q: %v", path, err)
		}
	}
	if _, err := start(t, filepath.Join(t.TempDir(), "no", "dir"), 0); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
}

// TestCloseLeavesAnothersSocket: a successor has replaced the file; it must keep it.
func TestCloseLeavesAnothersSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	first, err := start(t, path, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	if _, err := start(t, path, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	ask(t, path)
}

// TestFailedStartLeavesNothing: the options are bad, the socket was made already.
func TestFailedStartLeavesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	s := udstrigger.New(udstrigger.Options{Path: path})
	if err := s.Start(t.Context()); !errors.Is(err, httptrigger.ErrOptions) {
		t.Fatalf("got %v", err)
	}
	if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if s.Addr() != nil {
		t.Error("there is an address")
	}
}

func ExampleServer() {
	dir, err := os.MkdirTemp("", "uds")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s := udstrigger.New(udstrigger.Options{
		Path: filepath.Join(dir, "edged.sock"),
		HTTP: httptrigger.Options{Router: door{}, Submitter: door{}},
	})
	if err := s.Start(context.Background()); err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(s.Addr().Network())
	fmt.Println(s.Close(context.Background()))
	// Output:
	// unix
	// <nil>
}
