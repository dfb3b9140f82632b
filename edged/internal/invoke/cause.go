package invoke

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// MaxTrail is how many functions a [Cause] remembers: enough to show the whole of a cycle that a person would draw.
const MaxTrail = 16

// Cause is what led to an invocation. The zero Cause is that of one from outside. It is passed by value, and what it refers to
// is not changed.
type Cause struct {
	Depth int      // how many invocations in a row led to this one; 0 for one from outside
	Trail []string // "app/function" of the last of them, oldest first, at most MaxTrail
	Graph *Graph   // who waits for all that it starts; nil: nobody
	Base  int      // the depth of the last one that an event started: calls are counted from there on
}

// Next is the cause of what the invocation starts: one deeper, with itself at the end of the trail.
func (inv *Invocation) Next() Cause {
	before := inv.Cause.Trail
	if drop := len(before) - MaxTrail + 1; drop > 0 {
		before = before[drop:]
	}
	trail := make([]string, 0, len(before)+1)
	trail = append(append(trail, before...), string(inv.App)+"/"+string(inv.Function))
	return Cause{Depth: inv.Cause.Depth + 1, Trail: trail, Graph: inv.Cause.Graph, Base: inv.Cause.Base}
}

// StartUp is what a guest does while an instance is made ready. What it does to keys may be found by every later invocation in the
// instance, so it is no function's own; but what it starts has the cause of the invocation that it is for.
type StartUp struct{ For *Invocation } // nil: the test of a deployment

// Check returns an [*Error] of kind ErrDepth when an invocation of the function has too many before it: MaxDepth that called each other,
// or MaxEventDepth in all. It shows the cycle if there is one. Nil otherwise.
func (c *Cause) Check(app AppName, fn FunctionName) error {
	calls := c.Depth - c.Base
	if calls <= MaxDepth && c.Depth <= MaxEventDepth {
		return nil
	}
	text := fmt.Sprintf("%d functions have called each other in a row, %d is the limit", calls, MaxDepth)
	if calls <= MaxDepth {
		text = fmt.Sprintf("%d functions have started each other in a row, %d is the limit", c.Depth, MaxEventDepth)
	}
	return &Error{Kind: ErrDepth, Detail: text + ": " + c.way(string(app)+"/"+string(fn))}
}

// way shows how it came to the function: the last cycle, or the last of the trail.
func (c *Cause) way(name string) string {
	for i, before := range slices.Backward(c.Trail) {
		if before == name {
			return "the cycle is " + strings.Join(append(slices.Clone(c.Trail[i:]), name), " -> ") +
				"; let one of them end it, for example by writing to a key that none of the others waits for"
		}
	}
	return "the last are " + strings.Join(append(slices.Clone(c.Trail), name), " -> ") + "; split the chain, or look for a cycle"
}

// Event is the change of a key that starts an invocation.
type Event struct {
	ID      string // the same at every attempt, and after a restart
	Space   string
	Key     string
	Kind    string // "set", "new" or "delete"
	Attempt int    // from 1 on
}

// Graph counts what one invocation has started, directly and through others, and what of it has not ended: a caller may wait for
// all of it. Its methods may be called from any goroutine. It lives in memory only: who waits is gone after a restart.
type Graph struct {
	mu      sync.Mutex
	pending int           // guarded by mu
	failed  []error       // guarded by mu; the first maxGraphErrors
	over    chan struct{} // closed when pending falls to zero
}

// maxGraphErrors bounds what a graph remembers of what went wrong in it.
const maxGraphErrors = 8

// NewGraph returns a graph of one pending invocation: the root.
func NewGraph() *Graph { return &Graph{pending: 1, over: make(chan struct{})} }

// Add counts in something that a pending part of the graph has started. A nil graph counts nothing.
func (g *Graph) Add() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.pending++
}

// End counts out one that was counted in, the root included, with the error it ended with. A nil graph counts nothing.
func (g *Graph) End(err error) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil && len(g.failed) < maxGraphErrors {
		g.failed = append(g.failed, err)
	}
	if g.pending--; g.pending == 0 {
		close(g.over)
	}
}

// Pending returns how many parts have been counted in and not out.
func (g *Graph) Pending() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.pending
}

// Over is closed when everything has ended.
func (g *Graph) Over() <-chan struct{} { return g.over }

// Err joins the errors of what has ended so far; nil when nothing failed.
func (g *Graph) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.failed...)
}
