package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestConcurrencyLimit fills an app's limits.concurrency: what comes beyond is answered 429 at once, another app is not
// touched, and when one of the first has been answered there is room again.
func TestConcurrencyLimit(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), "limits: {timeout: 60s, concurrency: 2}"))
	d.must(t, "deploy", app(t, "other", innocent(t, 2)))
	before := metric(t, d, `edged_admission_rejected_total{reason="concurrency"}`)
	requests := []*held{hold(t, d, "a"), hold(t, d, "b")}
	for _, tr := range d.clients {
		got := tr.must(t, http.MethodGet, "/shop/which", nil)
		wantProblem(t, got, 429, "shop", "which", "limits.concurrency is 2")
		if got.header.Get("Retry-After") != "1" {
			t.Errorf("Retry-After is %q", got.header.Get("Retry-After"))
		}
		if got := tr.ok(t, "/other/which", nil); got != "v2" {
			t.Errorf("the other app answers %q", got)
		}
	}
	if got := requests[0].release(t); got.status != 200 {
		t.Errorf("held request: %d %s", got.status, got.body)
	}
	if got := d.http().ok(t, "/shop/which", nil); got != "v1" {
		t.Errorf("with room again it answers %q", got)
	}
	if got := requests[1].release(t); got.status != 200 {
		t.Errorf("held request: %d %s", got.status, got.body)
	}
	if after := metric(t, d, `edged_admission_rejected_total{reason="concurrency"}`); after != before+2 {
		t.Errorf("%v refusals counted before, %v after two", before, after)
	}
}

// metric reads one series.
func metric(t *testing.T, d *daemon, name string) float64 {
	t.Helper()
	text := string(d.http().must(t, http.MethodGet, "/_edged/metrics", nil).body)
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no metric %s in\n%s", name, text)
	return 0
}

// TestQueueFull occupies the core and every place of its queue.
func TestQueueFull(t *testing.T) {
	d := startDaemon(t, "cores: 1\nlimits: {queue: 2}\nscheduler: {preempt: off}\n")
	d.must(t, "deploy", app(t, "shop", computing(t), "limits: {timeout: 4m}"))
	ask := func(target, body string) chan reply {
		answer := make(chan reply, 1)
		go func() {
			got, err := d.http().call(context.Background(), http.MethodPost, target, []byte(body))
			if err != nil {
				got.body = []byte(err.Error())
			}
			answer <- got
		}()
		return answer
	}
	computing := ask("/shop/await", "release")
	eventually(t, "the core is taken", func() error {
		if n := inFlight(t, d); n != 1 {
			return fmt.Errorf("%d in flight", n)
		}
		return nil
	})
	waiting := []chan reply{ask("/shop/quick", ""), ask("/shop/quick", "")}
	eventually(t, "two requests wait", func() error {
		text := d.must(t, "status", "--json")
		if !strings.Contains(strings.ReplaceAll(text, " ", ""), `"queue_length":2`) {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	got := d.uds().must(t, http.MethodGet, "/shop/quick", nil)
	wantProblem(t, got, 429, "shop", "quick", "wait already")
	if got.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := d.http().must(t, http.MethodGet, "/_edged/livez", nil); got.status != 200 {
		t.Errorf("livez answers %d with a full queue", got.status)
	}
	d.must(t, "kv", "set", "shop", "release", "now")
	for _, answer := range append(waiting, computing) {
		if got := <-answer; got.status != 200 {
			t.Errorf("a request that was admitted: %d %s", got.status, got.body)
		}
	}
	d.stop(t)
}

// TestCallersDeadline gives up by X-Edged-Deadline-Ms, long before the app's own timeout.
func TestCallersDeadline(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "endless", hostile(t), "limits: {timeout: 4m}"))
	for _, tr := range d.clients {
		for _, name := range []string{"spin", "sleep_forever", "lock_forever"} {
			got := tr.must(t, http.MethodPost, "/endless/"+name, nil, "X-Edged-Deadline-Ms", "50")
			wantProblem(t, got, 504, "endless", name, "deadline")
		}
		if got := tr.ok(t, "/endless/exit_0", nil); got != "exit 0" {
			t.Errorf("afterwards it answers %q", got)
		}
	}
}

// TestBodyLimit sends bodies at the limit and above it, with a length and in chunks.
func TestBodyLimit(t *testing.T) {
	const limit = 1 << 20
	d := startDaemon(t, "limits: {body: 1MiB}\n")
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	body := bytes.Repeat([]byte("edged"), limit/5+1)
	for _, tr := range d.clients {
		for _, chunked := range []bool{false, true} {
			for _, c := range []struct{ size, status int }{{limit, 200}, {limit + 1, 413}} {
				var reader io.Reader = bytes.NewReader(body[:c.size])
				if chunked {
					reader = struct{ io.Reader }{reader} // of a length that the client does not know
				}
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, tr.base+"/shop/echo", reader)
				if err != nil {
					t.Fatal(err)
				}
				request.Header.Set("Expect", "100-continue")
				response, err := tr.client.Do(request)
				if err != nil {
					t.Fatalf("%s, chunked %v, %d bytes: %v", tr.name, chunked, c.size, err)
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if err != nil || response.StatusCode != c.status || c.status == 200 && !bytes.Equal(got, body[:c.size]) {
					t.Errorf("%s, chunked %v, %d bytes: %v, status %d and %d bytes, want %d", tr.name, chunked, c.size, err, response.StatusCode, len(got), c.status)
				}
			}
		}
	}
	d.stop(t)
}

// pattern is what the function big writes.
func pattern(n int) []byte {
	part := make([]byte, n)
	for i := range part {
		part[i] = byte(i*31 ^ i>>8 ^ i>>16)
	}
	return part
}

// TestLargeResponses compares 20 MB byte for byte, to fast clients and to one that reads slowly while others are served.
func TestLargeResponses(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), "limits: {timeout: 4m}"))
	const size = 20_000_000
	want := pattern(size)
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			got, err := d.clients[n%2].call(t.Context(), http.MethodPost, "/shop/big", []byte(strconv.Itoa(size)))
			if err != nil || got.status != 200 || !bytes.Equal(got.body, want) {
				t.Errorf("%v: status %d, %d bytes", err, got.status, len(got.body))
			}
		})
	}
	for _, network := range []string{"tcp", "unix"} {
		clients.Go(func() {
			if err := slowly(t, d, network, want); err != nil {
				t.Error(err)
			}
		})
	}
	clients.Wait()
}

// slowly reads the response through a small window, and makes a call of its own between reads.
func slowly(t *testing.T, d *daemon, network string, want []byte) error {
	t.Helper()
	address := d.ready.HTTP
	if network == "unix" {
		address = d.ready.UDS
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(t.Context(), network, address)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	if tcp, ok := conn.(*net.TCPConn); ok {
		if err := tcp.SetReadBuffer(64 << 10); err != nil {
			return err
		}
	}
	if err := conn.SetDeadline(time.Now().Add(callTimeout)); err != nil {
		return err
	}
	body := strconv.Itoa(len(want))
	if _, err := fmt.Fprintf(conn, "POST /shop/big HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s", len(body), body); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
	if err != nil {
		return err
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	part := make([]byte, 100_000)
	for at, n := 0, 0; at < len(want); n++ {
		got, err := io.ReadFull(response.Body, part[:min(len(part), len(want)-at)])
		if err != nil {
			return fmt.Errorf("%s: after %d bytes: %w", network, at, err)
		}
		if !bytes.Equal(part[:got], want[at:at+got]) {
			return fmt.Errorf("%s: wrong bytes among the %d from %d on", network, got, at)
		}
		at += got
		if n%10 != 0 {
			continue
		}
		if got, err := d.http().call(t.Context(), http.MethodGet, "/shop/which", nil); err != nil || string(got.body) != "v1" {
			return errors.Join(fmt.Errorf("beside a slow client: %d %q", got.status, got.body), err)
		}
	}
	rest, err := io.ReadAll(response.Body)
	if len(rest) > 0 {
		return fmt.Errorf("%s: %d bytes too many", network, len(rest))
	}
	return err
}

// TestClientGoesAway leaves in the middle of responses: the guests end, and nothing is held for them.
func TestClientGoesAway(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), "limits: {timeout: 4m}"))
	d.http().ok(t, "/shop/which", nil)
	for range 20 {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, d.http().base+"/shop/big", strings.NewReader("30000000"))
		if err != nil {
			t.Fatal(err)
		}
		response, err := d.http().client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(response.Body, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close() // the rest is on its way
	}
	eventually(t, "the guests end", func() error {
		text := d.must(t, "status", "--json")
		if !strings.Contains(strings.ReplaceAll(text, " ", ""), `"running":0`) {
			return fmt.Errorf("%s", text)
		}
		return nil
	})
	if got := d.http().ok(t, "/shop/which", nil); got != "v1" {
		t.Errorf("it answers %q", got)
	}
}

// TestLargeModule deploys a module that is compiled twice: it answers from the quick build, and the better one takes over
// while requests go on. Further apps of the same module are deployed until that is so; those that came just before it take
// it over too.
func TestLargeModule(t *testing.T) {
	d := sharedDaemon(t)
	module := large(t, 90)
	text := d.must(t, "deploy", app(t, "heavy", module), "--json")
	if !strings.Contains(strings.ReplaceAll(text, " ", ""), `"optimising":true`) {
		t.Fatalf("the deploy does not say that a better build follows: %s", text)
	}
	want := d.http().ok(t, "/heavy/mix", []byte("12345"))
	stop := make(chan struct{})
	var clients sync.WaitGroup
	clients.Go(func() { // only one, for the compiler runs when nothing else wants to
		for {
			select {
			case <-stop:
				return
			default:
			}
			got, err := d.http().call(t.Context(), http.MethodPost, "/heavy/mix", []byte("12345"))
			if err != nil || got.status != 200 || string(got.body) != want {
				t.Errorf("%v: status %d %.200s, want %s", err, got.status, got.body, want)
				return
			}
		}
	})
	quick := []string{"heavy"} // apps that began on the quick build
	for {
		name := "twin" + strconv.Itoa(len(quick))
		text := d.must(t, "deploy", app(t, name, module), "--json")
		if !strings.Contains(strings.ReplaceAll(text, " ", ""), `"optimising":true`) {
			break
		}
		quick = append(quick, name)
	}
	t.Logf("%d apps began on the quick build", len(quick))
	eventually(t, "all use the better build", func() error {
		log := d.home.log()
		for _, name := range quick {
			if !strings.Contains(log, `msg="optimised build in use" app=`+name+" ") {
				return fmt.Errorf("%s does not", name)
			}
		}
		return nil
	})
	if text := d.must(t, "inspect", "heavy", "--json"); strings.Contains(text, "optimising") {
		t.Errorf("inspect still says that it is being optimised: %s", text)
	}
	if got := d.http().ok(t, "/heavy/mix", []byte("12345")); got != want {
		t.Errorf("the better build answers %q, the quick one %q", got, want)
	}
	close(stop)
	clients.Wait()
}

// TestNoStateBetweenCalls looks for traces of one call in the next, whatever way the one before has ended.
func TestNoStateBetweenCalls(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	want := d.http().ok(t, "/shop/stain", nil)
	if !strings.HasPrefix(want, "1 0 ") {
		t.Fatalf("the first call finds %q", want)
	}
	var clients sync.WaitGroup
	for n := range 4 {
		clients.Go(func() {
			for i := range 100 {
				how := []string{"", "grow", "trap", "exit", "fail"}[(n+i)%5]
				got, err := d.clients[n%2].call(t.Context(), http.MethodGet, "/shop/stain?"+how, nil)
				fails := how == "trap" || how == "fail"
				if err != nil || fails != (got.status == 500) || !fails && string(got.body) != want {
					t.Errorf("a call finds %q (%d, %v), the first found %q", got.body, got.status, err, want)
				}
			}
		})
	}
	clients.Wait()
	seen := make(map[string]bool)
	for range 50 {
		bytes := d.http().ok(t, "/shop/random_bytes", nil)
		if seen[bytes] {
			t.Fatalf("the random bytes %x came twice", bytes)
		}
		seen[bytes] = true
	}
}
