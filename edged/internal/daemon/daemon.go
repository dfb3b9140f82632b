// Package daemon is the composition root: it builds every part of edged, joins them, starts them in order and stops them in
// reverse. It also implements the management service, which is what the parts can do together.
//
// Order: engine and artifact cache, key-value store, app registry, pool, scheduler, apps, timers, data ports, admin
// socket.
package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/app"
	"edged.dev/edge/edged/internal/asynccall"
	"edged.dev/edge/edged/internal/calls"
	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/logring"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/edged/internal/trigger/crontrigger"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
	"edged.dev/edge/edged/internal/trigger/kvtrigger"
	"edged.dev/edge/edged/internal/trigger/udstrigger"
	"edged.dev/edge/kvstore"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
)

// Options configures [New].
type Options struct {
	Config  *config.Loaded
	Version string
	Logger  *slog.Logger
	// CompileChild is the command that starts this binary as a compiler; see aot.Options.Self. nil: its default.
	CompileChild []string
}

// Daemon is the whole of edged in one process. New, then Run once, then Close.
type Daemon struct {
	config   *config.Loaded
	version  string
	logger   *slog.Logger
	started  time.Time
	draining atomic.Bool
	halt     chan struct{} // closed when the daemon begins to drain
	waiters  atomic.Int32  // requests that wait for their graph, see holdBack

	engine    *wasmedge.Engine
	cache     *aot.Cache
	store     *kvstore.Store
	registry  *app.Registry
	metrics   *metric.Registry
	logs      *logring.Log
	pool      *pool.Pool
	calls     *calls.Calls
	async     *asynccall.Calls
	events    *kvtrigger.Dispatcher
	abandons  abandons
	scheduler *scheduler.Scheduler
	router    router.Router
	ids       atomic.Uint64
	http      *httptrigger.Server
	uds       *udstrigger.Server
	timers    *crontrigger.Timers
	admin     *admin.Server

	building sync.RWMutex // held for reading by a deploy from its compilation on: its artifact must not be tidied away
	deployMu sync.Mutex   // serialises changes of what is deployed, from staging to the new routes

	mu   sync.Mutex
	apps map[invoke.AppName]*deployed // guarded by mu

	untidy chan struct{} // capacity 1: something was deployed or removed since the artifacts were tidied

	closers []func() error // in the order of starting
}

// New opens everything but the ports. On an error nothing is left open.
func New(options Options) (*Daemon, error) {
	d := &Daemon{
		config: options.Config, version: options.Version, logger: options.Logger, started: time.Now(),
		apps: make(map[invoke.AppName]*deployed), metrics: metric.New(), logs: logring.New(logring.Options{}),
		untidy: make(chan struct{}, 1), halt: make(chan struct{}),
	}
	steps := []struct {
		name string
		open func(Options) error
	}{
		{"data folder", d.openData},
		{"engine", d.openEngine},
		{"key-value store", d.openStore},
		{"calls", d.openCalls},
		{"asynchronous calls", d.openAsync},
		{"data ports", d.openPorts},
		{"scheduler", d.openScheduler},
		{"events", d.openEvents},
		{"apps", d.openApps},
		{"timers", d.openTimers},
	}
	for _, step := range steps {
		if err := step.open(options); err != nil {
			return nil, errors.Join(fmt.Errorf("open %s: %w", step.name, err), d.Close())
		}
	}
	return d, nil
}

// closing adds what Close has to undo.
func (d *Daemon) closing(f func() error) { d.closers = append(d.closers, f) }

// Close undoes what New and Run have opened, in reverse. It waits for invocations in flight no longer than Run's drain
// has. A second Close does nothing.
func (d *Daemon) Close() error {
	var failed []error
	for _, closer := range slices.Backward(d.closers) {
		failed = append(failed, closer())
	}
	d.closers = nil
	return errors.Join(failed...)
}

// openData locks the data folder: everything below is one daemon's.
func (d *Daemon) openData(Options) error {
	registry, err := app.Open(d.config.Data)
	if err != nil {
		return err
	}
	d.registry = registry
	d.closing(registry.Close)
	return nil
}

func (d *Daemon) openEngine(options Options) error {
	engine, cache, err := openEngine(engineOptions{
		dir: filepath.Join(d.config.Data, "aot"), child: options.CompileChild, compile: d.config.Compile,
		memories: d.config.Limits.Memories, logger: d.logger,
	})
	if err != nil {
		return err
	}
	d.engine, d.cache = engine, cache
	cache.OnBetter(d.better)
	d.closing(func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return cache.Close(ctx)
	})
	return nil
}

func (d *Daemon) openStore(Options) error {
	store, err := kvstore.Open(filepath.Join(d.config.Data, "kv.db"), nil)
	if err != nil {
		return err
	}
	d.store = store
	d.closing(store.Close)
	return nil
}

// openApps puts every app that was deployed before back into service. No app is compiled or loaded yet.
func (d *Daemon) openApps(Options) error {
	for _, damage := range d.registry.Damaged() {
		d.logger.Error("app not served", "app", damage.App, "error", damage.Err)
	}
	for _, name := range d.registry.Apps() {
		version, err := d.registry.Active(name)
		if errors.Is(err, app.ErrNotActive) {
			continue
		}
		if err == nil {
			err = d.restore(version)
		}
		if err != nil {
			d.logger.Error("app not served", "app", name, "error", err)
		}
	}
	d.relax()
	d.closing(func() error { d.retireAll(); return nil })
	if err := d.reroute(); err != nil {
		return err
	}
	if err := d.retrigger(); err != nil { // to serve without would let writes make no events
		return fmt.Errorf("start triggers, whose events are in %s: make room on its disk, or see what the error says: %w", d.store.Path(), err)
	}
	d.abandons.work.Go(d.abandonOrphans)
	return nil
}

// retireAll unloads every app; invocations have ended.
func (d *Daemon) retireAll() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, a := range d.apps {
		a.app.Retire()
	}
}

// Ready is where a running daemon answers.
type Ready struct{ HTTP, UDS, Admin string }

// Run opens the ports, calls ready when all of them accept, and serves until ctx ends; then it drains and returns nil.
func (d *Daemon) Run(ctx context.Context, ready func(Ready) error) error {
	if err := d.listen(ctx); err != nil {
		return err
	}
	where := Ready{HTTP: d.http.Addr().String(), UDS: d.config.UDS, Admin: d.config.Admin}
	d.metrics.Probe(d.probes())
	d.logger.Info("ready", "http", where.HTTP, "uds", where.UDS, "admin", where.Admin, "apps", len(d.deployed()))
	if err := ready(where); err != nil {
		return err
	}
	d.timers.Start() // not before the ports: what a timer's function calls may be this box
	d.async.Start()
	var tidying sync.WaitGroup
	tidying.Go(func() { d.keepTidy(ctx) })
	<-ctx.Done()
	err := d.drain()
	d.logger.Info("stopped")
	tidying.Wait()
	return err
}

func (d *Daemon) listen(ctx context.Context) error {
	if err := makeDirs(d.config.UDS, d.config.Admin); err != nil {
		return err
	}
	if err := d.http.Start(ctx); err != nil {
		return fmt.Errorf("listen on %s: %w", d.config.HTTP, explainAddr(err))
	}
	if err := d.uds.Start(ctx); err != nil {
		return fmt.Errorf("listen on %s: %w", d.config.UDS, err)
	}
	d.admin = admin.New(admin.Options{Path: d.config.Admin, Service: d, Metrics: d.metrics.WritePrometheus, Log: d.logger})
	// Not ended by ctx: while requests are drained the operator must still be able to look, and to help them end.
	if err := d.admin.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("listen on %s: %w", d.config.Admin, err)
	}
	d.closing(d.closePorts)
	return nil
}

func makeDirs(paths ...string) error {
	for _, path := range paths {
		//nolint:gosec // everybody may pass; the sockets have modes of their own
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("make the folder of a socket: %w", err)
		}
	}
	return nil
}

func (d *Daemon) httpOptions() httptrigger.Options {
	return httptrigger.Options{
		Addr: d.config.HTTP, Router: &d.router, Submitter: (*submitter)(d), System: d.system, Sent: d.sent, IDs: &d.ids,
		Logger: d.logger,
		// The other half runs guests. GOMAXPROCS, from which the server would derive it, has been raised for the workers.
		Loops: max(d.config.Cores/2, 1),
		Limits: httptrigger.Limits{
			BodyBytes: int64(d.config.Limits.Body), HeaderBytes: int(d.config.Limits.Headers),
			Connections: d.config.Limits.Connections,
		},
	}
}

// openPorts makes the data ports, which nobody can reach yet: workers attend to the event loops of one, and flush both.
func (d *Daemon) openPorts(Options) error {
	options := d.httpOptions()
	options.Loops = d.config.Cores
	options.Tended = func(loop int) bool { return d.scheduler.Tended(loop) }
	d.http = httptrigger.New(options)
	d.uds = udstrigger.New(udstrigger.Options{Path: d.config.UDS, HTTP: d.httpOptions()})
	return nil
}

// drain lets go of the ports and answers what is in flight, within the time that the configuration gives.
func (d *Daemon) drain() error {
	d.draining.Store(true)
	close(d.halt)
	d.async.Stop()
	ctx, cancel := context.WithTimeout(context.Background(), d.config.Timeouts.Drain)
	defer cancel()
	d.logger.Info("draining", "limit", d.config.Timeouts.Drain.String())
	d.timers.Close()   // nothing more begins by itself
	_ = d.stopEvents() // it has nothing to fail at; what waits goes on after the next start
	var closing sync.WaitGroup
	for _, port := range []func(context.Context) error{d.http.Close, d.uds.Close} {
		closing.Go(func() {
			if err := port(ctx); err != nil {
				d.logger.Warn("not every connection could be drained", "error", err)
			}
		})
	}
	if err := d.scheduler.Drain(ctx); err != nil {
		d.logger.Warn("not every invocation could be drained", "error", err)
		d.pool.KillAll(invoke.ErrDraining)
	}
	closing.Wait()
	return nil
}

// closePorts is the end of ports that Run may have left open, with or without a drain before.
func (d *Daemon) closePorts() error {
	now, cancel := context.WithCancel(context.Background())
	cancel()
	d.pool.KillAll(invoke.ErrDraining)
	failed := []error{d.admin.Close()}
	for _, err := range []error{d.http.Close(now), d.uds.Close(now)} {
		if err != nil && !errors.Is(err, context.Canceled) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}
