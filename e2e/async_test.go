package e2e_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
)

// later sends a request whose answer is not waited for and returns the path of its call.
func (d *daemon) later(t *testing.T, target, body string) (string, error) {
	t.Helper()
	got, err := d.http().call(t.Context(), http.MethodPost, target, []byte(body), "Prefer", "respond-async")
	if err != nil {
		return "", err
	}
	where := got.header.Get("Location")
	if got.status != 202 || !strings.HasPrefix(where, "/_edged/calls/") || got.header.Get("Preference-Applied") != "respond-async" {
		return "", fmt.Errorf("status %d, location %q, preference applied %q: %s", got.status, where, got.header.Get("Preference-Applied"), got.body)
	}
	return where, nil
}

// outcome waits for the answer of a call.
func (d *daemon) outcome(t *testing.T, where string) reply {
	t.Helper()
	var got reply
	eventually(t, "the answer of "+where, func() error {
		var err error
		got, err = d.http().call(t.Context(), http.MethodGet, where, nil)
		if err == nil && got.status == 202 {
			err = fmt.Errorf("still %s", got.body)
		}
		return err
	})
	return got
}

func TestAsynchronousCalls(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "caller", calling(t)))
	start := func(function, body string) string {
		t.Helper()
		where, err := d.later(t, "/caller/"+function, body)
		if err != nil {
			t.Fatal(err)
		}
		return where
	}
	if got := d.outcome(t, start("echo", "hello")); got.status != 200 || string(got.body) != "hello" {
		t.Errorf("status %d, %q", got.status, got.body)
	}
	if got := d.outcome(t, start("missing", "")); got.status != 404 || string(got.body) != "not here" {
		t.Errorf("status %d, %q", got.status, got.body)
	}
	wantProblem(t, d.outcome(t, start("broken", "")), 500, "caller", "broken", "it broke")
	forever := start("forever", "")
	got := d.http().must(t, http.MethodGet, forever, nil)
	if got.status != 202 || got.header.Get("Retry-After") == "" || !json.Valid(got.body) {
		t.Errorf("one that runs: status %d, %q", got.status, got.body)
	}
	if got := d.http().must(t, http.MethodDelete, forever, nil); got.status != 204 {
		t.Errorf("cancel: status %d", got.status)
	}
	wantProblem(t, d.outcome(t, forever), 410, "caller", "forever", "cancelled")
	wantProblem(t, d.http().must(t, http.MethodGet, "/_edged/calls/0123456789abcdef0123456789abcdef", nil), 404, "", "", "no such call")

	id := strings.TrimPrefix(forever, "/_edged/calls/")
	if list := d.must(t, "calls", "ls"); !strings.Contains(list, id) || !strings.Contains(list, "caller/forever") {
		t.Errorf("edged calls ls does not list %s:\n%s", id, list)
	}
	if shown := d.must(t, "calls", "show", id); !strings.Contains(shown, "failed") || !strings.Contains(shown, "cancelled") {
		t.Errorf("edged calls show: %s", shown)
	}
	d.must(t, "calls", "cancel", id)
	if got := d.http().must(t, http.MethodGet, forever, nil); got.status != 404 {
		t.Errorf("one that was removed: status %d", got.status)
	}
}

// TestAsynchronousCallsSurviveKills kills the daemon again and again while calls are accepted and run: each that was acknowledged
// has its answer in the end, and has done what it does.
func TestAsynchronousCallsSurviveKills(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", app(t, "caller", calling(t)))
	accepted := make(map[string]string) // path by key
	for round := range 4 {
		stop, some := make(chan struct{}), make(chan struct{}, 1)
		go func() {
			defer close(stop)
			defer close(some)
			for range 5 + rand.IntN(40) {
				key := fmt.Sprintf("round-%d-%d", round, len(accepted))
				where, err := d.later(t, "/caller/write", key)
				if err != nil {
					return
				}
				accepted[key] = where
				select {
				case some <- struct{}{}:
				default:
				}
			}
		}()
		if round%2 == 0 {
			<-stop
			d.kill()
		} else {
			<-some // amid the others
			d.kill()
			<-stop
		}
		d = h.start(t)
	}
	for key, where := range accepted {
		if got := d.outcome(t, where); got.status != 200 {
			t.Errorf("%s: status %d, %s", key, got.status, got.body)
		}
		if got := d.http().ok(t, "/caller/read", []byte(key)); got != "done" {
			t.Errorf("key %s has %q", key, got)
		}
	}
	if len(accepted) == 0 {
		t.Error("nothing was accepted")
	}
}
