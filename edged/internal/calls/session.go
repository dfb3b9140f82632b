package calls

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

// Invoker is what the invocations of one version of an app start others with.
type Invoker struct {
	calls  *Calls
	app    invoke.AppName
	grants []string // "app/function" and "app/*"
}

var _ hostfn.Invoker = (*Invoker)(nil)

// For returns the Invoker of an app that may call what grants list beyond its own functions: "app/function" or "app/*".
func (c *Calls) For(app invoke.AppName, grants []string) *Invoker {
	return &Invoker{calls: c, app: app, grants: grants}
}

// Enter implements hostfn.Invoker. The origin is an [*invoke.Invocation].
func (i *Invoker) Enter(origin any) hostfn.Caller {
	inv, ok := origin.(*invoke.Invocation)
	if !ok {
		return nil
	}
	s := &session{Invoker: i, inv: inv, holds: make(map[int64]*object)}
	s.self, _ = inv.Control.(*object)
	s.waiter.there = make(chan struct{}, 1)
	return s
}

// session is one invocation as it starts others. It is used by the invocation's goroutine alone; holds and self are guarded by
// Calls.mu all the same, with what they refer to.
type session struct {
	*Invoker
	inv    *invoke.Invocation
	self   *object // the call that it is itself; nil: nobody can wait for it
	cause  invoke.Cause
	holds  map[int64]*object
	waiter waiter
}

var _ hostfn.Caller = (*session)(nil)

// Start implements hostfn.Caller.
func (s *session) Start(call *hostfn.Call) (int64, error) {
	c := s.calls
	var to *actor
	if call.Actor != 0 {
		if to = c.actor(s.app, call.Actor); to == nil {
			return 0, refuse(hostfn.NotFound, "there is no actor %d", call.Actor)
		}
	}
	fn, err := s.find(call, to)
	if err != nil {
		return 0, err
	}
	if s.cause.Depth == 0 {
		s.cause = s.inv.Next()
	}
	if s.cause.Depth-s.cause.Base > invoke.MaxDepth {
		return 0, refuse(hostfn.Limit, "functions call each other more than %d deep, the last of them %s: look for a cycle",
			invoke.MaxDepth, strings.Join(s.cause.Trail, " -> "))
	}
	o := &object{mailbox: to, awaited: call.Awaited, unsent: call.Awaited && to == nil, graph: s.cause.Graph, steps: fn.Then}
	o.inv = c.invocation(fn, call.Input, s.cause, s.inv.Deadline)
	c.belong(o.inv, o)
	if call.Awaited {
		if o.inv.Since = s.inv.Since; o.inv.Since.IsZero() {
			o.inv.Since = s.inv.Stamps.Arrived
		}
	}
	if call.Entry != nil {
		e := call.Entry
		o.inv.Entry = &invoke.Entry{
			Export: e.Export, Index: e.Index, Args: e.Args, Prepare: e.Prepare, Allocate: e.Allocate, Answer: e.Answer,
		}
	}
	if err := s.enlist(o, len(call.Input)); err != nil {
		return 0, err
	}
	switch {
	case to != nil:
		c.send(o)
	case !call.Awaited: // else Wait submits it, when the core is free for it
		c.start(o)
	}
	return o.id, nil
}

// enlist gives a call its number, and counts it in where it is waited for.
func (s *session) enlist(o *object, input int) error {
	c := s.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	if o.mailbox != nil && o.mailbox.full() {
		return errFull(o.mailbox)
	}
	if err := c.add(c.app(s.app), o, input); err != nil {
		return err
	}
	o.hold()
	s.holds[o.id] = o
	o.graph.Add()
	return nil
}

// find returns the function that a call names, if the caller may call it.
func (s *session) find(call *hostfn.Call, to *actor) (Function, error) {
	app, name := s.app, call.Function
	if before, after, other := strings.Cut(name, "/"); other {
		app, name = invoke.AppName(before), after
	}
	switch {
	case name == "" && call.Entry != nil:
		name = string(s.inv.Function)
	case name == "" && to != nil:
		name = string(to.class)
	case (to != nil || call.Entry != nil) && app != s.app:
		return Function{}, refuse(hostfn.Denied, "%s is a function of another app", call.Function)
	}
	if app != s.app && !s.granted(app, name) {
		return Function{}, refuse(hostfn.Denied, "the manifest of app %s does not grant calls of %s/%s: see grants.calls", s.app, app, name)
	}
	fn, err := s.calls.options.Functions(app, invoke.FunctionName(name))
	if err != nil {
		return Function{}, callError(err)
	}
	if fn.Actor && to == nil {
		return Function{}, refuse(hostfn.Invalid, "%s is a class of actors: use actor_new and actor_call", name)
	}
	if app != s.app && !slices.Contains(fn.Callers, string(s.app)) && !slices.Contains(fn.Callers, "*") {
		return Function{}, refuse(hostfn.Denied, "the manifest of app %s does not let app %s call function %s: see functions.%s.callers",
			app, s.app, name, name)
	}
	return fn, nil
}

func (s *session) granted(app invoke.AppName, name string) bool {
	return slices.ContainsFunc(s.grants, func(grant string) bool {
		of, which, _ := strings.Cut(grant, "/")
		return of == string(app) && (which == name || which == "*")
	})
}

// Put implements hostfn.Caller.
func (s *session) Put(ctx context.Context, data []byte) (int64, error) {
	c := s.calls
	o := &object{done: true, status: 200}
	c.mu.Lock()
	a := c.app(s.app)
	if err := c.add(a, o, 0); err != nil {
		c.mu.Unlock()
		return 0, err
	}
	o.hold()
	s.holds[o.id] = o
	if len(data) < leastFile || a.memory+int64(len(data)) <= c.options.Memory {
		c.store(o, data)
		c.mu.Unlock()
		return o.id, nil
	}
	if a.disk+int64(len(data)) > c.options.Disk {
		defer c.mu.Unlock()
		delete(s.holds, o.id)
		c.forget(o)
		return 0, c.full(a)
	}
	// The guest waits until it is in its file: it could put faster than a disk writes.
	a.disk += int64(len(data))
	o.size, o.writing = len(data), true
	c.mu.Unlock()
	_ = ctx.Done()
	err := c.files.write(o.id, data)
	c.written(o, err)
	if err != nil {
		_ = s.Drop(o.id)
		return 0, refuse(hostfn.Internal, "the object cannot be written: %v", err)
	}
	return o.id, nil
}

// get returns an object of the app, which the invocation holds from then on. Called with mu held.
func (s *session) get(id int64) (*object, error) {
	if o := s.holds[id]; o != nil {
		return o, nil
	}
	o := s.calls.app(s.app).objects[id]
	if o == nil {
		return nil, refuse(hostfn.NotFound, "there is no object %d: it was dropped, or nobody has held it for %v", id, s.calls.options.Grace)
	}
	o.hold()
	s.holds[id] = o
	return o, nil
}

// Result implements hostfn.Caller.
func (s *session) Result(id int64, most int) (hostfn.Outcome, error) {
	c := s.calls
	c.mu.Lock()
	o, err := s.get(id)
	if err == nil && !o.done {
		err = refuse(hostfn.TimedOut, "call %d has not ended", id)
	}
	if err != nil {
		c.mu.Unlock()
		return hostfn.Outcome{}, err
	}
	out := hostfn.Outcome{Status: o.status, Size: o.size, Values: o.values, Err: o.failed}
	if o.size <= most {
		out.Body = o.body
	}
	inFile := o.inFile
	c.mu.Unlock()
	if !inFile || o.size > most {
		return out, nil
	}
	if out.Body, err = c.files.read(id); err != nil {
		return out, refuse(hostfn.Internal, "object %d cannot be read: %v", id, err)
	}
	return out, nil
}

// Cancel implements hostfn.Caller.
func (s *session) Cancel(id int64) error {
	c := s.calls
	c.mu.Lock()
	o, err := s.get(id)
	if err != nil || o.done || o.inv == nil {
		c.mu.Unlock()
		return err
	}
	c.mu.Unlock()
	c.cancel(o)
	return nil
}

// cancel ends a call. One whose guest does not run has its result at once.
func (c *Calls) cancel(o *object) {
	if o.cancel() {
		return
	}
	c.mu.Lock()
	counted := o.counted // it keeps its place at the scheduler until it is there
	o.counted = false
	if !counted && o.inv.Resident == nil { // it waits in the backlog, longer perhaps than its input counts
		o.inv.Request.Body = nil
	}
	first := c.settle(o, invoke.Status(errCancelled), nil, nil, callError(errCancelled))
	o.counted = counted
	c.mu.Unlock()
	if first {
		o.graph.End(errCancelled)
	}
}

// Drop implements hostfn.Caller.
func (s *session) Drop(id int64) error {
	c := s.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	o, err := s.get(id)
	if err != nil {
		return err
	}
	delete(s.holds, id)
	if o.held--; o.held == 0 {
		c.forget(o)
	}
	return nil
}

// Leave implements hostfn.Caller.
func (s *session) Leave() {
	c := s.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	for _, o := range s.holds {
		c.release(o, now)
	}
	s.holds = nil
}

// Wait implements hostfn.Caller.
func (s *session) Wait(ctx context.Context, ids []int64, want int, timeout time.Duration, ready []byte) (int, error) {
	c := s.calls
	c.mu.Lock()
	objects := make([]*object, len(ids))
	for i, id := range ids {
		var err error
		if objects[i], err = s.get(id); err != nil {
			c.mu.Unlock()
			return 0, err
		}
	}
	there := mark(objects, ready)
	if there >= want || timeout == 0 {
		c.mu.Unlock()
		return there, nil
	}
	if err := c.mayWait(s, objects, want-there); err != nil {
		c.mu.Unlock()
		return 0, err
	}
	start := c.begin(s, objects, want-there)
	if objects[0].unsent { // an awaited one, which waits for nothing but the core
		objects[0].unsent = false
		start = append(start, objects[0])
	}
	c.mu.Unlock()
	err := c.pause(ctx, &s.waiter, timeout, start)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(s, objects)
	there = mark(objects, ready)
	if there >= want || errors.Is(err, errTime) {
		return there, nil
	}
	return there, err
}

// mark says which objects are there and returns how many. Called with mu held.
func mark(objects []*object, ready []byte) int {
	there := 0
	for i, o := range objects {
		ready[i] = 0
		if o.done {
			ready[i] = 1
			there++
		}
	}
	return there
}
