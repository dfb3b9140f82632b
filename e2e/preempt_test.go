package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"path/filepath"
	"sync"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// computing builds the guest that computes.
func computing(t *testing.T) string {
	t.Helper()
	return testutil.BuildCFile(t, filepath.Join("testdata", "compute.c"), append(testutil.Reactor(),
		"-I", filepath.Join("..", "sdk", "c"))...)
}

// mix is what the guest's function digest computes.
func mix(seed, times uint32) uint64 {
	const size = 1 << 14
	var table [size]uint32
	for i := range table {
		table[i] = seed*2654435761 + uint32(i)
	}
	digest, chaos := uint64(seed), 1.0/(2.0+float64(seed%7))
	for round := range uint64(times) {
		for i := range table {
			j := (table[i] ^ uint32(digest)) & (size - 1)
			table[i] = table[i]*31 + table[j]
			digest = (digest ^ uint64(table[i])) * 0x100000001b3
		}
		chaos = float64(3.99*chaos) * float64(1.0-chaos) // the conversions keep the compiler from fusing them
		digest ^= uint64(chaos*1e15) + round
	}
	return digest
}

// inFlight returns how many invocations have been admitted and not answered.
func inFlight(t *testing.T, d *daemon) int {
	t.Helper()
	var status struct {
		Running int `json:"running"`
		Queued  int `json:"queue_length"`
	}
	if err := json.Unmarshal([]byte(d.must(t, "status", "--json")), &status); err != nil {
		t.Fatal(err)
	}
	return status.Running + status.Queued
}

// background starts calls that are given up when the test ends, after which the daemon is ended.
func background(t *testing.T, d *daemon, calls int, target string, body string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for n := range calls {
		callers.Go(func() { _, _ = d.clients[n%2].call(ctx, http.MethodPost, target, []byte(body)) }) // ends with the daemon
	}
	t.Cleanup(func() {
		d.kill()
		cancel()
		callers.Wait()
	})
	eventually(t, "the calls in the background are in flight", func() error {
		if n := inFlight(t, d); n < calls {
			return fmt.Errorf("%d of %d", n, calls)
		}
		return nil
	})
}

// TestShortBesideLong: guests that never end hold the only core, and every short call is answered all the same.
func TestShortBesideLong(t *testing.T) {
	d := startDaemon(t, "cores: 1\n")
	module := computing(t)
	d.must(t, "deploy", app(t, "long", module, "limits: {timeout: 4m}"))
	d.must(t, "deploy", app(t, "short", module))
	const spinning = 4
	background(t, d, spinning, "/long/forever", "")
	for i := range 200 {
		if got := d.clients[i%2].ok(t, "/short/quick", nil); got != "quick" {
			t.Fatalf("answer %d is %q", i, got)
		}
	}
	if got := d.http().ok(t, "/long/quick", nil); got != "quick" {
		t.Errorf("a short function of the same app answers %q", got)
	}
	if n := inFlight(t, d); n != spinning {
		t.Errorf("%d of %d long calls are left", n, spinning)
	}
	if metric(t, d, `edged_preemptions_total`) < 1 {
		t.Error("nothing was preempted: the test shows nothing")
	}
}

// TestLongOnesShareACore: what computes for long makes progress beside others that never end.
func TestLongOnesShareACore(t *testing.T) {
	d := startDaemon(t, "cores: 1\n")
	d.must(t, "deploy", app(t, "long", computing(t), "limits: {timeout: 4m}"))
	background(t, d, 3, "/long/forever", "")
	const times = 3000
	for seed := range uint32(2) {
		want := fmt.Sprintf("%016x", mix(seed, times))
		if got := d.http().ok(t, "/long/digest", fmt.Appendf(nil, "%d %d", seed, times)); got != want {
			t.Errorf("the digest of %d is %s, want %s", seed, got, want)
		}
	}
	if n := inFlight(t, d); n != 3 {
		t.Errorf("%d endless calls are left, want 3", n)
	}
}

// TestPreemptedKeepItsState: many computations take turns on the cores, and each comes to its own result.
func TestPreemptedKeepItsState(t *testing.T) {
	d := startDaemon(t, "scheduler: {slice: 500us}\n")
	d.must(t, "deploy", app(t, "long", computing(t), "limits: {timeout: 4m}"))
	before := metric(t, d, `edged_preemptions_total`)
	var callers sync.WaitGroup
	for seed := range uint32(24) {
		callers.Go(func() {
			times := 200 + 40*seed
			got, err := d.clients[seed%2].call(t.Context(), http.MethodPost, "/long/digest", fmt.Appendf(nil, "%d %d", seed, times))
			if want := fmt.Sprintf("%016x", mix(seed, times)); err != nil || string(got.body) != want {
				t.Errorf("the digest of %d is %d %s (%v), want %s", seed, got.status, got.body, err, want)
			}
		})
	}
	callers.Wait()
	if now := metric(t, d, `edged_preemptions_total`); now == before {
		t.Error("nothing was preempted: the test shows nothing")
	}
}

// TestParkedIsKilled: a guest that is parked when its timeout comes is ended as one that runs.
func TestParkedIsKilled(t *testing.T) {
	d := startDaemon(t, "cores: 1\n")
	module := computing(t)
	d.must(t, "deploy", app(t, "long", module, "limits: {timeout: 4m}"))
	d.must(t, "deploy", app(t, "doomed", module, "limits: {timeout: 300ms}"))
	background(t, d, 2, "/long/forever", "")
	var callers sync.WaitGroup
	for n := range 12 {
		callers.Go(func() {
			got, err := d.clients[n%2].call(t.Context(), http.MethodPost, "/doomed/forever", nil)
			if err != nil {
				t.Error(err)
				return
			}
			wantProblem(t, got, 504, "doomed", "forever", "killed after 300ms")
		})
	}
	callers.Wait()
	if got := d.http().ok(t, "/doomed/quick", nil); got != "quick" {
		t.Errorf("afterwards the app answers %q", got)
	}
}

// TestSleepersLeaveTheCore: calls that wait in a host function hold no core.
func TestSleepersLeaveTheCore(t *testing.T) {
	d := startDaemon(t, "cores: 1\nscheduler: {preempt: off}\n")
	d.must(t, "deploy", app(t, "long", computing(t), "limits: {timeout: 4m}"))
	background(t, d, 6, "/long/doze", fmt.Sprint(math.MaxInt32/1000))
	for range 20 {
		if got := d.http().ok(t, "/long/quick", nil); got != "quick" {
			t.Fatalf("it answers %q", got)
		}
	}
	if n := inFlight(t, d); n != 6 {
		t.Errorf("%d sleepers are left, want 6", n)
	}
}

// TestPreemptOff: without preemption a short call waits for the long one before it, which shows that the setting is obeyed
// and what preemption is for.
func TestPreemptOff(t *testing.T) {
	d := startDaemon(t, "cores: 1\nscheduler: {preempt: off, policy: fifo}\n")
	module := computing(t)
	d.must(t, "deploy", app(t, "long", module, "limits: {timeout: 1500ms}"))
	d.must(t, "deploy", app(t, "short", module, "limits: {timeout: 1m}"))
	if got := d.http().ok(t, "/short/quick", nil); got != "quick" { // so that the module is loaded
		t.Fatal(got)
	}
	ended := make(chan struct{})
	go func() {
		got, err := d.uds().call(context.Background(), http.MethodPost, "/long/forever", nil)
		if err != nil || got.status != 504 {
			t.Errorf("the long call: %d, %v", got.status, err)
		}
		close(ended)
	}()
	eventually(t, "the long call runs", func() error {
		if n := inFlight(t, d); n != 1 {
			return fmt.Errorf("%d in flight", n)
		}
		return nil
	})
	if got := d.http().ok(t, "/short/quick", nil); got != "quick" {
		t.Errorf("the short call: %q", got)
	}
	if n := inFlight(t, d); n != 0 {
		t.Error("the short call was answered while the long one ran")
	}
	<-ended
	if n := metric(t, d, `edged_preemptions_total`); n != 0 {
		t.Errorf("%v preemptions", n)
	}
}
