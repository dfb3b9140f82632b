package kvtrigger_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger/kvtrigger"
	"edged.dev/edge/kvstore"
	"edged.dev/edge/kvstore/keypattern"
)

// rig is a dispatcher over a real store, with a scheduler that the test plays.
type rig struct {
	t     *testing.T
	store *kvstore.Store
	space *kvstore.Space
	p     *kvtrigger.Dispatcher
	came  chan *invoke.Invocation // what was submitted

	mu     sync.Mutex
	refuse error // guarded by mu; what Submit answers instead
}

// Submit implements trigger.Submitter.
func (r *rig) Submit(inv *invoke.Invocation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return r.refuse
	}
	if err := inv.Cause.Check(inv.App, inv.Function); err != nil {
		return err
	}
	r.came <- inv
	return nil
}

func (r *rig) refusing(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse = err
}

func newRig(t *testing.T) *rig {
	t.Helper()
	store, err := kvstore.Open(t.TempDir()+"/kv.db", nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, store: store, came: make(chan *invoke.Invocation, 4096)}
	if r.space, err = store.Space("app", kvstore.Batched); err != nil {
		t.Fatal(err)
	}
	r.p = kvtrigger.New(kvtrigger.Options{
		Outbox: store.Outbox(), Submitter: r, Find: func(*invoke.Invocation) error { return nil }, IDs: new(atomic.Uint64),
		Observe: func(*invoke.Invocation, invoke.Result) {}, Lag: func(time.Duration) {}, Logger: slog.New(slog.DiscardHandler),
		Retire: func(id string) {
			if err := store.Outbox().Abandon(context.Background(), id, errors.New("removed")); err != nil {
				t.Error(err)
			}
		},
	})
	t.Cleanup(func() {
		if err := errors.Join(r.p.Close(), r.p.Close(), store.Close()); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *rig) trigger(pattern string, retries int) kvtrigger.Trigger {
	r.t.Helper()
	p, err := keypattern.Parse(pattern)
	if err != nil {
		r.t.Fatal(err)
	}
	return kvtrigger.Trigger{
		ID: kvtrigger.ID("app", "f", "app", pattern), App: "app", Function: "f", Space: "app", Pattern: p,
		Kinds: kvstore.OnSet | kvstore.OnDelete, Retries: retries, Backoff: time.Millisecond,
	}
}

func (r *rig) set(keys ...string) {
	r.t.Helper()
	for _, key := range keys {
		if err := r.space.Set(r.t.Context(), []byte(key), nil); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *rig) triggers(list ...kvtrigger.Trigger) {
	r.t.Helper()
	if err := r.p.Set(list); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) take() *invoke.Invocation {
	r.t.Helper()
	select {
	case inv := <-r.came:
		return inv
	case <-time.After(20 * time.Second):
		r.t.Fatal("nothing was submitted")
		return nil
	}
}

// counts returns what waits and what is dead of all triggers.
func (r *rig) counts() (pending, dead int64) {
	for _, st := range r.store.Outbox().Stats() {
		pending, dead = pending+st.Pending, dead+st.Dead
	}
	return pending, dead
}

// letters waits until there are n dead letters and returns them.
func (r *rig) letters(n int) []*kvstore.DeadLetter {
	r.t.Helper()
	for limit := time.Now().Add(20 * time.Second); ; {
		// A commit may be seen before its end, so the counts are looked at too.
		_, dead := r.counts()
		if err := r.space.Set(r.t.Context(), []byte("tick"), nil); err != nil { // so that something is committed
			r.t.Fatal(err)
		}
		list, err := r.store.Outbox().DeadLetters(nil, 100)
		if err != nil {
			r.t.Fatal(err)
		}
		if len(list) >= n && dead >= int64(n) {
			return list
		}
		if time.Now().After(limit) {
			r.t.Fatalf("%d dead letters, want %d", len(list), n)
		}
	}
}

func TestInvocationOfAnEvent(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("in/{user}/{}", 0))
	writer := &invoke.Invocation{App: "app", Function: "w", Cause: invoke.Cause{Depth: 4, Trail: []string{"app/v"}, Graph: invoke.NewGraph()}}
	if err := r.space.By(writer).Set(t.Context(), []byte("in/ann/7"), nil); err != nil {
		t.Fatal(err)
	}
	inv := r.take()
	if inv.Source != invoke.SourceKV || inv.Request.Params["user"] != "ann" || inv.Request.Params["1"] != "7" || inv.Request.Path != "/app/f" {
		t.Errorf("invocation %+v", inv)
	}
	if c := inv.Cause; c.Depth != 5 || c.Base != 5 || !slices.Equal(c.Trail, []string{"app/v", "app/w"}) || c.Graph != writer.Cause.Graph {
		t.Errorf("cause %+v", c)
	}
	if e := inv.Event; e.Key != "in/ann/7" || e.Space != "app" || e.Kind != "set" || e.Attempt != 1 || len(e.ID) != 16 {
		t.Errorf("event %+v", e)
	}
	inv.Done(inv, invoke.Result{})
	if n := writer.Cause.Graph.Pending(); n != 1 {
		t.Errorf("%d parts of the graph pend, want the root only", n)
	}
}

// TestOneAtATime changes two keys: the events of each come one after the other, those of the other meanwhile.
func TestOneAtATime(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("k{}", 0))
	r.set("ka", "ka", "kb", "ka")
	first, other := r.take(), r.take()
	if first.Event.Key != "ka" || other.Event.Key != "kb" || len(r.came) != 0 {
		t.Fatalf("first %v, then %v, and %d more", first.Event, other.Event, len(r.came))
	}
	last := first.Event.ID
	for range 2 {
		first.Done(first, invoke.Result{})
		if first = r.take(); first.Event.Key != "ka" || first.Event.ID <= last {
			t.Fatalf("next is %v behind %s", first.Event, last)
		}
		last = first.Event.ID
	}
	first.Done(first, invoke.Result{})
	other.Done(other, invoke.Result{})
	if pending, _ := r.counts(); pending != 0 {
		t.Errorf("%d pending", pending)
	}
}

func TestRetries(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("k", 2))
	r.set("k")
	id := ""
	for attempt, result := range []invoke.Result{
		{Err: &invoke.Error{Kind: invoke.ErrGuest, Detail: "broken"}}, {Status: 503, Body: []byte("later")}, {Status: 429},
	} {
		inv := r.take()
		if inv.Event.Attempt != attempt+1 || id != "" && inv.Event.ID != id {
			t.Errorf("attempt %d: %+v", attempt+1, inv.Event)
		}
		id = inv.Event.ID
		inv.Done(inv, result)
	}
	list := r.letters(1)
	if kvtrigger.EventID(list[0].ID) != id || list[0].Attempts != 3 || !strings.Contains(list[0].Reason, "429") {
		t.Errorf("dead letter %+v", list[0])
	}
	st := r.p.Stats()[0]
	if st.Counts != [3]uint64{0, 2, 1} || st.InFlight != 0 || st.Waiting != 0 {
		t.Errorf("counts %v, in flight %d, waiting %d", st.Counts, st.InFlight, st.Waiting)
	}
}

// TestRefusalsAreNoAttempts: a full queue, before or after admission, says nothing of the event.
func TestRefusalsAreNoAttempts(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("k", 0))
	r.refusing(&invoke.Error{Kind: invoke.ErrQueueFull})
	r.set("k")
	r.refusing(nil)
	for range 3 {
		inv := r.take()
		if inv.Event.Attempt != 1 {
			t.Errorf("attempt %d", inv.Event.Attempt)
		}
		inv.Done(inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrQueueFull}})
	}
	inv := r.take()
	inv.Done(inv, invoke.Result{})
	if pending, dead := r.counts(); pending != 0 || dead != 0 {
		t.Errorf("%d pending, %d dead", pending, dead)
	}
}

func TestCycleEndsAsDeadLetter(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("k", 5))
	writer := &invoke.Invocation{App: "app", Function: "g", Cause: invoke.Cause{Depth: invoke.MaxEventDepth, Trail: []string{"app/f"}}}
	if err := r.space.By(writer).Set(t.Context(), []byte("k"), nil); err != nil {
		t.Fatal(err)
	}
	if reason := r.letters(1)[0].Reason; !strings.Contains(reason, "app/f -> app/g -> app/f") {
		t.Errorf("reason %q does not show the cycle", reason)
	}
}

// TestManyAtOnce bounds what is in flight.
func TestManyAtOnce(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("k{}", 0))
	for n := range 300 {
		r.set(fmt.Sprintf("k%d", n))
	}
	for range 300 {
		inv := r.take()
		if n := r.p.Stats()[0].InFlight; n > 64 {
			t.Fatalf("%d in flight", n)
		}
		inv.Done(inv, invoke.Result{})
	}
}

// TestRemovedTrigger removes a trigger with an event in flight and others behind: what ends well is done, the rest are dead letters.
func TestRemovedTrigger(t *testing.T) {
	r := newRig(t)
	r.triggers(r.trigger("k", 5))
	r.set("k", "k", "k")
	inv := r.take()
	r.triggers()
	r.set("k") // matches nothing any more
	inv.Done(inv, invoke.Result{})
	if list := r.letters(2); len(list) != 2 || !strings.Contains(list[0].Reason, "not there any more") {
		t.Errorf("%d dead letters, the first %+v", len(list), list[0])
	}
	r.triggers(r.trigger("k", 5))
	r.set("k")
	inv = r.take()
	inv.Done(inv, invoke.Result{})
	if pending, _ := r.counts(); pending != 0 {
		t.Errorf("%d pending", pending)
	}
}

func TestID(t *testing.T) {
	id := kvtrigger.ID("app", "f", "space", "k{}")
	if app, fn := kvtrigger.SplitID(id); app != "app" || fn != "f" {
		t.Errorf("%q is of %s/%s", id, app, fn)
	}
	if id == kvtrigger.ID("app", "f", "other", "k{}") || id != kvtrigger.ID("app", "f", "space", "k{}") {
		t.Error("IDs do not tell triggers apart, or not always the same")
	}
	if app, fn := kvtrigger.SplitID("nothing/else"); app != "" || fn != "" {
		t.Errorf("%q/%q of no ID", app, fn)
	}
}

// FuzzEventID reads any text: what is read is what is written.
func FuzzEventID(f *testing.F) {
	f.Add(kvtrigger.EventID(1 << 40))
	f.Add("+00000000000001f")
	f.Fuzz(func(t *testing.T, text string) {
		if id, ok := kvtrigger.ParseEventID(text); ok && !strings.EqualFold(kvtrigger.EventID(id), text) {
			t.Errorf("%q is read as %x", text, id)
		}
		kvtrigger.SplitID(text)
	})
}
