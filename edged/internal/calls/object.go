package calls

import (
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

// object is a call with its result, or what a guest has put. It is guarded by Calls.mu but for control.
type object struct {
	id   int64
	app  *app
	held int       // by how many invocations
	free time.Time // since when nobody holds it; zero while somebody does
	gone bool      // it has no number any more

	done    bool
	awaited bool // its caller waits for it and drops it then
	unsent  bool // and has not begun to
	counted bool // in app.running
	input   int64
	graph   *invoke.Graph
	waiters []*waiter // those that wait for it
	waits   *waiter   // what its invocation waits for; nil when it does not wait
	steps   []invoke.FunctionName
	step    string // the function that runs of a chain, for its error

	mailbox *actor                                  // whose message it is; nil: nobody's
	outside func(*invoke.Invocation, invoke.Result) // who has sent it from outside; nil: a guest

	status  int
	body    []byte
	size    int
	values  []byte
	failed  *hostfn.CallError
	memory  int64 // what it counts in app.memory
	inFile  bool
	writing bool // to its file

	inv *invoke.Invocation

	control struct {
		sync.Mutex
		kill      func(error) // guarded by Mutex; nil unless a guest runs
		cancelled error       // guarded by Mutex
	}
}

var _ invoke.Control = (*object)(nil)

// Begin implements invoke.Control.
func (o *object) Begin(kill func(error)) error {
	o.control.Lock()
	defer o.control.Unlock()
	if o.control.cancelled == nil {
		o.control.kill = kill
	}
	return o.control.cancelled
}

// End implements invoke.Control.
func (o *object) End() {
	o.control.Lock()
	defer o.control.Unlock()
	o.control.kill = nil
}

// errCancelled is what a call ends with that its caller has cancelled.
var errCancelled = &invoke.Error{Kind: invoke.ErrCancelled, Detail: "its caller has cancelled it"}

// cancel ends the call, whether it runs or is still to run, and reports whether its guest runs.
func (o *object) cancel() bool {
	o.control.Lock()
	defer o.control.Unlock()
	o.control.cancelled = errCancelled
	if o.control.kill == nil {
		return false
	}
	o.control.kill(errCancelled)
	return true
}

// hold counts an invocation in that uses the object.
func (o *object) hold() {
	o.held++
	o.free = time.Time{}
}

// release counts one out.
func (c *Calls) release(o *object, now time.Time) {
	o.held--
	if o.held > 0 || o.gone {
		return
	}
	o.free = now
	o.app.grace.push(parting{o, now})
	c.sweep(o.app, now)
	if c.sweeper == nil && !c.closed {
		c.sweeper = time.AfterFunc(c.options.Grace, c.tidy)
	}
}

// parted reports whether nobody has held the object since then.
func (p parting) parted() bool {
	return !p.object.gone && p.object.held == 0 && p.object.free.Equal(p.since)
}

// tidy is run by the sweeper.
func (c *Calls) tidy() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sweeper = nil
	more, now := false, time.Now()
	for _, a := range c.apps {
		more = c.sweep(a, now) || more
	}
	if more && !c.closed {
		c.sweeper = time.AfterFunc(c.options.Grace, c.tidy)
	}
}

// sweep frees what nobody has held for long enough; true when there is more that nobody holds. Called with mu held.
func (c *Calls) sweep(a *app, now time.Time) bool {
	for a.grace.len() > 0 {
		p := a.grace.first()
		if p.parted() && now.Sub(p.since) < c.options.Grace {
			return true
		}
		a.grace.pop()
		if p.parted() {
			c.forget(p.object)
		}
	}
	return false
}

// evict frees the result that nobody has held for longest; false when there is none. Called with mu held.
func (c *Calls) evict(a *app) bool {
	for a.grace.len() > 0 {
		if p := a.grace.pop(); p.parted() {
			c.forget(p.object)
			return true
		}
	}
	return false
}

// forget takes an object its number. A call that runs goes on, for nobody. Called with mu held.
func (c *Calls) forget(o *object) {
	if o.gone {
		return
	}
	o.gone = true
	delete(o.app.objects, o.id)
	c.discard(o)
}

// discard frees the room that a result takes. Called with mu held.
func (c *Calls) discard(o *object) {
	o.app.memory -= o.memory
	o.memory, o.body = 0, nil
	if o.inFile {
		o.inFile = false
		o.app.disk -= int64(o.size)
		c.files.remove(o.id)
	}
}
