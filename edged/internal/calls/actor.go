package calls

import (
	"context"
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/kvstore"
)

const (
	// maxMailbox bounds the messages that wait for one actor.
	maxMailbox = 1024
	// maxActorKey bounds a key: with the names of app and class before it, it is a key of the store.
	maxActorKey = 512
	// stateSpace is where actors' states are kept; no manifest can name it, so no guest can write there.
	stateSpace = "edged.actors"
	// passivate is after what time an actor without messages gives up its instance.
	passivate = time.Minute
)

// actor is one actor. It is guarded by Calls.mu, but for resident, which belongs to the message that is worked on.
type actor struct {
	id       int64
	app      *app
	class    invoke.FunctionName
	key      string
	mailbox  queue[*object]
	busy     *object // the message that is worked on; nil: none
	seen     time.Time
	resident *invoke.Resident
}

// name is what an actor is found by in its app.
func (a *actor) name() string { return string(a.class) + "/" + a.key }

// full reports whether there is no room for another message.
func (a *actor) full() bool { return a.mailbox.len() >= maxMailbox }

var _ hostfn.Actors = (*session)(nil)

// Actor implements hostfn.Actors.
func (s *session) Actor(class string, key []byte) (int64, error) {
	fn, err := s.calls.options.Functions(s.app, invoke.FunctionName(class))
	switch {
	case err != nil:
		return 0, callError(err)
	case !fn.Actor:
		return 0, refuse(hostfn.Invalid, "function %s is no actor: its manifest does not say so", class)
	case len(key) == 0 || len(key) > maxActorKey:
		return 0, refuse(hostfn.Invalid, "the key of an actor has 1 to %d bytes, this one has %d", maxActorKey, len(key))
	}
	c := s.calls
	c.mu.Lock()
	defer c.mu.Unlock()
	a, err := c.actorOf(c.app(s.app), invoke.FunctionName(class), string(key))
	if err != nil {
		return 0, err
	}
	return a.id, nil
}

// actorOf returns an actor, which is made when there is none. Called with mu held.
func (c *Calls) actorOf(of *app, class invoke.FunctionName, key string) (*actor, error) {
	a := &actor{app: of, class: class, key: key, seen: time.Now()}
	if known := of.actors[a.name()]; known != nil {
		known.seen = a.seen
		return known, nil
	}
	if len(of.actors) >= c.options.Objects && !c.forgetActor(of) {
		return nil, refuse(hostfn.Limit, "app %s has %d actors that have messages or instances, %d is the limit", of.name, len(of.actors), c.options.Objects)
	}
	c.last++
	a.id = c.last
	a.resident = &invoke.Resident{
		Load: func(context.Context) ([]byte, error) { return c.loadState(of.name, a) },
		Save: func(ctx context.Context, state []byte) error { return c.saveState(ctx, of.name, a, state) },
	}
	if of.actors == nil {
		of.actors, of.actorIDs = make(map[string]*actor), make(map[int64]*actor)
	}
	of.actors[a.name()] = a
	of.actorIDs[a.id] = a
	return a, nil
}

// forgetActor gives the number of some actor up that has neither messages nor an instance; false when there is none. Called with mu
// held.
func (c *Calls) forgetActor(of *app) bool {
	for name, a := range of.actors {
		if a.busy == nil && a.resident.Instance == nil {
			delete(of.actors, name)
			delete(of.actorIDs, a.id)
			return true
		}
	}
	return false
}

// actor returns the actor of a number, nil when there is none.
func (c *Calls) actor(of invoke.AppName, id int64) *actor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.app(of).actorIDs[id]
}

// send puts a message into the mailbox of an actor, and has it worked on when the actor does nothing else.
func (c *Calls) send(o *object) {
	c.mu.Lock()
	a := o.mailbox
	a.seen = time.Now()
	o.inv.Resident = a.resident
	if a.busy != nil {
		a.mailbox.push(o)
		c.mu.Unlock()
		return
	}
	first := a.resident.Instance == nil
	a.busy = o
	c.mu.Unlock()
	if first {
		c.makeRoom()
	}
	c.submit(o)
}

// delivered is the end of the message that an actor worked on: it returns the next one, nil when there is none. Called with mu
// held.
func (c *Calls) delivered(o *object) *object {
	a := o.mailbox
	if a == nil || a.busy != o {
		return nil
	}
	a.busy, a.seen = nil, time.Now()
	for a.mailbox.len() > 0 {
		if next := a.mailbox.pop(); !next.done {
			a.busy = next
			return next
		}
	}
	if a.resident.Instance != nil && c.passive == nil && !c.closed {
		c.passive = time.AfterFunc(passivate, c.rest)
	}
	return nil
}

// rest passivates the actors that have had no message for a while; their states are saved.
func (c *Calls) rest() {
	c.mu.Lock()
	c.passive = nil
	left := false
	var idle []interface{ Close() }
	now := time.Now()
	for a := range c.residents() {
		if a.busy == nil && now.Sub(a.seen) >= passivate {
			idle = append(idle, a.evict())
			continue
		}
		left = true
	}
	if left && !c.closed {
		c.passive = time.AfterFunc(passivate/4, c.rest)
	}
	c.mu.Unlock()
	for _, one := range idle {
		one.Close()
	}
}

// residents yields the actors that have an instance or may be about to get one. Called with mu held.
func (c *Calls) residents() func(yield func(*actor) bool) {
	return func(yield func(*actor) bool) {
		for _, of := range c.apps {
			for _, a := range of.actors {
				if (a.busy != nil || a.resident.Instance != nil) && !yield(a) {
					return
				}
			}
		}
	}
}

// evict takes the instance from an actor that does nothing. Called with mu held.
func (a *actor) evict() interface{ Close() } {
	instance := a.resident.Instance
	a.resident.Instance, a.resident.State = nil, nil
	return instance
}

// makeRoom passivates the actor that has had no message for longest when there are as many instances as may be.
func (c *Calls) makeRoom() {
	c.mu.Lock()
	var oldest *actor
	live := 0
	for a := range c.residents() {
		live++
		if a.busy == nil && (oldest == nil || a.seen.Before(oldest.seen)) {
			oldest = a
		}
	}
	if live <= c.options.Residents || oldest == nil {
		c.mu.Unlock()
		return
	}
	instance := oldest.evict()
	c.mu.Unlock()
	instance.Close()
}

// closeActors gives all instances up.
func (c *Calls) closeActors() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.passive != nil {
		c.passive.Stop()
	}
	for a := range c.residents() {
		if a.resident.Instance != nil {
			a.evict().Close()
		}
	}
}

// Tell sends a request from outside to an actor, as its message; the answer goes through its Done. The error is an
// [*invoke.Error].
func (c *Calls) Tell(inv *invoke.Invocation, key string) error {
	if len(key) == 0 || len(key) > maxActorKey {
		return &invoke.Error{Kind: invoke.ErrNotFound, Detail: fmt.Sprintf("the key of an actor has 1 to %d bytes, this one has %d", maxActorKey, len(key))}
	}
	c.mu.Lock()
	a, err := c.actorOf(c.app(inv.App), inv.Function, key)
	if err == nil && a.full() {
		err = errFull(a)
	}
	if err != nil {
		c.mu.Unlock()
		return &invoke.Error{Kind: invoke.ErrQueueFull, Detail: err.Error(), RetryAfter: time.Second}
	}
	o := &object{app: a.app, mailbox: a, gone: true, inv: inv, outside: inv.Done}
	c.mu.Unlock()
	inv.Control, inv.Done, inv.Stream = o, c.ended, nil
	c.send(o)
	return nil
}

func errFull(a *actor) error {
	return refuse(hostfn.Limit, "the mailbox of actor %s of class %s is full, %d messages is the limit", a.key, a.class, maxMailbox)
}

// stateKey is where an actor's state is kept.
func stateKey(of invoke.AppName, a *actor) []byte { return []byte(string(of) + "/" + a.name()) }

// loadState returns the state of an actor; nil when none was saved.
func (c *Calls) loadState(of invoke.AppName, a *actor) ([]byte, error) {
	space, err := c.options.Store.Lookup(stateSpace)
	if errors.Is(err, kvstore.ErrSpaceNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	state, err := space.Get(stateKey(of, a), []byte{})
	if errors.Is(err, kvstore.ErrNotFound) {
		return nil, nil
	}
	return state, err
}

// saveState keeps the state of an actor on disk.
func (c *Calls) saveState(ctx context.Context, of invoke.AppName, a *actor, state []byte) error {
	space, err := c.options.Store.Space(stateSpace, kvstore.Sync) //nolint:contextcheck // its durability does not change, so nothing is flushed
	if err != nil {
		return err
	}
	return space.Set(ctx, stateKey(of, a), state)
}
