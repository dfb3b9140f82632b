// Package trigger declares what every source of invocations needs from the daemon; each source has a package below this.
package trigger

import "edged.dev/edge/edged/internal/invoke"

// Submitter admits invocations. The scheduler implements it.
type Submitter interface {
	// Submit queues the invocation and returns at once; it never runs a guest and never blocks, so an event loop may call
	// it. On nil, inv.Done will be called exactly once, possibly before Submit returns. On an error inv.Done is never
	// called and the error is an [*invoke.Error].
	Submit(inv *invoke.Invocation) error
}

// Batcher is a [Submitter] that can wait with waking its workers until several invocations are there. A worker that is woken
// for each of them takes the core from the event loop each time when both share one, which costs more than the rest of a
// short request.
type Batcher interface {
	Submitter
	// SubmitMore is Submit for a caller that calls Flush at once after this submission, or after those that follow at once:
	// until then no worker need be woken. One that is awake may take the invocation.
	SubmitMore(inv *invoke.Invocation) error
	// Flush wakes the workers that what SubmitMore has queued needs. Any goroutine may call it; it does not block, and is
	// cheap when nothing was put off.
	Flush()
}

// Router finds the function for a request. It reads an immutable table, so any goroutine may call it and it never blocks.
type Router interface {
	// Route sets inv's App, Function, Target, Deadline (from the function's own) and the request's Route, PathInfo and
	// Params from its Method and Path. The error is an [*invoke.Error] of kind ErrNotFound or ErrMethodNotAllowed; for
	// the latter, allow lists the methods that would do, for the Allow header.
	Route(inv *invoke.Invocation) (allow []string, err error)
}
