package metric

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

// A Latency has eight buckets for every doubling from 1.024 us to 550 s, one below and one above: a quantile read from
// it is wrong by 6 % at most, where the steps of a [Histogram] would leave a factor of two.
const (
	latencyLowBits  = 10 // the first bucket ends at 2^10 ns
	latencyHighBits = 39 // the last bucket begins at 2^39 ns
	latencySubBits  = 3  // 2^3 buckets a doubling
	latencyBuckets  = (latencyHighBits-latencyLowBits)<<latencySubBits + 2
)

// Latency counts durations finely enough for quantiles. It may be used from any goroutine; an update is a shift and one
// atomic addition. It is not written as a metric, because so many buckets for each function would be too many series.
type Latency struct {
	counts [latencyBuckets]atomic.Uint64
}

// Observe adds a duration. A negative one, which only a clock gone wrong makes, counts as 0.
func (l *Latency) Observe(d time.Duration) { l.counts[latencyBucket(d)].Add(1) }

// Counts returns how many durations fell into each bucket of [LatencyBounds], from the first to the last one in use:
// counts[i] is of bucket first+i. It is nil before the first observation.
func (l *Latency) Counts() (first int, counts []uint64) {
	for i := range l.counts {
		n := l.counts[i].Load()
		if n == 0 {
			continue
		}
		if counts == nil {
			first = i
		}
		for len(counts) < i-first {
			counts = append(counts, 0)
		}
		counts = append(counts, n)
	}
	return first, counts
}

// LatencyBounds returns the upper ends of the buckets of a [Latency], each excluded. The last bucket has none: its end
// is the longest duration there is.
func LatencyBounds() []time.Duration {
	bounds := make([]time.Duration, 0, latencyBuckets)
	bounds = append(bounds, 1<<latencyLowBits)
	for low := latencyLowBits; low < latencyHighBits; low++ {
		for sub := range 1 << latencySubBits {
			bounds = append(bounds, time.Duration(1<<latencySubBits+sub+1)<<(low-latencySubBits))
		}
	}
	return append(bounds, math.MaxInt64)
}

// latencyBucket returns the bucket of a duration: the place of its highest bit says which doubling, the three bits below
// that say where in it.
func latencyBucket(d time.Duration) int {
	doubling := bits.Len64(uint64(max(d, 0))) - 1 - latencyLowBits
	if doubling < 0 {
		return 0
	}
	if doubling >= latencyHighBits-latencyLowBits {
		return latencyBuckets - 1
	}
	sub := int(d>>(doubling+latencyLowBits-latencySubBits)) & (1<<latencySubBits - 1)
	return 1 + doubling<<latencySubBits + sub
}
