package kvstore

import (
	"fmt"
	"path/filepath"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// setParallel runs b.N calls of set on so many goroutines and returns writes a second.
func setParallel(b *testing.B, writers int, set func(n int64) error) float64 {
	b.Helper()
	var next atomic.Int64
	done := make(chan error, writers)
	began := time.Now()
	for range writers {
		go func() {
			for {
				n := next.Add(1)
				if n > int64(b.N) {
					done <- nil
					return
				}
				if err := set(n); err != nil {
					done <- err
					return
				}
			}
		}()
	}
	for range writers {
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
	return float64(b.N) / time.Since(began).Seconds()
}

// BenchmarkSet compares grouped writes with one bbolt transaction for each, both in one run: "ratio" is how many times as many a second.
func BenchmarkSet(b *testing.B) {
	value := make([]byte, 100)
	for _, writers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s := newStore(b, nil)
			sp := mustSpace(b, s, "app", Sync)
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "plain.db"), 0o600, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			b.ResetTimer()
			grouped := setParallel(b, writers, func(n int64) error {
				return sp.Set(background, fmt.Appendf(nil, "key%d", n%10_000), value)
			})
			b.StopTimer()
			single := setParallel(b, writers, func(n int64) error {
				return db.Update(func(tx *bbolt.Tx) error {
					bk, err := tx.CreateBucketIfNotExists([]byte("app"))
					if err != nil {
						return err
					}
					return bk.Put(fmt.Appendf(nil, "key%d", n%10_000), value)
				})
			})
			st := s.Stats()
			b.ReportMetric(grouped, "sets/s")
			b.ReportMetric(single, "single-sets/s")
			b.ReportMetric(grouped/single, "ratio")
			b.ReportMetric(float64(st.Grouped)/float64(max(st.Commits, 1)), "sets/commit")
		})
	}
}

// BenchmarkGet reports the median of single reads of 100-byte values.
func BenchmarkGet(b *testing.B) {
	for _, d := range allClasses {
		b.Run(d.String(), func(b *testing.B) {
			sp := mustSpace(b, newStore(b, nil), "app", d)
			var ops []Op
			for i := range 10_000 {
				ops = append(ops, Op{Kind: OpSet, Key: fmt.Appendf(nil, "key%06d", i), Value: make([]byte, 100)})
			}
			if _, err := sp.Apply(background, ops); err != nil {
				b.Fatal(err)
			}
			dst, took := make([]byte, 0, 128), make([]time.Duration, 0, 1<<16)
			b.ReportAllocs()
			b.ResetTimer()
			for i := range b.N {
				began := time.Now()
				if _, err := sp.Get(ops[(i*7919)%len(ops)].Key, dst); err != nil {
					b.Fatal(err)
				}
				if len(took) < cap(took) {
					took = append(took, time.Since(began))
				}
			}
			b.StopTimer()
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2]), "p50-ns")
		})
	}
}
