package calls

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

func TestCallAndItsResult(t *testing.T) {
	w := newWorld(t, Options{}, map[invoke.FunctionName]body{"echo": echo, "fail": func(context.Context, *session, []byte) ([]byte, error) {
		return nil, &invoke.Error{Kind: invoke.ErrGuest, Detail: "it broke"}
	}})
	s := w.root()
	defer s.Leave()
	got, err := get(t.Context(), s, w.start(s, "echo", "hello"))
	if err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	_, err = get(t.Context(), s, w.start(s, "fail", ""))
	wantResult(t, "a callee that fails", err, hostfn.Internal)
	_, err = s.Start(&hostfn.Call{Function: "nobody"})
	wantResult(t, "an unknown function", err, hostfn.NotFound)
	_, err = s.Start(&hostfn.Call{Function: "other/echo"})
	wantResult(t, "a function of another app", err, hostfn.Denied)
}

func TestObjectsAreOfTheirApp(t *testing.T) {
	w := newWorld(t, Options{}, nil)
	s, other := w.root(), w.session(&invoke.Invocation{App: "other"})
	id, err := s.Put(t.Context(), []byte("mine"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = other.Result(id, math.MaxInt)
	wantResult(t, "an object of another app", err, hostfn.NotFound)
}

// TestGrace: what nobody holds lives for the time of grace, and what somebody holds for as long as that.
func TestGrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{Grace: time.Minute}, nil)
		maker, user := w.root(), w.root()
		var ids []int64
		for n := range 3 {
			id, err := maker.Put(t.Context(), []byte{byte(n)})
			if err != nil {
				t.Fatal(err)
			}
			ids = append(ids, id)
		}
		maker.Leave()
		<-time.After(59 * time.Second)
		if _, err := user.Result(ids[1], 1); err != nil {
			t.Errorf("within the time of grace: %v", err)
		}
		<-time.After(2 * time.Minute)
		synctest.Wait()
		if _, err := user.Result(ids[1], 1); err != nil {
			t.Errorf("held: %v", err)
		}
		_, err := user.Result(ids[0], 1)
		wantResult(t, "after the time of grace", err, hostfn.NotFound)
		if err := user.Drop(ids[1]); err != nil {
			t.Error(err)
		}
		_, err = user.Result(ids[1], 1)
		wantResult(t, "dropped", err, hostfn.NotFound)
		user.Leave()
		if n := len(w.apps["app"].objects); n != 0 {
			t.Errorf("%d objects are left", n)
		}
	})
}

// model is what objects of a random test should be.
type model struct {
	body    []byte
	holders map[*session]bool
}

// TestObjectsAgainstModel makes, reads, passes on and drops objects at random; small ones and such that go to files. No time
// passes, so what nobody holds goes only for room.
func TestObjectsAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 1))
	const most, memory = 40, 32 << 10
	w := newWorld(t, Options{Objects: most, Memory: memory, Disk: 1 << 20, Grace: time.Hour}, nil)
	objects := map[int64]*model{}
	sessions := []*session{w.root(), w.root(), w.root()}
	for step := range 5000 {
		s := sessions[random.IntN(len(sessions))]
		switch random.IntN(10) {
		case 0, 1, 2:
			put(t, s, objects, bytes.Repeat([]byte{byte(step)}, random.IntN(8<<10)), most)
		case 3:
			for _, m := range objects {
				delete(m.holders, s)
			}
			s.Leave()
			for i := range sessions {
				if sessions[i] == s {
					sessions[i] = w.root()
				}
			}
		case 4, 5:
			for id, m := range objects { // any of them
				if err := s.Drop(id); err != nil && len(m.holders) > 0 {
					t.Fatalf("step %d: drop %d: %v", step, id, err)
				}
				delete(m.holders, s)
				if len(m.holders) == 0 {
					delete(objects, id)
				}
				break
			}
		default:
			for id, m := range objects {
				out, err := s.Result(id, math.MaxInt)
				if err != nil {
					if len(m.holders) > 0 {
						t.Fatalf("step %d: object %d, which %d hold: %v", step, id, len(m.holders), err)
					}
					delete(objects, id) // it made room
				} else if m.holders[s] = true; !bytes.Equal(out.Body, m.body) {
					t.Fatalf("step %d: object %d has %d bytes, want %d", step, id, len(out.Body), len(m.body))
				}
				break
			}
		}
		w.check(t, most)
	}
}

// put makes an object; it may fail only when everything is held.
func put(t *testing.T, s *session, objects map[int64]*model, body []byte, most int) {
	t.Helper()
	id, err := s.Put(t.Context(), body)
	if err == nil {
		objects[id] = &model{body, map[*session]bool{s: true}}
		return
	}
	wantResult(t, "put", err, hostfn.Limit)
	held := 0
	for _, m := range objects {
		if len(m.holders) > 0 {
			held++
		}
	}
	if held < most {
		t.Fatalf("put fails with %d of %d objects held: %v", held, most, err)
	}
}

// check compares the sums that an app has with what there is.
func (w *world) check(t *testing.T, most int) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.apps["app"]
	if a == nil {
		return
	}
	var memory, disk int64
	for _, o := range a.objects {
		memory += int64(len(o.body))
		if o.inFile || o.writing {
			disk += int64(o.size)
		}
	}
	if len(a.objects) > most || memory != a.memory || disk != a.disk {
		t.Fatalf("%d objects, %d of %d bytes in memory, %d of %d in files", len(a.objects), memory, a.memory, disk, a.disk)
	}
}

// TestResultsGoToFiles has calls return more than fits into the memory.
func TestResultsGoToFiles(t *testing.T) {
	const memory, each, n = 256 << 10, 64 << 10, 40
	dir := t.TempDir() + "/objects"
	w := newWorld(t, Options{Memory: memory, Dir: dir}, map[invoke.FunctionName]body{
		"make": func(_ context.Context, _ *session, input []byte) ([]byte, error) {
			return bytes.Repeat(input, each), nil
		},
	})
	s := w.root()
	var ids []int64
	for i := range n {
		ids = append(ids, w.start(s, "make", string(rune('A'+i))))
	}
	for i, id := range ids {
		got, err := get(t.Context(), s, id)
		if err != nil || !bytes.Equal(got, bytes.Repeat([]byte{byte('A' + i)}, each)) {
			t.Errorf("result %d: %d bytes, %v", i, len(got), err)
		}
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) == 0 {
		t.Errorf("%d files, %v", len(files), err)
	}
	s.Leave()
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.apps["app"].objects) > 0 {
		if !w.evict(w.apps["app"]) {
			t.Fatal("an object is held by nobody and cannot be freed")
		}
	}
}

func TestCancel(t *testing.T) {
	began := make(chan struct{}, 1)
	w := newWorld(t, Options{Window: 1}, map[invoke.FunctionName]body{
		"stuck": func(ctx context.Context, s *session, in []byte) ([]byte, error) {
			began <- struct{}{}
			return stuck(ctx, s, in)
		},
		"echo": echo,
	})
	s := w.root()
	running := w.start(s, "stuck", "")
	<-began
	waiting := w.start(s, "stuck", "") // in the backlog
	after := w.start(s, "echo", "x")
	for _, id := range []int64{waiting, running} {
		if err := s.Cancel(id); err != nil {
			t.Fatal(err)
		}
		_, err := get(t.Context(), s, id)
		wantResult(t, "what was cancelled", err, hostfn.Cancelled)
	}
	if got, err := get(t.Context(), s, after); err != nil || string(got) != "x" {
		t.Errorf("the one behind them: %q, %v", got, err)
	}
	if err := s.Cancel(after); err != nil {
		t.Errorf("cancel what has ended: %v", err)
	}
}

// TestDroppedCallsCount: calls that wait for their turn are bounded also when nobody holds them any more, and a cancelled one keeps no
// input.
func TestDroppedCallsCount(t *testing.T) {
	const most = 4
	w := newWorld(t, Options{Window: 1, Objects: most}, map[invoke.FunctionName]body{"stuck": stuck})
	s := w.root()
	running := w.start(s, "stuck", "")
	for range most {
		id := w.start(s, "stuck", "input")
		w.mu.Lock()
		o, err := s.get(id)
		w.mu.Unlock()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.Cancel(id), s.Drop(id)); err != nil {
			t.Fatal(err)
		}
		if o.inv.Request.Body != nil {
			t.Error("a cancelled call keeps its input")
		}
	}
	_, err := get(t.Context(), s, w.start(s, "stuck", ""))
	wantResult(t, "one more than may wait", err, hostfn.Limit)
	if err := s.Cancel(running); err != nil {
		t.Fatal(err)
	}
}

// TestGraphEndsOnce: whoever waits for everything that an invocation started is told when it has ended, cancelled or not.
func TestGraphEndsOnce(t *testing.T) {
	w := newWorld(t, Options{Window: 1}, map[invoke.FunctionName]body{"stuck": stuck, "echo": echo})
	graph := invoke.NewGraph()
	s := w.session(&invoke.Invocation{App: "app", Function: "root", Cause: invoke.Cause{Graph: graph}})
	var ids []int64
	for range 5 {
		ids = append(ids, w.start(s, "stuck", ""))
	}
	for range 5 {
		w.start(s, "echo", "")
	}
	graph.End(nil)
	for _, id := range ids {
		if err := s.Cancel(id); err != nil {
			t.Fatal(err)
		}
	}
	s.Leave()
	<-graph.Over()
	if graph.Err() == nil {
		t.Error("no error of what was cancelled")
	}
}

// TestWaitsThatWouldNeverEnd makes cycles of waits of every length up to 8, through calls that get the numbers of others.
func TestWaitsThatWouldNeverEnd(t *testing.T) {
	for length := 1; length <= 8; length++ {
		t.Run(fmt.Sprint(length), func(t *testing.T) {
			numbers := make([]chan int64, length)
			for i := range numbers {
				numbers[i] = make(chan int64, 1)
			}
			w := newWorld(t, Options{}, map[invoke.FunctionName]body{
				"link": func(ctx context.Context, s *session, input []byte) ([]byte, error) {
					_, err := get(ctx, s, <-numbers[input[0]])
					return nil, err
				},
			})
			s := w.root()
			ids := make([]int64, length)
			for i := range ids {
				ids[i] = w.start(s, "link", string([]byte{byte(i)}))
			}
			for i := range numbers {
				numbers[i] <- ids[(i+1)%length]
			}
			refused := 0
			for _, id := range ids {
				_, err := get(t.Context(), s, id)
				wantResult(t, "a link", err, hostfn.Conflict)
				refused++
			}
			if refused != length {
				t.Errorf("%d of %d ended", refused, length)
			}
		})
	}
}

// TestWaitForSome: who waits for one of two goes on when only the other would never come.
func TestWaitForSome(t *testing.T) {
	number := make(chan int64, 1)
	w := newWorld(t, Options{}, map[invoke.FunctionName]body{
		"echo": echo,
		"back": func(ctx context.Context, s *session, _ []byte) ([]byte, error) { return get(ctx, s, <-number) },
		"some": func(ctx context.Context, s *session, input []byte) ([]byte, error) {
			back := w0(s, "back", "")
			other := w0(s, "echo", "x")
			var ready [2]byte
			_, err := s.Wait(ctx, []int64{back, other}, int(input[0]), -1, ready[:])
			return ready[:], err
		},
	})
	for _, c := range []struct {
		want int
		err  bool
	}{{1, false}, {2, true}} {
		s := w.root()
		id := w.start(s, "some", string([]byte{byte(c.want)}))
		number <- id
		_, err := get(t.Context(), s, id)
		// Of two that wait for each other the one is refused that comes later; its end lets the other go on.
		switch {
		case c.err && err != nil:
			wantResult(t, "wait for both", err, hostfn.Conflict)
		case err != nil:
			t.Errorf("wait for one: %v", err)
		}
		s.Leave()
		w.live.Wait()
	}
}

func w0(s *session, fn, input string) int64 {
	id, err := s.Start(&hostfn.Call{Function: fn, Input: []byte(input)})
	if err != nil {
		return 0
	}
	return id
}

func TestTooManyWait(t *testing.T) {
	w := newWorld(t, Options{Waiters: 3}, map[invoke.FunctionName]body{"stuck": stuck})
	s := w.root()
	id := w.start(s, "stuck", "")
	var waiting sync.WaitGroup
	for range 3 {
		waiting.Go(func() {
			one := w.root()
			defer one.Leave()
			_, err := get(t.Context(), one, id)
			wantResult(t, "one that waits", err, hostfn.Cancelled)
		})
	}
	for waiters := 0; waiters < 3; {
		w.mu.Lock()
		waiters = w.waiters
		w.mu.Unlock()
	}
	_, err := get(t.Context(), s, id)
	wantResult(t, "one more", err, hostfn.Limit)
	if err := s.Cancel(id); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
}

// TestWaitEndsInTime: a wait ends at its time and with its invocation, and leaves nothing behind.
func TestWaitEndsInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, Options{}, map[invoke.FunctionName]body{"stuck": stuck})
		s := w.root()
		id := w.start(s, "stuck", "")
		ready := []byte{7}
		if n, err := s.Wait(t.Context(), []int64{id}, 1, time.Second, ready); n != 0 || err != nil || ready[0] != 0 {
			t.Errorf("after its time: %d, %v, ready %v", n, err, ready)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := s.Wait(ctx, []int64{id}, 1, -1, ready); err == nil {
			t.Error("no error at the end of the invocation")
		}
		if n := len(w.apps["app"].objects[id].waiters); n != 0 || w.waiters != 0 {
			t.Errorf("%d waiters of the object, %d of all", n, w.waiters)
		}
		if err := s.Cancel(id); err != nil {
			t.Error(err)
		}
		s.Leave()
	})
}

// TestHammer: trees of calls that wait for their children, as many at once as may wait, with waits that are refused and calls that
// are cancelled on the way; everything comes to its end, and nothing is left.
func TestHammer(t *testing.T) {
	w := newWorld(t, Options{Waiters: 16, Window: 8, Grace: time.Nanosecond}, map[invoke.FunctionName]body{
		"tree": func(ctx context.Context, s *session, input []byte) ([]byte, error) {
			depth := input[0]
			if depth == 0 {
				return binary.LittleEndian.AppendUint64(nil, 1), nil
			}
			var ids []int64
			for range 3 {
				ids = append(ids, w0(s, "tree", string([]byte{depth - 1})))
			}
			if depth == 1 {
				_ = s.Cancel(ids[0])
			}
			sum := uint64(0)
			for _, id := range ids {
				part, err := get(ctx, s, id)
				if err == nil {
					sum += binary.LittleEndian.Uint64(part)
				}
			}
			return binary.LittleEndian.AppendUint64(nil, sum), nil
		},
	})
	var roots sync.WaitGroup
	for range 20 {
		roots.Go(func() {
			s := w.root()
			defer s.Leave()
			id := w.start(s, "tree", string([]byte{4}))
			var ready [1]byte
			for { // the root may be one too many that waits
				if n, _ := s.Wait(t.Context(), []int64{id}, 1, -1, ready[:]); n == 1 {
					return
				}
			}
		})
	}
	roots.Wait()
	w.live.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	a := w.apps["app"]
	if w.waiters != 0 {
		t.Errorf("%d still wait", w.waiters)
	}
	for _, o := range a.objects {
		if o.held != 0 && o.done {
			t.Errorf("object %d is held %d times", o.id, o.held)
		}
	}
}

func TestChainOfCalls(t *testing.T) {
	add := func(letter string) body {
		return func(_ context.Context, _ *session, input []byte) ([]byte, error) {
			return append(input, letter...), nil
		}
	}
	w := newWorld(t, Options{}, map[invoke.FunctionName]body{"a": add("a"), "b": add("b"), "c": add("c"), "fail": func(context.Context, *session, []byte) ([]byte, error) {
		return nil, &invoke.Error{Kind: invoke.ErrGuest, Detail: "no"}
	}})
	w.declared["a"] = Function{Then: []invoke.FunctionName{"b", "c"}}
	w.declared["c"] = Function{Then: []invoke.FunctionName{"fail", "a"}}
	s := w.root()
	if got, err := get(t.Context(), s, w.start(s, "a", "x")); err != nil || string(got) != "xabc" {
		t.Errorf("%q, %v", got, err)
	}
	_, err := get(t.Context(), s, w.start(s, "c", "x"))
	if wantResult(t, "a chain that fails", err, hostfn.Internal); err == nil || !bytes.Contains([]byte(err.Error()), []byte("step fail")) {
		t.Errorf("the error %v does not name the step", err)
	}
	done := make(chan invoke.Result, 1)
	inv := &invoke.Invocation{App: "app", Function: "a", Request: invoke.Request{Body: []byte("y")}, Done: func(_ *invoke.Invocation, r invoke.Result) { done <- r }}
	w.Follow(inv, []invoke.FunctionName{"b", "c"})
	go w.run(inv)
	if r := <-done; r.Err != nil || string(r.Body) != "yabc" {
		t.Errorf("from outside: %q, %v", r.Body, r.Err)
	}
}

// TestCallsBehindManyEvents: what an event starts may call as deep as what a request starts, however many events were before it.
func TestCallsBehindManyEvents(t *testing.T) {
	w := newWorld(t, Options{}, map[invoke.FunctionName]body{"echo": echo, "chain": echo})
	w.declared["chain"] = Function{Then: []invoke.FunctionName{"echo"}}
	for _, c := range []struct {
		calls int // before this one
		want  hostfn.Result
	}{{0, 0}, {invoke.MaxDepth - 2, 0}, {invoke.MaxDepth, hostfn.Limit}} {
		for _, name := range []string{"echo", "chain"} {
			s := w.root()
			s.inv.Cause = invoke.Cause{Depth: 500 + c.calls, Base: 500}
			id, err := s.Start(&hostfn.Call{Function: name, Input: []byte("x")})
			if c.want != 0 {
				wantResult(t, "too deep", err, c.want)
				continue
			}
			if err != nil {
				t.Fatalf("%s behind 500 events and %d calls: %v", name, c.calls, err)
			}
			if got, err := get(t.Context(), s, id); err != nil || string(got) != "x" {
				t.Errorf("%s behind 500 events and %d calls: %q, %v", name, c.calls, got, err)
			}
		}
	}
}

func BenchmarkRcall(b *testing.B) {
	w := newWorld(b, Options{}, map[invoke.FunctionName]body{"echo": echo})
	w.options.Submit = func(inv *invoke.Invocation) error { // what this package takes, and nothing else
		inv.Done(inv, invoke.Result{})
		return nil
	}
	s := w.root()
	for b.Loop() {
		id := w.start(s, "echo", "")
		if _, err := get(b.Context(), s, id); err != nil {
			b.Fatal(err)
		}
		if err := s.Drop(id); err != nil {
			b.Fatal(err)
		}
	}
}
