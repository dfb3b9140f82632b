package kvstore

import (
	"fmt"
	"testing"
	"time"
)

// TestResultsAreBounded: a batch that names one large value again and again is refused before it fills the memory, and
// nothing of it is applied.
func TestResultsAreBounded(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			sp := mustSpace(t, newStore(t, nil), "app", d)
			value := make([]byte, 8<<20)
			wantErr(t, "set", sp.Set(t.Context(), []byte("large"), value), nil)
			read := func(times int) ([]OpResult, error) {
				ops := []Op{{Kind: OpSet, Key: []byte("mark"), Value: []byte("x")}}
				for range times {
					ops = append(ops, Op{Kind: OpGet, Key: []byte("large")})
				}
				return sp.Apply(t.Context(), ops)
			}
			_, err := read(MaxResultBytes/len(value) + 1)
			wantErr(t, "above the limit", err, ErrTooLarge)
			_, err = sp.Get([]byte("mark"), nil)
			wantErr(t, "the rest of the refused batch", err, ErrNotFound)
			results, err := read(MaxResultBytes / len(value))
			wantErr(t, "at the limit", err, nil)
			for _, r := range results[1:] {
				if len(r.Value) != len(value) {
					t.Fatalf("read %d bytes, want %d", len(r.Value), len(value))
				}
			}
		})
	}
}

// TestMemoryIsBounded: a Memory space refuses what would make it larger than it may be, and only that.
func TestMemoryIsBounded(t *testing.T) {
	const limit = 1 << 20
	sp := mustSpace(t, newStore(t, &Options{MemoryBytes: limit}), "app", Memory)
	key := func(i int) []byte { return fmt.Appendf(nil, "key-%06d", i) }
	n := 0
	var err error
	for ; err == nil && n < limit; n++ {
		err = sp.Set(t.Context(), key(n), nil)
	}
	wantErr(t, "many empty values", err, ErrFull)
	if n < limit/(2*entryCost) {
		t.Errorf("full after %d small entries", n)
	}
	wantErr(t, "a value of the same size", sp.Set(t.Context(), key(0), nil), nil)
	wantErr(t, "a larger one", sp.Set(t.Context(), key(0), make([]byte, entryCost*3)), ErrFull)
	_, err = sp.Apply(t.Context(), []Op{
		{Kind: OpDelete, Key: key(1)},
		{Kind: OpSet, Key: []byte("other"), Value: make([]byte, limit)},
	})
	wantErr(t, "a batch that grows", err, ErrFull)
	if _, err := sp.Get(key(1), nil); err != nil {
		t.Errorf("the refused batch deleted: %v", err)
	}
	for i := range 8 {
		existed, err := sp.Delete(t.Context(), key(i))
		if err != nil || !existed {
			t.Fatalf("delete %d: %v, %v", i, existed, err)
		}
	}
	wantErr(t, "after deleting", sp.Set(t.Context(), key(0), make([]byte, entryCost*3)), nil)
}

// TestLeasesAreBounded: locks that nobody gives back do not fill the memory; what is given back makes room.
func TestLeasesAreBounded(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Memory)
	var first uint64
	for i := range maxLeases {
		token, err := sp.Lock(t.Context(), fmt.Appendf(nil, "%d", i), time.Hour)
		if err != nil {
			t.Fatalf("lock %d: %v", i, err)
		}
		if i == 0 {
			first = token
		}
	}
	_, err := sp.Lock(t.Context(), []byte("one more"), time.Hour)
	wantErr(t, "one more", err, ErrTooManyLocks)
	if _, err := mustSpace(t, s, "other", Memory).Lock(t.Context(), []byte("k"), time.Hour); err != nil {
		t.Errorf("another space is affected: %v", err)
	}
	if err := sp.Unlock([]byte("0"), first); err != nil {
		t.Fatal(err)
	}
	if _, err = sp.Lock(t.Context(), []byte("one more"), time.Hour); err != nil {
		t.Errorf("after unlocking: %v", err)
	}
}
