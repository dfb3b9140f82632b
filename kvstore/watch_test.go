package kvstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
)

func TestWatchOrder(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			sp := mustSpace(t, newStore(t, nil), "app", d)
			w := sp.Watch(t.Context(), []byte("a/"), 100)
			mustSet(t, sp, "a/1", "x")
			mustSet(t, sp, "b/1", "unseen")
			mustSet(t, sp, "a/1", "y")
			_, err := sp.Apply(t.Context(), []Op{
				{Kind: OpSet, Key: []byte("a/2"), Value: make([]byte, MaxEventValueBytes+1)},
				{Kind: OpDelete, Key: []byte("a/1")},
				{Kind: OpDelete, Key: []byte("a/absent")},
				{Kind: OpSet, Key: []byte("a/1"), Value: []byte("z")},
			})
			if err != nil {
				t.Fatal(err)
			}
			wantErr(t, "conflict", sp.CompareAndSwap(t.Context(), []byte("a/1"), nil, []byte("no")), ErrConflict)
			w.Close()
			w.Close()
			var got []string
			for e := range w.C() {
				got = append(got, fmt.Sprintf("%d %s %s %d %v", e.Kind, e.Key, e.Value, e.Size, e.New))
			}
			want := []string{
				"1 a/1 x 1 true", "1 a/1 y 1 false", fmt.Sprintf("1 a/2  %d true", MaxEventValueBytes+1), "2 a/1  0 false", "1 a/1 z 1 true",
			}
			if !slices.Equal(got, want) || w.Err() != nil {
				t.Errorf("events %q, want %q; %v", got, want, w.Err())
			}
			if sp.watches.any() {
				t.Error("the watch is still listed")
			}
		})
	}
}

func TestWatchOverflow(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Memory)
	w := sp.Watch(t.Context(), nil, 2)
	for i := range 5 {
		mustSet(t, sp, fmt.Sprint(i), "v")
	}
	kinds := func(n int) (out []EventKind) {
		for range n {
			out = append(out, (<-w.C()).Kind)
		}
		return out
	}
	if got := kinds(3); !slices.Equal(got, []EventKind{EventSet, EventSet, EventLost}) {
		t.Errorf("first %v", got)
	}
	mustSet(t, sp, "again", "v")
	if e := <-w.C(); e.Kind != EventSet || string(e.Key) != "again" {
		t.Errorf("after the gap: %+v", e)
	}
	if n := s.Stats().EventsLost; n != 3 {
		t.Errorf("%d events counted as lost, want 3", n)
	}
}

func TestWatchContext(t *testing.T) {
	sp := mustSpace(t, newStore(t, nil), "app", Memory)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	w := sp.Watch(ctx, nil, 1)
	cancel(cause)
	for range w.C() {
		t.Error("unexpected event")
	}
	wantErr(t, "Err", w.Err(), cause)
}

// TestWatchMirror keeps a copy of a space by events alone, rescanning after a gap, against many writers: at the end it is equal.
func TestWatchMirror(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			sp := mustSpace(t, newStore(t, nil), "app", d)
			w := sp.Watch(t.Context(), nil, 8)
			mirror, gaps := map[string]string{}, 0
			done := make(chan struct{})
			go func() {
				defer close(done)
				for e := range w.C() {
					switch e.Kind {
					case EventSet:
						mirror[string(e.Key)] = string(e.Value)
					case EventDelete:
						delete(mirror, string(e.Key))
					case EventLost:
						gaps++
						clear(mirror)
						maps.Copy(mirror, allOf(t, sp))
					}
				}
			}()
			var wg sync.WaitGroup
			for g := range 8 {
				wg.Go(func() {
					for i := range 60 {
						key := []byte{'k', byte(g), byte(i % 7)}
						if i%5 == 4 {
							if _, err := sp.Delete(t.Context(), key); err != nil {
								t.Error(err)
							}
							continue
						}
						if err := sp.Set(t.Context(), key, bytes.Repeat([]byte{byte(i)}, i)); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			w.Close()
			<-done
			want := allOf(t, sp)
			if fmt.Sprint(mirror) != fmt.Sprint(want) {
				t.Errorf("mirror has %d keys, space %d, after %d gaps", len(mirror), len(want), gaps)
			}
		})
	}
}

func allOf(t *testing.T, sp *Space) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := sp.Scan(nil, nil, func(k, v []byte) bool { out[string(k)] = string(v); return true })
	if err != nil {
		t.Error(err)
	}
	return out
}
