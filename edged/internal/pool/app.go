package pool

import (
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

// maxIdle bounds the instances that an app with reuse keeps between requests; each holds its whole memory.
const maxIdle = 16

// Spec describes one version of an app to run.
type Spec struct {
	App invoke.AppName
	// Load returns the loaded module. It is called on a worker when the first request comes, and again after a failure.
	Load func() (*wasmedge.Module, error)
	// Guest is what the app's invocations share. The App takes it over and closes it.
	Guest *hostfn.App
	// StartUp are the exports to call once in a fresh instance, all of type () -> (), the start function first.
	StartUp     []string
	Functions   []FunctionSpec
	Timeout     time.Duration // after which a guest is killed
	Concurrency int           // invocations queued or running at once
	// Reuse keeps an instance with its state for a later request of the app.
	Reuse bool
}

// FunctionSpec describes one function of an app.
type FunctionSpec struct {
	Name  invoke.FunctionName
	Entry string
	// Type is the entry's: () -> () or () -> i32.
	Type     wasmedge.FuncType
	Deadline time.Duration // when an answer is wanted; zero: not said
	Metric   *metric.Function
}

// App is one version of a deployed app, ready to run. Its methods may be called from any goroutine.
type App struct {
	spec      Spec
	functions map[invoke.FunctionName]*Function
	envs      sync.Pool // of *hostfn.Env

	// inFlight counts the invocations that are admitted and not yet answered; unloaded once there is no way back. It is an
	// atomic of its own because admission happens on an event loop, which must not wait for a module that is being loaded.
	inFlight atomic.Int64
	retired  atomic.Bool // to be unloaded when inFlight falls to zero

	mu     sync.Mutex
	module *wasmedge.Module     // guarded by mu; nil until loaded
	idle   []*wasmedge.Instance // guarded by mu; of module
}

// unloaded is the count of an app of which nothing is left.
const unloaded = math.MinInt64

// NewApp returns an app that loads its module at the first request.
func NewApp(spec Spec) *App {
	app := &App{spec: spec, functions: make(map[invoke.FunctionName]*Function, len(spec.Functions))}
	app.envs.New = func() any { return spec.Guest.NewEnv() }
	for _, function := range spec.Functions {
		app.functions[function.Name] = &Function{app: app, FunctionSpec: function}
	}
	return app
}

// Function returns the function of that name, or nil.
func (a *App) Function(name invoke.FunctionName) *Function { return a.functions[name] }

// Loaded reports whether the module has been loaded.
func (a *App) Loaded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.module != nil
}

// Replace makes module the one for new instances and gives up the one before; a module for an app that has not been loaded
// yet, or is gone, is closed at once.
func (a *App) Replace(module *wasmedge.Module) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.module == nil {
		module.Close()
		return
	}
	a.dropIdle()
	a.module.Close()
	a.module = module
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
	a.mu.Lock()
	defer a.mu.Unlock()
	a.dropIdle()
	if a.module != nil {
		a.module.Close()
		a.module = nil
	}
	_ = a.spec.Guest.Close() // directories that were only read; nothing to be told
}

// dropIdle closes the instances that wait to be reused. Called with mu held.
func (a *App) dropIdle() {
	for _, instance := range a.idle {
		instance.Close()
	}
	a.idle = nil
}

// acquire counts an invocation in. It never blocks.
func (a *App) acquire() error {
	for {
		n := a.inFlight.Load()
		if n < 0 {
			return scheduler.ErrRetired
		}
		if n >= int64(a.spec.Concurrency) {
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

// take returns an instance to run in and whether it is fresh, so that it has to be started up.
func (a *App) take(t *wasmedge.Thread) (instance *wasmedge.Instance, fresh bool, err error) {
	for {
		module, idle, err := a.current()
		if err != nil {
			return nil, false, err
		}
		if idle != nil {
			return idle, false, nil
		}
		instance, err := t.Instantiate(module)
		if errors.Is(err, wasmedge.ErrClosed) {
			continue // replaced in between by a better one
		}
		return instance, true, err
	}
}

// current returns an idle instance when there is one, and the module, which it loads first if need be.
func (a *App) current() (*wasmedge.Module, *wasmedge.Instance, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if last := len(a.idle) - 1; last >= 0 {
		instance := a.idle[last]
		a.idle[last] = nil
		a.idle = a.idle[:last]
		return a.module, instance, nil
	}
	if a.module == nil {
		module, err := a.spec.Load()
		if err != nil {
			return nil, nil, err
		}
		a.module = module
	}
	return a.module, nil, nil
}

// put gives an instance back after a call. One that may be used again is kept when the app wants that.
func (a *App) put(instance *wasmedge.Instance, intact bool) {
	if a.spec.Reuse && intact && a.keep(instance) {
		return
	}
	instance.Close()
}

func (a *App) keep(instance *wasmedge.Instance) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.idle) >= maxIdle || !instance.Of(a.module) {
		return false
	}
	a.idle = append(a.idle, instance)
	return true
}

// Function is one function of a deployed version: what the router finds and the scheduler runs.
type Function struct {
	app *App
	FunctionSpec
}

var _ scheduler.Job = (*Function)(nil)

// Name implements invoke.Target.
func (f *Function) Name() (invoke.AppName, invoke.FunctionName) {
	return f.app.spec.App, f.FunctionSpec.Name
}

// Acquire implements scheduler.Job.
func (f *Function) Acquire() error { return f.app.acquire() }

// Release implements scheduler.Job.
func (f *Function) Release() { f.app.release() }

// Relative implements scheduler.Job.
func (f *Function) Relative() time.Duration { return f.Deadline }
