package kvstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestHammer runs everything at once: writers of all classes, scans, watches, spaces that come, change and go, scrub, and at the end a
// Close in the middle of it. It is for the race detector; what it asserts is that the sum of concurrent increments is right.
func TestHammer(t *testing.T) {
	before := runtime.NumGoroutine()
	s := newStore(t, &Options{BatchDelay: time.Millisecond, ScrubBytesPerSecond: -1})
	var wg sync.WaitGroup
	for _, d := range allClasses {
		sp := mustSpace(t, s, d.String(), d)
		for g := range 4 {
			wg.Go(func() { hammerWriter(t, sp, g) })
		}
		wg.Go(func() {
			for range 20 {
				_ = scanAll(t, sp, nil, nil)
				w := sp.Watch(t.Context(), nil, 4)
				mustSet(t, sp, "watched", "x")
				<-w.C()
				w.Close()
			}
		})
	}
	wg.Go(func() {
		for i := range 20 {
			if _, err := s.Space("batched", Durability(i%2)); err != nil {
				t.Error(err)
			}
			hammerTemporary(t, s, Durability(i%3))
			if _, err := s.Scrub(t.Context(), nil); err != nil {
				t.Error(err)
			}
			s.Stats()
			if _, err := s.Spaces(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	for _, d := range allClasses {
		name := d.String()
		v, err := s.opened(name).Get([]byte("counter"), nil)
		if err != nil || len(v) != 4*25 {
			t.Errorf("%s: counter has %d bytes, want %d; %v", name, len(v), 4*25, err)
		}
	}
	closeUnderLoad(t, s)
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

// hammerWriter appends a byte to a shared counter 25 times, with other writes between.
func hammerWriter(t *testing.T, sp *Space, g int) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(g), 5))
	for i := 0; i < 25; {
		key := []byte{'k', byte(r.IntN(40))}
		if r.IntN(3) == 0 {
			if _, err := sp.Delete(t.Context(), key); err != nil {
				t.Error(err)
			}
		} else if err := sp.Set(t.Context(), key, make([]byte, r.IntN(3000))); err != nil {
			t.Error(err)
		}
		old, err := sp.Get([]byte("counter"), []byte{})
		if errors.Is(err, ErrNotFound) {
			old = nil
		}
		err = sp.CompareAndSwap(t.Context(), []byte("counter"), old, append(append([]byte{}, old...), '.'))
		if err == nil {
			i++
		} else if !errors.Is(err, ErrConflict) {
			t.Error(err)
			return
		}
	}
}

func hammerTemporary(t *testing.T, s *Store, d Durability) {
	t.Helper()
	tmp := mustSpace(t, s, "tmp", d)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for i := range 10 {
				if err := tmp.Set(t.Context(), []byte{byte(i)}, make([]byte, 500)); err != nil && !errors.Is(err, ErrDropped) {
					t.Error(err)
				}
			}
		})
	}
	if err := s.Drop("tmp"); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

// closeUnderLoad closes the store while writers write, and checks that what they were told is what is there.
func closeUnderLoad(t *testing.T, s *Store) {
	t.Helper()
	const writers = 12
	var acked [writers]int
	var wg sync.WaitGroup
	for g := range writers {
		sp := mustSpace(t, s, allClasses[g%2].String(), allClasses[g%2])
		wg.Go(func() {
			for ; ; acked[g]++ {
				if err := sp.Set(background, fmt.Appendf(nil, "close/%d", g), fmt.Append(nil, acked[g])); err != nil {
					if !errors.Is(err, ErrClosed) {
						t.Errorf("Set during Close: %v", err)
					}
					return
				}
			}
		})
	}
	for s.Stats().LargestGroup < 2 {
		runtime.Gosched()
	}
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
	wg.Wait()
	again := mustOpen(t, s.Path(), nil)
	for g := range writers {
		sp := mustSpace(t, again, allClasses[g%2].String(), allClasses[g%2])
		if acked[g] > 0 {
			wantValue(t, sp, fmt.Sprintf("close/%d", g), fmt.Sprint(acked[g]-1))
		}
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
}
