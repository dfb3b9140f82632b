// Package kvtrigger starts functions when keys change. It takes what the key-value store's rules deliver, makes invocations of it and sees
// each of them through: one at a time and in order for every key of a trigger, those of different keys at once, again with longer and longer
// pauses after a failure, and into the dead letters in the end.
//
// Nothing of it has to survive: what was not ended in the store is delivered again after a restart.
package kvtrigger

import (
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger"
	"edged.dev/edge/kvstore"
	"edged.dev/edge/kvstore/keypattern"
)

const (
	// maxInFlight bounds what of one trigger is with the scheduler: enough to fill the cores and to share commits, little enough that
	// requests find room in the queues.
	maxInFlight = 64
	// maxBackoff bounds the pause before a retry.
	maxBackoff = 5 * time.Minute
	// firstPause and lastPause are how long a trigger waits after it was refused, for instance because a queue is full. It doubles.
	firstPause = 2 * time.Millisecond
	lastPause  = 250 * time.Millisecond
)

// Outbox is where deliveries come from and end; [*kvstore.Outbox] is one. Its methods may be called from any goroutine.
type Outbox interface {
	SetRules(rules []kvstore.Rule, l kvstore.Listener) error
	Done(d *kvstore.Delivery)
	Failed(d *kvstore.Delivery)
	Bury(d *kvstore.Delivery, reason error)
	Stats() []kvstore.RuleStat
}

var _ Outbox = (*kvstore.Outbox)(nil)

// Trigger is one function's interest in some keys.
type Trigger struct {
	// ID names it across deploys and restarts; see [ID].
	ID       string
	App      invoke.AppName
	Function invoke.FunctionName
	Space    string
	Pattern  *keypattern.Pattern
	Kinds    kvstore.Kinds
	Retries  int           // after the first attempt
	Backoff  time.Duration // before the first retry; each further one is twice as long
	Backlog  int           // events that may wait
}

// Options configures [New]. All fields are required.
type Options struct {
	Outbox    Outbox
	Submitter trigger.Submitter
	// Find sets the target of an invocation by its app and function. The error is an [*invoke.Error].
	Find func(inv *invoke.Invocation) error
	IDs  *atomic.Uint64 // of invocations
	// Observe is told of every invocation that has ended, from any goroutine. It must not block.
	Observe func(inv *invoke.Invocation, result invoke.Result)
	// Lag is told how long after its change an event was first given to the scheduler.
	Lag func(time.Duration)
	// Retire is called on a goroutine of its own when nothing of a removed trigger is in flight any more.
	Retire func(id string)
	Logger *slog.Logger
}

// Outcome is how an attempt ended.
type Outcome uint8

// The outcomes of an attempt.
const (
	Done   Outcome = iota // the function did its work
	Failed                // it will be tried again
	Dead                  // it was given up
)

// String returns the outcome as metrics label it.
func (o Outcome) String() string { return [...]string{"done", "failed", "dead"}[o] }

// Dispatcher runs the triggers. All methods may be called from any goroutine.
type Dispatcher struct {
	options Options
	wake    chan struct{} // capacity 1: look for something to submit
	stop    chan struct{} // closed by Close
	end     sync.Once
	running sync.WaitGroup

	mu     sync.Mutex
	queues map[string]*queue // guarded by mu; by trigger, removed ones until they are retired
	order  []*queue          // guarded by mu; the same, in turns
	turn   int               // guarded by mu
	closed bool              // guarded by mu
}

// queue is what one trigger has to do. Its fields are guarded by Dispatcher.mu.
type queue struct {
	Trigger

	lines    map[string]*line // by key, of keys with deliveries
	ready    []*line          // whose first delivery may be submitted, first come first
	inFlight int
	paused   bool          // it was refused and waits
	pause    time.Duration // how long it waits when it is refused again
	removed  bool          // its trigger is gone
	counts   [3]uint64     // by Outcome
	retiring bool
}

// line is the deliveries of one key, in order. The first one is being worked on.
type line struct {
	queue *queue
	list  []*kvstore.Delivery
	gone  bool // buried with its trigger
}

// New returns a dispatcher without triggers. Close it.
func New(options Options) *Dispatcher {
	p := &Dispatcher{
		options: options, wake: make(chan struct{}, 1), stop: make(chan struct{}), queues: make(map[string]*queue),
	}
	p.running.Go(p.run)
	return p
}

// Close stops submitting. What is in flight ends its deliveries as it ends; the rest stays in the store. Closing again does nothing.
func (p *Dispatcher) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.end.Do(func() { close(p.stop) })
	p.running.Wait()
	return nil
}

// Set makes triggers hold instead of those before. What waits for one that is gone becomes a dead letter, unless it comes back before what is
// in flight of it has ended.
func (p *Dispatcher) Set(triggers []Trigger) error {
	rules := make([]kvstore.Rule, len(triggers))
	for i, t := range triggers {
		rules[i] = kvstore.Rule{ID: t.ID, Space: t.Space, Match: t.Pattern.Match, Kinds: t.Kinds, Limit: int64(t.Backlog)}
	}
	p.mu.Lock()
	gone := make(map[*queue]bool, len(p.queues))
	for _, q := range p.queues {
		gone[q] = true
	}
	for _, t := range triggers {
		q := p.queues[t.ID]
		if q == nil {
			q = &queue{lines: make(map[string]*line), pause: firstPause}
			p.queues[t.ID], p.order = q, append(p.order, q)
		}
		delete(gone, q)
		q.Trigger, q.removed = t, false
	}
	p.mu.Unlock()
	// New queues are there before a delivery can come, old ones stay until none can come any more.
	if err := p.options.Outbox.SetRules(rules, p); err != nil {
		return err
	}
	p.mu.Lock()
	for q := range gone {
		q.removed = true
		p.retire(q)
	}
	p.mu.Unlock()
	p.poke()
	return nil
}

// Cause implements kvstore.Listener: origin is the invocation that writes.
func (p *Dispatcher) Cause(origin any) kvstore.Cause {
	inv, ok := origin.(*invoke.Invocation)
	if !ok || inv == nil {
		return kvstore.Cause{}
	}
	next := inv.Next()
	cause := kvstore.Cause{Depth: next.Depth, Trail: next.Trail}
	if next.Graph != nil { // else the interface would not be nil
		cause.Graph = next.Graph
	}
	return cause
}

// Deliver implements kvstore.Listener.
func (p *Dispatcher) Deliver(list []*kvstore.Delivery) {
	p.mu.Lock()
	for _, d := range list {
		q := p.queues[d.Rule]
		if q == nil {
			p.options.Logger.Error("an event of no trigger", "rule", d.Rule, "key", d.Key)
			continue // it stays in the store until a restart
		}
		l := q.lines[d.Key]
		if l == nil {
			l = &line{queue: q}
			q.lines[d.Key] = l
			q.ready = append(q.ready, l)
		}
		l.list = append(l.list, d)
	}
	p.mu.Unlock()
	p.poke()
}

func (p *Dispatcher) poke() {
	select {
	case p.wake <- struct{}{}:
	default: // it will look anyway
	}
}

func (p *Dispatcher) run() {
	for {
		select {
		case <-p.stop:
			return
		case <-p.wake:
		}
		for l, d := p.next(); l != nil; l, d = p.next() {
			p.submit(l, d)
		}
	}
}

// next takes the first delivery that may be submitted, the triggers in turns.
func (p *Dispatcher) next() (*line, *kvstore.Delivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil
	}
	for range p.order {
		p.turn = (p.turn + 1) % len(p.order)
		q := p.order[p.turn]
		if q.removed || q.paused || q.inFlight >= maxInFlight || len(q.ready) == 0 {
			continue
		}
		l := q.ready[0]
		q.ready = q.ready[1:]
		q.inFlight++
		return l, l.list[0]
	}
	return nil, nil
}

// submit gives a delivery to the scheduler.
func (p *Dispatcher) submit(l *line, d *kvstore.Delivery) {
	p.mu.Lock()
	t := l.queue.Trigger
	p.mu.Unlock()
	params, _ := t.Pattern.Bind(d.Key)
	path := "/" + string(t.App) + "/" + string(t.Function)
	inv := &invoke.Invocation{
		ID: p.options.IDs.Add(1), App: t.App, Function: t.Function, Source: invoke.SourceKV,
		Request: invoke.Request{
			Method: "POST", Path: path, Proto: "HTTP/1.1", Host: "localhost", Remote: "@", Route: path, Params: params,
		},
		Cause: invoke.Cause{Depth: d.Cause.Depth, Trail: d.Cause.Trail, Base: d.Cause.Depth},
		Event: &invoke.Event{ID: EventID(d.ID), Space: d.Space, Key: d.Key, Kind: d.Kind.String(), Attempt: d.Attempts + 1},
	}
	if graph, ok := d.Cause.Graph.(*invoke.Graph); ok {
		inv.Cause.Graph = graph
	}
	inv.Stamps.Arrived = time.Now()
	inv.Done = func(inv *invoke.Invocation, result invoke.Result) { p.ended(l, d, inv, result) }
	lag, first := time.Since(d.Time), d.Attempts == 0 // from Submit on the delivery is whoever's ends it
	err := p.options.Find(inv)
	if err == nil {
		err = p.options.Submitter.Submit(inv)
	}
	if err != nil {
		p.refused(l, d, inv, err)
		return
	}
	if first {
		p.options.Lag(lag)
	}
}

// maxJitter is by what part a pause is made longer at random, so that what failed together is not tried again together.
const maxJitter = 4

// backoff is the pause after so many failed attempts.
func (q *queue) backoff(attempts int) time.Duration {
	pause := q.Backoff
	for range attempts - 1 {
		if pause *= 2; pause >= maxBackoff {
			pause = maxBackoff
			break
		}
	}
	return pause + rand.N(pause/maxJitter+1) //nolint:gosec // spreads retries, guards no secret
}

// Stat is what one trigger does.
type Stat struct {
	Trigger

	Counts   [3]uint64 // attempts since the start, by Outcome
	InFlight int
	Waiting  int           // in memory, behind what is in flight
	Oldest   time.Duration // since the change of the oldest event in memory; 0 when there is none
}

// Stats returns what each trigger does, by its ID.
func (p *Dispatcher) Stats() []Stat {
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	var list []Stat
	for _, q := range p.queues {
		if q.removed {
			continue
		}
		st := Stat{Trigger: q.Trigger, InFlight: q.inFlight, Counts: q.counts}
		for _, l := range q.lines {
			st.Waiting += len(l.list)
			st.Oldest = max(st.Oldest, now.Sub(l.list[0].Time))
		}
		st.Waiting -= min(q.inFlight, st.Waiting)
		list = append(list, st)
	}
	slices.SortFunc(list, func(a, b Stat) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return list
}
