package calls

import (
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/hostfn"
)

// start hands a call to the scheduler, or to the backlog of its app. The caller holds no lock.
func (c *Calls) start(o *object) {
	c.mu.Lock()
	a := o.app
	switch {
	case a.backlog.len() >= c.options.Objects: // also of those that nobody holds any more
		c.mu.Unlock()
		c.ended(o.inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrQueueFull, Detail: fmt.Sprintf(
			"%d calls of app %s wait for others of it to end, which is the limit", c.options.Objects, a.name)}})
		return
	case a.running >= c.window(a) || a.backlog.len() > 0:
		a.backlog.push(o)
		c.mu.Unlock()
		return
	default:
		o.counted = true
		a.running++
	}
	c.mu.Unlock()
	c.submit(o)
}

// window is how many calls of an app that nobody waits for may be at the scheduler: few while their results do not fit into the
// memory, so that they are written as fast as they come. Called with mu held.
func (c *Calls) window(a *app) int {
	if a.memory > c.options.Memory {
		return min(c.options.Window, 2)
	}
	return c.options.Window
}

// next takes a call out of the backlog that may go to the scheduler; nil when there is none. Called with mu held.
func (c *Calls) next(a *app) *object {
	for a.backlog.len() > 0 && a.running < c.window(a) {
		o := a.backlog.pop()
		if o.done { // cancelled
			continue
		}
		o.counted = true
		a.running++
		return o
	}
	return nil
}

// submit hands a call to the scheduler.
func (c *Calls) submit(o *object) {
	inv := o.inv
	if err := c.admit(inv); err != nil {
		c.ended(inv, invoke.Result{Err: err})
	}
}

// admit submits an invocation. A version that has been retired since the function was looked up is looked up again.
func (c *Calls) admit(inv *invoke.Invocation) error {
	for {
		err := c.options.Submit(inv)
		if !errors.Is(err, scheduler.ErrRetired) {
			return err
		}
		fn, err := c.options.Functions(inv.App, inv.Function)
		if err != nil {
			return err
		}
		inv.Target = fn.Target
	}
}

// invocation makes the invocation of a function, but for its Done.
func (c *Calls) invocation(fn Function, input []byte, cause invoke.Cause, deadline time.Time) *invoke.Invocation {
	app, name := fn.Target.Name()
	route := "/" + string(app) + "/" + string(name)
	return &invoke.Invocation{
		ID: c.options.IDs.Add(1), App: app, Function: name, Source: invoke.SourceCall, Target: fn.Target,
		Request: invoke.Request{
			Method: "POST", Path: route, Proto: "HTTP/1.1", Host: "localhost", Remote: "@", Route: route, Body: input,
		},
		Deadline: deadline, Cause: cause, Stamps: invoke.Stamps{Arrived: time.Now()},
	}
}

// belong makes an invocation that of an object.
func (c *Calls) belong(inv *invoke.Invocation, o *object) {
	inv.Control, inv.Done = o, c.ended
}

// ended is the Done of every call. It may be called by a worker, which looks for what is queued next, or from submit.
func (c *Calls) ended(inv *invoke.Invocation, result invoke.Result) {
	inv.Stamps.Sent = time.Now()
	status := statusOf(result)
	o := inv.Control.(*object) //nolint:forcetypeassert // see belong
	if o.outside != nil {
		c.told(o, inv, result)
		return
	}
	c.options.Ended(inv, status)
	if result.Err == nil && len(o.steps) > 0 {
		c.goOn(o, inv, result.Body)
		return
	}
	c.finish(o, inv, status, result)
}

// told is the end of a message from outside: it is answered, and the actor goes on.
func (c *Calls) told(o *object, inv *invoke.Invocation, result invoke.Result) {
	o.outside(inv, result)
	c.mu.Lock()
	o.done = true
	for _, w := range o.waiters {
		w.arrived()
	}
	message := c.delivered(o)
	c.mu.Unlock()
	if message != nil {
		c.submit(message)
	}
}

// goOn starts the next function of a chain with the result of the one before. When it cannot be started the result is why.
func (c *Calls) goOn(o *object, before *invoke.Invocation, input []byte) {
	name := o.steps[0]
	fn, err := c.options.Functions(before.App, name)
	cause := before.Next()
	if err == nil {
		err = cause.Check(before.App, name)
	}
	if err != nil {
		o.step = string(name)
		c.finish(o, before, invoke.Status(err), invoke.Result{Err: err})
		return
	}
	inv := c.invocation(fn, input, cause, before.Deadline)
	c.belong(inv, o)
	c.mu.Lock()
	o.steps, o.step, o.inv = o.steps[1:], string(name), inv
	c.mu.Unlock()
	c.submit(o)
}

// finish makes the result of a call known and starts what has waited for its place.
func (c *Calls) finish(o *object, inv *invoke.Invocation, status int, result invoke.Result) {
	var failed *hostfn.CallError
	if result.Err != nil {
		failed = callError(result.Err)
		if o.step != "" {
			failed = &hostfn.CallError{Result: failed.Result, Text: "step " + o.step + " of the chain: " + failed.Text}
		}
		result.Body = nil
	}
	var values []byte
	if inv.Entry != nil {
		values = inv.Entry.Bytes()
	}
	c.mu.Lock()
	first := c.settle(o, status, result.Body, values, failed)
	start := c.next(o.app)
	message := c.delivered(o)
	c.mu.Unlock()
	if first {
		o.graph.End(result.Err)
	}
	for _, one := range []*object{start, message} {
		if one != nil {
			c.submit(one)
		}
	}
}

// settle writes down the result of a call and tells those that wait for it; false when it has one already, because it was
// cancelled before it began. Called with mu held.
func (c *Calls) settle(o *object, status int, body, values []byte, failed *hostfn.CallError) bool {
	c.uncount(o)
	if o.done {
		return false
	}
	a := o.app
	o.done, o.status, o.values, o.failed = true, status, values, failed
	a.inputs -= o.input
	if !o.gone && failed == nil {
		c.store(o, body)
	}
	for _, w := range o.waiters {
		w.arrived()
	}
	o.waiters = nil
	return true
}

// uncount gives a call's place at the scheduler to others. Called with mu held.
func (c *Calls) uncount(o *object) {
	if o.counted {
		o.counted = false
		o.app.running--
	}
}

// leastFile is below what size a result stays in memory in any case: a file takes more than that.
const leastFile = 4 << 10

// store keeps the bytes of an object: in memory, and in a file when there is no room. Called with mu held.
func (c *Calls) store(o *object, body []byte) {
	o.body, o.size, o.memory = body, len(body), int64(len(body))
	o.app.memory += o.memory
	if o.awaited || len(body) < leastFile || o.app.memory <= c.options.Memory {
		return
	}
	if o.app.disk+int64(len(body)) > c.options.Disk {
		c.discard(o)
		o.failed = c.full(o.app)
		return
	}
	o.app.disk += int64(len(body))
	o.writing = true
	c.files.put(o, body)
}

func (c *Calls) full(a *app) *hostfn.CallError {
	return &hostfn.CallError{Result: hostfn.Limit, Text: fmt.Sprintf(
		"the objects of app %s fill the memory (%d bytes) and the disk (%d bytes) that they may have: drop those that are not needed",
		a.name, c.options.Memory, c.options.Disk)}
}

// written is told by the files that an object has been written, or could not be.
func (c *Calls) written(o *object, err error) {
	c.mu.Lock()
	o.writing = false
	switch {
	case err != nil:
		o.app.disk -= int64(o.size)
		c.options.Logger.Error("an object stays in memory", "app", o.app.name, "error", err)
	case o.gone:
		o.app.disk -= int64(o.size)
		c.files.remove(o.id)
	default:
		o.app.memory -= o.memory
		o.memory, o.body, o.inFile = 0, nil, true
	}
	start := c.next(o.app)
	c.mu.Unlock()
	if start != nil {
		c.submit(start)
	}
}
