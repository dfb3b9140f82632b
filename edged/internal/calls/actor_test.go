package calls

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/kvstore"
)

// memory is an instance of an actor that counts.
type memory struct {
	count  int
	closed *atomic.Int64
}

func (m *memory) Close() { m.closed.Add(1) }

// actors is a world of counters; opened and closed count their instances.
type actors struct {
	*world
	opened, closed atomic.Int64
	hold           chan struct{} // "hold" waits for a value
	held           chan struct{} // and says so
}

func newActors(t *testing.T, options Options) *actors {
	t.Helper()
	store, err := kvstore.Open(filepath.Join(t.TempDir(), "kv"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	options.Store = store
	a := &actors{hold: make(chan struct{}), held: make(chan struct{}, 1)}
	a.world = newWorld(t, options, map[invoke.FunctionName]body{"counter": a.counter})
	a.declared["counter"] = Function{Actor: true}
	return a
}

// counter does what a worker does with a resident: it finds or loads the state, and saves it before it answers.
func (a *actors) counter(ctx context.Context, s *session, input []byte) ([]byte, error) {
	r := s.inv.Resident
	if r.Instance == nil {
		state, err := r.Load(ctx)
		if err != nil {
			return nil, err
		}
		m := &memory{closed: &a.closed}
		a.opened.Add(1)
		m.count, _ = strconv.Atoi(string(state))
		r.Instance = m
	}
	m := r.Instance.(*memory)
	switch string(input) {
	case "hold":
		a.held <- struct{}{}
		<-a.hold
	case "self":
		id, err := s.Actor("counter", []byte("k"))
		if err != nil {
			return nil, err
		}
		answer, err := s.Start(&hostfn.Call{Actor: id, Input: []byte("1")})
		if err != nil {
			return nil, err
		}
		return get(ctx, s, answer)
	}
	m.count++
	text := strconv.Itoa(m.count)
	return []byte(text), r.Save(ctx, []byte(text))
}

// actor returns the number of an actor.
func (a *actors) of(s *session, key string) int64 {
	a.t.Helper()
	id, err := s.Actor("counter", []byte(key))
	if err != nil {
		a.t.Fatal(err)
	}
	return id
}

func (a *actors) message(s *session, actor int64, text string) int64 {
	a.t.Helper()
	id, err := s.Start(&hostfn.Call{Actor: actor, Input: []byte(text)})
	if err != nil {
		a.t.Fatal(err)
	}
	return id
}

func TestMessagesComeInOrder(t *testing.T) {
	a := newActors(t, Options{})
	s := a.root()
	defer s.Leave()
	k := a.of(s, "k")
	if again := a.of(a.root(), "k"); again != k {
		t.Errorf("the same actor has the numbers %d and %d", k, again)
	}
	answers := make([]int64, 0, 500)
	for range cap(answers) {
		answers = append(answers, a.message(s, k, ""))
	}
	for n, id := range answers {
		if got, err := get(t.Context(), s, id); err != nil || string(got) != strconv.Itoa(n+1) {
			t.Fatalf("answer %d: %q, %v", n+1, got, err)
		}
	}
	if n := a.opened.Load(); n != 1 {
		t.Errorf("%d instances for one actor", n)
	}
}

func TestMailboxIsBounded(t *testing.T) {
	a := newActors(t, Options{})
	s := a.root()
	k := a.of(s, "k")
	first := a.message(s, k, "hold")
	<-a.held
	for range maxMailbox {
		a.message(s, k, "")
	}
	_, err := s.Start(&hostfn.Call{Actor: k})
	wantResult(t, "one message too many", err, hostfn.Limit)
	inv := &invoke.Invocation{App: "app", Function: "counter", Done: func(*invoke.Invocation, invoke.Result) {}}
	if err := a.Tell(inv, "k"); !errors.Is(err, invoke.ErrQueueFull) {
		t.Errorf("one from outside: %v", err)
	}
	a.hold <- struct{}{}
	if _, err := get(t.Context(), s, first); err != nil {
		t.Error(err)
	}
	s.Leave()
	a.live.Wait()
}

// TestWaitForAMessageBehind: an actor that waits for a message to itself would wait for ever.
func TestWaitForAMessageBehind(t *testing.T) {
	a := newActors(t, Options{})
	s := a.root()
	_, err := get(t.Context(), s, a.message(s, a.of(s, "k"), "self"))
	wantResult(t, "a message to itself", err, hostfn.Conflict)
	answer := make(chan invoke.Result, 1)
	inv := &invoke.Invocation{
		App: "app", Function: "counter", Target: target{"app", "counter"}, Request: invoke.Request{Body: []byte("self")},
		Done: func(_ *invoke.Invocation, r invoke.Result) { answer <- r },
	}
	if err := a.Tell(inv, "k"); err != nil {
		t.Fatal(err)
	}
	wantResult(t, "from outside", (<-answer).Err, hostfn.Conflict)
	a.live.Wait()
}

func TestCancelledMessageIsLeftOut(t *testing.T) {
	a := newActors(t, Options{})
	s := a.root()
	k := a.of(s, "k")
	a.message(s, k, "hold")
	<-a.held
	out := a.message(s, k, "")
	last := a.message(s, k, "")
	if err := s.Cancel(out); err != nil {
		t.Fatal(err)
	}
	a.hold <- struct{}{}
	if got, err := get(t.Context(), s, last); err != nil || string(got) != "2" {
		t.Errorf("the message behind it: %q, %v", got, err)
	}
}

// TestPassivation: an actor that has had no message for a while gives its instance up, and goes on from its state; so does the
// one that has rested longest when there are too many.
func TestPassivation(t *testing.T) {
	const most = 4
	a := newActors(t, Options{Residents: most})
	s := a.root()
	for round := range 3 {
		for n := range 3 * most {
			key := fmt.Sprint(n)
			if got, err := get(t.Context(), s, a.message(s, a.of(s, key), "")); err != nil || string(got) != strconv.Itoa(round+1) {
				t.Fatalf("round %d, actor %d: %q, %v", round, n, got, err)
			}
			a.live.Wait()
			if live := a.opened.Load() - a.closed.Load(); live > most {
				t.Fatalf("%d instances, want %d at most", live, most)
			}
		}
	}
	a.mu.Lock()
	for one := range a.residents() {
		one.seen = time.Now().Add(-passivate)
	}
	a.mu.Unlock()
	a.rest()
	if live := a.opened.Load() - a.closed.Load(); live != 0 {
		t.Errorf("%d instances after a rest", live)
	}
}

func TestActorsThatAreNone(t *testing.T) {
	a := newActors(t, Options{})
	a.functions["echo"] = echo
	s := a.root()
	_, err := s.Actor("echo", []byte("k"))
	wantResult(t, "a function that is no class", err, hostfn.Invalid)
	_, err = s.Actor("nobody", []byte("k"))
	wantResult(t, "no function", err, hostfn.NotFound)
	_, err = s.Actor("counter", make([]byte, maxActorKey+1))
	wantResult(t, "a key that is too long", err, hostfn.Invalid)
	_, err = s.Start(&hostfn.Call{Function: "counter"})
	wantResult(t, "a class that is called as a function", err, hostfn.Invalid)
	_, err = s.Start(&hostfn.Call{Actor: 12345})
	wantResult(t, "no such actor", err, hostfn.NotFound)
}

// TestActorsAreForgotten: numbers of actors that rest make room for others.
func TestActorsAreForgotten(t *testing.T) {
	a := newActors(t, Options{Objects: 10})
	s := a.root()
	for n := range 100 {
		a.of(s, fmt.Sprint(n))
	}
	if n := len(a.apps["app"].actors); n != 10 {
		t.Errorf("%d actors are known, want 10", n)
	}
}
