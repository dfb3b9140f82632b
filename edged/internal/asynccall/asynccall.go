package asynccall

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// SpaceName is where calls are kept. No manifest can name it.
const SpaceName = "edged.calls"

// ErrNotFound is returned for an ID that no call has, or no call any more.
var ErrNotFound = errors.New("no such call")

// Options configures [Open]. Store, Route, Submit and IDs are required; zero numbers mean the defaults.
type Options struct {
	Store  *kvstore.Store
	Route  func(inv *invoke.Invocation) error // sets the target of an invocation by its method and path
	Submit func(inv *invoke.Invocation) error // as trigger.Submitter
	Ended  func(inv *invoke.Invocation, status int)
	IDs    *atomic.Uint64 // numbers of invocations
	Logger *slog.Logger

	Keep    time.Duration // for which an answer is kept; default 24 h
	Pending int           // calls that wait or run; default 10,000
	Results int           // answers that are kept; default 10,000
	Bytes   int64         // of the requests that wait or run, and again of the answers; default 1 GiB
	Body    int           // of one request or answer; default 8 MiB
	Window  int           // calls that run at once; default 64
}

func (o Options) orDefaults() Options {
	if o.Keep == 0 {
		o.Keep = 24 * time.Hour
	}
	if o.Bytes == 0 {
		o.Bytes = 1 << 30
	}
	for _, row := range []struct {
		at       *int
		standard int
	}{{&o.Pending, 10000}, {&o.Results, 10000}, {&o.Body, 8 << 20}, {&o.Window, 64}} {
		if *row.at == 0 {
			*row.at = row.standard
		}
	}
	if o.Ended == nil {
		o.Ended = func(*invoke.Invocation, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// State is what has become of a call.
type State string

// The states of a call.
const (
	Waiting State = "waiting"
	Running State = "running"
	Done    State = "done"
	Failed  State = "failed" // the function failed, or the call was cancelled
)

// Summary is a call as it is listed.
type Summary struct {
	ID       string
	App      invoke.AppName
	Function invoke.FunctionName
	State    State
	Created  time.Time
	Finished time.Time // zero until it is done or failed
	Status   int       // HTTP status of the answer; 0 until then
	Bytes    int64     // of the request, or of the answer
}

// entry is a call in memory. It is guarded by Calls.mu but for the control.
type entry struct {
	Summary
	attempt   int
	cancelled bool
	control   control
}

// Calls is all asynchronous calls of a daemon. Its methods may be called from any goroutine; those that say so wait for the disk.
type Calls struct {
	options Options
	work    sync.WaitGroup  // goroutines of the package
	ctx     context.Context //nolint:containedctx // ends with Close
	cancel  context.CancelFunc

	mu       sync.Mutex
	space    *kvstore.Space // guarded by mu; nil until there is a call
	entries  map[string]*entry
	accepted int         // guarded by mu: calls that wait or run, those included that are being written
	requests int64       // guarded by mu: bytes of these
	queue    []*entry    // guarded by mu: that wait, in order
	running  int         // guarded by mu
	results  []*entry    // guarded by mu: done, oldest first; some may be gone
	answers  int64       // guarded by mu: bytes of these
	kept     int         // guarded by mu: how many of these
	started  bool        // guarded by mu
	stopped  bool        // guarded by mu: nothing is run any more
	sweeper  *time.Timer // guarded by mu; nil when there is no answer
}

// Open reads what an earlier daemon has left. Nothing runs before Start.
func Open(options Options) (*Calls, error) {
	c := &Calls{options: options.orDefaults(), entries: make(map[string]*entry)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	space, err := c.options.Store.Lookup(SpaceName)
	if errors.Is(err, kvstore.ErrSpaceNotFound) {
		return c, nil
	}
	if err != nil {
		return nil, fmt.Errorf("open asynchronous calls: %w", err)
	}
	c.space = space
	if err := space.Scan(nil, nil, c.load); err != nil {
		return nil, fmt.Errorf("read asynchronous calls: %w", err)
	}
	byAge := func(a, b *entry) int { return a.Created.Compare(b.Created) }
	slices.SortFunc(c.queue, byAge)
	slices.SortFunc(c.results, func(a, b *entry) int { return a.Finished.Compare(b.Finished) })
	return c, nil
}

// load takes up one record. What cannot be read is left where it is, and logged.
func (c *Calls) load(key, value []byte) bool {
	kind, id, _ := strings.Cut(string(key), "/")
	r, body, err := decode(value)
	if err != nil || len(id) != 2*idBytes {
		c.options.Logger.Error("an asynchronous call is left out", "key", string(key), "error", err)
		return true
	}
	e := &entry{attempt: r.Attempt, Summary: Summary{
		ID: id, App: r.App, Function: r.Function, State: Waiting, Created: r.Created, Finished: r.Finished, Status: r.Status,
		Bytes: int64(len(body)),
	}}
	c.entries[id] = e
	if kind == "p" {
		e.attempt++
		c.accepted++
		c.requests += e.Bytes
		c.queue = append(c.queue, e)
		return true
	}
	e.State = Done
	if r.Failed {
		e.State = Failed
	}
	c.keep(e)
	return true
}

// idBytes is how long an ID is, in bytes: nobody guesses one.
const idBytes = 16

func newID() string {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // it never fails
	return hex.EncodeToString(id[:])
}

// Accept takes over a request whose client does not want to wait, and reports whether it did: else the client gets the error.
// It does not block: the request is written, and then acknowledged through Done with status 202, by a goroutine.
func (c *Calls) Accept(inv *invoke.Invocation) error {
	size := len(inv.Request.Body)
	if size > c.options.Body {
		return &invoke.Error{Kind: invoke.ErrTooLarge, Detail: fmt.Sprintf(
			"the body of an asynchronous request has at most %d bytes, this one has %d", c.options.Body, size)}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.stopped:
		return &invoke.Error{Kind: invoke.ErrDraining}
	case c.accepted >= c.options.Pending:
		return &invoke.Error{Kind: invoke.ErrQueueFull, RetryAfter: time.Second, Detail: fmt.Sprintf(
			"%d asynchronous calls wait or run, as many as may", c.accepted)}
	case c.requests+int64(size) > c.options.Bytes:
		return &invoke.Error{Kind: invoke.ErrQueueFull, RetryAfter: time.Second, Detail: fmt.Sprintf(
			"the asynchronous calls that wait or run have %d bytes, with this one more than %d", c.requests, c.options.Bytes)}
	}
	c.accepted++
	c.requests += int64(size)
	c.work.Go(func() { c.accept(inv) })
	return nil
}

// accept writes a request and acknowledges it.
func (c *Calls) accept(inv *invoke.Invocation) {
	q := &inv.Request
	size := int64(len(q.Body))
	e := &entry{attempt: 1, Summary: Summary{
		ID: newID(), App: inv.App, Function: inv.Function, State: Waiting, Created: time.Now().UTC(), Bytes: size,
	}}
	err := c.write("p/"+e.ID, &record{
		App: inv.App, Function: inv.Function, Source: inv.Source, Created: e.Created, Attempt: 1, Method: q.Method, Path: q.Path,
		RawQuery: q.RawQuery, Proto: q.Proto, Host: q.Host, Remote: q.Remote, Headers: q.Headers,
	}, q.Body)
	if err != nil {
		c.mu.Lock()
		c.accepted--
		c.requests -= size
		c.mu.Unlock()
		c.options.Logger.Error("an asynchronous call cannot be kept", "app", inv.App, "error", err)
		inv.Done(inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrUnavailable, Detail: "the request cannot be kept; the daemon's log says why", Cause: err}})
		return
	}
	c.mu.Lock()
	c.entries[e.ID] = e
	c.queue = append(c.queue, e)
	c.mu.Unlock()
	inv.Done(inv, invoke.Result{Status: 202, Headers: []invoke.Header{
		{Name: "Location", Value: Path + e.ID}, {Name: "Preference-Applied", Value: "respond-async"},
	}})
	c.next()
}

// write writes one record.
func (c *Calls) write(key string, r *record, body []byte) error {
	value, err := encode(r, body)
	if err != nil {
		return err
	}
	space, err := c.opened()
	if err != nil {
		return err
	}
	return space.Set(c.ctx, []byte(key), value)
}

// opened returns the space, which is made with the first call.
func (c *Calls) opened() (*kvstore.Space, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var err error
	if c.space == nil {
		c.space, err = c.options.Store.Space(SpaceName, kvstore.Sync)
	}
	return c.space, err
}

// Start runs what waits.
func (c *Calls) Start() {
	c.mu.Lock()
	c.started = true
	c.sweep(time.Now())
	c.mu.Unlock()
	c.next()
}

// Stop runs nothing more; what runs goes on.
func (c *Calls) Stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
}

// Close ends the use. Every invocation has ended; what they have answered is written before Close returns.
func (c *Calls) Close() error {
	c.Stop()
	c.work.Wait()
	c.cancel()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	return nil
}

// List returns all calls, oldest first.
func (c *Calls) List() []Summary {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Summary, 0, len(c.entries))
	for _, e := range c.entries {
		list = append(list, e.Summary)
	}
	slices.SortFunc(list, func(a, b Summary) int {
		if order := a.Created.Compare(b.Created); order != 0 {
			return order
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list
}

// find returns a call.
func (c *Calls) find(id string) (*entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[id]
	if e == nil {
		return nil, fmt.Errorf("%w: %.64q: it was never accepted, was removed, or its answer has been kept for %v", ErrNotFound, id, c.options.Keep)
	}
	return e, nil
}

// Show returns a call, and its answer when it has one. It reads the disk.
func (c *Calls) Show(id string) (Summary, invoke.Result, error) {
	e, err := c.find(id)
	if err != nil {
		return Summary{}, invoke.Result{}, err
	}
	c.mu.Lock()
	info := e.Summary
	c.mu.Unlock()
	if info.Finished.IsZero() {
		return info, invoke.Result{}, nil
	}
	value, err := c.space.Get([]byte("r/"+id), nil)
	if errors.Is(err, kvstore.ErrNotFound) {
		return Summary{}, invoke.Result{}, fmt.Errorf("%w: %s", ErrNotFound, id)
	}
	if err != nil {
		return info, invoke.Result{}, fmt.Errorf("read call %s: %w", id, err)
	}
	r, body, err := decode(value)
	if err != nil {
		return info, invoke.Result{}, fmt.Errorf("read call %s: %w", id, err)
	}
	if r.Failed {
		return info, invoke.Result{Err: failure(r)}, nil
	}
	return info, invoke.Result{Status: r.Status, Headers: r.Headers, Body: body}, nil
}

// failure is the error that a call has ended with.
func failure(r *record) error {
	for _, kind := range []error{
		invoke.ErrNotFound, invoke.ErrMethodNotAllowed, invoke.ErrCancelled, invoke.ErrTooLarge, invoke.ErrTimeout, invoke.ErrDepth,
	} {
		if invoke.Status(kind) == r.Status {
			return &invoke.Error{Kind: kind, Detail: r.Failure}
		}
	}
	return &invoke.Error{Kind: invoke.ErrGuest, Detail: r.Failure}
}
