package httptrigger

import (
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// inlineHeaders is how many header fields an exchange holds without a further allocation; browsers send 10 to 15.
const inlineHeaders = 16

// exchange is one request and the place its response is put. It is made by the loop; a worker writes result and then
// done, after which it belongs to the loop again. It is not recycled: whoever keeps an invocation too long reads an old
// one, never another tenant's.
type exchange struct {
	conn *conn
	next *exchange // behind it in the queue
	inv  invoke.Invocation

	keep      bool // the connection goes on after the response
	old       bool // HTTP/1.0
	isHead    bool
	star      bool
	timing    bool
	expect    bool // the client waits for 100 Continue
	continued bool // and has got it
	badLimit  bool // X-Edged-Deadline-Ms is not a number
	limit     time.Duration

	fault  *problem // an error of the protocol, in place of a result
	allow  []string // for the Allow field of a 405
	upload int64    // what of server.upload is this exchange's, until it is done
	called atomic.Bool
	result invoke.Result // written before done
	done   atomic.Bool
	stream atomic.Pointer[stream] // set by the first call of Stream

	fields [inlineHeaders]invoke.Header
}

func newExchange(c *conn, h *head) *exchange {
	s := c.loop.server
	ex := &exchange{
		conn: c, keep: h.keep, old: h.proto == "HTTP/1.0", isHead: h.method == "HEAD",
		star: h.star, timing: h.timing, expect: h.expect,
	}
	ex.inv = invoke.Invocation{
		ID:     s.ids.Add(1),
		Source: s.source,
		Request: invoke.Request{
			Method: h.method, Path: h.path, RawQuery: h.query, Proto: h.proto, Host: h.host,
			Headers: append(ex.fields[:0], h.headers...), Remote: c.remote,
		},
		Done:   ex.answer,
		Stream: ex.part,
	}
	if h.limited {
		ex.limit, ex.badLimit = parseLimit(h.deadline)
	}
	return ex
}

// maxLimitDigits keeps X-Edged-Deadline-Ms below 11.6 days.
const maxLimitDigits = 9

// parseLimit reads X-Edged-Deadline-Ms: a positive whole number of milliseconds.
func parseLimit(text string) (limit time.Duration, bad bool) {
	if text == "" || len(text) > maxLimitDigits {
		return 0, true
	}
	n := 0
	for i := range len(text) {
		if !isDigit(text[i]) {
			return 0, true
		}
		n = n*10 + int(text[i]-'0')
	}
	return time.Duration(n) * time.Millisecond, n == 0
}

// acceptable decides before the body is there whether it is worth reading. If not, the answer is in ex.
func (ex *exchange) acceptable() bool {
	switch {
	case ex.badLimit:
		ex.fault = &problem{status: 400, detail: "X-Edged-Deadline-Ms is not a positive number of milliseconds"}
	case ex.star, isSystem(ex.inv.Request.Path):
	default:
		ex.route()
	}
	return ex.fault == nil && ex.result.Err == nil
}

// route asks the router; an error becomes the result.
func (ex *exchange) route() {
	allow, err := ex.conn.loop.server.opts.Router.Route(&ex.inv)
	ex.allow, ex.result.Err = allow, err
}

// dispatch hands the complete request to who answers it.
func (ex *exchange) dispatch() {
	opts := &ex.conn.loop.server.opts
	switch {
	case ex.fault != nil || ex.result.Err != nil: // found before the body came
	case !ex.acceptable():
	case ex.star:
		ex.result = invoke.Result{Status: 204, Headers: []invoke.Header{
			{Name: "Allow", Value: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
		}}
	case isSystem(ex.inv.Request.Path):
		if opts.System != nil {
			opts.System(&ex.inv)
			return
		}
		ex.result.Err = &invoke.Error{Kind: invoke.ErrNotFound, Detail: "there is no system path " + ex.inv.Request.Path}
	default:
		ex.submit()
		return
	}
	ex.settle()
}

// settle ends the work on a request: its result or fault is set, its body is not needed any more. Who calls it must not
// touch ex afterwards, unless it is the loop.
func (ex *exchange) settle() {
	if ex.upload > 0 {
		ex.inv.Request.Body = nil
		ex.conn.loop.server.upload.Add(-ex.upload)
		ex.upload = 0
	}
	ex.done.Store(true)
}

// submit gives a routed request to the scheduler.
func (ex *exchange) submit() {
	inv := &ex.inv
	// The body may have taken its time: what was deployed meanwhile counts, and the deadline runs from now.
	if len(inv.Request.Body) > 0 {
		inv.Deadline, inv.Request.Params = time.Time{}, nil
		if ex.route(); ex.result.Err != nil {
			ex.settle()
			return
		}
	}
	if ex.limit > 0 {
		if at := inv.Stamps.Arrived.Add(ex.limit); inv.Deadline.IsZero() || at.Before(inv.Deadline) {
			inv.Deadline = at
		}
	}
	// Done may be called before Submit returns: on nil, nothing of ex may be touched.
	if err := ex.conn.loop.submit(inv); err != nil {
		ex.result = invoke.Result{Err: err}
		ex.settle()
	}
}

// answer is the invocation's Done.
func (ex *exchange) answer(_ *invoke.Invocation, res invoke.Result) {
	c := ex.conn
	if ex.called.Swap(true) {
		c.loop.server.opts.Logger.Error("invocation answered twice", "id", ex.inv.ID)
		return
	}
	if res.Err == nil {
		if err := checkResponse(&res.Status, res.Headers); err != nil {
			res = invoke.Result{Err: &invoke.Error{Kind: invoke.ErrGuest, Detail: err.Error(), Cause: err}}
		}
	}
	ex.result = res
	ex.settle()
	if !c.closed.Load() {
		c.loop.wake(c, res.More)
	}
}
