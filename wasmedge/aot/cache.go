package aot

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// maxFlights bounds the different modules that are compiled or wait for it; a further one is [ErrBusy].
const maxFlights = 64

// Artifact is native code that this daemon made and has checked.
type Artifact struct {
	// Path is the shared object. It stays there until [Cache.Remove] or [Cache.GC], and is never written to again.
	Path string
	// Key says what it was made from.
	Key Key
	// Level is how it was optimised.
	Level Level
	// Final: no better artifact will follow. Otherwise one is being made, or will be after the next Get.
	Final bool
}

// Cache compiles modules and keeps the artifacts. Safe for concurrent use.
type Cache struct {
	options Options
	target  target
	store   *store
	runner  runner
	log     *slog.Logger
	slots   chan struct{} // one element a running compilation; capacity Options.Parallel

	cancel  context.CancelCauseFunc // ends every child
	workers sync.WaitGroup          // flights and the background worker

	mu        sync.Mutex
	closed    bool                 // guarded by mu
	flights   map[Key]*flight      // guarded by mu
	behind    background           // guarded by mu
	onBetter  func(Key, *Artifact) // guarded by mu
	closeOnce sync.Once
	closeErr  error         // written before gone is closed
	gone      chan struct{} // closed by Close when all workers are gone
}

// Open takes the artifact directory, cleans up what a killed daemon left there and starts the background worker. The
// caller closes the cache. Its errors are [ErrUnsafeDir], [ErrLocked], [ErrNotSupported] or the system's.
func Open(options Options) (*Cache, error) {
	on, err := hostTarget()
	if err != nil {
		return nil, fmt.Errorf("open the artifact cache: %w", err)
	}
	return open(options, on)
}

// open is Open for a given target.
func open(options Options, on target) (*Cache, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("open the artifact cache: %w", err)
	}
	store, err := openStore(options.Dir, on, options.Logger)
	if err != nil {
		return nil, fmt.Errorf("open the artifact cache: %w", err)
	}
	root, cancel := context.WithCancelCause(context.Background())
	c := &Cache{
		options: options, target: on, store: store, log: options.Logger, cancel: cancel,
		runner:  runner{self: options.Self, env: options.Env, engine: on.engine},
		slots:   make(chan struct{}, options.Parallel),
		flights: map[Key]*flight{},
		behind:  newBackground(),
		gone:    make(chan struct{}),
	}
	c.workers.Go(func() { c.workBehind(root) })
	return c, nil
}

// KeyOf returns the key of the code on this machine with this engine.
func (c *Cache) KeyOf(code []byte) Key { return c.target.keyOf(code) }

// OnBetter sets what is called when the better artifact of a large module has been stored. It is called from the
// background worker, one call at a time and with no lock held; it must return soon and must not call Close. nil unsets it.
func (c *Cache) OnBetter(fn func(key Key, a *Artifact)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.onBetter = fn
}

// Lookup returns the best artifact there is for the code, without compiling anything. The first call for an artifact in
// a daemon's life reads its file; later ones only look whether it has changed.
func (c *Cache) Lookup(code []byte) (*Artifact, bool) { return c.lookup(c.KeyOf(code)) }

// lookup prefers the configured level, then any other optimised one, then O0.
func (c *Cache) lookup(key Key) (*Artifact, bool) {
	for _, level := range []Level{c.options.Best, O3, O2, O0} {
		if path, found := c.store.find(key, level); found {
			return &Artifact{Path: path, Key: key, Level: level, Final: c.isFinal(key, level)}, true
		}
	}
	return nil, false
}

// isFinal reports whether nothing better than this level will be made.
func (c *Cache) isFinal(key Key, level Level) bool {
	if level != O0 || c.options.Best == O0 {
		return true
	}
	return c.store.hasFailed(key, c.options.Best, c.options.Limits.String())
}

// Get returns an artifact of the code, a module from the loader gate, and compiles it when there is none. A module of
// more than Options.LargeBytes is compiled at O0 and again behind the scenes; the artifact's Final says so. Concurrent
// calls for one module share a compilation, which goes on until the last of them is cancelled. The code must
// not be changed afterwards: the background worker reads it later.
//
// progress, when not nil, is told each stage as it begins, with its number and the number of the last; it is called
// from another goroutine, one call at a time, never after Get has returned, and must return soon. The numbers start over when
// a second level is tried. An artifact that is there already has no progress.
//
// The error is a [*CompileError], [ErrBusy], [ErrEmpty], [ErrClosed] or that of ctx.
func (c *Cache) Get(ctx context.Context, code []byte, progress func(stage string, done, total int64)) (*Artifact, error) {
	if len(code) == 0 {
		return nil, ErrEmpty
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	key := c.KeyOf(code)
	if c.isClosed() {
		return nil, ErrClosed
	}
	if artifact, ok := c.lookup(key); ok {
		if !artifact.Final {
			c.improve(key, code)
		}
		return artifact, nil
	}
	f, first, err := c.join(key, code) //nolint:contextcheck // a flight outlives the caller that started it while another waits
	if err != nil {
		return nil, err
	}
	return f.wait(ctx, first, progress)
}

func (c *Cache) isClosed() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.closed
}

// Remove removes every artifact of a key and what is remembered about it, and ends its compilation behind the scenes.
// Code that is loaded stays loaded. A Get that compiles the same key at this moment stores its artifact afterwards.
func (c *Cache) Remove(key Key) error {
	if err := c.dropBehind(key); err != nil {
		return err
	}
	if err := c.store.removeKey(key); err != nil {
		return fmt.Errorf("remove the artifacts of %.16s: %w", key, err)
	}
	return nil
}

// GC removes the artifacts of every key that is not in keep and returns how many keys that were. Keys that are being
// compiled stay.
func (c *Cache) GC(keep map[Key]struct{}) (int, error) {
	keys, err := c.store.keys()
	if err != nil {
		return 0, fmt.Errorf("collect unused artifacts: %w", err)
	}
	var problems []error
	removed := 0
	for key := range keys {
		if _, kept := keep[key]; kept || c.inFlight(key) {
			continue
		}
		problems = append(problems, c.Remove(key))
		removed++
	}
	return removed, errors.Join(problems...)
}

func (c *Cache) inFlight(key Key) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, found := c.flights[key]
	return found
}

// Close kills every child, waits until they and the workers are gone and gives the directory back. Waiting calls of Get
// return [ErrClosed]. It waits no longer than ctx; the rest then ends by itself. Closing twice is not an error.
func (c *Cache) Close(ctx context.Context) error {
	c.closeOnce.Do(func() {
		c.mu.Lock()
		c.closed = true
		for _, f := range c.flights {
			f.cancel(ErrClosed)
		}
		c.mu.Unlock()
		c.cancel(ErrClosed)
		go func() {
			c.workers.Wait()
			c.closeErr = c.store.close()
			close(c.gone)
		}()
	})
	select {
	case <-c.gone:
		return c.closeErr
	case <-ctx.Done():
		return fmt.Errorf("close the artifact cache: %w", context.Cause(ctx))
	}
}

// compile makes one artifact and stores it.
func (c *Cache) compile(ctx context.Context, key Key, j job) (*Artifact, error) {
	dir, err := c.store.jobDir()
	if err != nil {
		return nil, diskFull(j.level, fmt.Errorf("make a folder for the compilation: %w", err))
	}
	defer func() { _ = os.RemoveAll(dir) }()
	j.dir = dir
	j.stage(StageStart)
	compiled, err := c.runner.run(ctx, j)
	if err != nil {
		return nil, err
	}
	j.stage(StageStore)
	path, err := c.store.put(key, j.level, compiled)
	if err != nil {
		return nil, diskFull(j.level, err)
	}
	j.stage(StageDone)
	return &Artifact{Path: path, Key: key, Level: j.level, Final: c.isFinal(key, j.level)}, nil
}

// diskFull gives an error of the daemon's own writes the reason that the child's have, when there is no space.
func diskFull(level Level, err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return newCompileError(ReasonDisk, level, err.Error())
	}
	return err
}

// remember records a failure that would come again, so that it does not cost its minutes at every start.
func (c *Cache) remember(key Key, level Level, failure *CompileError) {
	c.log.Warn("optimised code could not be made; the unoptimised one stays", "key", key.String(), "reason", failure, "stderr", failure.Stderr)
	if !failure.Reason.lasting() {
		return
	}
	if err := c.store.putFailure(key, level, failure, c.options.Limits.String()); err != nil {
		c.log.Error("failed compilation could not be remembered", "key", key.String(), "reason", err)
	}
}
