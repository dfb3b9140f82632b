package metric

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"sync/atomic"
)

// bounds are the upper ends of the buckets in seconds: 1-2.5-5 steps from a reset of an instance (microseconds) to the
// longest timeout worth telling apart. Anything above falls into +Inf.
var bounds = [...]float64{
	1e-6, 2.5e-6, 5e-6, 1e-5, 2.5e-5, 5e-5, 1e-4, 2.5e-4, 5e-4,
	1e-3, 2.5e-3, 5e-3, 1e-2, 2.5e-2, 5e-2, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
}

// Histogram counts durations in seconds in cumulative buckets. It may be used from any goroutine; an update is a search
// of 24 bounds and two atomic additions.
type Histogram struct {
	name, labels string
	buckets      [len(bounds) + 1]atomic.Uint64 // not cumulative; the last is +Inf
	sumNanos     atomic.Uint64                  // 584 years of observed time before it wraps
}

func newHistogram(name, labels string) *Histogram {
	return &Histogram{name: name, labels: labels}
}

// Observe adds a duration. Negative ones, which only a clock gone wrong makes, count as 0; NaN is dropped.
func (h *Histogram) Observe(seconds float64) {
	if math.IsNaN(seconds) {
		return
	}
	seconds = max(seconds, 0)
	h.sumNanos.Add(uint64(min(seconds, 1e9) * 1e9))
	h.buckets[bucket(seconds)].Add(1)
}

// bucket returns the index of the first bound that is not below the value, or len(bounds).
func bucket(seconds float64) int {
	low, high := 0, len(bounds)
	for low < high {
		mid := (low + high) / 2
		if bounds[mid] >= seconds {
			high = mid
		} else {
			low = mid + 1
		}
	}
	return low
}

// write writes the buckets, the sum and the count. The count is the last bucket by construction, so the two agree even
// while others observe.
func (h *Histogram) write(w io.Writer) {
	var text strings.Builder
	prefix, suffix := h.labels, ""
	if h.labels != "" {
		prefix, suffix = h.labels+",", "{"+h.labels+"}"
	}
	var total uint64
	for i := range h.buckets {
		total += h.buckets[i].Load()
		le := "+Inf"
		if i < len(bounds) {
			le = strconv.FormatFloat(bounds[i], 'g', -1, 64)
		}
		fmt.Fprintf(&text, "%s_bucket{%sle=%q} %d\n", h.name, prefix, le, total)
	}
	sum := float64(h.sumNanos.Load()) / 1e9
	fmt.Fprintf(&text, "%s_sum%s %s\n%s_count%s %d\n",
		h.name, suffix, strconv.FormatFloat(sum, 'g', -1, 64), h.name, suffix, total)
	_, _ = io.WriteString(w, text.String()) // w keeps its own error
}

// writeFamily writes histograms of one name, with the line that tells readers their type.
func writeFamily(w io.Writer, name string, histograms ...*Histogram) {
	_, _ = fmt.Fprintf(w, "# TYPE %s histogram\n", name) // w keeps its own error
	for _, h := range histograms {
		h.write(w)
	}
}
