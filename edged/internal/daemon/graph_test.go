package daemon

import (
	"errors"
	"runtime"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/edged/internal/invoke"
)

func TestGraphParam(t *testing.T) {
	for query, want := range map[string]struct {
		rest  string
		asked bool
	}{
		"":                    {"", false},
		"wait=graph":          {"", true},
		"a=1&wait=graph&b=2":  {"a=1&b=2", true},
		"a=wait=graph":        {"a=wait=graph", false},
		"wait=graphs":         {"wait=graphs", false},
		"await=graph&x":       {"await=graph&x", false},
		"wait=graph&&a":       {"&a", true},
		"wait=graph&wait=foo": {"wait=foo", true},
	} {
		if rest, asked := withoutGraphParam(query); rest != want.rest || asked != want.asked {
			t.Errorf("%q: %q, %v; want %q, %v", query, rest, asked, want.rest, want.asked)
		}
	}
}

// TestGraphWaitersAreBounded has more requests wait for their graphs than may, and one more when some have ended.
func TestGraphWaitersAreBounded(t *testing.T) {
	d := &Daemon{config: &config.Loaded{Config: config.Config{Timeouts: config.Timeouts{AppMax: time.Hour}}}, halt: make(chan struct{})}
	results := make(chan invoke.Result, maxGraphWaiters+2)
	ask := func() {
		inv := &invoke.Invocation{
			Stamps: invoke.Stamps{Arrived: time.Now()},
			Done:   func(_ *invoke.Invocation, result invoke.Result) { results <- result },
		}
		d.holdBack(inv, "")
		inv.Cause.Graph.Add() // something that has not ended
		inv.Done(inv, invoke.Result{})
	}
	for range maxGraphWaiters {
		ask()
	}
	ask()
	if got := <-results; !errors.Is(got.Err, invoke.ErrUnavailable) { // the others wait
		t.Errorf("one too many: %v", got.Err)
	}
	close(d.halt)
	for range maxGraphWaiters {
		if got := <-results; !errors.Is(got.Err, invoke.ErrDraining) {
			t.Fatalf("one that waited: %v", got.Err)
		}
	}
	for d.waiters.Load() > 0 {
		runtime.Gosched()
	}
	ask()
	if got := <-results; !errors.Is(got.Err, invoke.ErrDraining) {
		t.Errorf("after the others: %v", got.Err)
	}
}
