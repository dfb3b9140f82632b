package scheduler

import (
	"math"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	historyLow     = 10                                      // 2^10 ns: shorter ones count as that
	historyHigh    = 37                                      // 2^37 ns, more than two minutes: longer ones count as that
	historyPer     = 4                                       // steps in which a bucket doubles
	historyBuckets = (historyHigh - historyLow) * historyPer // a bucket is at most a quarter wide
	historyKnown   = 5                                       // observations until the expectation counts
	historyEvery   = 32                                      // observations until the expectation is worked out again
	historyWindow  = 512                                     // observations after which the older ones count half
	meanWeight     = 16                                      // the mean moves by this part towards each observation
)

// History learns how long a function holds a core. The zero value knows nothing yet. Any goroutine may use it; it takes no
// lock, and observations at the same moment may cost each other some weight. It must not be copied.
type History struct {
	counts [historyBuckets]atomic.Uint32
	seen   atomic.Uint64
	p70    atomic.Int64
	mean   atomic.Int64
}

// Observe learns from an invocation that had a core for so long.
func (h *History) Observe(ran time.Duration) {
	h.counts[historyBucket(ran)].Add(1)
	n := h.seen.Add(1)
	mean := h.mean.Load()
	h.mean.Store(mean + (int64(ran)-mean)/int64(min(n, meanWeight)))
	if n >= historyKnown && n <= historyEvery || n%historyEvery == 0 {
		h.learn(n)
	}
}

// Expect returns within what time seven of ten invocations are done, to within a tenth, and whether enough is known to
// say that.
func (h *History) Expect() (p70 time.Duration, known bool) {
	p := h.p70.Load()
	return time.Duration(p), p > 0
}

// Mean returns what an invocation takes on average, the recent ones; zero when nothing is known.
func (h *History) Mean() time.Duration { return time.Duration(h.mean.Load()) }

// learn works out the expectation of the n-th observation.
func (h *History) learn(n uint64) {
	var total uint32
	var counts [historyBuckets]uint32
	for i := range h.counts {
		counts[i] = h.counts[i].Load()
		total += counts[i]
	}
	rank := float64(total) * 0.7
	for i, count := range counts {
		if float64(count) < rank || count == 0 {
			rank -= float64(count)
			continue
		}
		low, high := historyBound(i), historyBound(i+1)
		h.p70.Store(int64(low + (high-low)*rank/float64(count)))
		break
	}
	if n%historyWindow == 0 {
		for i, count := range counts {
			h.counts[i].Add(-(count / 2))
		}
	}
}

// historyBucket returns in which bucket a time is counted: by its power of two, and linear within it.
func historyBucket(ran time.Duration) int {
	n := uint64(min(max(ran, 1<<historyLow), 1<<historyHigh-1))
	power := bits.Len64(n) - 1
	return (power-historyLow)*historyPer + int(n>>(power-2)&(historyPer-1))
}

// historyBound returns where a bucket begins, in nanoseconds.
func historyBound(bucket int) float64 {
	power, step := bucket/historyPer+historyLow, bucket%historyPer
	return math.Ldexp(1+float64(step)/historyPer, power)
}
