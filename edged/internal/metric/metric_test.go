package metric

import (
	"bufio"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// series returns the written metrics by name and labels.
func series(t *testing.T, r *Registry) map[string]float64 {
	t.Helper()
	var text strings.Builder
	if err := r.WritePrometheus(&text); err != nil {
		t.Fatal(err)
	}
	out := make(map[string]float64)
	lines := bufio.NewScanner(strings.NewReader(text.String()))
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[space+1:], 64)
		if err != nil {
			t.Fatalf("line %q: %v", line, err)
		}
		if _, twice := out[line[:space]]; twice {
			t.Fatalf("series %s is written twice", line[:space])
		}
		out[line[:space]] = value
	}
	return out
}

func TestNames(t *testing.T) {
	r := New()
	r.Function("shop", "cart").Ended(invoke.SourceHTTP, 200)
	r.Offload("stay", "home")
	r.Probe(Probes{
		LiveInstances: func() float64 { return 7 }, QueueLength: func() float64 { return 3 },
		KV: func() kvstore.Stats {
			return kvstore.Stats{Commits: 3, CommitTime: 1500 * time.Millisecond, FileBytes: 4096}
		},
	})
	r.Reject(RejectQueueFull)
	got := series(t, r)
	want := map[string]float64{
		`edged_invocations_total{app="shop",fn="cart",trigger="http",code="200"}`: 1,
		`edged_stage_seconds_count{stage="run"}`:                                  0,
		`edged_stage_seconds_bucket{stage="queue",le="+Inf"}`:                     0,
		`edged_cold_starts_total`:                                                 0,
		`edged_preemptions_total`:                                                 0,
		`edged_steals_total`:                                                      0,
		`edged_deadline_misses_total`:                                             0,
		`edged_admission_rejected_total{reason="queue_full"}`:                     1,
		`edged_admission_rejected_total{reason="draining"}`:                       0,
		`edged_offload_decisions_total{decision="stay",reason="home"}`:            1,
		`edged_trigger_lag_seconds_count`:                                         0,
		`edged_restore_seconds_bucket{le="1e-06"}`:                                0,
		`edged_kv_commits_total`:                                                  3,
		`edged_kv_commit_seconds_total`:                                           1.5,
		`edged_kv_file_bytes`:                                                     4096,
		`edged_live_instances`:                                                    7,
		`edged_queue_length`:                                                      3,
		`edged_connections`:                                                       0,
	}
	for name, value := range want {
		if have, ok := got[name]; !ok || have != value {
			t.Errorf("%s = %v (present: %t), want %v", name, have, ok, value)
		}
	}
	if _, ok := got["process_resident_memory_bytes"]; !ok {
		t.Error("the process metrics are missing")
	}
}

func TestObserveStampsSkipsStagesNotReached(t *testing.T) {
	r := New()
	start := time.Now()
	r.ObserveStamps(&invoke.Stamps{Arrived: start, Queued: start.Add(2 * time.Millisecond)})
	got := series(t, r)
	if got[`edged_stage_seconds_count{stage="admit"}`] != 1 || got[`edged_stage_seconds_sum{stage="admit"}`] != 0.002 {
		t.Errorf("admit: count %v sum %v", got[`edged_stage_seconds_count{stage="admit"}`], got[`edged_stage_seconds_sum{stage="admit"}`])
	}
	for _, stage := range []string{"queue", "instantiate", "run", "send", "total"} {
		if n := got[fmt.Sprintf("edged_stage_seconds_count{stage=%q}", stage)]; n != 0 {
			t.Errorf("stage %s was observed %v times, though its end was not reached", stage, n)
		}
	}
}

func TestHistogramAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	h := newHistogram("h_seconds", "")
	var values []float64
	for range 5000 {
		v := math.Pow(10, random.Float64()*10-7)
		if random.IntN(5) == 0 {
			v = bounds[random.IntN(len(bounds))] // exactly on a bound belongs to it
		}
		values = append(values, v)
		h.Observe(v)
	}
	h.Observe(math.NaN())
	var text strings.Builder
	h.write(&text)
	for _, bound := range bounds {
		n := len(slices.DeleteFunc(slices.Clone(values), func(v float64) bool { return v > bound }))
		line := fmt.Sprintf("h_seconds_bucket{le=%q} %d\n", strconv.FormatFloat(bound, 'g', -1, 64), n)
		if !strings.Contains(text.String(), line) {
			t.Errorf("no line %q in\n%s", line, text.String())
		}
	}
	if !strings.Contains(text.String(), "h_seconds_count 5000\n") {
		t.Errorf("count is not 5000:\n%s", text.String())
	}
}

func TestHistogramOddValues(t *testing.T) {
	cases := []struct {
		name  string
		value float64
		slot  int
	}{
		{"negative is 0", -5, 0},
		{"infinite", math.Inf(1), len(bounds)},
		{"beyond the last bound", 61, len(bounds)},
		{"zero", 0, 0},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			h := newHistogram("h", "")
			h.Observe(tc.value)
			if h.buckets[tc.slot].Load() != 1 {
				t.Errorf("bucket %d is empty", tc.slot)
			}
		})
	}
}

func TestStatusLabels(t *testing.T) {
	cases := map[int]string{200: "200", 0: "200", 299: "2xx", 504: "504", 599: "5xx", 99: "other", 600: "other", -1: "other", 150: "1xx"}
	for status, label := range cases {
		r := New()
		r.Function("a", "f").Ended(invoke.SourceUDS, status)
		name := fmt.Sprintf(`edged_invocations_total{app="a",fn="f",trigger="uds",code=%q}`, label)
		if series(t, r)[name] != 1 {
			t.Errorf("status %d was not counted as %s", status, label)
		}
	}
}

func TestSeriesAreBounded(t *testing.T) {
	r := New()
	f := r.Function("a", "f")
	for status := range 2000 {
		f.Ended(invoke.SourceHTTP, status)
		f.Ended("made-up", status)
		r.Offload("d", strconv.Itoa(status))
	}
	invocations, offloads := 0, 0
	for name := range series(t, r) {
		switch {
		case strings.HasPrefix(name, "edged_invocations_total"):
			invocations++
		case strings.HasPrefix(name, "edged_offload"):
			offloads++
		}
	}
	if invocations != slotCount {
		t.Errorf("%d series of invocations, want %d", invocations, slotCount)
	}
	if offloads != maxOffloadSeries+1 {
		t.Errorf("%d series of offload decisions, want %d", offloads, maxOffloadSeries+1)
	}
}

func TestRemoveTakesSeriesAway(t *testing.T) {
	r := New()
	held := r.Function("gone", "f")
	held.Ended(invoke.SourceHTTP, 200)
	r.Function("stays", "f").Ended(invoke.SourceHTTP, 200)
	r.Remove("gone")
	held.Ended(invoke.SourceHTTP, 200)
	held.Ended(invoke.SourceCLI, 404) // one that was never counted before
	for name := range series(t, r) {
		if strings.Contains(name, `app="gone"`) {
			t.Errorf("series %s of a removed app is still written", name)
		}
	}
	again := r.Function("gone", "f")
	again.Ended(invoke.SourceHTTP, 200)
	got := series(t, r)
	if n := got[`edged_invocations_total{app="gone",fn="f",trigger="http",code="200"}`]; n != 1 {
		t.Errorf("an app deployed again counts %v, want 1", n)
	}
	if n := got[`edged_invocations_total{app="stays",fn="f",trigger="http",code="200"}`]; n != 1 {
		t.Errorf("the other app counts %v, want 1", n)
	}
}

func TestHammerRegistry(t *testing.T) {
	r := New()
	const writers, rounds = 8, 2000
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			f := r.Function("kept", "f")
			for i := range rounds {
				f.Ended(invoke.SourceHTTP, 200)
				r.Observe(StageRun, float64(i)*1e-6)
				name := invoke.AppName(fmt.Sprintf("app%d", i%5))
				r.Function(name, "g").Ended(invoke.SourceKV, 500+w)
				if i%97 == 0 {
					r.Remove(name)
				}
			}
		})
	}
	for range 20 {
		series(t, r)
	}
	group.Wait()
	got := series(t, r)
	if n := got[`edged_invocations_total{app="kept",fn="f",trigger="http",code="200"}`]; n != writers*rounds {
		t.Errorf("counted %v, want %d", n, writers*rounds)
	}
	if n := got[`edged_stage_seconds_count{stage="run"}`]; n != writers*rounds {
		t.Errorf("observed %v, want %d", n, writers*rounds)
	}
}

func TestHotPathDoesNotAllocate(t *testing.T) {
	r := New()
	f := r.Function("a", "f")
	stamps := &invoke.Stamps{Arrived: time.Now(), Queued: time.Now(), Started: time.Now(), Ended: time.Now(), Sent: time.Now()}
	f.Ended(invoke.SourceHTTP, 200)
	if n := testing.AllocsPerRun(100, func() {
		f.Ended(invoke.SourceHTTP, 200)
		r.ObserveStamps(stamps)
		r.Reject(RejectCapacity)
	}); n != 0 {
		t.Errorf("%v allocations a request, want 0", n)
	}
}

var errFull = errors.New("full")

type fullWriter struct{ calls int }

func (w *fullWriter) Write([]byte) (int, error) { w.calls++; return 0, errFull }

func TestWriteReportsTheWriterError(t *testing.T) {
	w := &fullWriter{}
	if err := New().WritePrometheus(w); !errors.Is(err, errFull) {
		t.Errorf("error %v, want %v", err, errFull)
	}
	if w.calls != 1 {
		t.Errorf("%d writes after a failed one", w.calls-1)
	}
}

func BenchmarkEnded(b *testing.B) {
	f := New().Function("a", "f")
	for b.Loop() {
		f.Ended(invoke.SourceHTTP, 200)
	}
}
