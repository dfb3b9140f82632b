package e2e_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// calling builds the guest whose functions call each other.
func calling(t *testing.T) string {
	t.Helper()
	return testutil.BuildCFile(t, filepath.Join("testdata", "calls.c"), append(testutil.Reactor(),
		"-I", filepath.Join("..", "sdk", "c"))...)
}

func TestCallsAndTheirResults(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "caller", calling(t)))
	long := strings.Repeat("0123456789", 30)
	for _, c := range []struct{ function, body, want string }{
		{"relay", "echo hello", "5 200 hello"},
		{"relay", "echo", "0 200 "},
		{"relay", "echo " + long, "300 200 " + long},
		{"relay", "caller/echo x", "1 200 x"},
		{"relay", "missing", "8 404 not here"},
		{"relay", "broken", "-10 500 the function failed: it broke"},
		{"relay", "nobody", `-1  no such function: app caller has no function "nobody"`},
		{"relay", "relay echo hello", "11 200 5 200 hello"},
		{"deeper", "60", "bottom"},
		{"fan", "10000", "10000"},
		{"hops", "1000", "1000"},
		{"sum", "1000", "332833500"},
		{"cancel", "", "-6 0 -11"},
		{"knot", "", "refused -5"},
		{"hoard", "100", "100"},
	} {
		t.Run(c.function, func(t *testing.T) {
			if got := d.http().ok(t, "/caller/"+c.function, []byte(c.body)); got != c.want {
				t.Errorf("%s %q answers %q, want %q", c.function, c.body, got, c.want)
			}
		})
	}
}

func TestCallsTooDeep(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "caller", calling(t)))
	const want = "-8 functions call each other more than 64 deep, the last of them caller/deeper -> caller/deeper"
	got := d.http().ok(t, "/caller/deeper", []byte("65"))
	if !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestManyCallersAtOnce has more callers than there are threads wait for their callees. Chains of three may find that as many wait as
// may at once, by how many began before the first had ended; shorter ones do not.
func TestManyCallersAtOnce(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "caller", calling(t)))
	for depth := range 3 {
		t.Run(fmt.Sprint(depth), func(t *testing.T) { manyCallers(t, d, depth) })
	}
}

// manyCallers has many call a function that calls another, as deep as is said, and the last of them echo.
func manyCallers(t *testing.T, d *daemon, depth int) {
	t.Helper()
	var callers sync.WaitGroup
	var right atomic.Int64
	for n := range 500 {
		callers.Go(func() {
			body, want := fmt.Sprintf("echo %d", n), fmt.Sprint(n)
			for range depth {
				body = "relay " + body
			}
			for range depth + 1 {
				want = fmt.Sprintf("%d 200 %s", len(want), want)
			}
			got, err := d.http().call(t.Context(), http.MethodPost, "/caller/relay", []byte(body))
			if depth > 1 && err == nil && strings.Contains(string(got.body), "wait for others already") {
				return // refused at once: that many may have come first, and nobody waits for ever
			}
			right.Add(1)
			if err != nil || got.status != 200 || string(got.body) != want {
				t.Errorf("caller %d: %v, status %d, %q, want %q", n, err, got.status, got.body, want)
			}
		})
	}
	callers.Wait()
	if right.Load() == 0 {
		t.Error("every chain was refused")
	}
}

func TestCallsBetweenApps(t *testing.T) {
	d := sharedDaemon(t)
	module := calling(t)
	d.must(t, "deploy", app(t, "open", module, "functions:", "  echo:", "    callers: [granted, refused]", "  noop:"))
	d.must(t, "deploy", app(t, "granted", module, "grants:", "  calls: [open/echo, open/noop]"))
	d.must(t, "deploy", app(t, "refused", module))
	for _, c := range []struct{ app, body, want string }{
		{"granted", "open/echo hello", "5 200 hello"},
		{"granted", "open/noop", "-3  the manifest of app open does not let app granted call function noop"},
		{"granted", "open/other", "-3  the manifest of app granted does not grant calls of open/other"},
		{"refused", "open/echo hello", "-3  the manifest of app refused does not grant calls of open/echo"},
	} {
		if got := d.http().ok(t, "/"+c.app+"/relay", []byte(c.body)); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s calls %q: %q, want %q", c.app, c.body, got, c.want)
		}
	}
}

// TestCallLeftBehind has an invocation end before what it has started.
func TestCallLeftBehind(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "caller", calling(t)))
	d.http().ok(t, "/caller/leave", []byte("left"))
	eventually(t, "the call that was left behind", func() error {
		if got := d.http().ok(t, "/caller/read", []byte("left")); got != "done" {
			return fmt.Errorf("the key has %q", got)
		}
		return nil
	})
}

func TestDeclaredChains(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "caller", calling(t), "functions:", "  relay:", "  echo:", "    then: [chain_a, chain_c, broken]",
		"  chain_a:", "    then: [chain_b]", "  chain_b:", "  chain_c:", "  whole:", "    entry: echo", "    then: [chain_a, chain_c]", "  broken:"))
	for _, c := range []struct{ function, body, want string }{
		{"whole", "x", "xabc"},
		{"relay", "whole x", "4 200 xabc"},
		{"relay", "echo x", "-10 500 step broken of the chain: the function failed: it broke"},
	} {
		if got := d.http().ok(t, "/caller/"+c.function, []byte(c.body)); got != c.want {
			t.Errorf("%s %q answers %q, want %q", c.function, c.body, got, c.want)
		}
	}
	got := d.http().must(t, http.MethodPost, "/caller/echo", []byte("x"))
	wantProblem(t, got, 500, "caller", "echo", "step broken of the chain: it broke")
}

func TestChainThatDoesNotEnd(t *testing.T) {
	d := sharedDaemon(t)
	got := d.cli(t, "deploy", app(t, "caller", calling(t), "functions:", "  chain_a:", "    then: [chain_b]", "  chain_b:", "    then: [chain_a]"))
	if got.code == 0 || !strings.Contains(got.stderr, "chain_a -> chain_b -> chain_a") {
		t.Errorf("code %d, %s", got.code, got.stderr)
	}
}
