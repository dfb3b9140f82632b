package scheduler

import (
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// TestHistory: the expectation is within a tenth of the true quantile, in every range of times.
func TestHistory(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	for _, scale := range []time.Duration{5 * us, 300 * us, 20 * ms, 3 * time.Second} {
		var h History
		var all []time.Duration
		var sum time.Duration
		for range 500 {
			ran := scale + time.Duration(random.ExpFloat64()*float64(scale))
			all, sum = append(all, ran), sum+ran
			h.Observe(ran)
		}
		slices.Sort(all)
		want := all[len(all)*7/10]
		if got, known := h.Expect(); !known || math.Abs(float64(got-want)) > float64(want)/10 {
			t.Errorf("expects %v, %v; of ten seven take up to %v", got, known, want)
		}
		if mean := h.Mean(); mean < scale || mean > 4*scale {
			t.Errorf("the mean is %v, of all it was %v", mean, sum/500)
		}
	}
}

func TestHistoryLearns(t *testing.T) {
	var h History
	for range historyKnown - 1 {
		h.Observe(ms)
	}
	if _, known := h.Expect(); known {
		t.Errorf("known after %d", historyKnown-1)
	}
	h.Observe(ms)
	if got, known := h.Expect(); !known || got < 9*ms/10 || got > 13*ms/10 {
		t.Errorf("expects %v, %v", got, known)
	}
	// What it takes changes: some windows later that is what it is expected to take.
	for range 6 * historyWindow {
		h.Observe(50 * ms)
	}
	if got, _ := h.Expect(); got < 45*ms || got > 65*ms {
		t.Errorf("expects %v after a change to 50ms", got)
	}
	h.Observe(-time.Second)
	h.Observe(math.MaxInt64)
}

func TestHistoryBuckets(t *testing.T) {
	for i := range historyBuckets {
		low := time.Duration(historyBound(i))
		if historyBucket(low) != i || (i > 0 && historyBucket(low-1) != i-1) {
			t.Errorf("bucket %d begins at %v", i, low)
		}
	}
}

// TestHistoryIsShared observes from several goroutines at once; the race detector looks on.
func TestHistoryIsShared(t *testing.T) {
	var h History
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for range 2000 {
				h.Observe(ms)
				h.Expect()
			}
		})
	}
	group.Wait()
	if got, known := h.Expect(); !known || got < 9*ms/10 || got > 13*ms/10 {
		t.Errorf("expects %v, %v", got, known)
	}
}
