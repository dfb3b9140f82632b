package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// recycleBytes is up to what size a response is copied so that its Env can serve the next request at once; above it the
// response keeps the Env's buffer and the Env is left to the garbage collector.
const recycleBytes = 16 << 10

// errReturned is the cause of a failed call whose entry returned a number other than 0.
var errReturned = errors.New("the function returned an error")

// Pool makes the workers that run guests.
type Pool struct {
	engine *wasmedge.Engine
	logger *slog.Logger
	hooks  Hooks

	mu      sync.Mutex
	workers map[*worker]struct{} // guarded by mu
}

// Hooks are told what the pool does. They must not block; a nil one is not called.
type Hooks struct {
	ColdStart func()                   // an instance was made and started the long way
	Restored  func(took time.Duration) // an instance was put back to its template
}

// New returns a pool over the engine.
func New(engine *wasmedge.Engine, logger *slog.Logger, hooks Hooks) *Pool {
	if hooks.ColdStart == nil {
		hooks.ColdStart = func() {}
	}
	if hooks.Restored == nil {
		hooks.Restored = func(time.Duration) {}
	}
	return &Pool{engine: engine, logger: logger, hooks: hooks, workers: make(map[*worker]struct{})}
}

var _ scheduler.Threads = (*Pool)(nil)

// Go implements scheduler.Threads.
func (p *Pool) Go(work func(scheduler.Runner)) error {
	return p.engine.Go(func(t *wasmedge.Thread) {
		w := &worker{pool: p, thread: t}
		p.mu.Lock()
		p.workers[w] = struct{}{}
		p.mu.Unlock()
		defer p.forget(w)
		work(w)
	})
}

func (p *Pool) forget(w *worker) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.workers, w)
}

// KillAll ends every invocation that runs now; each is answered with an error of that kind.
func (p *Pool) KillAll(kind error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for w := range p.workers {
		w.expireCurrent(kind)
	}
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

// worker runs invocations on one guest thread.
type worker struct {
	pool   *Pool
	thread *wasmedge.Thread
	used   *usedInstance // what the invocation before left to be tidied by Recycle

	mu      sync.Mutex
	serial  uint64          // guarded by mu: number of the invocation that runs, so that a late timer finds another
	ticket  wasmedge.Ticket // guarded by mu: of the call in progress or the next
	active  bool            // guarded by mu
	expired error           // guarded by mu: why the invocation is to end
	ends    time.Time       // guarded by mu: when the clock of the invocation runs out
	cancel  context.CancelCauseFunc
}

// Run implements scheduler.Runner.
func (w *worker) Run(inv *invoke.Invocation) invoke.Result {
	inv.Stamps.Picked = time.Now()
	fn := inv.Target.(*Function) //nolint:forcetypeassert // the daemon's router holds nothing else
	limit, kill := w.limit(inv, fn)
	ctx, end := w.begin(limit)
	defer end()
	env := fn.app.envs.Get().(*hostfn.Env) //nolint:forcetypeassert // the pool's New makes nothing else
	err := w.call(ctx, inv, fn, env)
	inv.Stamps.Ended = time.Now()
	out := env.Finish(err)
	result := w.result(fn, out, err, kill)
	if failed := fn.app.spec.Failed; failed != nil && result.Err != nil {
		failed(inv, result.Err)
	}
	if cap(out.Body) <= recycleBytes {
		result.Body = append([]byte(nil), result.Body...)
		fn.app.envs.Put(env)
	}
	return result
}

// limit returns how long the invocation may run from now, and what to say when it is killed for that.
func (w *worker) limit(inv *invoke.Invocation, fn *Function) (time.Duration, string) {
	timeout := fn.app.spec.Timeout
	if !inv.Deadline.IsZero() {
		if left := time.Until(inv.Deadline); left < timeout {
			return left, "killed at the deadline that its caller gave"
		}
	}
	return timeout, fmt.Sprintf("killed after %v, the app's limits.timeout", timeout)
}

// begin starts the clock of an invocation. ctx ends when it is to end; end stops the clock.
func (w *worker) begin(limit time.Duration) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	w.mu.Lock()
	w.serial++
	serial := w.serial
	w.active, w.expired, w.cancel = true, nil, cancel
	w.ends = time.Now().Add(limit)
	w.ticket = w.thread.Next()
	w.mu.Unlock()
	timer := time.AfterFunc(limit, func() { w.expire(serial, invoke.ErrTimeout) })
	return ctx, func() {
		timer.Stop()
		w.mu.Lock()
		w.active, w.cancel = false, nil
		w.mu.Unlock()
		cancel(nil)
	}
}

// expire ends invocation number serial if it still runs.
func (w *worker) expire(serial uint64, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.serial == serial {
		w.expireLocked(why)
	}
}

// expireCurrent ends whatever runs now.
func (w *worker) expireCurrent(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expireLocked(why)
}

// expireLocked ends the invocation: host functions through its context, the guest by a kill. Called with mu held.
func (w *worker) expireLocked(why error) {
	if !w.active || w.expired != nil {
		return
	}
	w.expired = why
	w.cancel(why)
	w.thread.Kill(w.ticket, why)
}

// enter calls one function of an instance unless the invocation has expired.
func (w *worker) enter(instance *wasmedge.Instance, fn *wasmedge.Func, env *hostfn.Env, stack []uint64) error {
	w.mu.Lock()
	w.ticket = w.thread.Next()
	expired := w.expired
	w.mu.Unlock()
	if expired != nil {
		return &wasmedge.Trap{Kind: wasmedge.TrapKilled, Cause: expired}
	}
	return w.thread.Call(instance, fn, env, stack)
}

// instance returns a started instance.
func (w *worker) instance(ctx context.Context, app *App, env *hostfn.Env) (*wasmedge.Instance, *Program, error) {
	instance, program, from, err := app.take(ctx, w.thread)
	if err != nil {
		return nil, nil, err
	}
	switch from {
	case bare:
		w.pool.hooks.ColdStart()
		if err = w.startUp(ctx, program.StartUp, instance, env); err == nil && !app.spec.Reuse {
			err = program.capture(instance)
		}
	case restored:
		if program.Restore != "" {
			err = w.startUp(ctx, []string{program.Restore}, instance, env)
		}
	case reused:
	}
	if err != nil {
		instance.Close()
		return nil, nil, err
	}
	return instance, program, nil
}

// startUp calls exports of type () -> () as calls of their own, with no request to see.
func (w *worker) startUp(ctx context.Context, names []string, instance *wasmedge.Instance, env *hostfn.Env) error {
	for _, name := range names {
		fn, err := instance.Func(name, wasmedge.FuncType{})
		if err != nil {
			return err
		}
		env.Begin(ctx, nil)
		err = w.enter(instance, fn, env, nil)
		if out := env.Finish(err); out.Err != nil {
			return &startError{export: name, guest: out.GuestError, cause: out.Err}
		}
	}
	return nil
}

// try is the work of Pool.Try.
func (w *worker) try(ctx context.Context, app *App) error {
	if err := app.acquire(); err != nil {
		return err
	}
	defer app.release()
	limited, end := w.begin(app.spec.Timeout)
	defer end()
	stop := context.AfterFunc(ctx, func() { w.expireCurrent(context.Cause(ctx)) })
	defer stop()
	instance, program, err := w.instance(limited, app, app.spec.Guest.NewEnv())
	if err != nil {
		return err
	}
	defer app.put(instance, returned)
	for _, fn := range app.functions {
		if _, err := instance.Func(fn.Entry, program.Entries[fn.Entry]); err != nil {
			return err
		}
	}
	return nil
}

// call runs the function of an invocation in an instance of its app.
func (w *worker) call(ctx context.Context, inv *invoke.Invocation, fn *Function, env *hostfn.Env) error {
	instance, program, err := w.instance(ctx, fn.app, env)
	if err != nil {
		return err
	}
	typ := program.Entries[fn.Entry]
	entry, err := instance.Func(fn.Entry, typ)
	if err != nil {
		instance.Close()
		return err
	}
	env.Begin(ctx, &request{inv: inv})
	if inv.Stream != nil {
		env.OnOutput(stream(inv, w.until()))
	}
	var stack [1]uint64
	inv.Stamps.Started = time.Now()
	err = w.enter(instance, entry, env, stack[:])
	w.used = &usedInstance{app: fn.app, instance: instance, end: endingOf(err)}
	if err == nil && len(typ.Results) == 1 && uint32(stack[0]) != 0 {
		return fmt.Errorf("%w: %d", errReturned, int32(uint32(stack[0])))
	}
	return err
}

// usedInstance is an instance after its call.
type usedInstance struct {
	app      *App
	instance *wasmedge.Instance
	end      ending
}

// ending is how a call ended, for what may become of its instance.
type ending int

const (
	broken   ending = iota // by a trap or a kill: the instance is closed
	exited                 // by proc_exit, out of the middle: it may be reset, for its state is memory and globals all the same
	returned               // it may be used again as it is, too
)

func endingOf(err error) ending {
	var exit *wasmedge.ExitError
	switch {
	case err == nil:
		return returned
	case errors.As(err, &exit):
		return exited
	}
	return broken
}

// Wait implements scheduler.Runner.
func (w *worker) Wait() { w.thread.Wait() }

// Wake implements scheduler.Runner.
func (w *worker) Wake() { w.thread.Wake() }

// Recycle implements scheduler.Runner.
func (w *worker) Recycle() {
	if used := w.used; used != nil {
		w.used = nil
		begun := time.Now()
		if used.app.put(used.instance, used.end) {
			w.pool.hooks.Restored(time.Since(begun))
		}
	}
}

// until returns when the invocation that runs now is ended.
func (w *worker) until() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ends
}

// stream hands parts of a growing response to the trigger. A kill cannot reach a guest that waits there for its client, so
// the invocation's deadline, which ends that wait, is made until at the latest.
func stream(inv *invoke.Invocation, until time.Time) func(int, []hostfn.Header, []byte) error {
	return func(status int, headers []hostfn.Header, part []byte) error {
		if inv.Deadline.IsZero() || until.Before(inv.Deadline) {
			inv.Deadline = until
		}
		return inv.Stream(inv, status, headerList(headers), part)
	}
}
