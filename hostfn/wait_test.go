package hostfn

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"edged.dev/edge/kvstore"
)

// countingCore counts how often it was left, and knows whether it is away.
type countingCore struct {
	left int
	away bool
	back func() // nil, or what Return does
}

func (c *countingCore) Leave() {
	if c.away {
		panic("left twice")
	}
	c.left, c.away = c.left+1, true
}

func (c *countingCore) Return() {
	if !c.away {
		panic("returned without having left")
	}
	c.away = false
	if c.back != nil {
		c.back()
	}
}

// onCore puts the invocation on a core that counts.
func (g *guest) onCore() *countingCore {
	core := new(countingCore)
	g.env.RunOn(core)
	return core
}

// wantLeft fails unless f leaves the core so often and ends with having it.
func wantLeft(t *testing.T, what string, core *countingCore, times int, f func()) {
	t.Helper()
	before := core.left
	f()
	wantEq(t, what+": times that the core was left", core.left-before, times)
	wantEq(t, what+": still away", core.away, false)
}

// TestWritesLeaveTheCore: a write leaves the core when it waits for the disk, and only then.
func TestWritesLeaveTheCore(t *testing.T) {
	store, err := kvstore.Open(filepath.Join(t.TempDir(), "kv"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []struct {
		class kvstore.Durability
		times int
	}{{kvstore.Sync, 1}, {kvstore.Batched, 0}, {kvstore.Memory, 0}} {
		t.Run(c.class.String(), func(t *testing.T) {
			space, err := store.Space(c.class.String(), c.class)
			if err != nil {
				t.Fatal(err)
			}
			g := newGuest(t, AppOptions{Space: space})
			core := g.onCore()
			k, kl := g.text("a")
			ops := batchOp(batchSet, "b", "1", "")
			wantLeft(t, "set", core, c.times, func() { wantEq(t, "set", g.set("a", "1"), 0) })
			wantLeft(t, "cas", core, c.times, func() { wantEq(t, "cas", g.cas("a", "1", "2"), 0) })
			wantLeft(t, "delete", core, c.times, func() { wantEq(t, "delete", g.edged("kv_delete", k, kl), 1) })
			wantLeft(t, "batch", core, c.times, func() {
				wantEq(t, "batch", g.edged("kv_batch", int(g.put(ops)), len(ops), g.room(64), 64), 8)
			})
			wantLeft(t, "get", core, 0, func() { wantEq(t, "get", g.value("b"), "1") })
		})
	}
}

// TestLockLeavesTheCore: only a lock that somebody else holds is waited for.
func TestLockLeavesTheCore(t *testing.T) {
	store, err := kvstore.Open(filepath.Join(t.TempDir(), "kv"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	space, err := store.Space("s", kvstore.Memory)
	if err != nil {
		t.Fatal(err)
	}
	// The first lock of a store makes a note on the disk.
	if _, err := space.Lock(t.Context(), []byte("first"), time.Hour); err != nil {
		t.Fatal(err)
	}
	g := newGuest(t, AppOptions{Space: space})
	core := g.onCore()
	lock := func() (int64, error) {
		k, kl := g.text("key")
		v, err := g.try("edged.kv_lock", k, kl, 60_000)
		return int64(v), err
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	g.env.ctx = ctx
	// The fence of the locks asks for the channel at every token, also when it does not wait.
	before := core.left
	if token, err := lock(); err != nil || token <= 0 {
		t.Fatalf("lock: %d, %v", token, err)
	}
	wantEq(t, "still away", core.away, false)
	if core.left-before > 1 {
		t.Errorf("the core was left %d times for one call", core.left-before)
	}
	time.AfterFunc(time.Millisecond, func() { cancel(errors.New("enough")) })
	wantLeft(t, "a lock that is held", core, 1, func() {
		if code, err := lock(); err != nil || Result(code) != TimedOut {
			t.Errorf("lock that is held: %d, %v", code, err)
		}
	})
}

// TestSleepLeavesTheCore, and a guest that is killed meanwhile gets it back all the same.
func TestSleepLeavesTheCore(t *testing.T) {
	g := newGuest(t, AppOptions{})
	core := g.onCore()
	sub := clockSub(1, clockMonotonic, 1, 0)
	wantLeft(t, "a sleep", core, 1, func() {
		wantEq(t, "poll_oneoff", g.wasi("poll_oneoff", int(g.put(sub)), g.room(sizeEvent), 1, g.room(4)), success)
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	killed := errors.New("killed")
	cancel(killed)
	g.env.ctx = ctx
	long := clockSub(1, clockMonotonic, uint64(time.Hour), 0)
	wantLeft(t, "a sleep that is ended", core, 1, func() {
		if _, err := g.try("wasi_snapshot_preview1.poll_oneoff", int(g.put(long)), g.room(sizeEvent), 1, g.room(4)); !errors.Is(err, killed) {
			t.Errorf("poll_oneoff: %v", err)
		}
	})
	stdin := fdSub(2, eventRead, 0)
	wantLeft(t, "what is ready", core, 0, func() {
		wantEq(t, "poll_oneoff", g.wasi("poll_oneoff", int(g.put(stdin)), g.room(sizeEvent), 1, g.room(4)), success)
	})
}

// TestPanicReturns: a call that panics while it is away comes back to its core first, for the guest's frames are on it.
func TestPanicReturns(t *testing.T) {
	g := newGuest(t, AppOptions{})
	core := g.onCore()
	for _, c := range []struct {
		name string
		call func()
	}{
		{"away", func() { g.env.away(func() { panic("oops") }) }},
		{"patient", func() {
			ctx := g.env.patient()
			defer ctx.back()
			ctx.Done()
			panic("oops")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantLeft(t, c.name, core, 1, func() {
				defer func() {
					if recover() == nil {
						t.Error("the panic is lost")
					}
				}()
				c.call()
			})
		})
	}
}

// TestLateDone: what asks for the channel after the call has returned does not touch the core.
func TestLateDone(t *testing.T) {
	g := newGuest(t, AppOptions{})
	core := g.onCore()
	ctx := g.env.patient()
	ctx.back()
	wantLeft(t, "late", core, 0, func() { ctx.Done() })
}

// TestFilesLeaveTheCore: what waits for the disk leaves the core, what the page cache answers does not.
func TestFilesLeaveTheCore(t *testing.T) {
	g, _ := fsGuest(t)
	fd := g.openRW("f", int(openCreate), 0)
	core := g.onCore()
	vector := func(text string) (int, int) {
		at, n := g.text(text)
		iov := g.put([]byte{byte(at), byte(at >> 8), byte(at >> 16), 0, byte(n), byte(n >> 8), byte(n >> 16), 0})
		return int(iov), at
	}
	n := g.room(4)
	wantLeft(t, "a small write", core, 0, func() {
		iov, _ := vector("hello")
		wantEq(t, "fd_write", g.wasi("fd_write", fd, iov, 1, n), success)
	})
	wantLeft(t, "fd_sync", core, 1, func() { wantEq(t, "fd_sync", g.wasi("fd_sync", fd), success) })
	wantLeft(t, "fd_datasync", core, 1, func() { wantEq(t, "fd_datasync", g.wasi("fd_datasync", fd), success) })
	for name, read := range map[string]func(iov int) errno{
		"fd_pread": func(iov int) errno { return g.wasi("fd_pread", fd, iov, 1, uint64(0), n) },
		"fd_read": func(iov int) errno {
			wantEq(t, "fd_seek", g.wasi("fd_seek", fd, uint64(0), 0, g.room(8)), success)
			return g.wasi("fd_read", fd, iov, 1, n)
		},
	} {
		t.Run(name, func(t *testing.T) {
			iov, at := vector("?????????")
			before := core.left
			wantEq(t, name, read(iov), success)
			wantEq(t, "bytes", g.u32(n), 5)
			wantEq(t, "read", g.get(at, 9), "hello????")
			wantEq(t, "still away", core.away, false)
			// A file system that cannot say whether it would wait is taken to wait.
			if core.left-before > 2 {
				t.Errorf("the core was left %d times", core.left-before)
			}
		})
	}
}
