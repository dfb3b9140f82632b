// Package invoke holds what travels the whole path of a request: the invocation, its result, its deadline and limits.
package invoke

import (
	"errors"
	"time"
)

// AppName is a lower-case name as the manifest allows it: [a-z0-9][a-z0-9_-]{0,62}.
type AppName string

// FunctionName is a lower-case name as the manifest allows it: [a-z0-9][a-z0-9_-]{0,62}.
type FunctionName string

// Source is what started an invocation; it is the value of the trigger label in metrics and of meta "trigger".
type Source string

// The sources of invocations.
const (
	SourceHTTP Source = "http" // TCP data port
	SourceUDS  Source = "uds"  // Unix data socket
	SourceKV   Source = "kv"   // a change in a space
	SourceCron Source = "cron" // a timer
	SourceCall Source = "call" // another function
	SourceCLI  Source = "cli"  // edged invoke, through the admin socket
)

// MaxDepth bounds how many invocations may call each other in a row: enough for any honest graph, small enough to end a
// cycle before it hurts.
const MaxDepth = 64

// MaxEventDepth bounds how many invocations may start each other in a row when events are among them. Nobody waits for those, and a chain
// of a hundred steps is an honest one; a cycle ends after some seconds, as a dead letter.
const MaxEventDepth = 1000

// Header is one header field. Names keep the case they came in; compare with strings.EqualFold.
type Header struct{ Name, Value string }

// Request is the input of an invocation. All slices belong to the invocation and may be read until it is done.
type Request struct {
	Method   string // upper case; "POST" for sources other than HTTP and UDS
	Path     string // path as the client sent it, without the query; starts with /
	RawQuery string // without the question mark
	Proto    string // "HTTP/1.1" or "HTTP/1.0"
	Host     string
	Headers  []Header
	Body     []byte
	Remote   string            // "1.2.3.4:567", or "@" on a Unix socket
	Route    string            // the route that matched, "/app/fn"
	PathInfo string            // what follows the route in Path: "" or "/..."
	Params   map[string]string // named parts of the route's pattern; nil when none
}

// Header returns the value of the first header field of that name, in any case, and whether there is one.
func (r *Request) Header(name string) (string, bool) {
	for i := range r.Headers {
		if equalFold(r.Headers[i].Name, name) {
			return r.Headers[i].Value, true
		}
	}
	return "", false
}

// equalFold compares ASCII letters without case; header names are ASCII (RFC 9110, 5.1).
func equalFold(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if lower(a[i]) != lower(b[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// Stamps are the six moments of an invocation, in order; a zero stamp was never reached. They are monotonic.
type Stamps struct {
	Arrived time.Time // the last byte of the request was read
	Queued  time.Time // admitted to a run queue
	Picked  time.Time // a worker took it; now its instance is made or put right
	Started time.Time // the guest's entry is entered
	Ended   time.Time // the guest's entry returned or trapped
	Sent    time.Time // the reply was handed to the socket
}

// Result is what an invocation ended with.
type Result struct {
	Status  int // HTTP status; 0 means 200 when Err is nil
	Headers []Header
	Body    []byte
	// Err is nil when the guest ended well. Otherwise Status, Headers and Body are not to be sent; the trigger answers
	// with Err in its own form (application/problem+json on HTTP).
	Err error
	// More says that whoever calls Done answers others at once and then calls the trigger's Flush: the trigger may put its
	// wake-up off until then, so that answers leave together.
	More bool
}

// Invocation is one request on its way: made by a trigger, run by a worker, answered through Done. Its owner is whoever
// holds it last: the trigger until Submit returns nil, the scheduler until Done is called.
type Invocation struct {
	ID       uint64 // unique within this run of the daemon
	App      AppName
	Function FunctionName
	Source   Source
	Request  Request
	// Deadline is when the caller no longer wants the answer (X-Edged-Deadline-Ms); zero when it did not say. The guest is killed at the earlier of this and the app's timeout.
	Deadline time.Time
	Cause    Cause
	Event    *Event // the change that started it; nil for other sources
	Entry    *Entry // what is entered instead of the function's own entry; nil: that
	// Since is when the request arrived that waits for it, through as many callers as there are: what it is due by. Zero when
	// nobody waits.
	Since time.Time
	// Control, when not nil, is who may cancel it.
	Control Control
	// Resident, when not nil, is the instance to run in. It takes a Control too.
	Resident *Resident
	Stamps   Stamps
	// Target is the deployed function to run. The router sets it; it is opaque to triggers.
	Target Target
	// Done is called exactly once after Submit has returned nil, from any goroutine, and must not block.
	Done func(*Invocation, Result)
	// Stream, when not nil, is called by a worker with parts of a response that has grown beyond what is kept in memory,
	// in order and before Done. The first call fixes status and headers; Result.Body then holds only the rest. It may
	// block for a slow client until Deadline and returns an error when the client has gone.
	Stream func(inv *Invocation, status int, headers []Header, part []byte) error
}

// Target is a deployed function, immutable. The pool implements it; the path in between only carries it.
type Target interface {
	// Name returns the app and function it was deployed as.
	Name() (AppName, FunctionName)
}

// These errors end an invocation. Each has its HTTP status and the kind used in metrics in the table below.
var (
	// ErrNotFound: no deployed app or function answers there.
	ErrNotFound = errors.New("no such function")
	// ErrMethodNotAllowed: the function's manifest does not list the method.
	ErrMethodNotAllowed = errors.New("method not allowed")
	// ErrQueueFull: the run queue or the app's concurrency limit is full; try again later.
	ErrQueueFull = errors.New("too many requests at once")
	// ErrDraining: the daemon is stopping.
	ErrDraining = errors.New("the daemon is stopping")
	// ErrUnavailable: the function cannot run for the moment.
	ErrUnavailable = errors.New("not available now")
	// ErrTimeout: the guest was killed at its timeout, or its deadline passed while it waited.
	ErrTimeout = errors.New("timed out")
	// ErrGuest: the guest trapped, exited with a code other than 0, or reported an error.
	ErrGuest = errors.New("the function failed")
	// ErrTooLarge: a body or a response is above its limit.
	ErrTooLarge = errors.New("too large")
	// ErrDepth: functions started each other deeper than MaxDepth.
	ErrDepth = errors.New("functions call each other too deep")
)

// Error is an error of an invocation with what a caller should be told.
type Error struct {
	Kind   error  // one of the errors above
	Detail string // what happened and what to do, in a sentence
	Cause  error  // nil, or what the engine said
	// RetryAfter is how long a client should wait; zero when retrying is not the remedy.
	RetryAfter time.Duration
}

// Error joins kind and detail.
func (e *Error) Error() string {
	if e.Detail == "" {
		return e.Kind.Error()
	}
	return e.Kind.Error() + ": " + e.Detail
}

// Unwrap gives both the kind and the cause to errors.Is and errors.As.
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Kind}
	}
	return []error{e.Kind, e.Cause}
}

// Status returns the HTTP status for an error of an invocation; 500 for one that is not in the table.
func Status(err error) int {
	for _, row := range statuses {
		if errors.Is(err, row.kind) {
			return row.status
		}
	}
	return 500
}

// statuses is the one table from error to HTTP status.
var statuses = []struct {
	kind   error
	status int
}{
	{ErrNotFound, 404},
	{ErrMethodNotAllowed, 405},
	{ErrTooLarge, 413},
	{ErrQueueFull, 429},
	{ErrCancelled, 410},
	{ErrGuest, 500},
	{ErrDraining, 503},
	{ErrUnavailable, 503},
	{ErrTimeout, 504},
	{ErrDepth, 508},
}
