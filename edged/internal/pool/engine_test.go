//go:build cgo

package pool_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/internal/testutil"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// hang bounds what only a hang reaches.
const hang = time.Minute

// world is what a process can have once: the engine, and what hangs on it.
var world struct {
	engine    *wasmedge.Engine
	cache     *aot.Cache
	pool      *pool.Pool
	scheduler *scheduler.Scheduler
	entered   chan struct{} // receives once for each guest that has entered test.block
	release   chan struct{} // lets one guest out of it for each value
	met       atomic.Int32  // guests that have called test.met
	meet      atomic.Int32  // test.more says yes until so many have
	apps      int           // that the test has made and not retired yet
}

const (
	workers  = 4
	memories = 16 // few, so that every test of many instances meets the bound
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "compile" {
		os.Exit(aot.ChildMain(nil, os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "edged-pool-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := open(filepath.Join(dir, "aot")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := world.scheduler.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func open(dir string) (err error) {
	world.entered, world.release = make(chan struct{}, workers), make(chan struct{})
	world.cache, err = aot.Open(aot.Options{Dir: dir, Self: []string{"/proc/self/exe", "compile"}, Best: aot.O2})
	if err != nil {
		return err
	}
	keeper, err := world.cache.Get(context.Background(), wasmedge.KeeperModule(), nil)
	if err != nil {
		return err
	}
	block := wasmedge.HostFunc{Module: "test", Name: "block", Call: func(*wasmedge.Caller, []uint64) error {
		world.entered <- struct{}{}
		<-world.release
		return nil
	}}
	met := wasmedge.HostFunc{Module: "test", Name: "met", Call: func(*wasmedge.Caller, []uint64) error {
		world.met.Add(1)
		return nil
	}}
	more := wasmedge.HostFunc{
		Module: "test", Name: "more", Type: wasmedge.FuncType{Results: []wasmedge.ValType{wasmedge.I32}},
		Call: func(_ *wasmedge.Caller, stack []uint64) error {
			if stack[0] = 0; world.met.Load() < world.meet.Load() {
				stack[0] = 1
			}
			return nil
		},
	}
	world.engine, err = wasmedge.Open(wasmedge.Options{Keeper: keeper.Path, HostFuncs: append(hostfn.All(), block, met, more), Memories: memories})
	if err != nil {
		return err
	}
	world.pool = pool.Open(world.engine, pool.Options{Logger: slog.New(slog.DiscardHandler), MemoryBytes: 4 << 30})
	world.scheduler = scheduler.New(scheduler.Options{Cores: workers})
	return world.scheduler.Start(world.pool)
}

// build compiles a build of the guest and returns what loads it; more are further compiler flags.
func build(t *testing.T, answer int, more ...string) func() (*pool.Program, error) {
	t.Helper()
	return loader(t, testutil.BuildCFile(t, filepath.Join("testdata", "guest.c"),
		append(append(testutil.Freestanding(), fmt.Sprintf("-DANSWER=%d", answer)), more...)...))
}

// loader checks and compiles a module and returns what loads it.
func loader(t testing.TB, path string) func() (*pool.Program, error) {
	t.Helper()
	checked, err := gate.Check(testutil.Read(t, path), gate.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	artifact, err := world.cache.Get(t.Context(), checked.Code, nil)
	if err != nil {
		t.Fatal(err)
	}
	options := wasmedge.ModuleOptions{
		MemoryExport: checked.MemoryExport, Start: checked.StartExport, Imports: []string{"edged", "wasi_snapshot_preview1", "test"},
	}
	for _, segment := range checked.Data {
		options.Data = append(options.Data, wasmedge.Segment(segment))
	}
	return func() (*pool.Program, error) {
		module, err := world.engine.Load(artifact.Path, options)
		if err != nil {
			return nil, err
		}
		p := &pool.Program{
			Module: module, Entries: make(map[string]wasmedge.FuncType), Resettable: !checked.TablesMutable && !checked.SegmentsMutable,
		}
		for _, global := range checked.MutableGlobals {
			p.Globals = append(p.Globals, global.Export)
		}
		for _, export := range checked.Exports {
			if export.Kind == gate.KindFunction {
				p.Entries[export.Name] = export.Type
			}
			switch export.Name {
			case "_initialize":
				p.StartUp = []string{export.Name}
			case "edged_restore":
				p.Restore = export.Name
			}
		}
		return p, nil
	}
}

// program builds and loads.
func program(t *testing.T, answer int) *pool.Program {
	t.Helper()
	p, err := build(t, answer)()
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// newApp makes an app of every function of the guest. What the test leaves of it is retired at its end, and by then no
// linear memory of it may be left.
func newApp(t *testing.T, change func(*pool.Spec)) *pool.App {
	t.Helper()
	guest, err := hostfn.NewApp(hostfn.AppOptions{Name: "app"})
	if err != nil {
		t.Fatal(err)
	}
	spec := pool.Spec{App: "app", Guest: guest, Timeout: hang, Concurrency: 100}
	metrics := metric.New()
	for _, name := range []invoke.FunctionName{
		"version", "count", "held", "spin", "trap", "quit", "quit_3", "fail", "returns_5", "grow", "until", "own", "sleep", "flood",
	} {
		spec.Functions = append(spec.Functions, pool.FunctionSpec{Name: name, Entry: string(name), Metric: metrics.Function("app", name)})
	}
	change(&spec)
	app := pool.NewApp(spec)
	world.apps++
	t.Cleanup(func() {
		app.Retire()
		if world.apps--; world.apps == 0 {
			eventually(t, "no linear memory is left", func() bool { return world.engine.LiveMemories() == 0 })
		}
	})
	return app
}

// loaded makes an app of that build.
func loaded(t *testing.T, load func() (*pool.Program, error)) *pool.App {
	t.Helper()
	return newApp(t, func(s *pool.Spec) { s.Load = load })
}

// submit starts an invocation; the channel receives its result.
func submit(app *pool.App, fn invoke.FunctionName, change func(*invoke.Invocation)) (<-chan invoke.Result, error) {
	results := make(chan invoke.Result, 1)
	inv := &invoke.Invocation{
		App: "app", Function: fn, Source: invoke.SourceHTTP, Target: app.Function(fn), Stamps: invoke.Stamps{Arrived: time.Now()},
		Done: func(_ *invoke.Invocation, r invoke.Result) { results <- r },
	}
	if change != nil {
		change(inv)
	}
	return results, world.scheduler.Submit(inv)
}

// call runs an invocation to its end.
func call(t *testing.T, app *pool.App, fn invoke.FunctionName) invoke.Result {
	t.Helper()
	results, err := submit(app, fn, nil)
	if err != nil {
		return invoke.Result{Err: err}
	}
	return receive(t, results)
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(hang):
		t.Fatal("nothing comes")
		panic("unreachable")
	}
}

// want requires a result of that body, or of that error when err is not nil.
func want(t *testing.T, got invoke.Result, body string, err error) {
	t.Helper()
	if !errors.Is(got.Err, err) || (got.Err == nil) != (err == nil) || string(got.Body) != body {
		t.Errorf("got %q and error %v, want %q and %v", got.Body, got.Err, body, err)
	}
}

// eventually waits for a condition that nothing announces.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	limit := time.After(hang)
	for !holds() {
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s: not within %v", what, hang)
		}
	}
}
