package kvstore

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"
)

func TestLock(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			s := newStore(t, nil)
			sp := mustSpace(t, s, "app", d)
			ctx, key := t.Context(), []byte("k")
			wantErr(t, "no lease", second(sp.Lock(ctx, key, 0)), ErrBadTTL)
			wantErr(t, "long lease", second(sp.Lock(ctx, key, MaxLockTTL+1)), ErrBadTTL)
			wantErr(t, "no key", second(sp.Lock(ctx, nil, time.Second)), ErrEmptyKey)
			wantErr(t, "unlock free", sp.Unlock(key, 1), ErrNotHeld)
			first, err := sp.Lock(ctx, key, time.Hour)
			if err != nil || first == 0 {
				t.Fatalf("Lock: %d, %v", first, err)
			}
			wantErr(t, "foreign token", sp.Unlock(key, first+1), ErrNotHeld)
			done, cancel := context.WithCancel(ctx)
			cancel()
			wantErr(t, "held lock", second(sp.Lock(done, key, time.Hour)), context.Canceled)
			if other, err := sp.Lock(ctx, []byte("other"), time.Hour); err != nil || other <= first {
				t.Errorf("another key: %d, %v", other, err)
			}
			wantErr(t, "unlock", sp.Unlock(key, first), nil)
			wantErr(t, "unlock again", sp.Unlock(key, first), ErrNotHeld)
		})
	}
}

func TestLockExpires(t *testing.T) {
	sp := mustSpace(t, newStore(t, nil), "app", Memory)
	first, err := sp.Lock(t.Context(), []byte("k"), MinLockTTL)
	if err != nil {
		t.Fatal(err)
	}
	second, err := sp.Lock(t.Context(), []byte("k"), time.Hour) // waits for the lease to run out
	if err != nil || second <= first {
		t.Fatalf("second holder: %d after %d, %v", second, first, err)
	}
	wantErr(t, "late unlock", sp.Unlock([]byte("k"), first), ErrNotHeld)
	wantErr(t, "unlock", sp.Unlock([]byte("k"), second), nil)
}

func TestLockTokensSurviveReopen(t *testing.T) {
	s := newStore(t, nil)
	last := uint64(0)
	for range 5 {
		sp := mustSpace(t, s, "app", Sync)
		for range fenceBlock/2 + 1 {
			token, err := sp.Lock(t.Context(), []byte("k"), time.Hour)
			if err != nil || token <= last {
				t.Fatalf("token %d after %d, %v", token, last, err)
			}
			last = token
			if err := sp.Unlock([]byte("k"), token); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		s = mustOpen(t, s.Path(), nil)
	}
}

// TestLockHammer proves mutual exclusion, growing tokens in the order of holding, and that cancelled waiters lose nothing.
func TestLockHammer(t *testing.T) {
	sp := mustSpace(t, newStore(t, nil), "app", Memory)
	var wg sync.WaitGroup
	holders, last, held := 0, uint64(0), 0 // guarded by the lock under test: the race detector and the checks below say whether it works
	for g := range 16 {
		wg.Go(func() {
			for i := range 200 {
				ctx, cancel := context.WithCancel(t.Context())
				if (g+i)%5 == 0 {
					time.AfterFunc(time.Duration(i)*time.Microsecond, cancel)
				}
				token, err := sp.Lock(ctx, []byte("k"), time.Hour)
				if err != nil {
					if !errors.Is(err, context.Canceled) {
						t.Errorf("Lock: %v", err)
					}
					cancel()
					continue
				}
				holders++
				if holders != 1 || token <= last {
					t.Errorf("%d holders, token %d after %d", holders, token, last)
				}
				last = token
				held++
				holders--
				if err := sp.Unlock([]byte("k"), token); err != nil {
					t.Errorf("Unlock: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if held == 0 || len(sp.locks.leases) != 0 {
		t.Errorf("held %d times, %d leases left", held, len(sp.locks.leases))
	}
}

func TestCloseWakesWaiters(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Sync)
	if _, err := sp.Lock(t.Context(), []byte("k"), time.Hour); err != nil {
		t.Fatal(err)
	}
	result := make(chan error)
	go func() { _, err := sp.Lock(background, []byte("k"), time.Hour); result <- err }()
	w := sp.Watch(background, nil, 1)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "waiting Lock", <-result, ErrClosed)
	for range w.C() {
		t.Error("event after Close")
	}
	wantErr(t, "watch", w.Err(), ErrClosed)
	wantErr(t, "Set", sp.Set(background, []byte("k"), nil), ErrClosed)
	wantErr(t, "Get", second(sp.Get([]byte("k"), nil)), ErrClosed)
	wantErr(t, "Scan", sp.Scan(nil, nil, nil), ErrClosed)
	wantErr(t, "Drop", s.Drop("app"), ErrClosed)
}
