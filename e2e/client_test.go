package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// transport is one way to the daemon's functions.
type transport struct {
	name   string
	client *http.Client
	base   string // scheme and host
}

// dial returns both ways: TCP and the Unix socket.
func (d *daemon) dial(t *testing.T) []transport {
	t.Helper()
	return []transport{
		newTransport(t, "http", "tcp", d.ready.HTTP, "http://"+d.ready.HTTP),
		newTransport(t, "uds", "unix", d.ready.UDS, "http://edged"),
	}
}

func newTransport(t *testing.T, name, network, address, base string) transport {
	t.Helper()
	pool := &http.Transport{
		MaxIdleConnsPerHost: 64,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, network, address)
		},
	}
	t.Cleanup(pool.CloseIdleConnections)
	return transport{name, &http.Client{Transport: pool, Timeout: callTimeout}, base}
}

func (d *daemon) http() transport { return d.clients[0] }
func (d *daemon) uds() transport  { return d.clients[1] }

// reply is what came back.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// problem is the body of an error.
type problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	App      string `json:"app"`
	Function string `json:"function"`
}

// call sends a request and reads the whole response; header holds names and values in turn.
func (tr transport) call(ctx context.Context, method, target string, body []byte, header ...string) (reply, error) {
	request, err := http.NewRequestWithContext(ctx, method, tr.base+target, bytes.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Add(header[i], header[i+1])
	}
	response, err := tr.client.Do(request)
	if err != nil {
		return reply{}, err
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return reply{}, fmt.Errorf("read the response: %w", err)
	}
	return reply{response.StatusCode, response.Header, content}, nil
}

// must is call for requests that have to be answered.
func (tr transport) must(t *testing.T, method, target string, body []byte, header ...string) reply {
	t.Helper()
	got, err := tr.call(t.Context(), method, target, body, header...)
	if err != nil {
		t.Fatalf("%s %s over %s: %v", method, target, tr.name, err)
	}
	return got
}

// ok requires status 200 and returns the body.
func (tr transport) ok(t *testing.T, target string, body []byte) string {
	t.Helper()
	got := tr.must(t, http.MethodPost, target, body)
	if got.status != 200 {
		t.Fatalf("POST %s over %s: status %d: %.500s", target, tr.name, got.status, got.body)
	}
	return string(got.body)
}

// problem decodes an error's body; the error says that it is none, or that it contradicts the head.
func (r reply) problem() (problem, error) {
	var p problem
	if got := r.header.Get("Content-Type"); got != "application/problem+json" {
		return p, fmt.Errorf("status %d with content type %q: %.200s", r.status, got, r.body)
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		return p, fmt.Errorf("%w in %q", err, r.body)
	}
	if p.Status != r.status {
		return p, fmt.Errorf("the problem says status %d, the head %d", p.Status, r.status)
	}
	return p, nil
}

// wantProblem requires an error of that status that names the function and has text in its detail.
func wantProblem(t *testing.T, r reply, status int, app, function, text string) {
	t.Helper()
	p, err := r.problem()
	if err != nil {
		t.Fatal(err)
	}
	if p.Status != status || p.App != app || p.Function != function || !strings.Contains(p.Detail, text) {
		t.Errorf("got %+v, want status %d of %s/%s with %q", p, status, app, function, text)
	}
}

// eventually waits until check returns nil and fails the test with its last error when it never does.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.After(waitTimeout)
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within %v: %v", what, waitTimeout, err)
		case <-t.Context().Done():
			t.Fatalf("%s: %v", what, err)
		}
	}
}
