package cli

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/admin"
)

// topBounds are buckets that are easy to reckon with.
var topBounds = []time.Duration{time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond, math.MaxInt64}

// topPair returns two snapshots two seconds apart.
func topPair() (before, now admin.Top) {
	started := time.Date(2026, 1, 2, 3, 0, 0, 0, time.UTC)
	before = admin.Top{
		Node: "edge-7", Version: "v1.2.3", PID: 4242, Started: started, Time: started.Add(time.Minute), Uptime: time.Minute,
		DeadlineMisses: 10, Rejected: map[string]uint64{"queue_full": 100}, LatencyBounds: topBounds,
		Cores: []admin.CoreLoad{{Core: 0, CPU: 0, Busy: 30 * time.Second, Preemptions: 50, Resumes: 40, Steals: 3}, {Core: 1, CPU: 1}},
		Functions: []admin.FunctionLoad{
			{App: "hello", Function: "hi", Answered: 1000, Core: time.Second, LatencyFirst: 0, Latency: []uint64{900, 100}},
			{App: "gone", Function: "f", Answered: 5},
			{App: "again", Function: "f", Answered: 500, ColdStarts: 9, Latency: []uint64{500}},
		},
	}
	now = admin.Top{
		Node: "edge-7", Version: "v1.2.3", PID: 4242, Started: started, Time: started.Add(62 * time.Second), Uptime: 62 * time.Second,
		Queued: 3, LiveInstances: 18, Connections: 64, MemoryBytes: 71 << 20, DeadlineMisses: 11,
		Rejected: map[string]uint64{"queue_full": 104, "draining": 2}, LatencyBounds: topBounds,
		Cores: []admin.CoreLoad{
			{
				Core: 0, CPU: 0, Busy: 31220 * time.Millisecond, Preemptions: 291, Resumes: 281, Steals: 9, Queued: 2, Parked: 1, Threads: 5,
				Running: &admin.Running{App: "resize", Function: "thumb", For: 1234 * time.Millisecond, Long: true},
			},
			{
				Core: 1, CPU: 1, Busy: 1900 * time.Millisecond, Threads: 3, Blocked: 1,
				Running: &admin.Running{App: "hello", Function: "hi", For: 37 * time.Microsecond},
			},
		},
		Functions: []admin.FunctionLoad{
			{App: "again", Function: "f", Answered: 4, ColdStarts: 1, Latency: []uint64{4}},
			{
				App: "hello", Function: "hi", Answered: 83400, Refused: 10, Core: 2500 * time.Millisecond, InFlight: 4, ColdStarts: 2,
				LatencyFirst: 0, Latency: []uint64{41000, 41300, 90, 1},
			},
			{App: "resize", Function: "thumb", Answered: 2, Errors: 1, Core: 1620 * time.Millisecond, InFlight: 2, LatencyFirst: 3, Latency: []uint64{2}},
			{App: "shop", Function: "a-function-with-quite-a-long-name", InFlight: 0},
		},
	}
	return before, now
}

func TestTopSampleRates(t *testing.T) {
	before, now := topPair()
	s := newTopSample(&before, &now)
	if s.Interval != 2*time.Second || s.Late != 0.5 || s.Rejected["queue_full"] != 2 || s.Rejected["draining"] != 1 {
		t.Errorf("interval %v, late %v, rejected %v", s.Interval, s.Late, s.Rejected)
	}
	if c := s.Cores[0]; math.Abs(c.Busy-0.61) > 1e-9 || c.Preemptions != 120.5 || c.Resumes != 120.5 || c.Steals != 3 {
		t.Errorf("core 0: %+v", c)
	}
	want := map[string]activity{
		"again/f":      {Rate: 2, P50: 500 * time.Microsecond, P99: 990 * time.Microsecond},
		"hello/hi":     {Rate: 41200, Refused: 5, P50: 1014 * time.Microsecond, P99: 1982 * time.Microsecond, InFlight: 4, CPU: 0.75},
		"resize/thumb": {Rate: 1, Errors: 0.5, P50: 4 * time.Millisecond, P99: 4 * time.Millisecond, InFlight: 2, CPU: 0.81},
	}
	for _, f := range s.Functions {
		got := f.activity
		got.P50, got.P99 = got.P50.Truncate(time.Microsecond), got.P99.Truncate(time.Microsecond)
		if got != want[f.name()] {
			t.Errorf("%s: %+v, want %+v", f.name(), got, want[f.name()])
		}
	}
	if s.Rate != 41203 || s.InFlight != 6 || math.Abs(s.CPU-1.56) > 1e-9 || s.Errors != 0.5 || s.Refused != 5 {
		t.Errorf("together: %+v", s.activity)
	}
}

func TestTopSampleWithoutABefore(t *testing.T) {
	before, now := topPair()
	cases := map[string]func() *admin.Top{
		"none":                   func() *admin.Top { return nil },
		"another start":          func() *admin.Top { b := before; b.Started = b.Started.Add(-1); return &b },
		"another process":        func() *admin.Top { b := before; b.PID++; return &b },
		"no time in between":     func() *admin.Top { b := before; b.Uptime = now.Uptime; return &b },
		"time has gone backward": func() *admin.Top { b := before; b.Uptime = now.Uptime + 1; return &b },
	}
	for name, make := range cases {
		t.Run(name, func(t *testing.T) {
			s := newTopSample(make(), &now)
			if s.Interval != 0 || s.Rate != 0 || s.P99 != 0 || s.Cores[0].Busy != 0 || s.InFlight != 6 || s.Queued != 3 {
				t.Errorf("%+v", s)
			}
			if _, err := json.Marshal(s); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTopSampleOfNonsense(t *testing.T) {
	before, now := topPair()
	now.LatencyBounds = topBounds[:1]
	now.Functions[1].LatencyFirst = -3
	before.Functions[0].LatencyFirst = 7
	now.Functions[2].Core = -time.Hour
	s := newTopSample(&before, &now)
	for _, f := range s.Functions {
		if f.CPU < 0 || f.P99 < 0 {
			t.Errorf("%s: %+v", f.name(), f)
		}
	}
	now.LatencyBounds = nil
	if s := newTopSample(&before, &now); s.P50 != 0 {
		t.Errorf("p50 %v without buckets", s.P50)
	}
}

// TestQuantileAgainstModel compares with the quantile of the values themselves, which must be in the same bucket.
func TestQuantileAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	bounds := []time.Duration{1024}
	for bounds[len(bounds)-1] < time.Second {
		bounds = append(bounds, bounds[len(bounds)-1]*9/8)
	}
	bounds = append(bounds, math.MaxInt64)
	d := &comparison{interval: time.Second, bounds: bounds}
	for range 200 {
		counts := make([]uint64, len(bounds))
		values := make([]time.Duration, 1+random.IntN(300))
		for i := range values {
			values[i] = time.Duration(math.Pow(10, 2+random.Float64()*6.5))
			counts[bucketOf(bounds, values[i])]++
		}
		slices.Sort(values)
		for _, q := range []float64{0.01, 0.5, 0.9, 0.99} {
			exact := values[max(0, int(math.Ceil(q*float64(len(values))))-1)]
			got := d.quantile(counts, q)
			if want, have := bucketOf(bounds, exact), bucketOf(bounds, got); have != want && bounds[want] != got {
				t.Fatalf("%v of %d values: %v in bucket %d, want %v in bucket %d", q, len(values), got, have, exact, want)
			}
		}
	}
}

func bucketOf(bounds []time.Duration, d time.Duration) int {
	return slices.IndexFunc(bounds, func(b time.Duration) bool { return d < b })
}

func TestTopOrders(t *testing.T) {
	before, now := topPair()
	s := newTopSample(&before, &now)
	for order, want := range map[topOrder]string{
		byName: "again/f hello/hi resize/thumb shop/a-function-with-quite-a-long-name",
		byRate: "hello/hi again/f resize/thumb shop/a-function-with-quite-a-long-name",
		byCPU:  "resize/thumb hello/hi again/f shop/a-function-with-quite-a-long-name",
		byP99:  "resize/thumb hello/hi again/f shop/a-function-with-quite-a-long-name",
	} {
		s.sortBy(order)
		var names []string
		for _, f := range s.Functions {
			names = append(names, f.name())
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("by %s: %s, want %s", order, got, want)
		}
	}
}

// TestTopJSONShape holds the names that docs/OPERATING.md documents and scripts rely on.
func TestTopJSONShape(t *testing.T) {
	before, now := topPair()
	text, err := json.Marshal(newTopSample(&before, &now))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	keys := func(value any) string {
		object, _ := value.(map[string]any)
		var names []string
		for name := range object {
			names = append(names, name)
		}
		slices.Sort(names)
		return strings.Join(names, " ")
	}
	first := func(name string) any { return got[name].([]any)[0] }
	core := first("cores").(map[string]any)
	for what, pair := range map[string][2]string{
		"sample": {keys(got), "connections cores cpu deadline_misses_per_s draining errors_per_s functions in_flight interval_ns live_instances " +
			"memory_bytes node p50_ns p99_ns pid queued rate refused_per_s rejected_per_s time uptime_ns version"},
		"core":     {keys(core), "blocked busy core cpu parked preemptions_per_s queued resumes_per_s running steals_per_s threads"},
		"running":  {keys(core["running"]), "app for_ns function long"},
		"function": {keys(first("functions")), "app cold_starts cold_starts_per_s cpu errors_per_s function in_flight p50_ns p99_ns rate refused_per_s"},
	} {
		if pair[0] != pair[1] {
			t.Errorf("%s: %s, want %s", what, pair[0], pair[1])
		}
	}
	if !reflect.DeepEqual(got["rejected_per_s"], map[string]any{"queue_full": 2.0, "draining": 1.0}) {
		t.Errorf("rejected %v", got["rejected_per_s"])
	}
}
