package pool

import (
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// startError is the error of an instance whose start-up failed.
type startError struct {
	export string
	guest  string
	cause  error
}

// Error names the export that failed.
func (e *startError) Error() string {
	text := fmt.Sprintf("the module's start-up (%s) failed: %v", e.export, e.cause)
	if e.guest != "" {
		text += ": " + e.guest
	}
	return text
}

// Unwrap returns the cause.
func (e *startError) Unwrap() error { return e.cause }

// failure turns what came out of a call that did not end well into the invocation's error.
func (w *worker) failure(fn *Function, out hostfn.Output, err error) error {
	var trap *wasmedge.Trap
	var ready *invoke.Error
	switch {
	case errors.As(err, &ready):
		return ready
	case errors.Is(out.Err, invoke.ErrTimeout):
		return &invoke.Error{Kind: invoke.ErrTimeout, Detail: w.killed(fn), Cause: out.Err}
	case errors.Is(out.Err, invoke.ErrDraining):
		return &invoke.Error{Kind: invoke.ErrDraining, Cause: out.Err}
	case errors.Is(out.Err, invoke.ErrCancelled):
		return &invoke.Error{Kind: invoke.ErrCancelled, Detail: "its caller has cancelled it", Cause: out.Err}
	case errors.Is(err, wasmedge.ErrTooManyMemories):
		return &invoke.Error{
			Kind: invoke.ErrQueueFull, Detail: "every linear memory of this node is in use", Cause: err,
			RetryAfter: time.Second,
		}
	case errors.Is(out.Err, hostfn.ErrOutputLimit):
		return &invoke.Error{Kind: invoke.ErrGuest, Detail: out.Err.Error(), Cause: out.Err}
	case out.GuestError != "":
		return &invoke.Error{Kind: invoke.ErrGuest, Detail: out.GuestError, Cause: out.Err}
	case errors.As(out.Err, &trap) || isGuest(out.Err):
		return &invoke.Error{Kind: invoke.ErrGuest, Detail: out.Err.Error(), Cause: out.Err}
	}
	name, function := fn.Name()
	w.pool.logger.Error("invocation failed", "app", name, "function", function, "error", out.Err)
	return fmt.Errorf("run %s/%s: %w", name, function, out.Err)
}

// isGuest reports whether an error is the guest's doing rather than the daemon's.
func isGuest(err error) bool {
	var exit *wasmedge.ExitError
	var start *startError
	return errors.As(err, &exit) || errors.As(err, &start) || errors.Is(err, errReturned) || errors.Is(err, hostfn.ErrNotCGI) ||
		errors.Is(err, hostfn.ErrReported)
}

func headerList(headers []hostfn.Header) []invoke.Header {
	if len(headers) == 0 {
		return nil
	}
	list := make([]invoke.Header, len(headers))
	for i, h := range headers {
		list[i] = invoke.Header(h)
	}
	return list
}
