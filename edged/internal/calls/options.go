package calls

import (
	"log/slog"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// Options configures [Open]. Functions, Submit, IDs and Dir are required; zero numbers mean the defaults.
type Options struct {
	// Functions finds what can be called. It is asked for every call and does not block.
	Functions func(app invoke.AppName, fn invoke.FunctionName) (Function, error)
	Submit    func(inv *invoke.Invocation) error // admits an invocation, as trigger.Submitter
	// Ended is told of every invocation that has ended, with its HTTP status. It must not block.
	Ended  func(inv *invoke.Invocation, status int)
	Store  *kvstore.Store // where states of actors are kept; nil: they have none
	IDs    *atomic.Uint64 // numbers of invocations
	Dir    string         // where objects go that are too many for the memory; emptied by Open
	Logger *slog.Logger

	Objects int           // of one app; default 65,536
	Memory  int64         // of one app's results in memory, and again of its inputs; default 64 MiB
	Disk    int64         // of one app's objects in files; default 1 GiB
	Grace   time.Duration // for which an object is kept that nobody holds; default 60 s
	Window  int           // calls of one app in the scheduler that nobody waits for at once; default 256
	Waiters int           // invocations that wait at once; default 64
	// Residents is how many actors keep their instances while they have no messages; default 256.
	Residents int
}

// Function is a deployed function as it is called.
type Function struct {
	Target  invoke.Target
	Callers []string              // apps that may call it beside its own; "*": all
	Actor   bool                  // a class of actors
	Then    []invoke.FunctionName // of the same app: those that its result goes on to, in order
}

func (o Options) orDefaults() Options {
	setDefault(&o.Objects, 65536)
	setDefault(&o.Memory, 64<<20)
	setDefault(&o.Disk, 1<<30)
	setDefault(&o.Grace, time.Minute)
	setDefault(&o.Window, 256)
	setDefault(&o.Waiters, 64)
	setDefault(&o.Residents, 256)
	if o.Ended == nil {
		o.Ended = func(*invoke.Invocation, int) {}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

func setDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}
