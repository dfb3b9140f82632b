package kvstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

// mailbox is a Listener that keeps what it gets.
type mailbox struct {
	mu   sync.Mutex
	list []*Delivery // guarded by mu
	came chan struct{}
}

func newMailbox() *mailbox { return &mailbox{came: make(chan struct{}, 1)} }

// Cause implements Listener: an origin is a Cause, or the depth of one.
func (m *mailbox) Cause(origin any) Cause {
	switch o := origin.(type) {
	case Cause:
		return o
	case int:
		return Cause{Depth: o}
	}
	return Cause{}
}

// Deliver implements Listener.
func (m *mailbox) Deliver(list []*Delivery) {
	m.mu.Lock()
	m.list = append(m.list, list...)
	m.mu.Unlock()
	select {
	case m.came <- struct{}{}:
	default:
	}
}

// take waits for n deliveries and removes them.
func (m *mailbox) take(tb testing.TB, n int) []*Delivery {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), 20*time.Second)
	defer cancel()
	for {
		m.mu.Lock()
		if len(m.list) >= n {
			taken := slices.Clone(m.list[:n])
			m.list = slices.Delete(m.list, 0, n)
			m.mu.Unlock()
			return taken
		}
		got := len(m.list)
		m.mu.Unlock()
		select {
		case <-m.came:
		case <-ctx.Done():
			tb.Fatalf("%d deliveries, want %d", got, n)
		}
	}
}

func (m *mailbox) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.list)
}

func prefixRule(id, space, prefix string, kinds Kinds) Rule {
	return Rule{ID: id, Space: space, Kinds: kinds, Match: func(key []byte) bool { return bytes.HasPrefix(key, []byte(prefix)) }}
}

func mustRules(tb testing.TB, s *Store, m *mailbox, rules ...Rule) {
	tb.Helper()
	if err := s.Outbox().SetRules(rules, m); err != nil {
		tb.Fatalf("SetRules: %v", err)
	}
}

func names(list []*Delivery) (out []string) {
	for _, d := range list {
		out = append(out, d.Kind.String()+" "+d.Key)
	}
	return out
}

func wantNames(tb testing.TB, what string, list []*Delivery, want ...string) {
	tb.Helper()
	if got := names(list); !slices.Equal(got, want) {
		tb.Errorf("%s: %q, want %q", what, got, want)
	}
}

func pendingOf(s *Store, rule string) (pending, dead int64) {
	for _, st := range s.Outbox().Stats() {
		if st.Rule == rule {
			return st.Pending, st.Dead
		}
	}
	return 0, 0
}

// settle brings to disk what has become of deliveries.
func settle(t *testing.T, s *Store) {
	t.Helper()
	for left := 1; left > 0; {
		if err := s.commit.admin(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		s.Outbox().mu.Lock()
		left = s.Outbox().settling
		s.Outbox().mu.Unlock()
	}
}

func TestDeliveries(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			s, m := newStore(t, nil), newMailbox()
			sp := mustSpace(t, s, "app", d)
			mustSet(t, sp, "in/old", "1")
			mustRules(t, s, m, prefixRule("app/all", "app", "in/", OnSet|OnDelete), prefixRule("app/new", "app", "in/", OnNew),
				prefixRule("app/other", "other", "", OnSet))
			mustSet(t, sp, "in/old", "2")
			mustSet(t, sp, "in/a", "1")
			mustSet(t, sp, "out", "1")
			_, err := sp.By(7).Apply(t.Context(), []Op{
				{Kind: OpSet, Key: []byte("in/b"), Value: []byte("x")},
				{Kind: OpDelete, Key: []byte("in/b")},
				{Kind: OpDelete, Key: []byte("in/none")},
				{Kind: OpCompareAndSwap, Key: []byte("in/c"), Value: []byte("y")},
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := sp.Silent().Set(t.Context(), []byte("in/silent"), nil); err != nil {
				t.Fatal(err)
			}
			list := m.take(t, 8)
			all := slices.DeleteFunc(slices.Clone(list), func(d *Delivery) bool { return d.Rule != "app/all" })
			fresh := slices.DeleteFunc(slices.Clone(list), func(d *Delivery) bool { return d.Rule != "app/new" })
			wantNames(t, "all", all, "set in/old", "set in/a", "set in/b", "delete in/b", "set in/c")
			wantNames(t, "new", fresh, "new in/a", "new in/b", "new in/c")
			for i, d := range list {
				if i > 0 && d.ID <= list[i-1].ID {
					t.Errorf("ID %d behind %d", d.ID, list[i-1].ID)
				}
				if depth := map[bool]int{true: 7}[strings.ContainsAny(d.Key, "bc")]; d.Cause.Depth != depth || d.Space != "app" || d.Time.IsZero() {
					t.Errorf("delivery %+v", d)
				}
				s.Outbox().Done(d)
				s.Outbox().Done(d) // twice is once
			}
			for _, rule := range []string{"app/all", "app/new"} {
				if pending, _ := pendingOf(s, rule); pending != 0 {
					t.Errorf("%d pending of %s", pending, rule)
				}
			}
			if m.count() != 0 {
				t.Errorf("%d deliveries too many", m.count())
			}
		})
	}
}

// TestDeliveriesAgain closes the store with deliveries in all states: what was not done comes again, with its ID and its attempts.
func TestDeliveriesAgain(t *testing.T) {
	for _, d := range []Durability{Sync, Batched} {
		t.Run(d.String(), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kv.db")
			s, m := mustOpen(t, path, nil), newMailbox()
			mustRules(t, s, m, prefixRule("app/f", "app", "", OnSet))
			sp := mustSpace(t, s, "app", d)
			cause := Cause{Depth: 3, Trail: []string{"app/x", "app/y"}}
			for _, key := range []string{"a", "b", "c"} {
				if err := sp.By(cause).Set(t.Context(), []byte(key), []byte("v")); err != nil {
					t.Fatal(err)
				}
			}
			first := m.take(t, 3)
			s.Outbox().Done(first[0])
			s.Outbox().Failed(first[1])
			s.Outbox().Failed(first[1])
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			checkConsistent(t, path)
			s, m = mustOpen(t, path, nil), newMailbox()
			if pending, _ := pendingOf(s, "app/f"); pending != 2 {
				t.Errorf("%d pending after a restart", pending)
			}
			mustRules(t, s, m, prefixRule("app/f", "app", "", OnSet))
			mustSet(t, mustSpace(t, s, "app", d), "d", "v")
			again := m.take(t, 3)
			wantNames(t, "again", again, "set b", "set c", "set d")
			if again[0].ID != first[1].ID || again[0].Attempts != 2 || again[1].Attempts != 0 || again[0].Cause.Depth != 3 ||
				!slices.Equal(again[0].Cause.Trail, cause.Trail) || !again[0].Time.Equal(first[1].Time) {
				t.Errorf("again %+v, first %+v", again[0], first[1])
			}
			if again[2].ID <= first[2].ID {
				t.Errorf("ID %d after a restart, %d was given out before", again[2].ID, first[2].ID)
			}
		})
	}
}

// TestWindow has more deliveries than the listener may have at once: they wait in the file and come in order.
func TestWindow(t *testing.T) {
	for _, d := range []Durability{Sync, Batched} {
		t.Run(d.String(), func(t *testing.T) {
			s, m := newStore(t, &Options{BatchDelay: time.Millisecond}), newMailbox()
			rule := prefixRule("app/f", "app", "", OnSet)
			rule.Window = 8
			mustRules(t, s, m, rule)
			sp := mustSpace(t, s, "app", d)
			for i := range 100 {
				mustSet(t, sp, fmt.Sprintf("%03d", i), "v")
			}
			if n := m.count(); n != 8 {
				t.Errorf("%d deliveries with the listener, want 8", n)
			}
			graph := &countingGraph{}
			if err := sp.By(Cause{Graph: graph}).Set(t.Context(), []byte("last"), nil); err != nil {
				t.Fatal(err)
			}
			for i := range 101 {
				one := m.take(t, 1)[0]
				if want := fmt.Sprintf("%03d", i); i < 100 && one.Key != want {
					t.Fatalf("delivery %d is %s", i, one.Key)
				}
				s.Outbox().Done(one)
			}
			if graph.added.Load() != 1 || graph.ended.Load() != 1 {
				t.Errorf("the graph of a delivery that waited in the file: %d added, %d ended", graph.added.Load(), graph.ended.Load())
			}
			mustSet(t, sp, "direct", "v")
			s.Outbox().Done(m.take(t, 1)[0])
			if pending, _ := pendingOf(s, "app/f"); pending != 0 {
				t.Errorf("%d pending", pending)
			}
		})
	}
}

func TestBacklogLimit(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			s, m := newStore(t, nil), newMailbox()
			rule := prefixRule("app/f", "app", "in/", OnSet)
			rule.Limit = 3
			mustRules(t, s, m, rule)
			sp := mustSpace(t, s, "app", d)
			ops := []Op{{Kind: OpSet, Key: []byte("in/1")}, {Kind: OpSet, Key: []byte("in/2")}}
			if _, err := sp.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
			_, err := sp.Apply(t.Context(), []Op{{Kind: OpSet, Key: []byte("in/3")}, {Kind: OpSet, Key: []byte("in/4")}})
			wantErr(t, "one too many", err, ErrBacklog)
			wantAbsent(t, sp, "in/3")
			mustSet(t, sp, "out", "v")
			mustSet(t, sp, "in/5", "v")
			wantErr(t, "full", sp.Set(t.Context(), []byte("in/6"), nil), ErrBacklog)
			s.Outbox().Done(m.take(t, 1)[0])
			mustSet(t, sp, "in/7", "v")
		})
	}
}

func TestDeadLetters(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) { runDeadLetters(t, d) })
	}
}

func runDeadLetters(t *testing.T, d Durability) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "kv.db")
	s, m := mustOpen(t, path, nil), newMailbox()
	rule := prefixRule("app/f", "app", "", OnSet)
	mustRules(t, s, m, rule)
	sp := mustSpace(t, s, "app", d)
	graph := &countingGraph{}
	for _, key := range []string{"a", "b", "c"} {
		if err := sp.By(Cause{Graph: graph}).Set(t.Context(), []byte(key), nil); err != nil {
			t.Fatal(err)
		}
	}
	list := m.take(t, 3)
	for _, one := range list {
		s.Outbox().Failed(one)
		s.Outbox().Bury(one, errors.New("broken "+one.Key))
	}
	if graph.ended.Load() != 3 || graph.failed.Load() != 3 {
		t.Errorf("graph: %d ended, %d with an error", graph.ended.Load(), graph.failed.Load())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, m = mustOpen(t, path, nil), newMailbox()
	o := s.Outbox()
	if pending, dead := pendingOf(s, "app/f"); pending != 0 || dead != 3 {
		t.Errorf("%d pending, %d dead", pending, dead)
	}
	letters, err := o.DeadLetters(nil, 2)
	if err != nil || len(letters) != 2 || letters[1].Key != "b" || letters[1].Reason != "broken b" || letters[1].Attempts != 1 || letters[1].Died.IsZero() {
		t.Fatalf("dead letters %+v, %v", letters, err)
	}
	rest, err := o.DeadLetters(letters[1], 10)
	if err != nil || len(rest) != 1 || rest[0].Key != "c" {
		t.Fatalf("the rest: %+v, %v", rest, err)
	}
	if err := o.Replay(t.Context(), letters[0].ID); err == nil || !strings.Contains(err.Error(), "deploy") {
		t.Errorf("replay without a rule: %v", err)
	}
	mustRules(t, s, m, rule)
	if err := o.Replay(t.Context(), letters[0].ID); err != nil {
		t.Errorf("replay: %v", err)
	}
	one := m.take(t, 1)[0]
	if one.Key != "a" || one.ID != letters[0].ID || one.Attempts != 0 {
		t.Errorf("replayed %+v", one)
	}
	o.Done(one)
	wantErr(t, "replay again", o.Replay(t.Context(), letters[0].ID), ErrNoDelivery)
	if err := o.DropDead(t.Context(), letters[1].ID); err != nil {
		t.Errorf("drop: %v", err)
	}
	wantErr(t, "drop again", o.DropDead(t.Context(), letters[1].ID), ErrNoDelivery)
	if letter, err := o.DeadLetter(rest[0].ID); err != nil || letter.Key != "c" {
		t.Errorf("the last one: %+v, %v", letter, err)
	}
	if _, dead := pendingOf(s, "app/f"); dead != 1 {
		t.Errorf("%d dead", dead)
	}
}

func TestAbandon(t *testing.T) {
	s, m := newStore(t, nil), newMailbox()
	rule := prefixRule("app/f", "app", "", OnSet)
	rule.Window = 4
	mustRules(t, s, m, rule, prefixRule("app/f2", "app", "", OnDelete))
	sp := mustSpace(t, s, "app", Batched)
	for i := range abandonStep + 10 {
		mustSet(t, sp, fmt.Sprint(i), "v")
	}
	done := m.take(t, 4)
	for _, d := range done[:3] {
		s.Outbox().Done(d)
	}
	if err := s.Outbox().Abandon(t.Context(), "app/f", errors.New("removed")); err != nil {
		t.Fatal(err)
	}
	if _, dead := pendingOf(s, "app/f"); dead != 0 {
		t.Errorf("%d dead while the rule holds", dead)
	}
	mustRules(t, s, m)
	for _, d := range m.take(t, m.count()) {
		s.Outbox().Bury(d, errors.New("removed"))
	}
	s.Outbox().Bury(done[3], errors.New("removed"))
	if err := s.Outbox().Abandon(t.Context(), "app/f", errors.New("removed")); err != nil {
		t.Fatal(err)
	}
	if pending, dead := pendingOf(s, "app/f"); pending != 0 || dead != abandonStep+7 {
		t.Errorf("%d pending, %d dead; want 0 and %d", pending, dead, abandonStep+7)
	}
}

func TestDeadLetterLimit(t *testing.T) {
	s, m := newStore(t, nil), newMailbox()
	mustRules(t, s, m, prefixRule("app/f", "app", "", OnSet))
	sp := mustSpace(t, s, "app", Memory)
	for range DeadLimit/1000 + 1 {
		ops := make([]Op, 1000)
		for i := range ops {
			ops[i] = Op{Kind: OpSet, Key: fmt.Append(nil, i)}
		}
		if _, err := sp.Apply(t.Context(), ops); err != nil {
			t.Fatal(err)
		}
		for _, d := range m.take(t, len(ops)) {
			s.Outbox().Bury(d, errors.New("broken"))
		}
	}
	settle(t, s)
	if _, dead := pendingOf(s, "app/f"); dead != DeadLimit {
		t.Errorf("%d dead letters are kept, want %d", dead, DeadLimit)
	}
	letters, err := s.Outbox().DeadLetters(nil, DeadLimit+10)
	if err != nil || len(letters) != DeadLimit {
		t.Errorf("%d letters, %v", len(letters), err)
	}
}

// TestDropSpaceWithDeliveries drops a space whose changes are not on disk: what the listener has goes on, the rest goes with them.
func TestDropSpaceWithDeliveries(t *testing.T) {
	s, m := newStore(t, &Options{BatchDelay: time.Hour}), newMailbox()
	rule := prefixRule("app/f", "app", "", OnSet)
	rule.Window = 2
	mustRules(t, s, m, rule)
	sp := mustSpace(t, s, "app", Batched)
	for i := range 10 {
		mustSet(t, sp, fmt.Sprint(i), "v")
	}
	if err := s.Drop("app"); err != nil {
		t.Fatal(err)
	}
	for _, d := range m.take(t, 2) {
		s.Outbox().Done(d)
	}
	if pending, _ := pendingOf(s, "app/f"); pending != 0 || m.count() != 0 {
		t.Errorf("%d pending, %d delivered", pending, m.count())
	}
	mustSet(t, mustSpace(t, s, "app", Sync), "again", "v")
	wantNames(t, "the new space", m.take(t, 1), "set again")
}

// TestImportTriggersNothing: an import puts a state back, it is no news.
func TestImportTriggersNothing(t *testing.T) {
	s, m := newStore(t, nil), newMailbox()
	mustSet(t, mustSpace(t, s, "app", Sync), "a", "v")
	var out bytes.Buffer
	if _, err := s.Export(t.Context(), &out, "app"); err != nil {
		t.Fatal(err)
	}
	mustRules(t, s, m, prefixRule("app/f", "app", "", OnSet))
	if _, err := s.Import(t.Context(), &out, "app"); err != nil {
		t.Fatal(err)
	}
	if m.count() != 0 {
		t.Error("an import was delivered")
	}
}

// TestDamagedDelivery changes a record in the file: the others come, and a dead letter tells of it.
func TestDamagedDelivery(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	s, m := mustOpen(t, path, nil), newMailbox()
	rule := prefixRule("app/f", "app", "", OnSet)
	mustRules(t, s, m, rule)
	for _, key := range []string{"a", "b"} {
		mustSet(t, mustSpace(t, s, "app", Sync), key, "v")
	}
	bad := m.take(t, 2)[0]
	if err := s.commit.admin(t.Context(), func(tx *bbolt.Tx) error {
		key := recordKey(bad.Rule, bad.seq)
		rec := bytes.Clone(tx.Bucket([]byte(eventsBucket)).Get(key))
		rec[len(rec)-1] ^= 1
		return tx.Bucket([]byte(eventsBucket)).Put(key, rec)
	}); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s, m = mustOpen(t, path, nil), newMailbox()
	res, err := s.Scrub(t.Context(), nil)
	if err != nil || res.Corrupt != 1 {
		t.Errorf("scrub finds %d damaged records, %v", res.Corrupt, err)
	}
	mustRules(t, s, m, rule)
	wantNames(t, "the other", m.take(t, 1), "set b")
	settle(t, s)
	letters, err := s.Outbox().DeadLetters(nil, 10)
	if err != nil || len(letters) != 1 || !strings.Contains(letters[0].Reason, "damaged") {
		t.Errorf("dead letters %+v, %v", letters, err)
	}
}

func TestBadRules(t *testing.T) {
	s, m := newStore(t, nil), newMailbox()
	good := prefixRule("a", "app", "", OnSet)
	for name, rules := range map[string][]Rule{
		"no ID": {prefixRule("", "app", "", OnSet)}, "NUL": {prefixRule("a\x00b", "app", "", OnSet)},
		"space": {prefixRule("a", "/events", "", OnSet)}, "kinds": {prefixRule("a", "app", "", 0)}, "twice": {good, good},
		"long": {prefixRule(strings.Repeat("a", MaxRuleBytes+1), "app", "", OnSet)}, "match": {{ID: "a", Space: "app", Kinds: OnSet}},
	} {
		if err := s.Outbox().SetRules(rules, m); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
