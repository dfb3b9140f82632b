// Package router finds the function that a request is for.
//
// # Patterns
//
// A pattern is a path under the app: /app, literal segments, and parts in braces that take one segment each; /* at the
// end takes any number of further segments, none included. Without it the path must match to its end. The default of
// function f of app a is /a/f/*, that of a command app /a/*.
//
// # Precedence
//
// The most specific path decides: segment by segment from the left, a literal goes before a {part}, and a {part} before
// /*; at the end of the path an exact pattern goes before /*. Then the method is looked at: when the route that was
// found does not have it the answer is 405, and less specific routes are not tried, so that narrowing a function's
// methods never sends its requests elsewhere. HEAD is allowed where GET is.
//
// # Paths
//
// A path is cut at its slashes as they were sent, and each segment is percent-decoded by itself: /a/%68i matches /a/hi,
// and an encoded slash never makes a segment. Nothing is normalised, so nothing can be walked around: a path with a
// segment . or .. (encoded or not), with an encoding that is none, or with an encoded NUL finds no function. An empty
// segment matches /* only. The first segment must be an app's name, which cannot begin with an underscore: /_edged is
// out of reach for apps.
package router

import (
	"strings"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger"
)

var _ trigger.Router = (*Router)(nil)

// Router routes by the table that was swapped in last. The zero value has no routes. All methods may be called from any
// goroutine and none blocks.
type Router struct {
	table atomic.Pointer[Table]
}

// Swap makes t the table for every request that comes from now on and returns the one before; requests that were routed
// already keep what they have. nil means no routes.
func (r *Router) Swap(t *Table) *Table { return r.table.Swap(t) }

// Table returns the current table; nil when there is none.
func (r *Router) Table() *Table { return r.table.Load() }

// Route implements [trigger.Router]. The deadline counts from inv.Stamps.Arrived, or from now when that is not set. When
// the method is not allowed, App and Function are set for the error report.
func (r *Router) Route(inv *invoke.Invocation) (allow []string, err error) {
	req := &inv.Request
	t := r.table.Load()
	if t == nil {
		return nil, &invoke.Error{Kind: invoke.ErrNotFound, Detail: "no app is deployed"}
	}
	set, rest, err := t.find(req.Path)
	if err != nil {
		return nil, err
	}
	if set == nil {
		return nil, &invoke.Error{Kind: invoke.ErrNotFound, Detail: "no function answers at " + clip(req.Path)}
	}
	found := set.route(req.Method)
	if found == nil {
		inv.App, inv.Function = set.routes[0].app, set.routes[0].function
		return set.allow, &invoke.Error{
			Kind:   invoke.ErrMethodNotAllowed,
			Detail: set.routes[0].pattern + " takes " + strings.Join(set.allow, ", "),
		}
	}
	inv.App, inv.Function, inv.Target = found.app, found.function, found.target
	req.Route, req.PathInfo = found.prefix, req.Path[len(req.Path)-rest:]
	if len(found.names) > 0 {
		req.Params = found.params(req.Path)
	}
	if found.deadline > 0 {
		from := inv.Stamps.Arrived
		if from.IsZero() {
			from = time.Now()
		}
		inv.Deadline = from.Add(found.deadline)
	}
	return nil, nil
}

// clip keeps error texts short whatever the client sent.
func clip(path string) string {
	const most = 128
	if len(path) <= most {
		return path
	}
	return path[:most] + "..."
}
