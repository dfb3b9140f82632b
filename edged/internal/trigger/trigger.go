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

// Router finds the function for a request. It reads an immutable table, so any goroutine may call it and it never blocks.
type Router interface {
	// Route sets inv's App, Function, Target, Deadline (from the function's own) and the request's Route, PathInfo and
	// Params from its Method and Path. The error is an [*invoke.Error] of kind ErrNotFound or ErrMethodNotAllowed; for
	// the latter, allow lists the methods that would do, for the Allow header.
	Route(inv *invoke.Invocation) (allow []string, err error)
}
