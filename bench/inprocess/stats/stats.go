// Package stats turns the rounds of a benchmark into the few numbers that are reported: medians, percentiles, spread and
// geometric means.
package stats

import (
	"cmp"
	"math"
	"slices"
)

// Number is what these functions take: times in nanoseconds and ratios.
type Number interface{ ~int | ~int64 | ~float64 }

// Median returns the middle value, the mean of the middle two of an even number, and 0 of none. values keeps its order.
func Median[T Number](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return sorted[middle-1] + (sorted[middle]-sorted[middle-1])/2
}

// Percentile returns the smallest of the sorted values that at least the fraction p (above 0, at most 1) of them do not
// exceed, and 0 of none.
func Percentile[T cmp.Ordered](sorted []T, p float64) T {
	if len(sorted) == 0 {
		var zero T
		return zero
	}
	rank := int(math.Ceil(p * float64(len(sorted))))
	return sorted[min(max(rank, 1), len(sorted))-1]
}

// Spread returns how far the values lie apart, as a share of their median: 0 for equal values, and for fewer than two.
func Spread[T Number](values []T) float64 {
	median := float64(Median(values))
	if len(values) < 2 || median == 0 {
		return 0
	}
	return (float64(slices.Max(values)) - float64(slices.Min(values))) / median
}

// GeometricMean returns the n-th root of the product of n ratios, all of which must be above 0; 0 of none.
func GeometricMean(ratios []float64) float64 {
	if len(ratios) == 0 {
		return 0
	}
	sum := 0.0
	for _, ratio := range ratios {
		sum += math.Log(ratio)
	}
	return math.Exp(sum / float64(len(ratios)))
}
