package stats

import (
	"math"
	"slices"
	"testing"
)

func TestMedian(t *testing.T) {
	for name, tc := range map[string]struct {
		values []int64
		want   int64
	}{
		"none": {nil, 0},
		"one":  {[]int64{7}, 7},
		"odd":  {[]int64{9, 1, 5}, 5},
		"even": {[]int64{10, 2, 4, 100}, 7},
		"huge": {[]int64{math.MaxInt64, math.MaxInt64 - 2}, math.MaxInt64 - 1},
	} {
		before := slices.Clone(tc.values)
		if got := Median(tc.values); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
		if !slices.Equal(before, tc.values) {
			t.Errorf("%s: the values were reordered", name)
		}
	}
}

func TestPercentile(t *testing.T) {
	hundred := make([]int64, 100)
	for i := range hundred {
		hundred[i] = int64(i + 1)
	}
	for name, tc := range map[string]struct {
		values []int64
		p      float64
		want   int64
	}{
		"none":         {nil, 0.5, 0},
		"median":       {hundred, 0.5, 50},
		"99th":         {hundred, 0.99, 99},
		"all":          {hundred, 1, 100},
		"between":      {hundred, 0.991, 100},
		"below first":  {hundred, 0.0001, 1},
		"of one value": {[]int64{5}, 0.99, 5},
	} {
		if got := Percentile(tc.values, tc.p); got != tc.want {
			t.Errorf("%s: %d, want %d", name, got, tc.want)
		}
	}
}

func TestSpread(t *testing.T) {
	for name, tc := range map[string]struct {
		values []float64
		want   float64
	}{
		"none":  {nil, 0},
		"one":   {[]float64{3}, 0},
		"equal": {[]float64{3, 3, 3}, 0},
		"apart": {[]float64{8, 10, 14}, 0.6},
	} {
		if got := Spread(tc.values); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}

func TestGeometricMean(t *testing.T) {
	for name, tc := range map[string]struct {
		ratios []float64
		want   float64
	}{
		"none":     {nil, 0},
		"one":      {[]float64{1.25}, 1.25},
		"cancel":   {[]float64{0.5, 2}, 1},
		"of three": {[]float64{1, 2, 4}, 2},
	} {
		if got := GeometricMean(tc.ratios); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("%s: %v, want %v", name, got, tc.want)
		}
	}
}
