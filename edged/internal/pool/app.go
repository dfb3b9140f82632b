package pool

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// loadPatience is how long an invocation waits for its app to be loaded. Loading takes some hundred milliseconds at most;
// what takes longer is a compilation, because the artifact was damaged.
const loadPatience = 3 * time.Second

// Spec describes one version of an app to run.
type Spec struct {
	App invoke.AppName
	// Load returns the app's program. It is called when the first request comes, on a goroutine of its own, and again
	// after a failure.
	Load func() (*Program, error)
	// Failed, when not nil, is told of every invocation that ended with an error. It must not block.
	Failed func(inv *invoke.Invocation, cause error)
	// Guest is what the app's invocations share. The App takes it over and closes it.
	Guest       *hostfn.App
	Functions   []FunctionSpec
	Timeout     time.Duration // after which a guest is killed
	Concurrency int           // invocations queued or running at once
	// Reuse keeps an instance with its state for a later request of the app.
	Reuse bool
}

// FunctionSpec describes one function of an app.
type FunctionSpec struct {
	Name     invoke.FunctionName
	Entry    string
	Deadline time.Duration // when an answer is wanted; zero: not said
	// Then are functions of the same app that the result goes through before it is the answer. Who submits invocations sees to it.
	Then []invoke.FunctionName
	// Actor says that it is a class of actors. Who submits invocations sees to it.
	Actor  bool
	Metric *metric.Function
	// History is what the scheduler has learnt of the function's run times. Nil: nothing yet. [Pool.History] keeps one for all
	// versions of an app.
	History *scheduler.History
}

// App is one version of a deployed app, ready to run. Its methods may be called from any goroutine.
type App struct {
	spec      Spec
	functions map[invoke.FunctionName]*Function
	seats     sync.Pool // of *seat
	idle      idle
	pool      atomic.Pointer[Pool] // where its instances are; nil before the first one

	// inFlight counts the invocations that are admitted and not yet answered; unloaded once there is no way back. It is an
	// atomic of its own because admission happens on an event loop, which must not wait for a module that is being loaded, and
	// on a cache line of its own because every request writes it, while what is around it is only read.
	_        [64]byte
	inFlight atomic.Int64
	_        [56]byte

	retired atomic.Bool             // to be unloaded when inFlight falls to zero
	program atomic.Pointer[Program] // written with mu held; nil until loaded

	mu      sync.Mutex
	loading *load    // guarded by mu; nil unless Load runs
	better  *Program // guarded by mu; what Replace gave while Load runs
}

// load is a call of Spec.Load that runs.
type load struct {
	done chan struct{} // closed when err is set and the app has the program
	err  error
}

// unloaded is the count of an app of which nothing is left.
const unloaded = math.MinInt64

// NewApp returns an app that loads its module at the first request.
func NewApp(spec Spec) *App {
	app := &App{spec: spec, functions: make(map[invoke.FunctionName]*Function, len(spec.Functions))}
	app.seats.New = func() any { return &seat{env: spec.Guest.NewEnv()} }
	app.idle.init()
	for i, function := range spec.Functions {
		if function.History == nil {
			function.History = new(scheduler.History)
		}
		one := &Function{app: app, index: i, FunctionSpec: function}
		one.called = &Function{app: app, index: i, FunctionSpec: function, inner: true}
		one.called.called = one.called
		app.functions[function.Name] = one
	}
	return app
}

// Function returns the function of that name, or nil.
func (a *App) Function(name invoke.FunctionName) *Function { return a.functions[name] }

// Instances returns how many invocations of the app are queued or running, each of which has or gets an instance, and how
// many instances are kept for reuse, in sum.
func (a *App) Instances() int { return int(max(a.inFlight.Load(), 0)) + a.idle.size() }

// Replace makes program the one for new instances and gives up the one before; a program for an app that has none loaded
// is closed at once, for its Load will find the better one by itself.
func (a *App) Replace(program *Program) {
	a.mu.Lock()
	defer a.mu.Unlock()
	before := a.program.Load()
	switch {
	case before == nil && a.loading != nil:
		if a.better != nil {
			a.better.close()
		}
		a.better = program // the load that runs may have found the worse one
		return
	case before == nil:
		program.close()
		return
	}
	a.program.Store(program)
	a.idle.drop(program)
	before.close()
}

// Retire takes the version out of service: it is unloaded once nothing uses it any more.
func (a *App) Retire() {
	a.retired.Store(true)
	a.unload()
}

// unload frees everything when the app is retired and unused.
func (a *App) unload() {
	if !a.retired.Load() || !a.inFlight.CompareAndSwap(0, unloaded) {
		return
	}
	if pool := a.pool.Load(); pool != nil {
		pool.forget(a)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	program := a.program.Swap(nil)
	a.idle.drop(nil)
	if program != nil {
		program.close()
	}
	_ = a.spec.Guest.Close() // directories that were only read; nothing to be told
}

// acquire counts an invocation in. It never blocks. An inner one, which another invocation has started, is not refused for the
// app's limit: the one that waits for it holds a place, and could keep it for ever.
func (a *App) acquire(inner bool) error {
	for {
		n := a.inFlight.Load()
		if n < 0 {
			return scheduler.ErrRetired
		}
		if n >= int64(a.spec.Concurrency) && !inner {
			return &invoke.Error{Kind: invoke.ErrQueueFull, RetryAfter: time.Second, Detail: fmt.Sprintf(
				"%d requests of app %s are queued or running, its limits.concurrency is %d", n, a.spec.App, a.spec.Concurrency)}
		}
		if a.inFlight.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

func (a *App) release() {
	if a.inFlight.Add(-1) == 0 {
		a.unload()
	}
}

// The ways in which an invocation gets its instance.
type origin int

const (
	bare     origin = iota // just made: to be started up
	made                   // just made, in the template's state
	restored               // put back to the template's state
	reused                 // as the request before left it, which is what the app wants
)

// take returns an instance to run in and in what state it is.
func (a *App) take(w *worker) (*cell, origin, error) {
	for {
		p := a.program.Load()
		if p == nil {
			if err := a.await(w); err != nil {
				return nil, bare, err
			}
			continue
		}
		c := a.idle.take(int(w.home.Load()))
		switch {
		case c == nil:
			c, from, err := w.make(a, p)
			if errors.Is(err, wasmedge.ErrClosed) {
				continue // replaced in between by a better one
			}
			return c, from, err
		case c.program != p:
			c.close()
		case a.spec.Reuse:
			return c, reused, nil
		default:
			return c, restored, nil
		}
	}
}

// await has the program loaded and waits for it, without the core.
func (a *App) await(w *worker) error {
	a.mu.Lock()
	if a.program.Load() != nil {
		a.mu.Unlock()
		return nil
	}
	if a.loading == nil {
		a.loading = &load{done: make(chan struct{})}
		go a.load(a.loading)
	}
	loading := a.loading
	a.mu.Unlock()
	if w.core != nil {
		w.core.Leave()
		defer w.core.Return()
	}
	return wait(w.life, loading)
}

// load runs Spec.Load. An app that has been unloaded meanwhile does not keep the program.
func (a *App) load(l *load) {
	program, err := a.spec.Load()
	a.mu.Lock()
	if better := a.better; better != nil {
		a.better = nil
		if err == nil {
			program.close()
		}
		program, err = better, nil
	}
	switch {
	case err == nil && a.inFlight.Load() < 0:
		program.close()
		err = scheduler.ErrRetired
	case err == nil:
		a.program.Store(program)
	}
	a.loading = nil
	a.mu.Unlock()
	l.err = err
	close(l.done)
}

// wait waits for a load, but no longer than a worker should be kept from other apps.
func wait(ctx context.Context, l *load) error {
	patience := time.NewTimer(loadPatience)
	defer patience.Stop()
	select {
	case <-l.done:
		return l.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-patience.C:
		return &invoke.Error{Kind: invoke.ErrUnavailable, Detail: "its module is being compiled again", RetryAfter: 5 * time.Second}
	}
}

// put gives an instance back after a call. One that is in a known state again is kept for the next request: as it is when
// the app wants that, else reset to its template, which put reports.
func (a *App) put(w *worker, c *cell, end ending, now int64) (reset bool) {
	switch {
	case a.spec.Reuse && end == returned:
		c.measure()
		if a.keep(w, c, now) {
			return false
		}
	case !a.spec.Reuse && end != broken && c.instance.Resettable() && c.instance.Reset() == nil:
		if a.keep(w, c, now) {
			return true
		}
	}
	c.close()
	return false
}

// keep keeps an instance of the current program for later. An instance that is put away while the program is replaced may
// have escaped who dropped the others, so keep looks again.
func (a *App) keep(w *worker, c *cell, now int64) bool {
	if a.program.Load() != c.program || !a.idle.put(int(w.home.Load()), c, now) {
		return false
	}
	if current := a.program.Load(); current != c.program {
		a.idle.drop(current)
	}
	return true
}

// Function is one function of a deployed version: what the router finds and the scheduler runs.
type Function struct {
	app   *App
	index int // among the app's functions
	FunctionSpec
	inner  bool
	called *Function
}

var _ scheduler.Job = (*Function)(nil)

// Called returns the function as the target of invocations that others have started and may wait for: the app's
// limits.concurrency does not refuse them. Who starts them bounds them.
func (f *Function) Called() *Function { return f.called }

// Name implements invoke.Target.
func (f *Function) Name() (invoke.AppName, invoke.FunctionName) {
	return f.app.spec.App, f.FunctionSpec.Name
}

// Acquire implements scheduler.Job.
func (f *Function) Acquire() error {
	err := f.app.acquire(f.inner)
	if err == nil {
		f.Metric.Admitted()
	}
	return err
}

// Release implements scheduler.Job.
func (f *Function) Release() {
	f.Metric.Released()
	f.app.release()
}

// Ran implements scheduler.Job.
func (f *Function) Ran(core time.Duration) {
	f.History().Observe(core)
	f.Metric.Ran(core)
}

// Relative implements scheduler.Job.
func (f *Function) Relative() time.Duration { return f.Deadline }

// Timeout implements scheduler.Job.
func (f *Function) Timeout() time.Duration { return f.app.spec.Timeout }

// History implements scheduler.Job.
func (f *Function) History() *scheduler.History { return f.FunctionSpec.History }
