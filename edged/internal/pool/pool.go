package pool

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/wasmedge"
)

// Options configures [Open]. Logger and MemoryBytes are required.
type Options struct {
	Logger *slog.Logger
	Hooks  Hooks
	// MemoryBytes bounds the linear memories of all instances together.
	MemoryBytes int64
	// CPUs are the processors of the cores 0 and up, as sched_setaffinity(2) numbers them. Default: those that this process
	// may use. Workers of a core that it does not list are not bound.
	CPUs []int
}

// Hooks are told what the pool does. They must not block; a nil one is not called.
type Hooks struct {
	ColdStart func()                   // an instance was made and started the long way
	Restored  func(took time.Duration) // an instance was put back to its template
}

// Pool makes the workers that run guests, and bounds what their instances hold.
type Pool struct {
	engine *wasmedge.Engine
	logger *slog.Logger
	hooks  Hooks
	cpus   []int
	watch  watch
	memory memory
	made   atomic.Int32 // workers, ever

	unpinned atomic.Bool // it has been logged that workers cannot be bound

	mu        sync.Mutex
	apps      map[*App]struct{}             // guarded by mu: those that may have instances
	histories map[target]*scheduler.History // guarded by mu
}

// target names a function across the versions of its app.
type target struct {
	app      invoke.AppName
	function invoke.FunctionName
}

// Open returns a pool over the engine.
func Open(engine *wasmedge.Engine, options Options) *Pool {
	p := &Pool{
		engine: engine, logger: options.Logger, hooks: options.Hooks, cpus: options.CPUs,
		memory: memory{limit: options.MemoryBytes}, apps: make(map[*App]struct{}), histories: make(map[target]*scheduler.History),
	}
	if p.hooks.ColdStart == nil {
		p.hooks.ColdStart = func() {}
	}
	if p.hooks.Restored == nil {
		p.hooks.Restored = func(time.Duration) {}
	}
	if p.cpus == nil {
		p.cpus = usableCPUs()
	}
	p.watch.base, p.watch.workers = time.Now(), make(map[*worker]struct{})
	p.watch.armed.Store(never)
	return p
}

// CPU returns the processor that workers of a core are bound to; -1 for none.
func (p *Pool) CPU(core int) int {
	if core >= len(p.cpus) {
		return -1
	}
	return p.cpus[core]
}

// usableCPUs returns the processors that this process may use; none when the system does not say.
func usableCPUs() []int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus
}

var _ scheduler.Threads = (*Pool)(nil)

// Go implements scheduler.Threads.
func (p *Pool) Go(work func(scheduler.Runner)) error {
	return p.engine.Go(func(t *wasmedge.Thread) {
		w := newWorker(p, t)
		p.watch.add(w)
		defer p.watch.forget(w)
		work(w)
	})
}

// KillAll ends every invocation that runs now; each is answered with an error of that kind.
func (p *Pool) KillAll(kind error) {
	p.watch.all(func(w *worker) { w.kill(kind) })
}

// Try makes one instance of the app, starts it up and gives it back: what a deploy does before it switches over. Nothing
// but the start-up of the guest runs.
func (p *Pool) Try(ctx context.Context, app *App) error {
	result := make(chan error, 1)
	err := p.Go(func(r scheduler.Runner) {
		w := r.(*worker) //nolint:forcetypeassert // Go hands out nothing else
		result <- w.try(ctx, app)
	})
	if err != nil {
		return err
	}
	return <-result
}

// History returns what has been learnt of the run times of a function, the same for every version of its app: a new version is
// taken to run as long as the one before until it is known better. Names are never forgotten; each is some hundred bytes.
func (p *Pool) History(app invoke.AppName, function invoke.FunctionName) *scheduler.History {
	p.mu.Lock()
	defer p.mu.Unlock()
	name := target{app, function}
	history := p.histories[name]
	if history == nil {
		history = new(scheduler.History)
		p.histories[name] = history
	}
	return history
}

// know notes that an app has instances here.
func (p *Pool) know(a *App) {
	if a.pool.Load() == p {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apps[a] = struct{}{}
	a.pool.Store(p)
}

// forget is called when an app is unloaded.
func (p *Pool) forget(a *App) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.apps, a)
}
