package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// noSockets requires that a daemon that has ended well has left no socket behind.
func noSockets(t *testing.T, d *daemon) {
	t.Helper()
	for _, path := range []string{d.ready.UDS, d.ready.Admin} {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s is left: %v", path, err)
		}
	}
}

// TestDrain ends a daemon with a held request and a load: the held one is answered whole, nobody gets a broken answer.
func TestDrain(t *testing.T) {
	d := startDaemon(t, "")
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), "limits: {timeout: 60s}"))
	requests := []*held{hold(t, d, "a"), hold(t, d, "b")}
	want := whole(1)
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			for {
				got, err := d.clients[n%2].call(t.Context(), http.MethodGet, "/shop/version", nil)
				switch {
				case err != nil:
					return // the port is closed
				case got.status == 503:
				case got.status != 200 || string(got.body) != want:
					t.Errorf("status %d, %d bytes: %.200s", got.status, len(got.body), got.body)
				}
			}
		})
	}
	d.terminate(t)
	eventually(t, "it drains", func() error {
		if !strings.Contains(d.home.log(), "draining") {
			return errors.New("it does not say so")
		}
		return nil
	})
	select {
	case <-d.ended:
		t.Fatal("it ended with requests in flight")
	case <-requests[0].done:
		t.Fatalf("a held request ended before it was released: %v %+v", requests[0].err, requests[0].reply)
	default:
	}
	// The management socket still answers, so the operator can look and the test can release.
	for _, h := range requests {
		if got := h.release(t); got.status != 200 || string(got.body) != "held "+h.name+" by v1" {
			t.Errorf("held request %s: status %d %q", h.name, got.status, got.body)
		}
	}
	if code := d.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	clients.Wait()
	noSockets(t, d)
}

// TestDrainIsBounded ends a daemon while a guest loops for ever: the drain's limit ends the guest, and the daemon ends well.
func TestDrainIsBounded(t *testing.T) {
	d := startDaemon(t, "timeouts: {drain: 300ms}\n")
	d.must(t, "deploy", app(t, "endless", hostile(t), "limits: {timeout: 4m}"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var calls sync.WaitGroup
	for _, name := range []string{"spin", "sleep_forever", "lock_forever", "spin_kv"} {
		calls.Go(func() {
			got, err := d.http().call(ctx, http.MethodPost, "/endless/"+name, nil)
			if err == nil && got.status != 503 {
				t.Errorf("%s was answered %d: %.200s", name, got.status, got.body)
			}
		})
	}
	eventually(t, "all run", func() error {
		if text := d.must(t, "status", "--json"); !strings.Contains(strings.ReplaceAll(text, " ", ""), `"running":4`) {
			return errors.New(text)
		}
		return nil
	})
	d.terminate(t)
	if code := d.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	calls.Wait()
	noSockets(t, d)
}

// TestSecondSignal does not wait for the drain, and a daemon starts over what it leaves.
func TestSecondSignal(t *testing.T) {
	h := newHome(t, "timeouts: {drain: 10m}\n")
	d := h.start(t)
	d.must(t, "deploy", app(t, "endless", hostile(t), "limits: {timeout: 4m}"))
	go func() { _, _ = d.http().call(context.Background(), http.MethodPost, "/endless/spin", nil) }()
	eventually(t, "it runs", func() error {
		if text := d.must(t, "status", "--json"); !strings.Contains(strings.ReplaceAll(text, " ", ""), `"running":1`) {
			return errors.New(text)
		}
		return nil
	})
	d.terminate(t)
	eventually(t, "it drains", func() error {
		if !strings.Contains(h.log(), "draining") {
			return errors.New("it does not say so")
		}
		return nil
	})
	d.terminate(t)
	if code := d.exit(t); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	again := h.start(t)
	if got := again.uds().ok(t, "/endless/exit_0", nil); got != "exit 0" {
		t.Errorf("after a restart it answers %q", got)
	}
	again.stop(t)
	noSockets(t, again)
}

// TestSignalDuringDeploy ends a daemon while it compiles: either the client is told so and nothing of the app is left, or the
// deploy was through already and the app is there after a restart. There is nothing in between.
func TestSignalDuringDeploy(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	dir := app(t, "shop", large(t, 400))
	result := make(chan output, 1)
	go func() { result <- d.cli(t, "deploy", dir) }()
	eventually(t, "the compiler runs", func() error { return compilers(d, 1) })
	d.terminate(t)
	if code := d.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	var got output
	select {
	case got = <-result:
	case <-time.After(waitTimeout):
		t.Fatal("the deploy does not end")
	}
	if got.code != 0 && got.stderr == "" {
		t.Errorf("the deploy ended without a word: %+v", got)
	}
	noSockets(t, d)
	again := h.start(t)
	there := strings.Contains(again.must(t, "ls", "--json"), `"shop"`)
	if there != (got.code == 0) {
		t.Errorf("the deploy ended with %d, and it is %v that the app is there after a restart", got.code, there)
	}
	again.stop(t)
}

// TestDrainingAnswers looks at a daemon that drains: it says so, and takes nothing new.
func TestDrainingAnswers(t *testing.T) {
	d := startDaemon(t, "")
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), "limits: {timeout: 60s}"))
	request := hold(t, d, "x")
	d.terminate(t)
	eventually(t, "status says that it drains", func() error {
		if got := d.cli(t, "status"); !strings.Contains(got.stdout, "draining") {
			return fmt.Errorf("%+v", got)
		}
		return nil
	})
	if got := d.cli(t, "invoke", "shop/which"); got.code != 1 || !strings.Contains(got.stderr, "stopping") {
		t.Errorf("a new call: %+v", got)
	}
	if got := request.release(t); got.status != 200 {
		t.Errorf("the held request: %d %s", got.status, got.body)
	}
	if code := d.exit(t); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}
