package kvstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// TestHammerOutbox has many writers in all classes, many that end deliveries, some that replay what died, and rules that are set again and
// again. In the end every change was delivered, once for each rule and in order, and nothing waits.
func TestHammerOutbox(t *testing.T) {
	const writers, writes = 8, 150
	s, m := newStore(t, &Options{BatchDelay: time.Millisecond}), newMailbox()
	rules := make([]Rule, 0, len(allClasses))
	for _, d := range allClasses {
		r := prefixRule("app/"+d.String(), d.String(), "", OnSet)
		r.Window = 16
		rules = append(rules, r)
	}
	mustRules(t, s, m, rules...)
	var working, ending sync.WaitGroup
	for _, d := range allClasses {
		sp := mustSpace(t, s, d.String(), d)
		for w := range writers {
			working.Go(func() {
				for n := range writes {
					if err := sp.Set(t.Context(), fmt.Appendf(nil, "%d/%d", w, n), nil); err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	working.Go(func() {
		for range 50 {
			if err := s.Outbox().SetRules(rules, m); err != nil {
				t.Error(err)
			}
		}
	})
	got := &orders{last: map[string]int{}, dead: map[uint64]bool{}}
	ended := make(chan struct{}) // closed when all were delivered
	for range 4 {
		ending.Go(func() { got.end(t, s, m, ended) })
	}
	working.Wait()
	want := writers * writes * len(allClasses)
	got.await(t, s, want)
	close(ended)
	ending.Wait()
	for _, st := range s.Outbox().Stats() {
		if st.Pending != 0 || st.Loaded != 0 {
			t.Errorf("%s: %d pending, %d loaded", st.Rule, st.Pending, st.Loaded)
		}
	}
}

// orders notes what was delivered. Deliveries are taken one by one under its lock, so that their order is the mailbox's.
type orders struct {
	mu   sync.Mutex
	last map[string]int  // guarded by mu; by rule and writer: the number of the last write
	done int             // guarded by mu
	dead map[uint64]bool // guarded by mu; buried once
}

// end ends deliveries until ended is closed. One in ten is buried first; it has to come again by a replay.
func (o *orders) end(t *testing.T, s *Store, m *mailbox, ended <-chan struct{}) {
	t.Helper()
	for {
		select {
		case <-ended:
			return
		case <-m.came:
		case <-time.After(time.Millisecond): // another one has taken the sign
		}
		for d := o.take(t, m); d != nil; d = o.take(t, m) {
			o.mu.Lock()
			again := o.dead[d.ID]
			bury := !again && rand.IntN(10) == 0
			o.dead[d.ID] = bury
			if !bury {
				o.done++
			}
			o.mu.Unlock()
			if bury {
				s.Outbox().Bury(d, errors.New("not yet"))
			} else {
				s.Outbox().Done(d)
			}
		}
	}
}

// take takes the next delivery and checks its place among those of its writer.
func (o *orders) take(t *testing.T, m *mailbox) *Delivery {
	t.Helper()
	o.mu.Lock()
	defer o.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.list) == 0 {
		return nil
	}
	d := m.list[0]
	m.list = m.list[1:]
	var writer, n int
	if _, err := fmt.Sscanf(d.Key, "%d/%d", &writer, &n); err != nil {
		t.Error(err)
	}
	if _, seen := o.dead[d.ID]; !seen { // else it was replayed, behind others
		of := fmt.Sprint(d.Rule, " ", writer)
		if n != o.last[of] {
			t.Errorf("%s: write %d is delivered, %d is next", of, n, o.last[of])
		}
		o.last[of] = n + 1
	}
	return d
}

// await replays what is dead until everything was done.
func (o *orders) await(t *testing.T, s *Store, want int) {
	t.Helper()
	for limit := time.Now().Add(time.Minute); ; {
		settle(t, s)
		letters, err := s.Outbox().DeadLetters(nil, 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, letter := range letters {
			if err := s.Outbox().Replay(t.Context(), letter.ID); err != nil {
				t.Error(err)
			}
		}
		o.mu.Lock()
		done := o.done
		o.mu.Unlock()
		if done == want {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("%d done, want %d", done, want)
		}
	}
}
