package pool

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// recycleBytes is up to what size a response is copied so that its Env can serve the next request at once; above it the
// response keeps the Env's buffer and the Env is left to the garbage collector.
const recycleBytes = 16 << 10

// errReturned is the cause of a failed call whose entry returned a number other than 0.
var errReturned = errors.New("the function returned an error")

// worker runs invocations on one guest thread. What it needs for each of them it keeps for the next.
type worker struct {
	pool   *Pool
	thread *wasmedge.Thread
	home   atomic.Int32 // the core whose idle instances it takes first
	last   used         // what the invocation before left to be tidied by Recycle

	// Of the invocation that runs; for the thread alone.
	inv      *invoke.Invocation
	core     hostfn.Core // nil when it has none to leave
	until    time.Time   // when its clock runs out
	byCaller bool        // until is the deadline that its caller gave
	stack    [2]uint64
	stream   func(status int, headers []hostfn.Header, part []byte) error // part

	ends atomic.Int64 // until as a moment; never when nothing runs. Written by the thread with mu held

	mu      sync.Mutex
	life    *life           // replaced by the thread only, while nothing runs
	ticket  wasmedge.Ticket // guarded by mu: of the call in progress or the last one
	expired error           // guarded by mu: why the invocation is to end
}

var _ scheduler.Runner = (*worker)(nil)

func newWorker(p *Pool, t *wasmedge.Thread) *worker {
	w := &worker{pool: p, thread: t, life: new(life)}
	w.home.Store(p.made.Add(1) - 1)
	w.ends.Store(never)
	w.stream = w.part
	return w
}

// Run implements scheduler.Runner.
func (w *worker) Run(inv *invoke.Invocation, core scheduler.Core) invoke.Result {
	inv.Stamps.Picked = time.Now()
	w.core = core
	fn := inv.Target.(*Function) //nolint:forcetypeassert // the daemon's router holds nothing else
	w.begin(w.limit(inv, fn))
	s := fn.app.seats.Get().(*seat) //nolint:forcetypeassert // the pool's New makes nothing else
	w.inv, s.request.inv = inv, inv
	var err error
	if inv.Control == nil {
		err = w.call(inv, fn, s)
	} else {
		err = w.controlled(inv, fn, s)
	}
	inv.Stamps.Ended = time.Now()
	w.finish()
	out := s.env.Finish(err)
	w.inv, s.request.inv = nil, nil
	if out.Err != nil {
		return w.failed(inv, fn, s, out, err)
	}
	result := invoke.Result{Status: out.Status, Headers: s.list(out.Headers), Body: out.Body}
	if cap(out.Body) <= recycleBytes {
		result.Body = append([]byte(nil), out.Body...)
		fn.app.seats.Put(s)
	}
	return result
}

// failed is the end of an invocation that did not end well.
func (w *worker) failed(inv *invoke.Invocation, fn *Function, s *seat, out hostfn.Output, err error) invoke.Result {
	result := invoke.Result{Err: w.failure(fn, out, err)}
	if cap(out.Body) <= recycleBytes {
		fn.app.seats.Put(s)
	}
	if failed := fn.app.spec.Failed; failed != nil {
		failed(inv, result.Err)
	}
	return result
}

// limit returns when the invocation is to end: it has been picked now.
func (w *worker) limit(inv *invoke.Invocation, fn *Function) (until time.Time, byCaller bool) {
	until = inv.Stamps.Picked.Add(fn.app.spec.Timeout)
	if !inv.Deadline.IsZero() && inv.Deadline.Before(until) {
		return inv.Deadline, true
	}
	return until, false
}

// killed says why an invocation was killed at its end.
func (w *worker) killed(fn *Function) string {
	if w.byCaller {
		return "killed at the deadline that its caller gave"
	}
	return fmt.Sprintf("killed after %v, the app's limits.timeout", fn.app.spec.Timeout)
}

// begin starts the clock of an invocation.
func (w *worker) begin(until time.Time, byCaller bool) {
	w.until, w.byCaller = until, byCaller
	ends := w.pool.watch.moment(until)
	w.mu.Lock()
	w.expired, w.ticket = nil, 0
	w.ends.Store(ends)
	w.mu.Unlock()
	w.pool.watch.expect(ends)
}

// finish stops the clock.
func (w *worker) finish() {
	w.mu.Lock()
	w.ends.Store(never)
	w.mu.Unlock()
	if !w.life.over() {
		w.life = new(life)
	}
}

// expire ends what runs if its time was over at that moment.
func (w *worker) expire(now int64, why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends.Load() <= now {
		w.end(why)
	}
}

// kill ends whatever runs now.
func (w *worker) kill(why error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ends.Load() != never {
		w.end(why)
	}
}

// end ends the invocation: host functions through its context, the guest by a kill. Called with mu held.
func (w *worker) end(why error) {
	if w.expired != nil {
		return
	}
	w.expired = why
	w.life.end(why)
	if w.ticket != 0 { // else no call has begun, and enter begins none
		w.thread.Kill(w.ticket, why)
	}
}

// enter calls one function of an instance unless the invocation has expired.
func (w *worker) enter(instance *wasmedge.Instance, fn *wasmedge.Func, env *hostfn.Env, stack []uint64) error {
	w.mu.Lock()
	expired := w.expired
	if expired == nil {
		w.ticket = w.thread.Next()
	}
	w.mu.Unlock()
	if expired != nil {
		return &wasmedge.Trap{Kind: wasmedge.TrapKilled, Cause: expired}
	}
	return w.thread.Call(instance, fn, env, stack)
}

// instance returns a started instance; one made the long way is counted for the function, which may be nil. ready says that it was found in that state, which takes no time worth a look at the
// clock.
func (w *worker) instance(inv *invoke.Invocation, app *App, function *metric.Function, env *hostfn.Env) (c *cell, ready bool, err error) {
	c, from, err := app.take(w)
	if err != nil {
		return nil, false, err
	}
	switch from {
	case bare:
		w.pool.hooks.ColdStart()
		function.ColdStart()
		if err = w.startUp(inv, c, env); err == nil && !app.spec.Reuse {
			err = c.program.capture(c.instance)
		}
	case made, restored:
		ready = from == restored && c.program.Restore == ""
		if c.program.Restore != "" {
			err = w.restore(inv, c, env)
		}
	case reused:
		ready = true
	}
	if err != nil {
		c.close()
		return nil, false, err
	}
	return c, ready, nil
}

// startUp starts an instance.
func (w *worker) startUp(inv *invoke.Invocation, c *cell, env *hostfn.Env) error {
	for _, name := range c.program.StartUp {
		fn, err := c.instance.Func(name, wasmedge.FuncType{})
		if err != nil {
			return err
		}
		if err := w.prepare(inv, name, c, fn, env); err != nil {
			return err
		}
	}
	c.measure()
	c.program.bytes.Store(c.bytes)
	return nil
}

// restore tells the guest that it is in its template's state.
func (w *worker) restore(inv *invoke.Invocation, c *cell, env *hostfn.Env) (err error) {
	if c.restore == nil {
		if c.restore, err = c.instance.Func(c.program.Restore, wasmedge.FuncType{}); err != nil {
			return err
		}
	}
	return w.prepare(inv, c.program.Restore, c, c.restore, env)
}

// prepare calls an export of type () -> () as a call of its own, with no request to see.
func (w *worker) prepare(inv *invoke.Invocation, name string, c *cell, fn *wasmedge.Func, env *hostfn.Env) error {
	env.Begin(w.life, nil)
	env.RunOn(w.core)
	env.WriteAs(invoke.StartUp{For: inv})
	err := w.enter(c.instance, fn, env, nil)
	if out := env.Finish(err); out.Err != nil {
		return &startError{export: name, guest: out.GuestError, cause: out.Err}
	}
	return nil
}

// try is the work of Pool.Try.
func (w *worker) try(ctx context.Context, app *App) error {
	if err := app.acquire(false); err != nil {
		return err
	}
	defer app.release()
	w.begin(time.Now().Add(app.spec.Timeout), false)
	defer w.finish()
	stop := context.AfterFunc(ctx, func() { w.kill(context.Cause(ctx)) })
	defer stop()
	c, _, err := w.instance(nil, app, nil, app.spec.Guest.NewEnv())
	if err != nil {
		return err
	}
	defer func() { app.put(w, c, returned, w.pool.watch.moment(time.Now())) }()
	for _, fn := range app.functions {
		if _, err := c.entry(fn); err != nil {
			return err
		}
	}
	return nil
}

// call runs the function of an invocation in an instance of its app.
func (w *worker) call(inv *invoke.Invocation, fn *Function, s *seat) error {
	c, ready, err := w.instance(inv, fn.app, fn.Metric, s.env)
	if err != nil {
		return err
	}
	if inv.Entry != nil {
		return w.callEntry(inv, fn, s, c)
	}
	entry, err := c.entry(fn)
	if err != nil {
		c.close()
		return err
	}
	s.env.Begin(w.life, &s.request)
	s.env.RunOn(w.core)
	if inv.Stream != nil {
		s.env.OnOutput(w.stream)
	}
	w.stack[0] = 0
	if inv.Stamps.Started = inv.Stamps.Picked; !ready {
		inv.Stamps.Started = time.Now()
	}
	if entry.takes {
		err = w.enterWith(c, entry.fn, s.env)
	} else {
		err = w.enter(c.instance, entry.fn, s.env, w.stack[:])
	}
	w.last = used{app: fn.app, cell: c, end: endingOf(err)}
	if err == nil && entry.result && uint32(w.stack[0]) != 0 {
		return fmt.Errorf("%w: %d", errReturned, int32(uint32(w.stack[0])))
	}
	return err
}

// used is an instance after its call.
type used struct {
	app  *App
	cell *cell
	end  ending
}

// ending is how a call ended, for what may become of its instance.
type ending int

const (
	broken   ending = iota // by a trap or a kill: the instance is closed
	exited                 // by proc_exit, out of the middle: it may be reset, for its state is memory and globals all the same
	returned               // it may be used again as it is, too
)

func endingOf(err error) ending {
	if err == nil {
		return returned
	}
	var exit *wasmedge.ExitError
	if errors.As(err, &exit) {
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
	last := w.last
	if last.cell == nil {
		return
	}
	w.last = used{}
	begun := time.Now()
	if last.app.put(w, last.cell, last.end, w.pool.watch.moment(begun)) {
		w.pool.hooks.Restored(time.Since(begun))
	}
}

// part hands a part of a growing response to the trigger, without the core. A kill cannot reach a guest that waits there for
// its client, so the invocation's deadline, which ends that wait, is made the end of its clock at the latest.
func (w *worker) part(status int, headers []hostfn.Header, part []byte) error {
	inv := w.inv
	if inv.Deadline.IsZero() || w.until.Before(inv.Deadline) {
		inv.Deadline = w.until
	}
	list := headerList(headers)
	if w.core != nil {
		w.core.Leave()
		defer w.core.Return()
	}
	return inv.Stream(inv, status, list, part)
}
