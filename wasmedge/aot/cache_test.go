//go:build cgo

package aot

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	engine "github.com/second-state/WasmEdge-go/wasmedge"

	"edged.dev/edge/internal/testutil"
)

// mustLoad loads the artifact with the engine's own loader and validator and checks that it has the exports.
func mustLoad(t *testing.T, path string, exports int) {
	t.Helper()
	config := engine.NewConfigure()
	defer config.Release()
	loader := engine.NewLoaderWithConfig(config)
	defer loader.Release()
	module, err := loader.LoadFile(path)
	if err != nil {
		t.Fatalf("load %s: %v", path, err)
	}
	defer module.Release()
	validator := engine.NewValidatorWithConfig(config)
	defer validator.Release()
	if err := validator.Validate(module); err != nil {
		t.Fatalf("validate %s: %v", path, err)
	}
	if got := len(module.ListExports()); got != exports {
		t.Fatalf("%s has %d exports, want %d", path, got, exports)
	}
}

const smallExports = 3 // memory, add, mix

func TestGetCompilesOnceAndLoads(t *testing.T) {
	testutil.NoLeaks(t)
	code := smallModule(t)
	for _, level := range []Level{O0, O2, O3} {
		t.Run(level.String(), func(t *testing.T) {
			c := openTest(t, Options{Best: level})
			if _, found := c.Lookup(code); found {
				t.Fatal("an artifact before the first Get")
			}
			var seen recorder
			first, err := c.Get(t.Context(), code, seen.progress)
			if err != nil {
				t.Fatal(err)
			}
			if first.Level != level || !first.Final || first.Key != c.KeyOf(code) {
				t.Fatalf("got %+v", first)
			}
			mustLoad(t, first.Path, smallExports)
			if !slices.Equal(seen.stages, stages) {
				t.Errorf("stages %q, want %q", seen.stages, stages)
			}
			if !slices.IsSorted(seen.done) || seen.done[len(seen.done)-1] != seen.total {
				t.Errorf("progress %v of %d", seen.done, seen.total)
			}
			var again recorder
			second, err := c.Get(t.Context(), code, again.progress)
			if err != nil || *second != *first {
				t.Fatalf("second Get: %+v, %v", second, err)
			}
			if len(again.stages) != 0 {
				t.Errorf("second Get had progress %q: it compiled", again.stages)
			}
			left, err := os.ReadDir(c.store.temp)
			if err != nil || len(left) != 0 {
				t.Errorf("temporary files left: %v, %v", left, err)
			}
		})
	}
}

func TestLevelsDiffer(t *testing.T) {
	code := smallModule(t)
	plain, err := openTest(t, Options{Best: O0}).Get(t.Context(), code, nil)
	must(t, err)
	better, err := openTest(t, Options{Best: O3}).Get(t.Context(), code, nil)
	must(t, err)
	mustLoad(t, plain.Path, smallExports)
	mustLoad(t, better.Path, smallExports)
	if bytes.Equal(readModule(t, plain.Path), readModule(t, better.Path)) {
		t.Error("O0 and O3 gave the same code")
	}
}

func TestLargeModuleIsImprovedBehind(t *testing.T) {
	testutil.NoLeaks(t)
	code := smallModule(t)
	c := openTest(t, Options{LargeBytes: 1})
	better := make(chan *Artifact, 1) // one improvement
	c.OnBetter(func(key Key, a *Artifact) {
		if key != a.Key {
			t.Errorf("announced under %v, is %v", key, a.Key)
		}
		better <- a
	})
	first, err := c.Get(t.Context(), code, nil)
	if err != nil {
		t.Fatal(err)
	}
	if first.Level != O0 || first.Final {
		t.Fatalf("got %+v, want a preliminary O0", first)
	}
	final := <-better
	if final.Level != O3 || !final.Final || final.Key != first.Key || final.Path == first.Path {
		t.Fatalf("improved to %+v from %+v", final, first)
	}
	mustLoad(t, first.Path, smallExports) // still there: somebody may be about to load it
	mustLoad(t, final.Path, smallExports)
	if now, found := c.Lookup(code); !found || *now != *final {
		t.Fatalf("Lookup %+v, %v", now, found)
	}
	dir := c.options.Dir
	if err := c.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := openTest(t, Options{Dir: dir, LargeBytes: 1, Self: []string{"/nonexistent"}})
	if now, err := again.Get(t.Context(), code, nil); err != nil || *now != *final {
		t.Fatalf("after a restart %+v, %v", now, err)
	}
	if _, err := os.Stat(first.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the superseded artifact is still there after a restart: %v", err)
	}
}

func TestConcurrentGetCompilesOnce(t *testing.T) {
	testutil.NoLeaks(t)
	code := smallModule(t)
	// A child that leaves a line before it becomes the real one.
	log := filepath.Join(t.TempDir(), "children")
	self := append(shell(`echo started >> "$2"; exec "$0" "$1"`), "/proc/"+strconv.Itoa(os.Getpid())+"/exe", childPart, log)
	c := openTest(t, Options{Self: self})
	var group sync.WaitGroup
	paths := make([]string, 16)
	for i := range paths {
		group.Go(func() {
			a, err := c.Get(t.Context(), code, func(string, int64, int64) {})
			if err != nil {
				t.Errorf("Get: %v", err)
				return
			}
			paths[i] = a.Path
		})
	}
	group.Wait()
	if started := bytes.Count(readModule(t, log), []byte("\n")); started != 1 {
		t.Errorf("%d children for one module, want 1", started)
	}
	if len(slices.Compact(paths)) != 1 {
		t.Errorf("the callers got %q", paths)
	}
}

func count(list []string, want string) int {
	n := 0
	for _, s := range list {
		if s == want {
			n++
		}
	}
	return n
}

func TestCancelledWaiterLeavesTheOthers(t *testing.T) {
	testutil.NoLeaks(t)
	code := slowModule(t)
	c := openTest(t, Options{Best: O0})
	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("client went away")
	entered := make(chan struct{})
	other := make(chan error, 1)
	go func() {
		<-entered
		_, err := c.Get(t.Context(), code, func(stage string, _, _ int64) {
			if stage == StageTranslate || stage == StageValidate {
				cancel(gone)
			}
		})
		other <- err
	}()
	var once sync.Once
	_, err := c.Get(ctx, code, func(string, int64, int64) { once.Do(func() { close(entered) }) })
	if err != nil && !errors.Is(err, gone) {
		t.Errorf("cancelled waiter: %v", err)
	}
	cancel(gone)
	if err := <-other; err != nil {
		t.Errorf("other waiter: %v", err)
	}
}

func TestLastWaiterCancelsAndNextStartsAnew(t *testing.T) {
	testutil.NoLeaks(t)
	code := slowModule(t)
	c := openTest(t, Options{LargeBytes: 1 << 30})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := c.Get(ctx, code, func(stage string, _, _ int64) {
		if stage == StageTranslate {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatalf("cancelled Get: %v", err)
	}
	c.options.Best = O0 // the second need not be slow
	if _, err := c.Get(t.Context(), code, nil); err != nil {
		t.Fatalf("Get after a cancelled one: %v", err)
	}
}

func TestCloseKillsChildren(t *testing.T) {
	testutil.NoLeaks(t)
	code := slowModule(t)
	c := openTest(t, Options{LargeBytes: 1 << 30})
	closed := make(chan error, 1)
	_, err := c.Get(t.Context(), code, func(stage string, _, _ int64) {
		if stage == StageTranslate {
			go func() { closed <- c.Close(context.Background()) }()
		}
	})
	if !errors.Is(err, ErrClosed) {
		t.Fatalf("Get in Close: %v", err)
	}
	if err := <-closed; err != nil {
		t.Fatal(err)
	}
	if left := children(t, os.Getpid()); len(left) != 0 {
		t.Errorf("children left: %v", left)
	}
	if _, err := c.Get(t.Context(), code, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Get after Close: %v", err)
	}
	if err := c.Close(t.Context()); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestRemoveAndGC(t *testing.T) {
	c := openTest(t, Options{Best: O0})
	one, two := smallModule(t), readModule(t, testutil.BuildC(t, `__attribute__((export_name("one"))) int one(void) { return 1; }`, testutil.Freestanding()...))
	for _, code := range [][]byte{one, two} {
		if _, err := c.Get(t.Context(), code, nil); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := c.GC(map[Key]struct{}{c.KeyOf(one): {}, c.KeyOf(two): {}}); n != 0 || err != nil {
		t.Fatalf("GC of nothing removed %d, %v", n, err)
	}
	if n, err := c.GC(map[Key]struct{}{c.KeyOf(one): {}}); n != 1 || err != nil {
		t.Fatalf("GC removed %d, %v", n, err)
	}
	if _, found := c.Lookup(two); found {
		t.Error("found after GC")
	}
	if _, found := c.Lookup(one); !found {
		t.Error("a kept artifact is gone")
	}
	if err := c.Remove(c.KeyOf(one)); err != nil {
		t.Fatal(err)
	}
	if _, found := c.Lookup(one); found {
		t.Error("found after Remove")
	}
	if keys, err := c.store.keys(); err != nil || len(keys) != 0 {
		t.Errorf("files left of %v, %v", keys, err)
	}
}

func TestRemoveEndsImprovement(t *testing.T) {
	testutil.NoLeaks(t)
	code := slowModule(t)
	c := openTest(t, Options{LargeBytes: 1})
	c.OnBetter(func(Key, *Artifact) { t.Error("announced after Remove") })
	a, err := c.Get(t.Context(), code, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(a.Key); err != nil {
		t.Fatal(err)
	}
	if _, found := c.Lookup(code); found {
		t.Error("found after Remove")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.behind.queue) != 0 || c.behind.cancel != nil && c.behind.running == a.Key {
		t.Error("still being improved")
	}
}

func TestRefusals(t *testing.T) {
	c := openTest(t, Options{})
	if _, err := c.Get(t.Context(), nil, nil); !errors.Is(err, ErrEmpty) {
		t.Errorf("no code: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Get(ctx, smallModule(t), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled before: %v", err)
	}
	if _, err := Open(Options{Dir: c.options.Dir}); !errors.Is(err, ErrLocked) {
		t.Errorf("second daemon: %v", err)
	}
	for name, bad := range map[string]Options{
		"no directory":   {},
		"level O1":       {Dir: t.TempDir(), Best: Level(9)},
		"negative limit": {Dir: t.TempDir(), Limits: ChildLimits{CPU: -1}},
		"negative slots": {Dir: t.TempDir(), Parallel: -1},
		"negative size":  {Dir: t.TempDir(), LargeBytes: -1},
	} {
		if _, err := Open(bad); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
}

// TestRandomUse drives a cache and a model of it through random operations, restarts included.
func TestRandomUse(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 2))
	dir := filepath.Join(t.TempDir(), "aot")
	modules := make([][]byte, 4)
	for i := range modules {
		source := strings.ReplaceAll(`__attribute__((export_name("n"))) int n(void) { return N; }`, "N", string(rune('1'+i)))
		modules[i] = readModule(t, testutil.BuildC(t, source, testutil.Freestanding()...))
	}
	c := openTest(t, Options{Dir: dir, Best: O0})
	present := map[int]bool{}
	for range 60 {
		i := random.IntN(len(modules))
		switch random.IntN(6) {
		case 0, 1:
			if _, err := c.Get(t.Context(), modules[i], nil); err != nil {
				t.Fatal(err)
			}
			present[i] = true
		case 2:
			if err := c.Remove(c.KeyOf(modules[i])); err != nil {
				t.Fatal(err)
			}
			delete(present, i)
		case 3:
			if _, err := c.GC(map[Key]struct{}{c.KeyOf(modules[i]): {}}); err != nil {
				t.Fatal(err)
			}
			present = map[int]bool{i: present[i]}
		case 4:
			if a, found := c.Lookup(modules[i]); found { // damage it
				flipByte(t, a.Path, random.Int64N(1000))
				delete(present, i)
			}
		case 5:
			if err := c.Close(t.Context()); err != nil {
				t.Fatal(err)
			}
			c = openTest(t, Options{Dir: dir, Best: O0})
		}
		for i, code := range modules {
			if a, found := c.Lookup(code); found != present[i] {
				t.Fatalf("module %d: found %v (%+v), want %v", i, found, a, present[i])
			}
		}
	}
}

func BenchmarkLookup(b *testing.B) {
	code := smallModule(b)
	c, err := Open(Options{Dir: filepath.Join(b.TempDir(), "aot"), Self: childSelf(), Best: O0})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = c.Close(context.Background()) }()
	if _, err := c.Get(b.Context(), code, nil); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, found := c.Lookup(code); !found {
			b.Fatal("gone")
		}
	}
}
