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

// maxIdle bounds the instances that an app keeps between requests, so that one app cannot hold all linear memories.
const maxIdle = 64

// idleTime is how long idle instances are kept when nothing asks for them: then half go, then half of the rest.
const idleTime = 10 * time.Second

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

// Program is what there is to run of an app.
type Program struct {
	Module *wasmedge.Module
	// StartUp are the exports to call once in a fresh instance, all of type () -> (), the start function first.
	StartUp []string
	// Entries are the types of the functions' entries by export name: () -> () or () -> i32.
	Entries map[string]wasmedge.FuncType
	// Resettable says that memory and globals are all the state of an instance, so that it can start from a template and be
	// reset to it. Otherwise every request gets an instance that has been started the long way.
	Resettable bool
	// Globals are the export names of all mutable globals.
	Globals []string
	// Restore is an export of type () -> () to call whenever an instance has been put into the template's state: there the
	// guest renews what must not be the same twice, such as random seeds. Empty when it has none.
	Restore string

	template atomic.Pointer[wasmedge.Template] // nil until the first instance has been started
}

// close gives the module and the template up.
func (p *Program) close() {
	if template := p.template.Load(); template != nil {
		template.Close()
	}
	p.Module.Close()
}

// capture makes the template of an instance that has just been started, unless there is one.
func (p *Program) capture(instance *wasmedge.Instance) error {
	if !p.Resettable || p.template.Load() != nil {
		return nil
	}
	template, err := instance.Capture(p.Globals)
	if err != nil {
		return err
	}
	if !p.template.CompareAndSwap(nil, template) {
		template.Close()
	}
	return nil
}

// FunctionSpec describes one function of an app.
type FunctionSpec struct {
	Name     invoke.FunctionName
	Entry    string
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

	mu      sync.Mutex
	program *Program             // guarded by mu; nil until loaded
	loading *load                // guarded by mu; nil unless Load runs
	better  *Program             // guarded by mu; what Replace gave while Load runs
	idle    []*wasmedge.Instance // guarded by mu; of program
	janitor *time.Timer          // guarded by mu; runs shrink as long as there are idle instances
	taken   atomic.Bool          // an idle instance was put or taken since the last shrink
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
	app.envs.New = func() any { return spec.Guest.NewEnv() }
	for _, function := range spec.Functions {
		app.functions[function.Name] = &Function{app: app, FunctionSpec: function}
	}
	return app
}

// Function returns the function of that name, or nil.
func (a *App) Function(name invoke.FunctionName) *Function { return a.functions[name] }

// Instances returns how many invocations of the app are queued or running, each of which has or gets an instance, and how
// many instances are kept for reuse, in sum.
func (a *App) Instances() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int(max(a.inFlight.Load(), 0)) + len(a.idle)
}

// Replace makes program the one for new instances and gives up the one before; a program for an app that has none loaded
// is closed at once, for its Load will find the better one by itself.
func (a *App) Replace(program *Program) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.program == nil && a.loading != nil:
		if a.better != nil {
			a.better.close()
		}
		a.better = program // the load that runs may have found the worse one
		return
	case a.program == nil:
		program.close()
		return
	}
	a.dropIdle()
	a.program.close()
	a.program = program
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
	if a.program != nil {
		a.program.close()
		a.program = nil
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

// The ways in which an invocation gets its instance.
type origin int

const (
	bare     origin = iota // just made: to be started up
	restored               // in the template's state
	reused                 // as the request before left it, which is what the app wants
)

// take returns an instance to run in, the program it is of, and in what state it is.
func (a *App) take(ctx context.Context, t *wasmedge.Thread) (*wasmedge.Instance, *Program, origin, error) {
	for {
		p, instance, err := a.current(ctx)
		switch {
		case err != nil:
			return nil, nil, bare, err
		case instance != nil && a.spec.Reuse:
			return instance, p, reused, nil
		case instance != nil:
			return instance, p, restored, nil
		}
		from := bare
		if template := p.template.Load(); template != nil && !a.spec.Reuse {
			from = restored
			instance, err = t.InstantiateFrom(template)
		} else {
			instance, err = t.Instantiate(p.Module)
		}
		if errors.Is(err, wasmedge.ErrClosed) {
			continue // replaced in between by a better one
		}
		return instance, p, from, err
	}
}

// current returns the program, which it loads first if need be, and an idle instance when there is one.
func (a *App) current(ctx context.Context) (*Program, *wasmedge.Instance, error) {
	for {
		program, instance, loading := a.look()
		if program != nil {
			return program, instance, nil
		}
		if err := wait(ctx, loading); err != nil {
			return nil, nil, err
		}
	}
}

// look returns the program and maybe an idle instance, else the load to wait for.
func (a *App) look() (*Program, *wasmedge.Instance, *load) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.program == nil {
		if a.loading == nil {
			a.loading = &load{done: make(chan struct{})}
			go a.load(a.loading)
		}
		return nil, nil, a.loading
	}
	last := len(a.idle) - 1
	if last < 0 {
		return a.program, nil, nil
	}
	instance := a.idle[last]
	a.idle[last] = nil
	a.idle = a.idle[:last]
	a.taken.Store(true)
	return a.program, instance, nil
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
		a.program = program
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
func (a *App) put(instance *wasmedge.Instance, end ending) (reset bool) {
	switch {
	case a.spec.Reuse && end == returned:
		if a.keep(instance) {
			return false
		}
	case !a.spec.Reuse && end != broken && instance.Resettable() && instance.Reset() == nil:
		if a.keep(instance) {
			return true
		}
	}
	instance.Close()
	return false
}

func (a *App) keep(instance *wasmedge.Instance) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.idle) >= maxIdle || a.program == nil || !instance.Of(a.program.Module) {
		return false
	}
	a.idle = append(a.idle, instance)
	a.taken.Store(true)
	if a.janitor == nil {
		a.janitor = time.AfterFunc(idleTime, a.shrink)
	}
	return true
}

// shrink closes half of the idle instances, and all of them in the end, when none was used for a while.
func (a *App) shrink() {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.taken.Swap(false) {
		for _, instance := range a.idle[len(a.idle)/2:] {
			instance.Close()
		}
		clear(a.idle[len(a.idle)/2:])
		a.idle = a.idle[:len(a.idle)/2]
	}
	if len(a.idle) == 0 {
		a.janitor = nil
		return
	}
	a.janitor.Reset(idleTime)
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
