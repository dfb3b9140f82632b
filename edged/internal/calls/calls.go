package calls

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

// Calls is what all apps have started. Its methods may be called from any goroutine.
type Calls struct {
	options Options
	files   *files

	mu      sync.Mutex
	apps    map[invoke.AppName]*app // guarded by mu
	last    int64                   // guarded by mu: number of the newest object
	waiters int                     // guarded by mu: invocations that wait
	sweeper *time.Timer             // guarded by mu; nil when nothing is in its time of grace
	passive *time.Timer             // guarded by mu; nil when no actor can be passivated
	closed  bool                    // guarded by mu
}

// app is what one app has started. All of it is guarded by Calls.mu.
type app struct {
	name     invoke.AppName
	objects  map[int64]*object
	inputs   int64 // bytes of the inputs of calls that have not ended
	memory   int64 // bytes of results in memory
	disk     int64 // bytes of results in files
	running  int   // calls that are at the scheduler, less those that wait
	backlog  queue[*object]
	actors   map[string]*actor // by name; nil until there is one
	actorIDs map[int64]*actor
	grace    queue[parting]
}

// parting is an object that nobody holds any more.
type parting struct {
	object *object
	since  time.Time
}

// Open empties the folder of objects and returns Calls without any.
func Open(options Options) (*Calls, error) {
	c := &Calls{options: options.orDefaults(), apps: make(map[invoke.AppName]*app)}
	var err error
	if c.files, err = openFiles(c.options.Dir, c.written); err != nil {
		return nil, fmt.Errorf("open objects: %w", err)
	}
	return c, nil
}

// Close frees everything. All invocations have ended. A second Close does nothing.
func (c *Calls) Close() error {
	c.mu.Lock()
	if c.sweeper != nil {
		c.sweeper.Stop()
	}
	c.closed = true
	c.mu.Unlock()
	c.closeActors()
	return c.files.close()
}

// app returns the entry of an app. Called with mu held.
func (c *Calls) app(name invoke.AppName) *app {
	a := c.apps[name]
	if a == nil {
		a = &app{name: name, objects: make(map[int64]*object)}
		c.apps[name] = a
	}
	return a
}

// add gives an object its number, if there is room: what nobody holds any more makes some. Called with mu held.
func (c *Calls) add(a *app, o *object, input int) error {
	for len(a.objects) >= c.options.Objects && c.evict(a) {
	}
	switch {
	case len(a.objects) >= c.options.Objects:
		return refuse(hostfn.Limit, "app %s has %d objects that are in use, %d is the limit: drop those that are not needed",
			a.name, len(a.objects), c.options.Objects)
	case a.inputs+int64(input) > c.options.Memory:
		return refuse(hostfn.Limit, "the inputs of the calls of app %s that have not ended have %d bytes, with this one above the limit of %d",
			a.name, a.inputs, c.options.Memory)
	}
	c.last++
	o.id, o.app = c.last, a
	o.input = int64(input)
	a.inputs += o.input
	a.objects[o.id] = o
	return nil
}

// refuse returns the error of a call that is not made.
func refuse(result hostfn.Result, format string, args ...any) error {
	return &hostfn.CallError{Result: result, Text: fmt.Sprintf(format, args...)}
}

// results is the one table from the error of an invocation to the result that its caller gets.
var results = []struct {
	kind   error
	result hostfn.Result
}{
	{invoke.ErrNotFound, hostfn.NotFound},
	{invoke.ErrTooLarge, hostfn.TooLarge},
	{invoke.ErrTimeout, hostfn.TimedOut},
	{invoke.ErrQueueFull, hostfn.Limit},
	{invoke.ErrDepth, hostfn.Limit},
	{invoke.ErrCancelled, hostfn.Cancelled},
	{invoke.ErrDraining, hostfn.Cancelled},
}

// callError is what the caller of an invocation that ended with err gets.
func callError(err error) *hostfn.CallError {
	var ready *hostfn.CallError
	if errors.As(err, &ready) {
		return ready
	}
	for _, row := range results {
		if errors.Is(err, row.kind) {
			return &hostfn.CallError{Result: row.result, Text: err.Error()}
		}
	}
	return &hostfn.CallError{Result: hostfn.Internal, Text: err.Error()}
}
