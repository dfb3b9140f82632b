package load

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// serve starts a server and returns its address.
func serve(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func text(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) }
}

// load runs one stream for a moment.
func load(t *testing.T, address string, s Stream) *Result {
	t.Helper()
	s.Name = "s"
	result, err := Run(t.Context(), Options{Address: address, Duration: 200 * time.Millisecond, Drain: time.Minute, CPU: -1, Streams: []Stream{s}})
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func TestRunCountsAnswers(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/ok", text("right"))
	mux.HandleFunc("/wrong", text("other"))
	mux.HandleFunc("/full", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) })
	mux.HandleFunc("/late", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGatewayTimeout) })
	mux.HandleFunc("/gone", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) { _, _ = io.Copy(w, r.Body) })
	address := serve(t, mux.ServeHTTP)
	large := make([]byte, 300_000)
	for _, c := range []struct {
		name    string
		request []byte
		expect  string
		field   func(*Tally) uint64 // that has to hold all requests
	}{
		{"right", Request("/ok", nil), "right", func(t *Tally) uint64 { return t.OK }},
		{"wrong", Request("/wrong", nil), "right", func(t *Tally) uint64 { return t.Wrong }},
		{"rejected", Request("/full", nil), "", func(t *Tally) uint64 { return t.Rejected }},
		{"timed out", Request("/late", nil), "", func(t *Tally) uint64 { return t.TimedOut }},
		{"not found", Request("/none", nil), "", func(t *Tally) uint64 { return t.Status }},
		{"broken", Request("/gone", nil), "", func(t *Tally) uint64 { return t.Broken }},
		{"a body larger than buffers", Request("/echo", large), string(large), func(t *Tally) uint64 { return t.OK }},
	} {
		for _, rate := range []float64{0, 100} {
			class := Class{Request: c.request}
			if c.expect != "" {
				class.Expect = []byte(c.expect)
			}
			got := load(t, address, Stream{Connections: 2, Rate: rate, Classes: []Class{class}}).Stream("s")
			if got.Total() == 0 || c.field(got) != got.Total() {
				t.Errorf("%s at rate %v: %s", c.name, rate, counts(got))
			}
		}
	}
}

// counts describes a tally in a line.
func counts(t *Tally) string {
	return fmt.Sprintf("ok %d, late %d, far late %d, rejected %d, timed out %d, status %d, wrong %d, broken %d, unanswered %d",
		t.OK, t.Late, t.FarLate, t.Rejected, t.TimedOut, t.Status, t.Wrong, t.Broken, t.Unanswered)
}

// TestOpenStreamCountsFromIntendedTime lets a server stand still: the requests that should have been sent meanwhile have waited as well.
func TestOpenStreamCountsFromIntendedTime(t *testing.T) {
	const still = 100 * time.Millisecond
	var once sync.Once
	address := serve(t, func(w http.ResponseWriter, r *http.Request) {
		once.Do(func() {
			select {
			case <-time.After(still):
			case <-r.Context().Done():
			}
		})
		_, _ = io.WriteString(w, "x")
	})
	got := load(t, address, Stream{Connections: 1, Rate: 1000, Constant: true, Classes: []Class{{Request: Request("/", nil)}}}).Stream("s")
	// The one connection is held up for 100 ms, in which 100 requests came due; all of those waited, on average for half of it.
	if got.Latency.Max() < still {
		t.Errorf("the longest latency is %v", got.Latency.Max())
	}
	var waited uint64
	for i, n := range got.Latency.counts {
		if time.Duration(upper(i)) > still/4 {
			waited += n
		}
	}
	if waited < 70 {
		t.Errorf("%d requests waited for more than %v, of %d", waited, still/4, got.OK)
	}
	if got.OK != got.Total() || got.Total() < 150 || got.Total() > 210 {
		t.Errorf("%s, of about 200", counts(got))
	}
}

func TestDeadlines(t *testing.T) {
	address := serve(t, text("x"))
	classes := []Class{
		{Name: "impossible", Request: Request("/", nil), Deadline: 1},
		{Name: "easy", Request: Request("/", nil), Deadline: time.Hour},
		{Name: "none", Request: Request("/", nil)},
	}
	result := load(t, address, Stream{Connections: 4, Classes: classes})
	for name, want := range map[string]float64{"impossible": 0, "easy": 1, "none": 1} {
		got := result.Tally("s", name)
		if got.OK == 0 || got.MetShare() != want {
			t.Errorf("%s: %s, share %v", name, counts(got), got.MetShare())
		}
	}
	if got := result.Tally("s", "impossible"); got.FarLate != got.Late || got.Late < got.OK {
		t.Errorf("late by more than a tenth: %s", counts(got))
	}
}

// TestClosedStreamCountsOverdue has a server that never answers: its requests have missed their deadlines.
func TestClosedStreamCountsOverdue(t *testing.T) {
	release := make(chan struct{})
	address := serve(t, func(http.ResponseWriter, *http.Request) { <-release })
	defer close(release)
	result, err := Run(t.Context(), Options{
		Address: address, Duration: 50 * time.Millisecond, Drain: time.Millisecond, CPU: -1,
		Streams: []Stream{{Connections: 3, Classes: []Class{{Request: Request("/", nil), Deadline: time.Millisecond}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Stream(""); got.Unanswered != 3 || got.MetShare() != 0 {
		t.Errorf("%s", counts(got))
	}
}

func TestWeightsAndPause(t *testing.T) {
	var full atomic.Uint64
	mux := http.NewServeMux()
	mux.HandleFunc("/", text("x"))
	mux.HandleFunc("/full", func(w http.ResponseWriter, _ *http.Request) {
		full.Add(1)
		w.WriteHeader(http.StatusTooManyRequests)
	})
	address := serve(t, mux.ServeHTTP)
	result := load(t, address, Stream{Connections: 4, Rate: 5000, Classes: []Class{
		{Name: "often", Request: Request("/", nil), Weight: 9}, {Name: "seldom", Request: Request("/", nil)},
	}})
	often, seldom := result.Tally("s", "often").Total(), result.Tally("s", "seldom").Total()
	if seldom == 0 || often < 5*seldom || often > 18*seldom {
		t.Errorf("%d and %d requests at odds 9:1", often, seldom)
	}
	load(t, address, Stream{Connections: 2, Pause: time.Hour, Classes: []Class{{Request: Request("/full", nil)}}})
	if full.Load() != 2 {
		t.Errorf("2 connections that rest after 429 sent %d requests", full.Load())
	}
}

func TestReconnect(t *testing.T) {
	var connections atomic.Uint64
	server := httptest.NewUnstartedServer(text("x"))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	got := load(t, server.Listener.Addr().String(), Stream{Connections: 2, Reconnect: true, Classes: []Class{{Request: Request("/", nil)}}}).Stream("s")
	if got.OK == 0 || got.OK != got.Total() || connections.Load() < got.OK {
		t.Errorf("%s on %d connections", counts(got), connections.Load())
	}
}

func TestRunRefuses(t *testing.T) {
	address := serve(t, text("x"))
	good := Stream{Connections: 1, Classes: []Class{{Request: Request("/", nil)}}}
	for _, c := range []struct {
		name    string
		options Options
	}{
		{"no stream", Options{Address: address, Duration: 1}},
		{"no duration", Options{Address: address, Streams: []Stream{good}}},
		{"a name for an address", Options{Address: "localhost:http", Duration: 1, Streams: []Stream{good}}},
		{"no connection", Options{Address: address, Duration: 1, Streams: []Stream{{Classes: good.Classes}}}},
		{"no class", Options{Address: address, Duration: 1, Streams: []Stream{{Connections: 1}}}},
		{"an empty request", Options{Address: address, Duration: 1, Streams: []Stream{{Connections: 1, Classes: []Class{{}}}}}},
	} {
		c.options.CPU = -1
		if _, err := Run(t.Context(), c.options); !errors.Is(err, ErrOptions) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Run(ctx, Options{Address: address, Duration: time.Hour, CPU: -1, Streams: []Stream{good}}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that ended: %v", err)
	}
}
