package logring

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// texts collects what a sequence of records says, and how many were lost on the way.
func texts(seq func(func(Record) bool)) (out []string, lost uint64) {
	seq(func(rec Record) bool {
		out = append(out, rec.Text)
		lost += rec.Lost
		return true
	})
	return out, lost
}

// TestRingAgainstModel appends at random under random bounds and compares with a plain slice trimmed from the front.
func TestRingAgainstModel(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for round := range 200 {
		options := Options{Lines: 1 + random.IntN(40), Bytes: 1 + random.IntN(4000), LineBytes: 1 + random.IntN(300)}
		ring := NewRing(options)
		var model []string
		bytes := 0
		for i := range random.IntN(300) {
			text := fmt.Sprintf("%d %s", i, strings.Repeat("é", random.IntN(200)))
			ring.Append(Entry{Text: text})
			kept := cut(text, options.LineBytes)
			for len(model) > 0 && (len(model) == options.Lines || bytes+len(kept)+entryOverhead > options.Bytes) {
				bytes -= len(model[0]) + entryOverhead
				model = model[1:]
			}
			model = append(model, kept)
			bytes += len(kept) + entryOverhead
		}
		got, lost := texts(ring.Tail(time.Time{}))
		if strings.Join(got, "\n") != strings.Join(model, "\n") || lost != 0 {
			t.Fatalf("round %d, %+v: kept %d entries (%d lost), want %d", round, options, len(got), lost, len(model))
		}
		if ring.bytes != bytes {
			t.Fatalf("round %d: accounts for %d bytes, want %d", round, ring.bytes, bytes)
		}
	}
}

func TestTailSince(t *testing.T) {
	start := time.Unix(1000, 0)
	ring := NewRing(Options{})
	for i := range 10 {
		ring.Append(Entry{Time: start.Add(time.Duration(i) * time.Second), Text: fmt.Sprint(i)})
	}
	got, _ := texts(ring.Tail(start.Add(7 * time.Second)))
	if strings.Join(got, "") != "789" {
		t.Errorf("since the 7th second: %v", got)
	}
}

func TestTailEndsThoughAWriterGoesOn(t *testing.T) {
	ring := NewRing(Options{})
	ring.Append(Entry{Text: "first"})
	n := 0
	for range ring.Tail(time.Time{}) {
		n++
		ring.Append(Entry{Text: "more"})
	}
	if n != 1 {
		t.Errorf("%d entries, want the 1 that was there at the start", n)
	}
}

func TestFollowSeesOldAndNew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := NewRing(Options{})
		ring.Append(Entry{Text: "old"})
		ctx, cancel := context.WithCancel(t.Context())
		got := make(chan string) // unbuffered: the follower is as slow as the test
		go func() {
			defer close(got)
			for rec := range ring.Follow(ctx, time.Time{}) {
				got <- rec.Text
			}
		}()
		for _, want := range []string{"old", "new 1", "new 2"} {
			if want != "old" {
				ring.Append(Entry{Text: want})
			}
			if text := <-got; text != want {
				t.Errorf("got %q, want %q", text, want)
			}
		}
		synctest.Wait() // it waits for the next entry now
		cancel()
		if text, ok := <-got; ok {
			t.Errorf("got %q after the end", text)
		}
	})
}

func TestSlowFollowerIsToldWhatItLost(t *testing.T) {
	ring := NewRing(Options{Lines: 100})
	ring.Append(Entry{Text: "start"})
	var seen, lost uint64
	for rec := range ring.Follow(t.Context(), time.Time{}) {
		seen++
		lost += rec.Lost
		if rec.Text == "start" { // while it looks at this one, 500 more come
			for i := range 500 {
				ring.Append(Entry{Text: fmt.Sprint(i)})
			}
		}
		if rec.Text == "400" && rec.Lost != 400 {
			t.Errorf("the first entry after the gap says %d were lost, want 400", rec.Lost)
		}
		if rec.Text == "499" {
			break
		}
	}
	if seen != 101 || lost != 400 {
		t.Errorf("saw %d and lost %d, want 101 and 400", seen, lost)
	}
}

func TestRemoveEndsFollowersAndWriters(t *testing.T) {
	cases := map[string]func(*Log){
		"remove": func(l *Log) { l.Remove("app") },
		"close":  func(l *Log) { _ = l.Close(); _ = l.Close() },
	}
	for name, end := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log := New(Options{})
				ring := log.Ring("app")
				done := make(chan struct{})
				go func() {
					defer close(done)
					texts(ring.Follow(context.Background(), time.Time{}))
				}()
				synctest.Wait()
				end(log)
				<-done
				ring.Append(Entry{Text: "late"})
				if got, _ := texts(ring.Tail(time.Time{})); len(got) != 0 {
					t.Errorf("a removed ring keeps %v", got)
				}
				if log.Ring("app") == ring {
					t.Error("the removed ring is handed out again")
				}
			})
		})
	}
}

func TestCut(t *testing.T) {
	cases := []struct{ name, in, want string }{
		{"short", "abc", "abc"},
		{"exact", "abcd", "abcd"},
		{"long", "abcde", "abcd..."},
		{"inside a rune", "abcé", "abc..."},
		{"only continuation bytes", "\x80\x80\x80\x80\x80\x80", "..."},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if got := cut(tc.in, 4); got != tc.want {
				t.Errorf("cut(%q) = %q, want %q", tc.in, got, tc.want)
			}
		})
	}
}

// TestHammerRing has many writers and followers at once: every follower sees its writer's entries in order, and seen plus
// lost is everything.
func TestHammerRing(t *testing.T) {
	const writers, lines, followers = 4, 3000, 4
	log := New(Options{Lines: 50})
	ring := log.Ring("app")
	var readers, group sync.WaitGroup
	ready := make(chan struct{}, followers)
	ring.Append(Entry{Text: "start"})
	for range followers {
		readers.Go(func() {
			next := make(map[uint64]int)
			var total uint64
			for rec := range ring.Follow(t.Context(), time.Time{}) {
				total += 1 + rec.Lost
				if rec.Text == "start" {
					ready <- struct{}{}
					continue
				}
				if rec.Text == "end" {
					break
				}
				var n int
				if _, err := fmt.Sscan(rec.Text, &n); err != nil || n < next[rec.Invocation] {
					t.Errorf("writer %d: entry %q (%v) after %d", rec.Invocation, rec.Text, err, next[rec.Invocation]-1)
				}
				next[rec.Invocation] = n + 1
			}
			if total != writers*lines+2 {
				t.Errorf("seen and lost are %d entries, want %d", total, writers*lines+2)
			}
		})
	}
	for range followers {
		<-ready
	}
	for w := range writers {
		group.Go(func() {
			for i := range lines {
				ring.Append(Entry{Invocation: uint64(w), Text: fmt.Sprint(i)})
			}
		})
	}
	group.Wait()
	ring.Append(Entry{Text: "end"})
	readers.Wait()
}

func BenchmarkAppend(b *testing.B) {
	ring := NewRing(Options{})
	e := Entry{Time: time.Now(), Text: "a line of ordinary length that a guest may log"}
	for b.Loop() {
		ring.Append(e)
	}
}
