package load

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

func TestHistogramQuantiles(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		draw func() time.Duration
	}{
		{"small", func() time.Duration { return time.Duration(random.IntN(300)) }},
		{"microseconds", func() time.Duration { return time.Duration(random.IntN(1_000_000)) }},
		{"all magnitudes", func() time.Duration { return time.Duration(1) << random.IntN(41) }},
		{"one value", func() time.Duration { return 12345 }},
	} {
		t.Run(c.name, func(t *testing.T) {
			var h Histogram
			values := make([]time.Duration, 10_001)
			var sum time.Duration
			for i := range values {
				values[i] = c.draw()
				sum += values[i]
				h.Record(values[i])
			}
			slices.Sort(values)
			for _, q := range []float64{0, .01, .5, .9, .99, .999, 1} {
				rank := int(q*float64(len(values))+.9999999) - 1
				want, got := values[max(0, rank)], h.Quantile(q)
				if got < want || float64(got) > float64(want)*1.008+1 {
					t.Errorf("quantile %v is %v, want %v to 0.8 %% more", q, got, want)
				}
			}
			if h.Max() != values[len(values)-1] || h.Mean() != sum/time.Duration(len(values)) || h.Count() != uint64(len(values)) {
				t.Errorf("max %v, mean %v, count %d", h.Max(), h.Mean(), h.Count())
			}
		})
	}
}

func TestHistogramBounds(t *testing.T) {
	var h Histogram
	if h.Quantile(.5) != 0 || h.Mean() != 0 || h.Max() != 0 {
		t.Error("an empty histogram has values")
	}
	h.Record(-time.Second)
	h.Record(1 << 62)
	if h.Count() != 2 || h.Quantile(.1) != 0 || h.Max() != 1<<62 {
		t.Errorf("count %d, lowest %v, max %v", h.Count(), h.Quantile(.1), h.Max())
	}
	for i := range numBuckets {
		if got := bucket(upper(i)); got != i {
			t.Fatalf("the upper end of bucket %d is in bucket %d", i, got)
		}
		if i > 0 && bucket(upper(i-1)+1) != i {
			t.Fatalf("bucket %d does not begin behind the one before", i)
		}
	}
}

func TestHistogramAdd(t *testing.T) {
	var a, b, both Histogram
	for i := range 1000 {
		d := time.Duration(i * i)
		both.Record(d)
		if i%3 == 0 {
			a.Record(d)
		} else {
			b.Record(d)
		}
	}
	a.Add(&b)
	if a != both {
		t.Error("the sum of two histograms is not the histogram of all")
	}
}
