package kvstore

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// countingGraph counts the calls of a Graph.
type countingGraph struct{ added, ended, failed atomic.Int64 }

// Add implements Graph.
func (g *countingGraph) Add() { g.added.Add(1) }

// End implements Graph.
func (g *countingGraph) End(err error) {
	g.ended.Add(1)
	if err != nil {
		g.failed.Add(1)
	}
}

// outboxModel is what must come of the changes made: for each rule the deliveries that have not ended, in order.
type outboxModel struct {
	wait map[string][]string // by rule: "kind key"
	keys map[string]bool
}

func (m *outboxModel) change(key string, set bool) {
	fresh := !m.keys[key]
	switch {
	case set && fresh:
		m.keys[key] = true
		m.wait["r/new"] = append(m.wait["r/new"], "new "+key)
		m.wait["r/any"] = append(m.wait["r/any"], "set "+key)
	case set:
		m.wait["r/any"] = append(m.wait["r/any"], "set "+key)
	case !fresh:
		delete(m.keys, key)
		m.wait["r/any"] = append(m.wait["r/any"], "delete "+key)
	}
}

// TestOutboxModel does random writes, ends, burials and reopenings, with windows small enough to spill, and compares the order of every
// rule's deliveries with a list.
func TestOutboxModel(t *testing.T) {
	for _, d := range []Durability{Sync, Batched} {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", d, seed), func(t *testing.T) { runOutboxModel(t, d, seed) })
		}
	}
}

type outboxRun struct {
	path  string
	opts  *Options
	store *Store
	space *Space
	box   *mailbox
	held  map[string][]*Delivery // by rule: with the listener and not ended, in order
	model outboxModel
	dead  int64
}

func (r *outboxRun) open(t *testing.T, d Durability) {
	t.Helper()
	r.store, r.box, r.held = mustOpen(t, r.path, r.opts), newMailbox(), map[string][]*Delivery{}
	anything, fresh := prefixRule("r/any", "app", "", OnSet|OnDelete), prefixRule("r/new", "app", "", OnNew)
	anything.Window, fresh.Window = 5, 3
	mustRules(t, r.store, r.box, anything, fresh)
	r.space = mustSpace(t, r.store, "app", d)
}

// oldest takes the next delivery of a rule and compares it with the model.
func (r *outboxRun) oldest(t *testing.T, rule string) *Delivery {
	t.Helper()
	for len(r.held[rule]) == 0 {
		one := r.box.take(t, 1)[0]
		r.held[one.Rule] = append(r.held[one.Rule], one)
	}
	d := r.held[rule][0]
	if got := d.Kind.String() + " " + d.Key; got != r.model.wait[rule][0] {
		t.Fatalf("%s: next is %q, want %q", rule, got, r.model.wait[rule][0])
	}
	r.held[rule], r.model.wait[rule] = r.held[rule][1:], r.model.wait[rule][1:]
	return d
}

func runOutboxModel(t *testing.T, d Durability, seed uint64) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, uint64(d)))
	r := &outboxRun{
		path: filepath.Join(t.TempDir(), "kv.db"), opts: &Options{BatchDelay: time.Duration(1+rnd.IntN(8)) * time.Millisecond},
		model: outboxModel{wait: map[string][]string{}, keys: map[string]bool{}},
	}
	r.open(t, d)
	for step := range 600 {
		switch n := rnd.IntN(100); {
		case n < 2:
			if err := r.store.Close(); err != nil {
				t.Fatalf("step %d: Close: %v", step, err)
			}
			checkConsistent(t, r.path)
			r.open(t, d)
		case n < 50:
			ops := make([]Op, 1+rnd.IntN(4))
			for i := range ops {
				ops[i] = Op{Kind: OpSet, Key: fmt.Appendf(nil, "k%d", rnd.IntN(6)), Value: []byte("v")}
				if rnd.IntN(3) == 0 {
					ops[i].Kind, ops[i].Value = OpDelete, nil
				}
				r.model.change(string(ops[i].Key), ops[i].Kind == OpSet)
			}
			if _, err := r.space.Apply(t.Context(), ops); err != nil {
				t.Fatalf("step %d: Apply: %v", step, err)
			}
		default:
			rule := []string{"r/any", "r/new"}[rnd.IntN(2)]
			if len(r.model.wait[rule]) == 0 {
				continue
			}
			one := r.oldest(t, rule)
			if rnd.IntN(5) == 0 {
				r.store.Outbox().Bury(one, errors.New("given up"))
				r.dead++
			} else {
				r.store.Outbox().Done(one)
			}
		}
	}
	for rule := range r.model.wait {
		for len(r.model.wait[rule]) > 0 {
			r.store.Outbox().Done(r.oldest(t, rule))
		}
	}
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	r.open(t, d)
	for _, rule := range []string{"r/any", "r/new"} {
		if pending, _ := pendingOf(r.store, rule); pending != 0 {
			t.Errorf("%d pending of %s at the end", pending, rule)
		}
	}
	_, deadAny := pendingOf(r.store, "r/any")
	_, deadNew := pendingOf(r.store, "r/new")
	if deadAny+deadNew != r.dead {
		t.Errorf("%d dead letters, want %d", deadAny+deadNew, r.dead)
	}
}

// FuzzDelivery reads any bytes as records: none may be read that would not be written the same, and none may panic.
func FuzzDelivery(f *testing.F) {
	d := &Delivery{Rule: "a/f", ID: 7, Space: "app", Key: "k", Kind: OnNew, Time: time.Unix(1, 2), Cause: Cause{Depth: 2, Trail: []string{"a/f"}}, seq: 9}
	f.Add(recordKey("a/f", 9), d.encode())
	f.Add(recordKey("a/f", 7), encodeDead(d, time.Unix(3, 4), "broken"))
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, key, value []byte) {
		if one, rest, err := decodeDelivery(key, value); err == nil {
			again, _, err := decodeDelivery(key, one.encode())
			if err != nil || again.Key != one.Key || again.ID != one.ID || len(again.Cause.Trail) != len(one.Cause.Trail) || len(rest.rest) > len(value) {
				t.Errorf("read %+v, then %+v, %v", one, again, err)
			}
		}
		if letter, err := decodeDead(key, value); err == nil {
			again, err := decodeDead(key, encodeDead(&letter.Delivery, letter.Died, letter.Reason))
			if err != nil || len(letter.Reason) <= maxReasonBytes && again.Reason != letter.Reason {
				t.Errorf("read %+v, then %+v, %v", letter, again, err)
			}
		}
	})
}
