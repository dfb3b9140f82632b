package kvstore

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

func TestOperations(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			sp := mustSpace(t, newStore(t, nil), "app", d)
			ctx := t.Context()
			wantAbsent(t, sp, "k")
			mustSet(t, sp, "k", "v1")
			wantValue(t, sp, "k", "v1")
			mustSet(t, sp, "empty", "")
			wantValue(t, sp, "empty", "")
			got, err := sp.Get([]byte("k"), []byte("pre-"))
			if err != nil || string(got) != "pre-v1" {
				t.Errorf("Get appends: %q, %v", got, err)
			}
			wantErr(t, "cas wrong old", sp.CompareAndSwap(ctx, []byte("k"), []byte("v0"), []byte("x")), ErrConflict)
			wantErr(t, "cas expects absent", sp.CompareAndSwap(ctx, []byte("k"), nil, []byte("x")), ErrConflict)
			wantErr(t, "cas on absent", sp.CompareAndSwap(ctx, []byte("none"), []byte{}, []byte("x")), ErrConflict)
			wantErr(t, "cas", sp.CompareAndSwap(ctx, []byte("k"), []byte("v1"), []byte("v2")), nil)
			wantValue(t, sp, "k", "v2")
			wantErr(t, "cas creates", sp.CompareAndSwap(ctx, []byte("new"), nil, []byte("n")), nil)
			wantErr(t, "cas deletes", sp.CompareAndSwap(ctx, []byte("new"), []byte("n"), nil), nil)
			wantErr(t, "cas absent to absent", sp.CompareAndSwap(ctx, []byte("new"), nil, nil), nil)
			wantAbsent(t, sp, "new")
			wantErr(t, "cas on empty value", sp.CompareAndSwap(ctx, []byte("empty"), []byte{}, []byte("full")), nil)
			for i, want := range []bool{true, false} {
				if existed, err := sp.Delete(ctx, []byte("k")); err != nil || existed != want {
					t.Errorf("Delete %d = %v, %v; want %v", i, existed, err, want)
				}
			}
			wantAbsent(t, sp, "k")
		})
	}
}

func TestApply(t *testing.T) {
	b := func(s string) []byte { return []byte(s) }
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			sp := mustSpace(t, newStore(t, nil), "app", d)
			mustSet(t, sp, "a", "1")
			res, err := sp.Apply(t.Context(), []Op{
				{Kind: OpGet, Key: b("a")},
				{Kind: OpSet, Key: b("a"), Value: b("2")},
				{Kind: OpGet, Key: b("a")},
				{Kind: OpCompareAndSwap, Key: b("a"), Old: b("2"), Value: b("3")},
				{Kind: OpDelete, Key: b("a")},
				{Kind: OpGet, Key: b("a")},
				{Kind: OpDelete, Key: b("a")},
				{Kind: OpCompareAndSwap, Key: b("a"), Value: b("4")},
				{Kind: OpSet, Key: b("b"), Value: b("5")},
			})
			if err != nil {
				t.Fatal(err)
			}
			found := []bool{true, false, true, false, true, false, false, false, false}
			for i, r := range res {
				if r.Found != found[i] {
					t.Errorf("op %d: Found = %v", i, r.Found)
				}
			}
			if string(res[0].Value) != "1" || string(res[2].Value) != "2" || res[5].Value != nil {
				t.Errorf("values %q %q %q", res[0].Value, res[2].Value, res[5].Value)
			}
			wantValue(t, sp, "a", "4")
			_, err = sp.Apply(t.Context(), []Op{
				{Kind: OpSet, Key: b("a"), Value: b("torn")},
				{Kind: OpSet, Key: b("c"), Value: b("torn")},
				{Kind: OpCompareAndSwap, Key: b("b"), Old: b("no"), Value: b("torn")},
			})
			var oe *OpError
			if !errors.As(err, &oe) || oe.Index != 2 || !errors.Is(err, ErrConflict) {
				t.Errorf("failing Apply: %v", err)
			}
			if got := scanAll(t, sp, nil, nil); !slices.Equal(got, []string{"a=4", "b=5"}) {
				t.Errorf("after a failing Apply: %q", got)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	sp := mustSpace(t, newStore(t, nil), "app", Sync)
	long, big := bytes.Repeat([]byte("k"), MaxKeyBytes+1), make([]byte, MaxValueBytes+1)
	tests := []struct {
		name string
		err  error
		want error
		text []string
	}{
		{"empty key", sp.Set(background, nil, nil), ErrEmptyKey, nil},
		{"long key", sp.Set(background, long, nil), ErrTooLarge, []string{"1025", "1024"}},
		{"long key get", second(sp.Get(long, nil)), ErrTooLarge, []string{"1025"}},
		{"big value", sp.Set(background, []byte("k"), big), ErrTooLarge, []string{"16777217", "16777216"}},
		{"big old", sp.CompareAndSwap(background, []byte("k"), big, nil), ErrTooLarge, []string{"16777217"}},
		{"bad op", second(sp.Apply(background, []Op{{Key: []byte("k")}})), ErrBadOp, nil},
		{"many ops", second(sp.Apply(background, make([]Op, MaxBatchOps+1))), ErrTooLarge, []string{"65537"}},
		{"big batch", second(sp.Apply(background, slices.Repeat([]Op{{Kind: OpSet, Key: []byte("k"), Value: big[1:]}}, 4))), ErrTooLarge, nil},
		{"largest key", sp.Set(background, long[1:], []byte("v")), nil, nil},
		{"largest value", sp.Set(background, []byte("big"), big[1:]), nil, nil},
		{"largest cas", sp.CompareAndSwap(background, []byte("big"), big[1:], big[1:]), nil, nil},
	}
	for _, tt := range tests {
		wantErr(t, tt.name, tt.err, tt.want)
		for _, part := range tt.text {
			if !strings.Contains(tt.err.Error(), part) {
				t.Errorf("%s: %q does not say %s", tt.name, tt.err, part)
			}
		}
	}
	if got, err := sp.Get([]byte("big"), nil); err != nil || !bytes.Equal(got, big[1:]) {
		t.Errorf("largest value: %d bytes, %v", len(got), err)
	}
}

func second[T any](_ T, err error) error { return err }

func TestSpaceNames(t *testing.T) {
	s := newStore(t, nil)
	for name, ok := range map[string]bool{
		"a": true, "0": true, "a.b_c-d": true, strings.Repeat("x", 63): true,
		"": false, "A": false, ".a": false, "-a": false, "_a": false, "a/b": false, "a b": false, "ä": false, strings.Repeat("x", 64): false,
	} {
		_, err := s.Space(name, Sync)
		if ok != (err == nil) || !ok && !errors.Is(err, ErrBadName) {
			t.Errorf("Space(%q): %v", name, err)
		}
	}
}

func TestScan(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			// A delay that never ends keeps Batched writes in memory, so that table and file must be merged.
			s := newStore(t, &Options{BatchDelay: time.Hour})
			sp := mustSpace(t, s, "app", d)
			for _, k := range []string{"a", "b/1", "b/2", "b/3", "c"} {
				mustSet(t, sp, k, "v"+k)
			}
			if d == Batched {
				if err := s.commit.flush(sp); err != nil {
					t.Fatal(err)
				}
				mustSet(t, sp, "b/2", "over")
				mustSet(t, sp, "b/15", "between")
				if _, err := sp.Delete(t.Context(), []byte("b/3")); err != nil {
					t.Fatal(err)
				}
				if got := scanAll(t, sp, []byte("b/"), nil); !slices.Equal(got, []string{"b/1=vb/1", "b/15=between", "b/2=over"}) {
					t.Errorf("merged: %q", got)
				}
				return
			}
			for _, tt := range []struct {
				name, prefix, after string
				want                []string
			}{
				{"all", "", "", []string{"a=va", "b/1=vb/1", "b/2=vb/2", "b/3=vb/3", "c=vc"}},
				{"prefix", "b/", "", []string{"b/1=vb/1", "b/2=vb/2", "b/3=vb/3"}},
				{"after", "b/", "b/1", []string{"b/2=vb/2", "b/3=vb/3"}},
				{"after absent", "", "b/15", []string{"b/2=vb/2", "b/3=vb/3", "c=vc"}},
				{"after before prefix", "b/", "a", []string{"b/1=vb/1", "b/2=vb/2", "b/3=vb/3"}},
				{"after behind prefix", "b/", "c", nil},
				{"nothing", "x", "", nil},
			} {
				var after []byte
				if tt.after != "" {
					after = []byte(tt.after)
				}
				if got := scanAll(t, sp, []byte(tt.prefix), after); !slices.Equal(got, tt.want) {
					t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
				}
			}
		})
	}
}

// TestScanWrites proves that a callback may write to the space it scans, across page borders and a growing file.
func TestScanWrites(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			sp := mustSpace(t, newStore(t, nil), "app", d)
			var ops []Op
			for i := range 3 * scanEntries {
				ops = append(ops, Op{Kind: OpSet, Key: []byte{'k', byte(i >> 8), byte(i)}, Value: []byte{1}})
			}
			if _, err := sp.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
			seen := 0
			err := sp.Scan([]byte("k"), nil, func(k, _ []byte) bool {
				if seen%64 == 0 {
					if err := sp.Set(t.Context(), append([]byte("other"), k...), make([]byte, 100_000)); err != nil {
						t.Error(err)
						return false
					}
				}
				seen++
				return true
			})
			if err != nil || seen != len(ops) {
				t.Errorf("saw %d of %d, %v", seen, len(ops), err)
			}
		})
	}
}

func TestReopen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	s := mustOpen(t, path, &Options{BatchDelay: time.Hour})
	for _, d := range allClasses {
		mustSet(t, mustSpace(t, s, d.String(), d), "k", "v")
	}
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatalf("Close: %v", err)
		}
	}
	sp := mustSpace2(s)
	wantErr(t, "Space after Close", sp, ErrClosed)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".edged-kv-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	s = mustOpen(t, path, nil)
	wantValue(t, mustSpace(t, s, "sync", Sync), "k", "v")
	wantValue(t, mustSpace(t, s, "batched", Batched), "k", "v")
	wantAbsent(t, mustSpace(t, s, "memory", Memory), "k")
}

func mustSpace2(s *Store) error { _, err := s.Space("sync", Sync); return err }

func TestDurabilityChange(t *testing.T) {
	s := newStore(t, &Options{BatchDelay: time.Hour})
	sp := mustSpace(t, s, "app", Batched)
	mustSet(t, sp, "k", "batched")
	if sp.table.count != 1 {
		t.Fatalf("the write is not in memory")
	}
	if again := mustSpace(t, s, "app", Sync); again != sp || sp.Durability() != Sync {
		t.Errorf("want the same space, now sync; got %p %p %s", again, sp, sp.Durability())
	}
	if sp.table.count != 0 {
		t.Error("the change did not flush")
	}
	wantValue(t, sp, "k", "batched")
	mustSpace(t, s, "mem", Memory)
	wantErr(t, "disk to memory", second(s.Space("app", Memory)), ErrDurability)
	wantErr(t, "memory to disk", second(s.Space("mem", Sync)), ErrDurability)
}

func TestDrop(t *testing.T) {
	for _, d := range allClasses {
		t.Run(d.String(), func(t *testing.T) {
			s := newStore(t, &Options{BatchDelay: time.Hour})
			wantErr(t, "drop nothing", s.Drop("app"), ErrSpaceNotFound)
			sp := mustSpace(t, s, "app", d)
			mustSet(t, sp, "k", "v")
			w := sp.Watch(t.Context(), nil, 1)
			token, err := sp.Lock(t.Context(), []byte("l"), time.Hour)
			if err != nil {
				t.Fatal(err)
			}
			waiting := make(chan error)
			go func() { _, err := sp.Lock(background, []byte("l"), time.Hour); waiting <- err }()
			if err := s.Drop("app"); err != nil {
				t.Fatal(err)
			}
			wantErr(t, "waiting Lock", <-waiting, ErrDropped)
			for range w.C() {
				t.Error("event after drop")
			}
			wantErr(t, "watch", w.Err(), ErrDropped)
			wantErr(t, "Get", second(sp.Get([]byte("k"), nil)), ErrDropped)
			wantErr(t, "Set", sp.Set(t.Context(), []byte("k"), nil), ErrDropped)
			again := mustSpace(t, s, "app", d)
			wantAbsent(t, again, "k")
			mustSet(t, again, "k", "v2")
			if next, err := again.Lock(t.Context(), []byte("l"), time.Hour); err != nil || next <= token {
				t.Errorf("Lock after drop: %d after %d, %v", next, token, err)
			}
			stats, err := s.Spaces()
			if err != nil || len(stats) != 1 || stats[0].Name != "app" || stats[0].Durability != d || !stats[0].Open {
				t.Errorf("Spaces: %+v, %v", stats, err)
			}
		})
	}
}

func TestLockedFile(t *testing.T) {
	s := newStore(t, nil)
	_, err := Open(s.Path(), &Options{LockTimeout: time.Millisecond})
	wantErr(t, "second Open", err, ErrLocked)
}

func TestOpenRefuses(t *testing.T) {
	foreignBolt := func(t *testing.T, path string) {
		db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error { _, err := tx.CreateBucket([]byte("theirs")); return err })
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	write := func(b []byte) func(*testing.T, string) {
		return func(t *testing.T, path string) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := map[string]func(*testing.T, string){
		"empty file":   write(nil),
		"text":         write(bytes.Repeat([]byte("not a database\n"), 5000)),
		"zeros":        write(make([]byte, 64<<10)),
		"short":        write([]byte("x")),
		"foreign bolt": foreignBolt,
	}
	for name, make := range tests {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kv.db")
			make(t, path)
			before, _ := os.ReadFile(path)
			_, err := Open(path, nil)
			wantErr(t, "Open", err, ErrCorrupt)
			if err != nil && (!strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore")) {
				t.Errorf("error does not say where and what to do: %v", err)
			}
			if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
				t.Error("the refused file was changed")
			}
		})
	}
	if _, err := Open(t.TempDir(), nil); err == nil {
		t.Error("a directory was opened")
	}
}

// TestConcurrentCreate lets many openers create one file: exactly one wins at a time, none sees a half-made file.
func TestConcurrentCreate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := Open(path, &Options{LockTimeout: time.Minute})
			if err != nil {
				t.Errorf("Open: %v", err)
				return
			}
			if err := s.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
	wg.Wait()
	checkConsistent(t, path)
}

// blockCommitter keeps the committer inside a transaction until the returned function is called.
func blockCommitter(t *testing.T, s *Store) (release func()) {
	t.Helper()
	entered, leave, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- s.commit.admin(background, func(*bbolt.Tx) error { close(entered); <-leave; return nil })
	}()
	<-entered
	return func() {
		close(leave)
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestCancelledWriteIsNotApplied(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Sync)
	release := blockCommitter(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- sp.Set(ctx, []byte("k"), []byte("v")) }()
	for s.Stats().QueuedWrites == 0 {
		runtime.Gosched()
	}
	cancel()
	wantErr(t, "cancelled Set", <-result, context.Canceled)
	release()
	mustSet(t, sp, "other", "v")
	wantAbsent(t, sp, "k")
}

// TestQueueIsBounded fills the queue and proves that the next writer blocks until its context ends or there is room.
func TestQueueIsBounded(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Sync)
	release := blockCommitter(t, s)
	if !s.commit.room.TryAcquire(s.opts.QueueBytes - weightOverhead) { // what the blocked request took is the rest
		t.Fatal("the queue is not empty")
	}
	ctx, cancel := context.WithCancel(t.Context())
	result := make(chan error)
	go func() { result <- sp.Set(ctx, []byte("k"), []byte("v")) }()
	cancel()
	wantErr(t, "Set on a full queue", <-result, context.Canceled)
	go func() { result <- sp.Set(background, []byte("k"), []byte("v")) }()
	s.commit.room.Release(s.opts.QueueBytes - weightOverhead)
	release()
	wantErr(t, "Set with room", <-result, nil)
}

// TestNeighboursInOneGroup puts good and failing requests into one group and proves that each gets its own outcome.
func TestNeighboursInOneGroup(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Sync)
	release := blockCommitter(t, s)
	const n = 40
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() {
			key := []byte{'k', byte(i)}
			switch i % 4 {
			case 0, 1:
				errs[i] = sp.Set(background, key, key)
			case 2:
				errs[i] = sp.CompareAndSwap(background, key, []byte("not there"), key)
			case 3:
				_, errs[i] = sp.Apply(background, []Op{
					{Kind: OpSet, Key: key, Value: key}, {Kind: OpCompareAndSwap, Key: key, Old: []byte("no"), Value: key},
				})
			}
		})
	}
	for s.Stats().QueuedWrites < n {
		runtime.Gosched()
	}
	before := s.Stats()
	release()
	wg.Wait()
	for i, err := range errs {
		key := string([]byte{'k', byte(i)})
		if i%4 < 2 {
			wantErr(t, "good neighbour", err, nil)
			wantValue(t, sp, key, key)
			continue
		}
		wantErr(t, "failing request", err, ErrConflict)
		wantAbsent(t, sp, key)
	}
	if st := s.Stats(); st.Commits-before.Commits > 2 || st.LargestGroup < n {
		t.Errorf("not one group: %+v", st)
	}
}

func TestIdleWritesNothing(t *testing.T) {
	s := newStore(t, nil)
	sp := mustSpace(t, s, "app", Sync)
	mustSet(t, sp, "k", "v")
	commits := s.Stats().Commits
	_, _ = sp.Get([]byte("k"), nil)
	wantErr(t, "conflict", sp.CompareAndSwap(t.Context(), []byte("k"), nil, nil), ErrConflict)
	if existed, err := sp.Delete(t.Context(), []byte("absent")); existed || err != nil {
		t.Errorf("Delete: %v, %v", existed, err)
	}
	mustSpace(t, s, "app", Sync)
	if got := s.Stats().Commits; got != commits {
		t.Errorf("%d commits without a change", got-commits)
	}
}

// TestFailedCommit makes bbolt panic inside a commit: the store must stop writing, say so, go on reading, and be good after a reopen.
func TestFailedCommit(t *testing.T) {
	s := newStore(t, nil)
	sp, batched := mustSpace(t, s, "app", Sync), mustSpace(t, s, "later", Batched)
	mustSet(t, sp, "k", "v")
	err := s.commit.admin(t.Context(), func(tx *bbolt.Tx) error {
		tx.OnCommit(func() { panic("planted") })
		return nil
	})
	wantErr(t, "planted panic", err, ErrFailed)
	wantErr(t, "Set", sp.Set(t.Context(), []byte("k"), nil), ErrFailed)
	wantErr(t, "batched Set", batched.Set(t.Context(), []byte("k"), nil), ErrFailed)
	wantErr(t, "Lock", second(sp.Lock(t.Context(), []byte("k"), time.Second)), ErrFailed)
	wantValue(t, sp, "k", "v")
	if !s.Stats().Failed {
		t.Error("Stats does not say so")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, s.Path(), nil)
	sp = mustSpace(t, s, "app", Sync)
	wantValue(t, sp, "k", "v")
	mustSet(t, sp, "k", "again")
}

// TestDamagedMeta damages the newer meta page: falling back to the older one would undo an acknowledged write, so Open refuses.
func TestDamagedMeta(t *testing.T) {
	for page := range int64(2) {
		path := filepath.Join(t.TempDir(), "kv.db")
		s := mustOpen(t, path, nil)
		mustSet(t, mustSpace(t, s, "app", Sync), "k", "v")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		flipAll(t, path, page*pageSize+pageHeader, page*pageSize+metaEnd, func(bit int64) {
			s, err := Open(path, nil)
			wantErr(t, "Open", err, ErrCorrupt)
			if err == nil {
				_ = s.Close()
			}
		})
	}
}

func TestLookup(t *testing.T) {
	s := newStore(t, nil)
	if _, err := s.Lookup("none"); !errors.Is(err, ErrSpaceNotFound) {
		t.Errorf("a space that is not there: %v", err)
	}
	if _, err := s.Lookup("Bad Name"); !errors.Is(err, ErrBadName) {
		t.Errorf("a bad name: %v", err)
	}
	for _, d := range []Durability{Sync, Batched, Memory} {
		made, err := s.Space("space-"+d.String(), d)
		if err != nil {
			t.Fatal(err)
		}
		if found, err := s.Lookup(made.Name()); err != nil || found != made || found.Durability() != d {
			t.Errorf("%v: %v, %v", d, found, err)
		}
	}
}
