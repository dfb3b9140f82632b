package calls

import (
	"context"
	"errors"
	"slices"
	"time"

	"edged.dev/edge/hostfn"
)

// waiter is an invocation that waits for objects. It is guarded by Calls.mu but for the channel.
type waiter struct {
	left  int       // objects that are still to come
	on    []*object // what it waits for; nil when it does not wait
	there chan struct{}
	bed   hostfn.Napper // where it naps; nil when it waits for there
	nap   uint64
}

// errTime ends a wait whose time is over.
var errTime = errors.New("the time to wait is over")

// arrived counts one object in.
func (w *waiter) arrived() {
	if w.left--; w.left != 0 {
		return
	}
	if w.bed != nil {
		w.bed.Rouse(w.nap)
		return
	}
	w.there <- struct{}{} // there is room: it is taken before the next wait begins
}

// pause waits without the core, and submits before that what may begin then. The error is why it ended early, errTime for its time.
func (c *Calls) pause(ctx context.Context, w *waiter, timeout time.Duration, start []*object) error {
	_ = ctx.Done() // the core is left
	bed, ok := ctx.(hostfn.Napper)
	nap := uint64(0)
	if ok {
		nap = bed.Nap()
	}
	if nap == 0 {
		c.submitAll(start)
		return w.wait(ctx, timeout)
	}
	c.mu.Lock()
	w.bed, w.nap = bed, nap
	came := w.left <= 0
	c.mu.Unlock()
	if came {
		bed.Rouse(nap)
	}
	if timeout > 0 {
		timer := time.AfterFunc(timeout, func() { bed.Rouse(nap) })
		defer timer.Stop()
	}
	stop := context.AfterFunc(ctx, func() { bed.Rouse(nap) })
	defer stop()
	c.submitAll(start)
	bed.Sleep(nap)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errTime // if it did not come: who asks looks
}

func (c *Calls) submitAll(list []*object) {
	for _, o := range list {
		c.submit(o)
	}
}

// wait waits, without Calls.mu and without the core.
func (w *waiter) wait(ctx context.Context, timeout time.Duration) error {
	var over <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-w.there:
		return nil
	case <-over:
		return errTime
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin notes that an invocation waits, and returns the call that may take its place at the scheduler, if there is one.
// Called with mu held.
func (c *Calls) begin(s *session, objects []*object, left int) []*object {
	w := &s.waiter
	w.left, w.on = left, objects
	for _, o := range objects {
		if !o.done {
			o.waiters = append(o.waiters, w)
		}
	}
	c.waiters++
	if s.self == nil {
		return nil
	}
	s.self.waits = w
	if !s.self.counted {
		return nil
	}
	c.uncount(s.self)
	if next := c.next(s.self.app); next != nil {
		return []*object{next}
	}
	return nil
}

// end is the end of what begin has begun. Called with mu held.
func (c *Calls) end(s *session, objects []*object) {
	w := &s.waiter
	for _, o := range objects {
		if len(o.waiters) > 0 {
			o.waiters = slices.DeleteFunc(o.waiters, func(other *waiter) bool { return other == w })
		}
	}
	w.left, w.on, w.bed = 0, nil, nil
	select {
	case <-w.there: // it came at the same moment as the end of the time
	default:
	}
	c.waiters--
	if s.self != nil {
		s.self.waits = nil
	}
}

// mayWait returns why an invocation may not wait for so many of the objects; nil when it may. Called with mu held.
func (c *Calls) mayWait(s *session, objects []*object, left int) error {
	if c.waiters >= c.options.Waiters {
		return refuse(hostfn.Limit, "%d invocations wait for others already, as many as may at once", c.waiters)
	}
	if s.self == nil {
		return nil // nobody waits for it
	}
	for _, o := range objects { // mostly none of them waits itself
		if !o.done && o != s.self && o.moves() {
			left--
		}
	}
	if left <= 0 || c.ends(s, objects, left) {
		return nil
	}
	return refuse(hostfn.Conflict, "this wait would never end: what it waits for waits for this invocation")
}

// behind returns the message that an actor works on before this one; nil when there is none.
func (o *object) behind() *object {
	if o.mailbox == nil || o.mailbox.busy == o {
		return nil
	}
	return o.mailbox.busy
}

// moves reports whether a call can come to its end without any other.
func (o *object) moves() bool {
	if o.behind() != nil {
		return false
	}
	return o.waits == nil
}

// ends reports whether so many more of the objects, which do not move by themselves, can still come to their end. Those that can
// are found from those that move, step by step; what is left waits for itself in the end. Called with mu held.
func (c *Calls) ends(s *session, objects []*object, left int) bool {
	can := map[*object]bool{s.self: false} // it is about to wait for them
	var reach func(list []*object)
	reach = func(list []*object) {
		for _, o := range list {
			if _, seen := can[o]; seen || o.done {
				continue
			}
			can[o] = o.moves()
			if !can[o] {
				reach(o.needs())
			}
		}
	}
	reach(objects)
	for changed := true; changed; {
		changed = false
		for o, already := range can {
			if already || o == s.self || !o.satisfied(can) {
				continue
			}
			can[o], changed = true, true
		}
	}
	for _, o := range objects {
		if !o.done && (o == s.self || !o.moves()) && can[o] {
			left--
		}
	}
	return left <= 0
}

// needs returns what a call that does not move waits for.
func (o *object) needs() []*object {
	var list []*object
	if before := o.behind(); before != nil {
		return append(list, before)
	}
	if o.waits != nil {
		list = append(list, o.waits.on...)
	}
	return list
}

// satisfied reports whether a call that does not move will, when those end that can.
func (o *object) satisfied(can map[*object]bool) bool {
	if before := o.behind(); before != nil {
		return can[before]
	}
	if o.waits == nil {
		return true
	}
	left := o.waits.left
	for _, other := range o.waits.on {
		if !other.done && can[other] {
			left--
		}
	}
	return left <= 0
}
