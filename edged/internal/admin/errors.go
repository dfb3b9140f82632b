package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"edged.dev/edge/edged/internal/invoke"
)

// These errors are the kinds of answer other than success. A [Service] wraps them; a [Client] returns them inside an
// [*Error].
var (
	// ErrInvalid: the request, the manifest or the module is wrong; the text says where.
	ErrInvalid = errors.New("invalid")
	// ErrDenied: the caller, or the app, is not allowed to.
	ErrDenied = errors.New("not allowed")
	// ErrNotFound: there is no such app, function, version, space or key.
	ErrNotFound = errors.New("not found")
	// ErrConflict: it does not go together with what is there or going on.
	ErrConflict = errors.New("conflict")
	// ErrTooLarge: an upload or a value is above its limit.
	ErrTooLarge = errors.New("too large")
	// ErrLimit: a limit of the daemon or of the app is reached; later it may work.
	ErrLimit = errors.New("limit reached")
	// ErrUnsupported: this build or machine cannot do it.
	ErrUnsupported = errors.New("not supported")
	// ErrUnavailable: the daemon is starting or stopping.
	ErrUnavailable = errors.New("not available now")
	// ErrTimeout: it took longer than allowed.
	ErrTimeout = errors.New("timed out")
	// ErrGuest: the function itself failed.
	ErrGuest = errors.New("the function failed")
	// ErrInternal: the daemon failed; its log says more.
	ErrInternal = errors.New("internal error")
)

// These errors come from the [Client] alone.
var (
	// ErrUnreachable: no daemon answers at the socket.
	ErrUnreachable = errors.New("cannot reach the daemon")
	// ErrProtocol: what answered does not speak this API, or the answer was cut off.
	ErrProtocol = errors.New("unexpected answer")
)

// ErrClosed is returned by [Server.Start] after Close.
var ErrClosed = errors.New("closed")

// Error is an error with what the user should be told.
type Error struct {
	Kind   error  // a sentinel of this package
	Detail string // what happened and where; lines of source included, so it may have several lines
	Remedy string // what to do about it; may be empty
	Cause  error  // nil on the client's side
}

// Error returns the detail, or the kind when there is none.
func (e *Error) Error() string {
	if e.Detail != "" {
		return e.Detail
	}
	return e.Kind.Error()
}

// Unwrap gives both kind and cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// kinds is the one table between errors, their names on the wire, and HTTP statuses. The first match counts, so the more
// special come first.
var kinds = []struct {
	err    error
	name   string
	status int
}{
	{ErrInvalid, "invalid", http.StatusBadRequest},
	{ErrDenied, "denied", http.StatusForbidden},
	{ErrNotFound, "not_found", http.StatusNotFound},
	{ErrConflict, "conflict", http.StatusConflict},
	{ErrTooLarge, "too_large", http.StatusRequestEntityTooLarge},
	{ErrLimit, "limit", http.StatusTooManyRequests},
	{ErrUnsupported, "unsupported", http.StatusNotImplemented},
	{ErrUnavailable, "unavailable", http.StatusServiceUnavailable},
	{ErrTimeout, "timeout", http.StatusGatewayTimeout},
	{ErrGuest, "guest", http.StatusBadGateway},
	{ErrInternal, "internal", http.StatusInternalServerError},
	// Those of other packages; a client gets the sentinel of the same name from above.
	{invoke.ErrNotFound, "not_found", http.StatusNotFound},
	{invoke.ErrMethodNotAllowed, "invalid", http.StatusBadRequest},
	{invoke.ErrTooLarge, "too_large", http.StatusRequestEntityTooLarge},
	{invoke.ErrQueueFull, "limit", http.StatusTooManyRequests},
	{invoke.ErrDepth, "limit", http.StatusTooManyRequests},
	{invoke.ErrDraining, "unavailable", http.StatusServiceUnavailable},
	{invoke.ErrTimeout, "timeout", http.StatusGatewayTimeout},
	{invoke.ErrGuest, "guest", http.StatusBadGateway},
	{context.DeadlineExceeded, "timeout", http.StatusGatewayTimeout},
}

// KindName returns the name of an error's kind, which is the same on the wire and in what the command line prints for
// programs: "not_found", "limit", "unreachable". It is empty for an error that is none of this package or of package invoke.
func KindName(err error) string {
	switch {
	case errors.Is(err, ErrUnreachable):
		return "unreachable"
	case errors.Is(err, ErrProtocol):
		return "protocol"
	}
	for _, row := range kinds {
		if errors.Is(err, row.err) {
			return row.name
		}
	}
	return ""
}

// problem is an error on the wire: application/problem+json with our kind and remedy.
type problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Kind   string `json:"kind"`
	Remedy string `json:"remedy,omitempty"`
}

// remedier is an error of another package that knows what to do about itself.
type remedier interface{ Remedy() string }

// problemOf describes err for the client.
func problemOf(err error) *problem {
	p := &problem{Kind: "internal", Status: http.StatusInternalServerError, Detail: err.Error()}
	for _, row := range kinds {
		if errors.Is(err, row.err) {
			p.Kind, p.Status = row.name, row.status
			break
		}
	}
	p.Title = kindOf(p.Kind).Error()
	var own *Error
	var other remedier
	switch {
	case errors.As(err, &own):
		p.Remedy = own.Remedy
	case errors.As(err, &other):
		p.Remedy = other.Remedy()
	}
	return p
}

// kindOf returns the sentinel for a name on the wire; ErrInternal for one that this version does not know.
func kindOf(name string) error {
	for _, row := range kinds {
		if row.name == name {
			return row.err
		}
	}
	return ErrInternal
}

// asError turns a problem that came over the wire back into an error.
func (p *problem) asError() error {
	return &Error{Kind: kindOf(p.Kind), Detail: p.Detail, Remedy: p.Remedy}
}

// writeProblem answers with err. The client may be gone, so the error of writing is of no use to anyone.
func writeProblem(w http.ResponseWriter, err error) {
	p := problemOf(err)
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p)
}
