package load

import (
	"math/bits"
	"time"
)

// Buckets are linear below 256 ns, and 128 to each power of two above, so a bucket is at most 1/128 of its values wide.
const (
	subBits    = 7
	maxBits    = 42 // 73 minutes; what is above counts as that
	numBuckets = (maxBits-subBits)<<subBits + 1<<subBits
)

// Histogram counts durations with an error below one percent, in constant memory. The zero value is empty. It is for one
// goroutine at a time.
type Histogram struct {
	counts [numBuckets]uint64
	count  uint64
	sum    uint64
	max    uint64
}

// Record counts d; below zero is zero.
func (h *Histogram) Record(d time.Duration) {
	v := uint64(max(0, d))
	h.counts[bucket(v)]++
	h.count++
	h.sum += v
	h.max = max(h.max, v)
}

// Add counts all that other has counted.
func (h *Histogram) Add(other *Histogram) {
	for i, n := range other.counts {
		h.counts[i] += n
	}
	h.count += other.count
	h.sum += other.sum
	h.max = max(h.max, other.max)
}

// Count returns how many durations were recorded.
func (h *Histogram) Count() uint64 { return h.count }

// Max returns the longest duration, exactly; 0 when there is none.
func (h *Histogram) Max() time.Duration { return time.Duration(h.max) }

// Mean returns the mean, exactly; 0 when there is none.
func (h *Histogram) Mean() time.Duration {
	if h.count == 0 {
		return 0
	}
	return time.Duration(h.sum / h.count)
}

// Quantile returns a duration that the share q (0 to 1) of the recorded ones does not exceed: the upper end of its bucket,
// so never too small. 0 when there is none.
func (h *Histogram) Quantile(q float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := uint64(q * float64(h.count))
	if float64(rank) < q*float64(h.count) || rank == 0 {
		rank++
	}
	var seen uint64
	for i, n := range h.counts {
		seen += n
		if seen >= rank {
			return time.Duration(min(upper(i), h.max))
		}
	}
	return time.Duration(h.max)
}

func bucket(v uint64) int {
	v = min(v, 1<<maxBits-1)
	shift := max(0, bits.Len64(v)-subBits-1)
	return shift<<subBits + int(v>>shift)
}

// upper returns the largest value of a bucket.
func upper(i int) uint64 {
	if i < 2<<subBits {
		return uint64(i)
	}
	shift := i>>subBits - 1
	return (uint64(i-shift<<subBits)+1)<<shift - 1
}
