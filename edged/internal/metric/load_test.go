package metric

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

func TestLatencyBoundsHoldTheirBuckets(t *testing.T) {
	bounds := LatencyBounds()
	if len(bounds) != latencyBuckets || bounds[latencyBuckets-1] != math.MaxInt64 {
		t.Fatalf("%d bounds, want %d; the last is %v", len(bounds), latencyBuckets, bounds[len(bounds)-1])
	}
	low := time.Duration(0)
	for i, high := range bounds {
		if high <= low {
			t.Fatalf("bound %d is %v, not above %v", i, high, low)
		}
		for _, d := range []time.Duration{low, low + (high-low)/2, high - 1} {
			if got := latencyBucket(d); got != i {
				t.Errorf("%v is in bucket %d, want %d", d, got, i)
			}
		}
		if i > 0 && i < latencyBuckets-1 && float64(high-low)/float64(low) > 0.126 {
			t.Errorf("bucket %d from %v to %v is wider than an eighth", i, low, high)
		}
		low = high
	}
	if got := latencyBucket(-5); got != 0 {
		t.Errorf("a negative duration is in bucket %d", got)
	}
}

func TestLatencyCountsAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	var l Latency
	if _, counts := l.Counts(); counts != nil {
		t.Errorf("counts %v before the first observation", counts)
	}
	model := make(map[int]uint64)
	for range 3000 {
		d := time.Duration(math.Pow(10, 4+random.Float64()*4))
		l.Observe(d)
		model[latencyBucket(d)]++
	}
	first, counts := l.Counts()
	if counts[0] == 0 || counts[len(counts)-1] == 0 {
		t.Errorf("the ends of %v are not in use", counts)
	}
	var sum uint64
	for i, n := range counts {
		sum += n
		if n != model[first+i] {
			t.Errorf("bucket %d has %d, want %d", first+i, n, model[first+i])
		}
	}
	if sum != 3000 {
		t.Errorf("%d observations, want 3000", sum)
	}
}

func TestFunctionCounts(t *testing.T) {
	r := New()
	r.Function("b", "idle")
	f := r.Function("a", "busy")
	arrived := time.Now()
	ran := &invoke.Stamps{Arrived: arrived, Picked: arrived, Sent: arrived.Add(3 * time.Millisecond)}
	for range 2 {
		f.Admitted()
		f.ObserveStamps(ran)
	}
	f.Released()
	f.ObserveStamps(&invoke.Stamps{Arrived: arrived, Sent: arrived.Add(time.Microsecond)}) // refused
	f.Ran(40 * time.Millisecond)
	f.Ran(2 * time.Millisecond)
	f.Ran(-time.Hour)
	f.ColdStart()
	for _, status := range []int{200, 429, 500, 504, 599, 404, 299} {
		f.Ended(invoke.SourceHTTP, status)
		f.Ended(invoke.SourceCLI, status)
	}
	all := r.FunctionCounts()
	if len(all) != 2 || all[1].App != "b" || all[1].Answered != 0 || all[1].Latency != nil {
		t.Fatalf("counts %+v", all)
	}
	got := all[0]
	if len(got.Latency) != 1 || got.Latency[0] != 2 || got.LatencyFirst != latencyBucket(3*time.Millisecond) {
		t.Errorf("latency %d %v", got.LatencyFirst, got.Latency)
	}
	if got.Answered != 14 || got.Errors != 6 || got.Refused != 2 || got.InFlight != 1 || got.ColdStarts != 1 || got.Core != 42*time.Millisecond {
		t.Errorf("counts %+v", got)
	}
	if s := series(t, r); s[`edged_function_core_seconds_total{app="a",fn="busy"}`] != 0.042 {
		t.Errorf("time on cores is written as %v", s[`edged_function_core_seconds_total{app="a",fn="busy"}`])
	}
	r.Remove("a")
	if left := r.FunctionCounts(); len(left) != 1 {
		t.Errorf("after removal: %+v", left)
	}
}

func TestNilFunctionCountsNothing(_ *testing.T) {
	var f *Function
	f.Admitted()
	f.Released()
	f.ColdStart()
	f.Ran(time.Second)
	f.ObserveStamps(&invoke.Stamps{Picked: time.Now(), Sent: time.Now()})
}

func TestCoreSeries(t *testing.T) {
	r := New()
	if got := series(t, r); got["edged_preemptions_total"] != 0 || len(got) == 0 {
		t.Errorf("without cores: %v", got)
	}
	r.Probe(Probes{Cores: func() []Core {
		return []Core{
			{Queued: 3, Parked: 1, Threads: 5, Busy: 1500 * time.Millisecond, Preemptions: 7, Resumes: 6, Steals: 1},
			{Blocked: 2, Threads: 4, Preemptions: 10, Resumes: 10, Steals: 2},
		}
	}})
	got := series(t, r)
	for name, want := range map[string]float64{
		`edged_core_busy_seconds_total{core="0"}`: 1.5, `edged_core_busy_seconds_total{core="1"}`: 0,
		`edged_core_queued{core="0"}`: 3, `edged_core_parked{core="0"}`: 1, `edged_core_blocked{core="1"}`: 2,
		`edged_core_threads{core="0"}`: 5, `edged_core_threads{core="1"}`: 4,
		`edged_preemptions_total`: 17, `edged_resumes_total`: 16, `edged_steals_total`: 3,
	} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s = %v (present: %t), want %v", name, have, ok, want)
		}
	}
}

func TestRejectedCounts(t *testing.T) {
	r := New()
	for i, reason := range Rejections() {
		for range i + 1 {
			r.Reject(reason)
		}
	}
	for i, reason := range Rejections() {
		if n := r.Rejected(reason); n != uint64(i+1) {
			t.Errorf("%v: %d, want %d", reason, n, i+1)
		}
	}
	if len(Rejections()) != int(rejectionCount) || r.Rejected(rejectionCount) != 0 {
		t.Error("the reasons are not those that are counted")
	}
}

func TestHammerLoad(t *testing.T) {
	r := New()
	const writers, rounds = 8, 3000
	var group sync.WaitGroup
	for range writers {
		group.Go(func() {
			f := r.Function("a", "f")
			for i := range rounds {
				f.Admitted()
				f.Ran(time.Duration(i))
				now := time.Now()
				f.ObserveStamps(&invoke.Stamps{Arrived: now, Picked: now, Sent: now.Add(time.Duration(i) * time.Microsecond)})
				f.Released()
			}
		})
	}
	for range 20 {
		r.FunctionCounts()
	}
	group.Wait()
	got := r.FunctionCounts()[0]
	var sum uint64
	for _, n := range got.Latency {
		sum += n
	}
	if sum != writers*rounds || got.InFlight != 0 || got.Core != writers*rounds*(rounds-1)/2 {
		t.Errorf("%d observations, %+v", sum, got)
	}
}

func TestLoadDoesNotAllocate(t *testing.T) {
	f := New().Function("a", "f")
	stamps := &invoke.Stamps{Arrived: time.Now(), Picked: time.Now(), Sent: time.Now()}
	if n := testing.AllocsPerRun(100, func() {
		f.Admitted()
		f.Ran(time.Millisecond)
		f.ObserveStamps(stamps)
		f.Released()
	}); n != 0 {
		t.Errorf("%v allocations a request, want 0", n)
	}
}

func BenchmarkObserveLatency(b *testing.B) {
	var l Latency
	for b.Loop() {
		l.Observe(123 * time.Microsecond)
	}
}
