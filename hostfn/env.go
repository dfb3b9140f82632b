package hostfn

import (
	"context"
	"errors"
	"fmt"

	"edged.dev/edge/wasmedge"
)

// Request is the input of an invocation, as host functions read it. Its methods are called on the guest's thread, only
// between Begin and Finish, and must not block.
type Request interface {
	// Meta returns what is known under a key: "method", "path", "query", "route", "path_info", "proto", "host", "scheme",
	// "remote", "trigger", "key", "event_id", "attempt", "app", "function", "node", "header:<name>" (any case; values of repeated
	// fields joined by ", ") and "param:<name>".
	Meta(key string) (string, bool)
	// Headers yields every header field in the order it came, until yield returns false.
	Headers(yield func(name, value string) bool)
	// Origin returns what the host knows the invocation by. It is handed back, unseen, with what the guest starts: changes of
	// keys and calls.
	Origin() any
	// Body returns the whole body. It is not changed while the invocation runs.
	Body() []byte
}

// Header is one response header field. Name is a token and Value holds no control character.
type Header struct{ Name, Value string }

// Output is what an invocation ended with.
type Output struct {
	Status  int // 200 when the guest set none
	Headers []Header
	Body    []byte
	// Streamed: status, headers and the first parts of the body went through the hook of OnOutput; Body is the rest. With
	// an Err the response cannot be taken back: cut the connection.
	Streamed bool
	// Err is nil when the guest ended well: it returned, or exited with code 0, and reported no error. Otherwise the rest
	// is not to be sent.
	Err error
	// GuestError is the guest's own account of its failure, or an explanation for its author; "" when there is none.
	GuestError string
}

// Env is one invocation. It may be used for any number of them, one after another, by one goroutine at a time.
type Env struct {
	app  *App
	ctx  context.Context //nolint:containedctx // the engine carries one value to a host function, and this is it
	req  Request
	core Core // nil: what waits keeps it
	on   bool // between Begin and Finish

	author any   // whose use of keys it is; nil: the origin's of req
	reach  Space // the app's space as this invocation may use it; nil until it is asked for

	fn     string           // the host function that runs, for errors
	mem    []byte           // the guest's memory while a host function runs, else nil
	caller *wasmedge.Caller // while a host function runs, else nil

	input    []byte
	inputAt  int // how much of input has been read as stdin
	response response
	logs     logs
	scans    scans
	calling  calling
	results  []byte // of the latest kv_batch
	process  process
	files    descriptors
	iovs     [][]byte // what a vector of the guest names, while a host function runs
	scratch  []byte   // kept between calls, for what has no place of its own
	foreign  *foreign // what the interfaces of other systems keep; nil until one of them is used
	meta     string   // latest key of meta_get, so that asking again for its value costs no string
}

// keepBytes bounds the buffers that an Env keeps from one invocation to the next.
const keepBytes = 1 << 20

// NewEnv returns an Env for invocations of the app. Begin it before use.
func (a *App) NewEnv() *Env {
	return &Env{app: a, ctx: context.Background()}
}

// Begin makes the Env ready for the next invocation and forgets everything of the one before. ctx must end at the
// invocation's deadline. A nil r is an invocation without a request: start-up.
func (e *Env) Begin(ctx context.Context, r Request) {
	e.files.closeAll()
	e.ctx, e.req, e.core, e.on = ctx, r, nil, true
	e.author, e.reach = nil, nil
	e.fn = ""
	e.leave() // a host function that panicked has not
	e.input, e.inputAt = nil, 0
	if r != nil {
		e.input = r.Body()
	}
	e.calling.leave()
	e.response.reset()
	e.logs.reset()
	e.scans.reset()
	e.results, e.scratch = keep(e.results), keep(e.scratch)
	e.endForeign(false)
	e.process.reset()
	e.files.open(e.app.grants)
}

// keep empties a buffer and lets go of a large one.
func keep(b []byte) []byte {
	if cap(b) > keepBytes {
		return nil
	}
	return b[:0]
}

// OnOutput installs who takes the response in parts once it exceeds Limits.StreamBytes. f gets the parts in order; the
// first call fixes status and headers. part is valid until f returns. f may block until the invocation's deadline; an
// error from it ends the response, and the guest's further output is refused. Call it after Begin, which forgets it.
func (e *Env) OnOutput(f func(status int, headers []Header, part []byte) error) { e.response.hook = f }

// Finish ends the invocation: it writes out a last log line, closes what the guest left open, and returns what came out.
// callErr is what the engine returned for the call. The slices of the output belong to the caller until the next Begin.
// Without a Begin since the last Finish there is no output but callErr.
func (e *Env) Finish(callErr error) Output {
	e.files.closeAll()
	if e.calling.caller != nil {
		e.calling.leave()
	}
	if !e.on {
		return Output{Err: callErrOf(callErr)}
	}
	e.on = false
	e.flushStderr()
	out := Output{GuestError: e.response.reported}
	callErr = callErrOf(callErr)
	e.endForeign(callErr != nil)
	if e.app.ABI == ABICGI && e.req != nil && callErr == nil {
		out.Err = e.finishCGI()
	}
	switch {
	case callErr != nil:
		out.Err = callErr
	case e.response.reported != "":
		out.Err = ErrReported
	case errors.Is(out.Err, ErrNotCGI):
		out.GuestError = out.Err.Error()
	case out.Err == nil && e.response.overflowed:
		out.Err = fmt.Errorf("%w of %d bytes", ErrOutputLimit, e.app.Limits.OutputBytes)
	case out.Err == nil && e.response.gone != nil:
		out.Err = e.response.gone
	}
	out.Status, out.Headers = e.response.head()
	out.Body, out.Streamed = e.response.body, e.response.streamed
	// An Env may rest for long: what it has of the request, and buffers that are large, need not rest with it.
	e.req, e.input, e.ctx, e.core, e.response.hook = nil, nil, context.Background(), nil, nil
	e.reach = nil
	e.results, e.scratch = keep(e.results), keep(e.scratch)
	return out
}

// Reported reports whether the guest has called the error function. Ask between Begin and Finish.
func (e *Env) Reported() bool { return e.response.reported != "" }

// callErrOf returns nil for a guest that returned or exited with code 0, else why it did not.
func callErrOf(err error) error {
	if code, ok := exitCode(err); ok && code == 0 {
		return nil
	}
	return err
}

// metaOf returns what the request, or else the app, knows under a key; "" when neither does.
func (e *Env) metaOf(key string) string {
	value, _ := e.lookUp(key)
	return value
}

func (e *Env) lookUp(key string) (string, bool) {
	if e.req != nil {
		if value, ok := e.req.Meta(key); ok {
			return value, true
		}
	}
	if value, ok := e.resultMeta(key); ok {
		return value, true
	}
	switch key {
	case "app":
		return e.app.Name, true
	case "node":
		return e.app.Node, e.app.Node != ""
	}
	return "", false
}

// over returns the cause once the invocation's context has ended. Functions that may run long ask now and then.
func (e *Env) over() error {
	if e.ctx.Err() == nil {
		return nil
	}
	return context.Cause(e.ctx)
}
