package invoke

import (
	"errors"
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
}

// Next is the cause of what the invocation starts: one deeper, with itself at the end of the trail.
func (inv *Invocation) Next() Cause {
	before := inv.Cause.Trail
	if drop := len(before) - MaxTrail + 1; drop > 0 {
		before = before[drop:]
	}
	trail := make([]string, 0, len(before)+1)
	trail = append(append(trail, before...), string(inv.App)+"/"+string(inv.Function))
	return Cause{Depth: inv.Cause.Depth + 1, Trail: trail, Graph: inv.Cause.Graph}
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

// Over is closed when everything has ended.
func (g *Graph) Over() <-chan struct{} { return g.over }

// Err joins the errors of what has ended so far; nil when nothing failed.
func (g *Graph) Err() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return errors.Join(g.failed...)
}
