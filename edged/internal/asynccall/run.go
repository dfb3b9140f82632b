package asynccall

import (
	"errors"
	"slices"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// patience is after what time something is tried again that was not admitted.
const patience = 200 * time.Millisecond

// next runs calls that wait, as many as may run.
func (c *Calls) next() {
	for {
		c.mu.Lock()
		if !c.started || c.stopped || len(c.queue) == 0 || c.running >= c.options.Window {
			c.mu.Unlock()
			return
		}
		e := c.queue[0]
		c.queue[0] = nil
		c.queue = c.queue[1:]
		if e.cancelled {
			c.mu.Unlock()
			continue
		}
		e.State = Running
		c.running++
		c.work.Add(1) // until finish
		c.mu.Unlock()
		c.run(e)
	}
}

// run submits a call. Its end is finish, or again.
func (c *Calls) run(e *entry) {
	value, err := c.space.Get([]byte("p/"+e.ID), nil)
	if err != nil {
		c.unreadable(e, err)
		return
	}
	r, body, err := decode(value)
	if err == nil && r.Attempt != e.attempt { // an earlier daemon may have run it
		r.Attempt = e.attempt
		err = c.write("p/"+e.ID, r, body)
	}
	if err != nil {
		c.unreadable(e, err)
		return
	}
	inv := &invoke.Invocation{
		ID: c.options.IDs.Add(1), App: r.App, Function: r.Function, Source: r.Source,
		Request: invoke.Request{
			Method: r.Method, Path: r.Path, RawQuery: r.RawQuery, Proto: r.Proto, Host: r.Host, Remote: r.Remote,
			Headers: r.Headers, Body: body,
		},
		Event: &invoke.Event{ID: e.ID, Attempt: e.attempt}, Control: &e.control, Stamps: invoke.Stamps{Arrived: time.Now()},
	}
	inv.Done = func(inv *invoke.Invocation, result invoke.Result) {
		inv.Stamps.Sent = time.Now()
		c.options.Ended(inv, statusOf(result))
		go c.ended(e, r, result) // the answer is written
	}
	err = c.options.Route(inv)
	if err == nil {
		inv.Deadline = time.Time{} // the client does not wait
		err = c.options.Submit(inv)
	}
	if err != nil {
		go c.ended(e, r, invoke.Result{Err: err})
	}
}

// unreadable is the end of a call whose request is damaged.
func (c *Calls) unreadable(e *entry, err error) {
	c.options.Logger.Error("an asynchronous call cannot be run", "call", e.ID, "error", err)
	go c.ended(e, &record{App: e.App, Function: e.Function, Created: e.Created, Attempt: e.attempt},
		invoke.Result{Err: &invoke.Error{Kind: invoke.ErrGuest, Detail: "its request cannot be read any more", Cause: err}})
}

// statusOf returns the HTTP status of a result.
func statusOf(result invoke.Result) int {
	switch {
	case result.Err != nil:
		return invoke.Status(result.Err)
	case result.Status == 0:
		return 200
	}
	return result.Status
}

// ended writes the answer of a call that was run, or has it tried again.
func (c *Calls) ended(e *entry, r *record, result invoke.Result) {
	defer c.work.Done()
	for _, kind := range []error{invoke.ErrDraining, invoke.ErrQueueFull, invoke.ErrUnavailable} {
		if errors.Is(result.Err, kind) && c.again(e) {
			return
		}
	}
	c.finish(e, r, result)
	c.next()
}

// again puts a call in front of those that wait, after a while; false when it has been cancelled.
func (c *Calls) again(e *entry) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.cancelled {
		return false
	}
	c.running--
	e.State = Waiting
	if c.stopped {
		return true // it is run after the next start
	}
	c.work.Add(1)
	time.AfterFunc(patience, func() {
		defer c.work.Done()
		c.mu.Lock()
		c.queue = append([]*entry{e}, c.queue...)
		c.mu.Unlock()
		c.next()
	})
	return true
}

// finish writes an answer in place of the request. While it cannot be written the call counts as one that waits, and is run
// again after a restart.
func (c *Calls) finish(e *entry, before *record, result invoke.Result) {
	after := &record{
		App: before.App, Function: before.Function, Source: before.Source, Created: before.Created, Attempt: e.attempt,
		Finished: time.Now().UTC(), Status: statusOf(result), Headers: result.Headers,
	}
	if size := len(result.Body); result.Err == nil && size > c.options.Body {
		result.Err = &invoke.Error{Kind: invoke.ErrTooLarge, Detail: "the answer is above the limit of asynchronous ones"}
		after.Status = invoke.Status(result.Err)
	}
	if result.Err != nil {
		after.Failed, after.Failure, after.Headers, result.Body = true, detail(result.Err), nil, nil
	}
	value, err := encode(after, result.Body)
	if err == nil {
		_, err = c.space.Apply(c.ctx, []kvstore.Op{
			{Kind: kvstore.OpSet, Key: []byte("r/" + e.ID), Value: value}, {Kind: kvstore.OpDelete, Key: []byte("p/" + e.ID)},
		})
	}
	if err != nil {
		c.options.Logger.Error("the answer of an asynchronous call cannot be kept", "call", e.ID, "error", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e.State == Running {
		c.running--
	}
	if err != nil {
		e.State = Waiting
		return
	}
	if !e.Finished.IsZero() {
		return // cancelled at the same moment
	}
	c.accepted--
	c.requests -= e.Bytes
	e.Finished, e.Status, e.Bytes, e.State = after.Finished, after.Status, int64(len(result.Body)), Done
	if after.Failed {
		e.State = Failed
	}
	c.keep(e)
	c.sweep(time.Now())
}

// detail returns what an error says beside its kind, which goes by the status.
func detail(err error) string {
	var known *invoke.Error
	if errors.As(err, &known) {
		return known.Detail
	}
	return err.Error()
}

// keep counts an answer in. Called with mu held, but by Open.
func (c *Calls) keep(e *entry) {
	c.results = append(c.results, e)
	c.answers += e.Bytes
	c.kept++
}

// sweep removes answers that have been kept for long enough, and the oldest of those that are too many. Called with mu held.
func (c *Calls) sweep(now time.Time) {
	for len(c.results) > 0 {
		e := c.results[0]
		held := c.entries[e.ID] == e
		if held && now.Sub(e.Finished) < c.options.Keep && c.kept <= c.options.Results && c.answers <= c.options.Bytes {
			break
		}
		c.results[0] = nil
		c.results = c.results[1:]
		if held {
			c.forget(e)
		}
	}
	if len(c.results) > 0 && c.sweeper == nil && !c.stopped {
		c.sweeper = time.AfterFunc(max(c.options.Keep-now.Sub(c.results[0].Finished), time.Second), func() {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.sweeper = nil
			c.sweep(time.Now())
		})
	}
}

// forget removes an answer, from the disk a moment later. Called with mu held.
func (c *Calls) forget(e *entry) {
	delete(c.entries, e.ID)
	c.answers -= e.Bytes
	if c.kept--; len(c.results) > 2*c.kept+64 {
		c.results = slices.DeleteFunc(c.results, func(one *entry) bool { return one == nil || c.entries[one.ID] != one })
	}
	if c.stopped {
		return // it is removed after the next start
	}
	c.work.Go(func() {
		if _, err := c.space.Delete(c.ctx, []byte("r/"+e.ID)); err != nil {
			c.options.Logger.Error("the answer of an asynchronous call cannot be removed", "call", e.ID, "error", err)
		}
	})
}

// Cancel ends a call that has not been answered, running or not: its answer is the error that says so. The answer of another is
// removed. It waits for the disk.
func (c *Calls) Cancel(id string) error {
	e, err := c.find(id)
	if err != nil {
		return err
	}
	c.mu.Lock()
	if !e.Finished.IsZero() {
		if c.entries[id] == e {
			c.forget(e)
		}
		c.mu.Unlock()
		return nil
	}
	e.cancelled = true
	running := e.State == Running
	if !running {
		c.work.Add(1)
	}
	c.mu.Unlock()
	why := &invoke.Error{Kind: invoke.ErrCancelled, Detail: "the call was cancelled"}
	if running {
		e.control.cancel(why) // its end writes the answer
		return nil
	}
	defer c.work.Done()
	c.finish(e, &record{App: e.App, Function: e.Function, Created: e.Created}, invoke.Result{Err: why})
	return nil
}

// control is how a call that runs is cancelled.
type control struct {
	mu   sync.Mutex
	kill func(error) // guarded by mu; nil unless a guest runs
	why  error       // guarded by mu; nil until it is cancelled
}

var _ invoke.Control = (*control)(nil)

// Begin implements invoke.Control.
func (c *control) Begin(kill func(error)) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.why == nil {
		c.kill = kill
	}
	return c.why
}

// End implements invoke.Control.
func (c *control) End() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.kill = nil
}

func (c *control) cancel(why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.why = why
	if c.kill != nil {
		c.kill(why)
	}
}
