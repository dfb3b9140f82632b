//go:build cgo

package pool_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
)

func TestEndings(t *testing.T) {
	app := loaded(t, build(t, 1))
	for _, c := range []struct {
		fn     invoke.FunctionName
		body   string
		err    error
		detail string
	}{
		{"version", "1", nil, ""},
		{"quit", "7", nil, ""},
		{"quit_3", "", invoke.ErrGuest, "guest exited with code 3"},
		{"trap", "", invoke.ErrGuest, "unreachable"},
		{"fail", "", invoke.ErrGuest, "no"},
		{"returns_5", "", invoke.ErrGuest, "the function returned an error: 5"},
	} {
		t.Run(string(c.fn), func(t *testing.T) {
			got := call(t, app, c.fn)
			want(t, got, c.body, c.err)
			if c.err != nil && !strings.Contains(got.Err.Error(), c.detail) {
				t.Errorf("the error is %q, want %q in it", got.Err, c.detail)
			}
		})
	}
}

func TestStateBetweenCalls(t *testing.T) {
	load := build(t, 1)
	for _, c := range []struct {
		name       string
		reuse      bool
		resettable bool
		wants      [3]string
		kept       [3]int // instances after each call
	}{
		{"a fresh instance for every call", false, false, [...]string{"1", "1", "1"}, [...]int{0, 0, 0}},
		// The first one is what the template is made of.
		{"an instance reset to its template", false, true, [...]string{"1", "1", "1"}, [...]int{0, 1, 1}},
		{"reuse keeps the state", true, true, [...]string{"1", "2", "3"}, [...]int{1, 1, 1}},
		{"reuse keeps the state of what cannot be reset", true, false, [...]string{"1", "2", "3"}, [...]int{1, 1, 1}},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := newApp(t, func(s *pool.Spec) {
				s.Reuse = c.reuse
				s.Load = func() (*pool.Program, error) {
					p, err := load()
					if err == nil && c.resettable && !p.Resettable {
						return nil, errors.New("the guest cannot be reset, so this tests nothing")
					}
					p.Resettable = c.resettable
					return p, err
				}
			})
			for i, count := range c.wants {
				want(t, call(t, app, "count"), count, nil)
				// An instance is given back after its answer.
				eventually(t, "the instance is given back", func() bool {
					return app.Instances() == c.kept[i] && world.engine.LiveMemories() == c.kept[i]
				})
			}
		})
	}
}

// TestReuseAfterTrap does not keep an instance that a trap left in the middle.
func TestReuseAfterTrap(t *testing.T) {
	app := newApp(t, func(s *pool.Spec) {
		s.Reuse = true
		s.Load = build(t, 1)
	})
	for _, count := range []string{"1", "2"} {
		want(t, call(t, app, "count"), count, nil)
		eventually(t, "the instance is given back", func() bool { return app.Instances() == 1 })
	}
	want(t, call(t, app, "trap"), "", invoke.ErrGuest)
	eventually(t, "the instance is gone", func() bool { return app.Instances() == 0 })
	want(t, call(t, app, "count"), "1", nil)
}

func TestStartUpFails(t *testing.T) {
	for _, c := range []struct{ name, code, detail string }{
		{"a trap", "__builtin_trap()", "unreachable"},
		{"an exit", "proc_exit(9)", "code 9"},
		{"a word of its own", "error(\"no disk\", 7)", "no disk"},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := loaded(t, build(t, 1, "-DINITIALIZE="+c.code))
			err := world.pool.Try(t.Context(), app)
			if err == nil || !strings.Contains(err.Error(), "_initialize") || !strings.Contains(err.Error(), c.detail) {
				t.Errorf("Try: %v, want an error of _initialize with %q", err, c.detail)
			}
			got := call(t, app, "version")
			want(t, got, "", invoke.ErrGuest)
			if got.Err != nil && !strings.Contains(got.Err.Error(), c.detail) {
				t.Errorf("the caller is told %q, want %q in it", got.Err, c.detail)
			}
		})
	}
}

// TestStartUpWithoutEnd is ended by the app's timeout, and by the deploy that is given up.
func TestStartUpWithoutEnd(t *testing.T) {
	spin := "-DINITIALIZE=for(;;)sink++"
	short := newApp(t, func(s *pool.Spec) {
		s.Timeout = 20 * time.Millisecond
		s.Load = build(t, 1, spin)
	})
	want(t, call(t, short, "version"), "", invoke.ErrTimeout)
	if err := world.pool.Try(t.Context(), short); !errors.Is(err, invoke.ErrTimeout) {
		t.Errorf("Try: %v", err)
	}
	app := loaded(t, build(t, 1, spin))
	ctx, cancel := context.WithCancelCause(t.Context())
	tried := make(chan error, 1)
	go func() { tried <- world.pool.Try(ctx, app) }()
	eventually(t, "the start-up runs", func() bool { return world.engine.LiveMemories() > 0 })
	gone := errors.New("the client is gone")
	cancel(gone)
	if err := receive(t, tried); !errors.Is(err, gone) {
		t.Errorf("Try that is given up: %v", err)
	}
}

func TestTry(t *testing.T) {
	app := loaded(t, build(t, 1))
	if err := world.pool.Try(t.Context(), app); err != nil {
		t.Error(err)
	}
	want(t, call(t, app, "version"), "1", nil)
	missing := newApp(t, func(s *pool.Spec) {
		s.Functions = append(s.Functions, pool.FunctionSpec{Name: "none", Entry: "none"})
		s.Load = build(t, 1)
	})
	if err := world.pool.Try(t.Context(), missing); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("Try of an app with an entry that is not there: %v", err)
	}
}

func TestRetireWhileInFlight(t *testing.T) {
	app := loaded(t, build(t, 1))
	results, err := submit(app, "held", nil)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, world.entered)
	app.Retire()
	// As long as one is in flight there is a way back for those that were routed before the switch.
	want(t, call(t, app, "version"), "1", nil)
	world.release <- struct{}{}
	want(t, receive(t, results), "1", nil)
	eventually(t, "it is unloaded", func() bool { _, err := submit(app, "version", nil); return errors.Is(err, scheduler.ErrRetired) })
	app.Retire() // once more does nothing
	want(t, call(t, app, "version"), "", scheduler.ErrRetired)
}

func TestRetireBeforeLoad(t *testing.T) {
	app := newApp(t, func(s *pool.Spec) {
		s.Load = func() (*pool.Program, error) { t.Error("a retired app is loaded"); return nil, errors.New("no") }
	})
	app.Retire()
	want(t, call(t, app, "version"), "", scheduler.ErrRetired)
}

func TestReplaceWhileInFlight(t *testing.T) {
	for _, reuse := range []bool{false, true} {
		app := newApp(t, func(s *pool.Spec) {
			s.Reuse = reuse
			s.Load = build(t, 1)
		})
		results, err := submit(app, "held", nil)
		if err != nil {
			t.Fatal(err)
		}
		receive(t, world.entered)
		app.Replace(program(t, 2))
		want(t, call(t, app, "version"), "2", nil)
		world.release <- struct{}{}
		want(t, receive(t, results), "1", nil) // it has ended on the build that it began with
		for range workers {
			want(t, call(t, app, "version"), "2", nil) // and its instance is not used again
		}
	}
}

// TestReplaceBeforeLoad gives the better program up: Load finds it by itself.
func TestReplaceBeforeLoad(t *testing.T) {
	app := loaded(t, build(t, 1))
	app.Replace(program(t, 2))
	want(t, call(t, app, "version"), "1", nil)
}

func TestTimeout(t *testing.T) {
	app := newApp(t, func(s *pool.Spec) {
		s.Timeout = 30 * time.Millisecond
		s.Load = build(t, 1)
	})
	// More than there are workers: each is whole again after it has killed a guest.
	for range 2 * workers {
		got := call(t, app, "spin")
		want(t, got, "", invoke.ErrTimeout)
		if got.Err != nil && !strings.Contains(got.Err.Error(), "killed after 30ms, the app's limits.timeout") {
			t.Errorf("the error is %q", got.Err)
		}
	}
	// Another app, for it is known by now that spin takes longer than that.
	results, err := submit(loaded(t, build(t, 1)), "spin", func(inv *invoke.Invocation) { inv.Deadline = time.Now().Add(10 * time.Millisecond) })
	if err != nil {
		t.Fatal(err)
	}
	if got := receive(t, results); !errors.Is(got.Err, invoke.ErrTimeout) || !strings.Contains(got.Err.Error(), "deadline") {
		t.Errorf("at its caller's deadline: %v", got.Err)
	}
	fine := loaded(t, build(t, 1))
	for range 2 * workers {
		want(t, call(t, fine, "version"), "1", nil)
	}
}

func TestKillAll(t *testing.T) {
	app := loaded(t, build(t, 1))
	var all []<-chan invoke.Result
	for range workers - 1 {
		results, err := submit(app, "spin", nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, results)
	}
	eventually(t, "all run", func() bool { return world.engine.LiveMemories() == workers-1 })
	world.pool.KillAll(invoke.ErrDraining)
	for _, results := range all {
		want(t, receive(t, results), "", invoke.ErrDraining)
	}
	want(t, call(t, app, "version"), "1", nil)
}

// TestLoadIsRetried fails to load twice; the callers are told, and the third finds the program.
func TestLoadIsRetried(t *testing.T) {
	broken := errors.New("the disk is gone")
	load := build(t, 1)
	loads := 0 // Load is never called twice at once
	app := newApp(t, func(s *pool.Spec) {
		s.Load = func() (*pool.Program, error) {
			if loads++; loads <= 2 {
				return nil, broken
			}
			return load()
		}
	})
	want(t, call(t, app, "version"), "", broken)
	want(t, call(t, app, "version"), "", broken)
	want(t, call(t, app, "version"), "1", nil)
	want(t, call(t, app, "version"), "1", nil)
	if loads != 3 {
		t.Errorf("loaded %d times, want 3", loads)
	}
}

// TestLoadsOnce lets many first requests come at once.
func TestLoadsOnce(t *testing.T) {
	var loads atomic.Int64
	load := build(t, 1)
	proceed := make(chan struct{})
	app := newApp(t, func(s *pool.Spec) {
		s.Load = func() (*pool.Program, error) {
			loads.Add(1)
			<-proceed
			return load()
		}
	})
	var all []<-chan invoke.Result
	for range 3 * workers {
		results, err := submit(app, "version", nil)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, results)
	}
	eventually(t, "one loads", func() bool { return loads.Load() > 0 })
	close(proceed)
	for _, results := range all {
		want(t, receive(t, results), "1", nil)
	}
	if n := loads.Load(); n != 1 {
		t.Errorf("loaded %d times", n)
	}
}

// TestRetireWhileLoading unloads what comes too late.
func TestRetireWhileLoading(t *testing.T) {
	load := build(t, 1)
	loading, proceed := make(chan struct{}), make(chan struct{})
	app := newApp(t, func(s *pool.Spec) {
		s.Timeout = 20 * time.Millisecond
		s.Load = func() (*pool.Program, error) {
			close(loading)
			<-proceed
			return load()
		}
	})
	results, err := submit(app, "version", nil)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, loading)
	want(t, receive(t, results), "", invoke.ErrTimeout) // it does not wait longer than its app's timeout
	app.Retire()
	close(proceed)
	want(t, call(t, app, "version"), "", scheduler.ErrRetired)
}

func TestConcurrency(t *testing.T) {
	app := newApp(t, func(s *pool.Spec) {
		s.Concurrency = 1
		s.Load = build(t, 1)
	})
	results, err := submit(app, "held", nil)
	if err != nil {
		t.Fatal(err)
	}
	receive(t, world.entered)
	got := call(t, app, "version")
	want(t, got, "", invoke.ErrQueueFull)
	var full *invoke.Error
	if !errors.As(got.Err, &full) || full.RetryAfter <= 0 || !strings.Contains(full.Detail, "limits.concurrency is 1") {
		t.Errorf("the refusal is %+v", got.Err)
	}
	world.release <- struct{}{}
	want(t, receive(t, results), "1", nil)
	want(t, call(t, app, "version"), "1", nil)
}

// TestHammer calls two apps from many goroutines while their programs are replaced and the guests trap, exit and are killed.
// Every answer is that of the function that was called, and at the end no linear memory is left.
func TestHammer(t *testing.T) {
	builds := 20
	if testing.Short() {
		builds = 5
	}
	apps := make([]*pool.App, 2)
	for i := range apps {
		apps[i] = newApp(t, func(s *pool.Spec) {
			s.Reuse = i == 1
			s.Timeout = 30 * time.Second
			s.Load = build(t, 1)
		})
	}
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for n := range 8 {
		callers.Go(func() {
			random := rand.New(rand.NewPCG(uint64(n), 3))
			for {
				select {
				case <-stop:
					return
				default:
				}
				app := apps[random.IntN(2)]
				if err := one(app, random); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range builds {
		apps[i%2].Replace(program(t, 1+i%3))
	}
	close(stop)
	callers.Wait()
}

// one makes one call of a random kind and judges its end.
func one(app *pool.App, random *rand.Rand) error {
	kind := random.IntN(5)
	fn := []invoke.FunctionName{"version", "count", "trap", "quit", "spin"}[kind]
	results, err := submit(app, fn, func(inv *invoke.Invocation) {
		if fn == "spin" {
			inv.Deadline = time.Now().Add(time.Duration(1+random.IntN(5)) * time.Millisecond)
		}
	})
	if fn == "spin" && errors.Is(err, invoke.ErrQueueFull) {
		return nil // it is known by now that it does not keep its deadline
	}
	if err != nil {
		return err
	}
	got := <-results
	body := string(got.Body)
	switch fn {
	case "version":
		if got.Err != nil || body != "1" && body != "2" && body != "3" {
			return errors.Join(errors.New("version answers "+body), got.Err)
		}
	case "count":
		if got.Err != nil || len(body) != 1 {
			return errors.Join(errors.New("count answers "+body), got.Err)
		}
	case "quit":
		if got.Err != nil || body != "7" {
			return errors.Join(errors.New("quit answers "+body), got.Err)
		}
	case "trap":
		if !errors.Is(got.Err, invoke.ErrGuest) {
			return errors.Join(errors.New("trap answers "+body), got.Err)
		}
	case "spin":
		if !errors.Is(got.Err, invoke.ErrTimeout) {
			return errors.Join(errors.New("spin answers "+body), got.Err)
		}
	}
	return nil
}

// TestHistoryOutlivesVersions: what has been learnt of a function is there for the next version of its app, and for no other.
func TestHistoryOutlivesVersions(t *testing.T) {
	history := world.pool.History("app", "version")
	if again := world.pool.History("app", "version"); again != history {
		t.Error("a function has two histories")
	}
	if other := world.pool.History("other", "version"); other == history {
		t.Error("two apps share a history")
	}
	first := newApp(t, func(s *pool.Spec) { s.Functions[0].History = history })
	second := newApp(t, func(s *pool.Spec) { s.Functions[0].History = history })
	name := []invoke.FunctionName{"version", "count"}
	if first.Function(name[0]).History() != second.Function(name[0]).History() {
		t.Error("the second version of a function begins to learn anew")
	}
	if h := first.Function(name[1]).History(); h == nil || h == second.Function(name[1]).History() {
		t.Error("functions without a history have none of their own")
	}
}
