package hostfn

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"edged.dev/edge/kvstore"
)

// cstr places a text with its NUL.
func (g *guest) cstr(s string) int { return int(g.put(append([]byte(s), 0))) }

func TestFaasmInput(t *testing.T) {
	g := newGuest(t, AppOptions{ABI: ABIFaasm})
	buf := g.room(8)
	wantEq(t, "length without a body", g.foreign("env.__faasm_read_input", 0, 0), 0)
	g.begin(request{body: "hello"})
	wantEq(t, "length", g.foreign("env.__faasm_read_input", 0, 0), 5)
	wantEq(t, "copied", g.foreign("env.__faasm_read_input", buf, 8), 5)
	wantEq(t, "input", g.get(buf, 8), "hello???")
	g.rewind()
	buf = g.room(3)
	wantEq(t, "copied into too little", g.foreign("env.__faasm_read_input", buf, 3), 3)
	wantEq(t, "beginning", g.get(buf, 3), "hel")
	g.guarded(buf, 3)
	for _, text := range []string{"not this one", "but this"} {
		ptr, n := g.text(text)
		g.foreign("env.__faasm_write_output", ptr, n)
	}
	wantEq(t, "output", string(g.env.Finish(nil).Body), "but this")
}

func TestFaasmState(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		key := g.cstr("counter")
		buf := g.room(8)
		read := func(n int) string {
			size := g.foreign("env.__faasm_read_state", key, buf, n)
			return g.get(buf, min(n, int(size)))
		}
		wantEq(t, "size of none", g.foreign("env.__faasm_read_state", key, 0, 0), 0)
		g.ends("env.__faasm_read_state", []any{key, buf, 8}, "counter", "no such state")
		g.ends("env.__faasm_pull_state", []any{key, 8}, "no such state")
		g.ends("env.__faasm_read_state_offset", []any{key, 8, 0, buf, 8}, "no such state")
		g.foreign("env.__faasm_push_state", key) // there is nothing to push

		v, vl := g.text("abcdef")
		g.foreign("env.__faasm_write_state", key, v, vl)
		wantEq(t, "size", g.foreign("env.__faasm_read_state", key, 0, 0), 6)
		wantEq(t, "beginning", read(4), "abcd")
		g.guarded(buf, 4)
		wantEq(t, "the space before the push", g.value("counter"), "-1")
		g.foreign("env.__faasm_push_state", key)
		wantEq(t, "the space after it", g.value("counter"), "abcdef")

		x, xl := g.text("XY")
		g.foreign("env.__faasm_write_state_offset", key, 8, 3, x, xl)
		wantEq(t, "a part written", read(8), "abcXYf\x00\x00")
		g.foreign("env.__faasm_read_state_offset", key, 8, 2, buf, 3)
		wantEq(t, "a part read", g.get(buf, 3), "cXY")
		g.ends("env.__faasm_read_state_offset", []any{key, 8, 7, buf, 2}, "7 to 9", "of 8")
		g.ends("env.__faasm_write_state_offset", []any{key, 8, 7, x, xl}, "7 to 9", "of 8")
		g.foreign("env.__faasm_pull_state", key, 6)
		wantEq(t, "pulled", read(6), "abcdef")
		g.foreign("env.__faasm_write_state_offset", key, 4, 0, x, 1)
		wantEq(t, "cut", g.foreign("env.__faasm_read_state", key, 0, 0), 4)
		g.ends("env.__faasm_write_state", []any{g.cstr(""), v, vl}, "empty")
		g.ends("env.__faasm_write_state_offset", []any{key, uint32(1 << 30), 0, x, xl}, "limit")
	})
}

// TestFaasmStateIsShared: the invocations of an app on a node have one copy between them.
func TestFaasmStateIsShared(t *testing.T) {
	a := newGuest(t, AppOptions{Space: newSpace()})
	b := &guest{t: t, app: a.app, env: a.app.NewEnv(), mem: make([]byte, 1<<16), top: 64, funcs: a.funcs}
	b.begin(nil)
	v, vl := a.text("shared")
	a.foreign("env.__faasm_write_state", a.cstr("k"), v, vl)
	buf := b.room(6)
	wantEq(t, "size", b.foreign("env.__faasm_read_state", b.cstr("k"), buf, 6), 6)
	wantEq(t, "value", b.get(buf, 6), "shared")
}

func TestFaasmStateLimits(t *testing.T) {
	var s states
	big := make([]byte, 16<<20)
	for i := range 3 {
		if err := s.replace(fmt.Sprint("written", i), big, true); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 4 { // copies that are as in the space make room for each other
		if err := s.add(fmt.Sprint("loaded", i), big[:8<<20]); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.replace("another", big, true); err == nil || !strings.Contains(err.Error(), "67108864 bytes") {
		t.Errorf("above the limit: %v", err)
	}
	_, written := s.changed("written1")
	s.pushed("written1", written)
	if err := s.replace("another", big, true); err != nil {
		t.Errorf("after a push: %v", err)
	}
	if s.has("written1") {
		t.Error("the copy that was pushed has not made room")
	}
	if err := s.replace("x", make([]byte, kvstore.MaxValueBytes+1), true); !errors.Is(err, kvstore.ErrTooLarge) {
		t.Errorf("a large state: %v", err)
	}
	sum := 0
	for _, c := range s.copies {
		sum += len(c.data) + stateCost
	}
	wantEq(t, "bytes", s.bytes, sum)
	var many states
	for i := range maxStateCopies {
		if err := many.replace(fmt.Sprint(i), nil, true); err != nil {
			t.Fatal(err)
		}
	}
	if err := many.replace("one more", nil, true); err == nil || !strings.Contains(err.Error(), "4096 copies") {
		t.Errorf("above the limit of copies: %v", err)
	}
}

// TestFaasmPushWhileWritten: what was written while a push was under way is not taken for pushed.
func TestFaasmPushWhileWritten(t *testing.T) {
	var s states
	if err := s.replace("k", []byte("old"), true); err != nil {
		t.Fatal(err)
	}
	value, written := s.changed("k")
	if err := s.write("k", 3, 0, []byte("new")); err != nil {
		t.Fatal(err)
	}
	wantEq(t, "pushed", string(value), "old")
	s.pushed("k", written)
	if value, written = s.changed("k"); string(value) != "new" || written == 0 {
		t.Errorf("left to push: %q %d", value, written)
	}
}

func TestFaasmAppend(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		key, other := g.cstr("log"), g.cstr("lo")
		buf := g.room(8)
		g.foreign("env.__faasm_clear_appended_state", key)
		for _, text := range []string{"ab", "", "cde"} {
			v, vl := g.text(text)
			g.foreign("env.__faasm_append_state", key, v, vl)
		}
		v, vl := g.text("zz")
		g.foreign("env.__faasm_append_state", other, v, vl)
		g.foreign("env.__faasm_read_appended_state", key, buf, 8, 3)
		wantEq(t, "all", g.get(buf, 8), "abcde???")
		g.guarded(buf, 5)
		g.foreign("env.__faasm_read_appended_state", other, buf, 2, 1)
		wantEq(t, "of the other", g.get(buf, 8), "zzcde???")
		g.foreign("env.__faasm_read_appended_state", key, buf, 0, 0)
		g.ends("env.__faasm_read_appended_state", []any{key, buf, 8, 4}, "4 elements", "there are 3")
		g.ends("env.__faasm_read_appended_state", []any{key, buf, 4, 3}, "buffer of 4 bytes")
		g.foreign("env.__faasm_clear_appended_state", key)
		g.ends("env.__faasm_read_appended_state", []any{key, buf, 8, 1}, "there are 0")
		g.foreign("env.__faasm_append_state", key, v, vl)
		g.foreign("env.__faasm_read_appended_state", key, buf, 2, 1)
		g.foreign("env.__faasm_read_appended_state", other, buf, 2, 1)
	})
}

func TestFaasmAppendLimit(t *testing.T) {
	space := newSpace()
	space.values["log\x00"] = []byte{0, 0, 0, 0, 0, 1, 0, 0}
	space.values["bad\x00"] = []byte("no number")
	g := newGuest(t, AppOptions{Space: space, Limits: Limits{BatchOps: 2}})
	v, vl := g.text("x")
	g.ends("env.__faasm_append_state", []any{g.cstr("log"), v, vl}, "65536 elements")
	g.ends("env.__faasm_append_state", []any{g.cstr("bad"), v, vl}, "9 bytes, not 8")
	key := g.cstr("many")
	for range 5 {
		g.foreign("env.__faasm_append_state", key, v, vl)
	}
	g.foreign("env.__faasm_clear_appended_state", key) // in more steps than one
	for k := range space.values {
		if strings.HasPrefix(k, "many") {
			t.Errorf("left: %q", k)
		}
	}
}

// TestFaasmAppendHammer appends on many goroutines: none is lost.
func TestFaasmAppendHammer(t *testing.T) {
	main := newGuest(t, AppOptions{Space: newSpace()})
	const workers, each = 8, 20
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			g := &guest{t: t, app: main.app, env: main.app.NewEnv(), mem: make([]byte, 1<<16), top: 64, funcs: main.funcs}
			g.begin(nil)
			key := g.cstr("log")
			for range each {
				v, vl := g.text(string(rune('a' + worker)))
				g.foreign("env.__faasm_append_state", key, v, vl)
			}
		})
	}
	group.Wait()
	buf := main.room(workers * each)
	main.foreign("env.__faasm_read_appended_state", main.cstr("log"), buf, workers*each, workers*each)
	for worker := range workers {
		letter := string(rune('a' + worker))
		wantEq(t, letter, strings.Count(main.get(buf, workers*each), letter), each)
	}
}

func TestFaasmLocks(t *testing.T) {
	main := newGuest(t, AppOptions{Space: newSpace()})
	guests := []*guest{main}
	for range 2 {
		g := &guest{t: t, app: main.app, env: main.app.NewEnv(), mem: make([]byte, 1<<16), top: 64, funcs: main.funcs}
		g.begin(nil)
		guests = append(guests, g)
	}
	keys := make([]int, 3)
	for i, g := range guests {
		keys[i] = g.cstr("k")
	}
	a, b, c := guests[0], guests[1], guests[2]
	a.foreign("env.__faasm_lock_state_read", keys[0])
	b.foreign("env.__faasm_lock_state_read", keys[1])
	a.foreign("env.__faasm_lock_state_read", keys[0]) // a reader may read again
	a.ends("env.__faasm_lock_state_write", []any{keys[0]}, "wait for itself")
	ctx, cancel := context.WithCancelCause(t.Context())
	c.env.Begin(ctx, nil)
	cancel(errFull)
	if _, err := c.try("env.__faasm_lock_state_write", keys[2]); !errors.Is(err, errFull) {
		t.Errorf("a lock that is held, at the deadline: %v", err)
	}
	c.ends("env.__faasm_unlock_state_write", []any{keys[2]}, "does not hold")
	c.begin(nil)
	a.foreign("env.__faasm_unlock_state_read", keys[0])
	a.foreign("env.__faasm_unlock_state_read", keys[0])
	a.ends("env.__faasm_unlock_state_read", []any{keys[0]}, "does not hold")
	b.env.Finish(nil) // gives up what it holds
	c.foreign("env.__faasm_lock_state_write", keys[2])
	c.foreign("env.__faasm_unlock_state_write", keys[2])
	wantEq(t, "locks left", len(main.app.states.locks), 0)
}

// TestStateLockModel takes and gives up locks at random on many goroutines: a writer is alone, nobody waits for ever, and
// nothing is left.
func TestStateLockModel(t *testing.T) {
	var s states
	var mu sync.Mutex
	inside := map[string][]bool{}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			random := rand.New(rand.NewPCG(uint64(worker), 1))
			for range 300 {
				want := heldState{string(rune('a' + random.IntN(2))), random.IntN(3) == 0}
				ctx, cancel := context.WithCancel(t.Context())
				if random.IntN(4) == 0 {
					cancel()
				}
				if err := s.lock(ctx, want); err == nil {
					mu.Lock()
					inside[want.key] = append(inside[want.key], want.write)
					if slices.Contains(inside[want.key], true) && len(inside[want.key]) > 1 {
						t.Errorf("%s is held by %v", want.key, inside[want.key])
					}
					mu.Unlock()
					runtime.Gosched()
					mu.Lock()
					at := slices.Index(inside[want.key], want.write)
					inside[want.key] = slices.Delete(inside[want.key], at, at+1)
					mu.Unlock()
					s.unlock(want)
				}
				cancel()
			}
		})
	}
	group.Wait()
	if len(s.locks) != 0 || s.waiters != 0 {
		t.Errorf("left: %d locks, %d who wait", len(s.locks), s.waiters)
	}
}
