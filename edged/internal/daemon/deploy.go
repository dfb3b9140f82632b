package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/app"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/edged/internal/strictyaml"
	"edged.dev/edge/edged/internal/trigger/crontrigger"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// The stages of a deploy, as its progress names them.
const (
	stageCheck    = "check"
	stageCompile  = "compile"
	stageStart    = "start"
	stageActivate = "activate"
)

// Deploy implements admin.Apps. Everything that can fail is done before anything is switched over: the gate, the imports,
// the compilation, and one start-up of an instance. What was deployed before serves on until the switch, and after a
// failure.
func (d *Daemon) Deploy(ctx context.Context, req admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
	if d.draining.Load() {
		return admin.DeployResult{}, &admin.Error{Kind: admin.ErrUnavailable, Detail: "the daemon is stopping"}
	}
	progress(admin.Progress{Stage: stageCheck})
	c, err := d.check(req)
	if err != nil {
		return admin.DeployResult{}, err
	}
	defer d.changed() // a deploy that fails may leave an artifact too
	d.building.RLock()
	defer d.building.RUnlock()
	artifact, err := d.compile(ctx, c, progress)
	if err != nil {
		return admin.DeployResult{}, err
	}
	program, err := c.program(d.engine, artifact)
	if err != nil {
		return admin.DeployResult{}, &admin.Error{Kind: admin.ErrInternal, Detail: err.Error(), Cause: err}
	}
	defer debug.FreeOSMemory() // checking a module takes ten times its size for a moment; a box has better use for that
	result, err := d.install(ctx, req, c, made{program, artifact}, progress)
	if err != nil {
		return admin.DeployResult{}, err
	}
	result.Imports = ImportList(c.imports)
	result.Optimising = !artifact.Final
	return result, nil
}

// check reads the manifest, passes the module through the gate, and binds its imports and its entries.
func (d *Daemon) check(req admin.DeployRequest) (*candidate, error) {
	m, module, err := d.read(req)
	if err != nil {
		return nil, err
	}
	c, err := inspect(m, module)
	if err != nil {
		return nil, invalid(err)
	}
	c.imports, err = gate.Bind(module.Imports, provided(d.functions()))
	if err != nil {
		return nil, &admin.Error{
			Kind: admin.ErrInvalid, Detail: fmt.Sprintf("%v\n\n%s", err, c.imports), Cause: err,
			Remedy: "build the module against the interfaces that 'edged' provides; see docs/ABI.md",
		}
	}
	if err := c.checkEntries(); err != nil {
		return nil, err
	}
	return c, nil
}

// read returns the manifest, with the functions that it may leave out, and the checked module.
func (d *Daemon) read(req admin.DeployRequest) (*manifest.Manifest, *gate.Module, error) {
	var m *manifest.Manifest
	limits := gate.DefaultLimits()
	if req.Manifest != nil {
		parsed, err := manifest.Parse(req.ManifestName, req.Manifest)
		if err != nil {
			return nil, nil, invalid(err)
		}
		m = parsed
		limits = gateLimits(m)
	}
	module, err := gate.Check(req.Module, limits)
	if err != nil {
		return nil, nil, invalid(err)
	}
	name := manifest.ABIAuto
	if m != nil {
		name = m.ABI
	}
	if other, foreign := hostfn.Foreign(functionImports(module)); foreign && name == manifest.ABIAuto {
		name = manifest.ABI(other.String())
	}
	names, types := functionExports(module)
	if name.Command() && !slices.Contains(names, manifest.CommandEntry) {
		return nil, nil, &admin.Error{
			Kind: admin.ErrInvalid, Detail: fmt.Sprintf("abi is %s, but the module exports no %s: it is a reactor", name, manifest.CommandEntry),
			Remedy: "leave abi out or write abi: edged, or build the module as a command",
		}
	}
	abi := abis()[name] // auto: that of a reactor, whose entries a command's are too
	names = slices.DeleteFunc(names, func(export string) bool { return !abi.Entry(types[export]) })
	if m == nil {
		if m, err = manifest.FromModule(req.ModuleName, name, names); err != nil {
			return nil, nil, invalid(err)
		}
	}
	m.ABI = name // what has been found out is written down: after a restart the module is not there yet to be asked
	if err := m.AddExports(names); err != nil {
		return nil, nil, invalid(err)
	}
	return d.settle(m, req, module)
}

// settle applies what the request says beside the manifest: another name, and where its relative paths begin.
func (d *Daemon) settle(m *manifest.Manifest, req admin.DeployRequest, module *gate.Module) (*manifest.Manifest, *gate.Module, error) {
	if req.Name != "" {
		m.Rename(req.Name)
	}
	for i := range m.Grants.Dirs {
		dir := &m.Grants.Dirs[i]
		if filepath.IsAbs(dir.Host) {
			continue
		}
		if req.Dir == "" {
			return nil, nil, &admin.Error{
				Kind: admin.ErrInvalid, Detail: fmt.Sprintf("the granted folder %s is relative", dir.Host),
				Remedy: "write an absolute path",
			}
		}
		dir.Host = manifest.Resolve(req.Dir, dir.Host)
	}
	if limit := d.config.Timeouts.AppMax; m.Limits.Timeout > limit {
		return nil, nil, &admin.Error{
			Kind:   admin.ErrInvalid,
			Detail: fmt.Sprintf("limits.timeout is %v, this daemon allows %v", m.Limits.Timeout, limit),
			Remedy: "lower it, or raise timeouts.app_max in the daemon's configuration",
		}
	}
	if err := m.Validate(); err != nil {
		return nil, nil, invalid(err)
	}
	return m, module, nil
}

// checkEntries makes sure that the module exports what the manifest's functions enter.
func (c *candidate) checkEntries() error {
	var checker strictyaml.Checker
	for name, function := range c.manifest.Functions {
		at := fmt.Sprintf("functions.%s.entry", name)
		t, ok := c.types[function.Entry]
		switch {
		case !ok:
			checker.Add(at, fmt.Sprintf("the module exports no function %q", function.Entry), c.suggest(function.Entry))
		case !c.abi.Entry(t):
			checker.Add(at, fmt.Sprintf("%q has type %s", function.Entry, t), "an entry takes nothing and returns nothing or an i32")
		case hostfn.TakesArgument(t) && !c.types[hostfn.AllocateExport].Equal(hostfn.AllocateType()):
			checker.Add(at, fmt.Sprintf("%q takes (pointer, length), but the module does not export %s, of type %s", function.Entry,
				hostfn.AllocateExport, hostfn.AllocateType()), "export it")
		}
	}
	if err := checker.Err(); err != nil {
		return invalid(err)
	}
	return nil
}

// suggest helps with an entry that is not there.
func (c *candidate) suggest(entry string) string {
	if near := strictyaml.Nearest(entry, c.names); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Sprintf("it exports %q", c.names)
}

// compile gets the artifact of the candidate.
func (d *Daemon) compile(ctx context.Context, c *candidate, progress func(admin.Progress)) (*aot.Artifact, error) {
	progress(admin.Progress{Stage: stageCompile})
	artifact, err := d.cache.Get(ctx, c.module.Code, func(stage string, done, total int64) {
		progress(admin.Progress{Stage: stageCompile, Done: done, Total: total, Message: stage})
	})
	if err == nil {
		return artifact, nil
	}
	var failed *aot.CompileError
	switch {
	case errors.As(err, &failed):
		return nil, &admin.Error{Kind: admin.ErrInvalid, Detail: failed.Error(), Cause: err}
	case errors.Is(err, aot.ErrBusy):
		return nil, &admin.Error{Kind: admin.ErrLimit, Detail: err.Error(), Cause: err}
	case errors.Is(err, aot.ErrClosed):
		return nil, &admin.Error{Kind: admin.ErrUnavailable, Detail: "the daemon is stopping", Cause: err}
	}
	return nil, err
}

// made is a program and what it was loaded from.
type made struct {
	program  *pool.Program
	artifact *aot.Artifact
}

// install starts one instance, persists the version, and switches over to it.
func (d *Daemon) install(ctx context.Context, req admin.DeployRequest, c *candidate, built made,
	progress func(admin.Progress),
) (admin.DeployResult, error) {
	progress(admin.Progress{Stage: stageStart})
	one, err := d.start(ctx, c, built)
	if err != nil {
		return admin.DeployResult{}, err
	}
	progress(admin.Progress{Stage: stageActivate})
	if err := d.activate(req, c, one); err != nil {
		one.app.Retire()
		return admin.DeployResult{}, err
	}
	if !built.artifact.Final {
		d.catchUp(one, c.module)
	}
	return d.result(one), nil
}

// start makes the candidate ready to serve and starts one instance. It takes no lock: a start-up may run to its timeout, and
// other deploys need not wait for it.
func (d *Daemon) start(ctx context.Context, c *candidate, built made) (*deployed, error) {
	begun := time.Now()
	one, err := d.ready(&app.Version{App: c.manifest.App, Manifest: c.manifest}, c.manifest, built.program)
	if err != nil {
		built.program.Module.Close()
		return nil, invalid(err)
	}
	one.made(built.artifact)
	if err := d.pool.Try(ctx, one.app); err != nil {
		one.app.Retire()
		return nil, d.startFailed(c.manifest.App, begun, err)
	}
	return one, nil
}

// activate persists a candidate that has been started, and switches over to it.
func (d *Daemon) activate(req admin.DeployRequest, c *candidate, one *deployed) error {
	d.deployMu.Lock()
	defer d.deployMu.Unlock()
	if d.draining.Load() {
		// Nobody may be left to hear that it went well, and what has been told to fail must not be there after a restart.
		return &admin.Error{Kind: admin.ErrUnavailable, Detail: "the daemon is stopping; nothing was deployed"}
	}
	table, err := d.routes(c.manifest.App, one)
	if err != nil {
		return conflict(err)
	}
	version, err := d.persist(c.manifest, req)
	if err != nil {
		return fmt.Errorf("keep the version: %w", err)
	}
	one.version = version
	d.serve(version.App, one, table)
	return nil
}

// catchUp uses the better build of a module that has been finished since its quick one was taken: better knew nothing of
// the app then.
func (d *Daemon) catchUp(one *deployed, module *gate.Module) {
	if artifact, ok := d.cache.Lookup(module.Code); ok && artifact.Final {
		d.improveApp(one, artifact)
	}
}

// startFailed reports an instance that could not be started, with what the guest logged meanwhile: when the app is not
// deployed otherwise, 'edged logs' has no place for it.
func (d *Daemon) startFailed(name invoke.AppName, since time.Time, cause error) error {
	var detail strings.Builder
	fmt.Fprintf(&detail, "an instance cannot be started: %v", cause)
	for record := range d.logs.Ring(name).Tail(since) {
		detail.WriteString("\n  " + record.Text)
	}
	if _, err := d.find(name); err != nil {
		d.logs.Remove(name)
	}
	return &admin.Error{Kind: admin.ErrInvalid, Detail: detail.String(), Cause: cause}
}

// persist stages and activates a version: from here on it is what serves after a restart. What is active already stays
// what it is: deploying it again reads its secrets and folders anew, and makes no version.
func (d *Daemon) persist(m *manifest.Manifest, req admin.DeployRequest) (*app.Version, error) {
	if active, err := d.registry.Active(m.App); err == nil && same(active, m, req) {
		return active, nil
	}
	version, err := d.registry.Stage(m, req.Manifest, req.Module)
	if err != nil {
		return nil, err
	}
	return version, d.registry.Activate(version.App, version.ID)
}

// same reports whether a request asks for what a version is.
func same(version *app.Version, m *manifest.Manifest, req admin.DeployRequest) bool {
	kept, err := version.Manifest.YAML()
	if err != nil {
		return false
	}
	asked, err := m.YAML()
	if err != nil || !bytes.Equal(kept, asked) || !bytes.Equal(version.Source, req.Manifest) {
		return false
	}
	module, err := version.ReadModule()
	return err == nil && bytes.Equal(module, req.Module)
}

// serve switches the routes over and retires what served before.
func (d *Daemon) serve(name invoke.AppName, one *deployed, table *router.Table) {
	d.mu.Lock()
	before := d.apps[name]
	if one == nil {
		delete(d.apps, name)
	} else {
		d.apps[name] = one
	}
	d.mu.Unlock()
	d.router.Swap(table)
	var timers []crontrigger.Timer
	if one != nil {
		timers = timersOf(one.version.Manifest)
	}
	d.timers.Set(name, timers)
	if before != nil {
		before.app.Retire()
	}
	d.relax()
	if err := d.retrigger(); err != nil {
		d.logger.Error("triggers not set: functions are started by changes of keys as before", "error", err)
	}
	d.changed()
	if one != nil {
		d.logger.Info("serving", "app", name, "version", one.version.ID)
	}
}

// better swaps a better build of a module into every app that is made of it. The artifact cache calls it.
func (d *Daemon) better(key aot.Key, artifact *aot.Artifact) {
	for _, one := range d.deployed() {
		if made := one.key.Load(); made == nil || *made != key {
			continue // of another module, or not loaded yet: then it will find the better build by itself
		}
		d.improveApp(one, artifact)
	}
}

// improveApp swaps a better build into an app that serves.
func (d *Daemon) improveApp(one *deployed, artifact *aot.Artifact) {
	logger := d.logger.With("app", one.version.App, "version", one.version.ID)
	c, err := recheck(one.version)
	if err != nil {
		logger.Error("optimised build not used", "error", err)
		return
	}
	program, err := c.program(d.engine, artifact)
	if err != nil {
		logger.Error("optimised build not used", "error", err)
		return
	}
	one.app.Replace(program)
	one.made(artifact)
	logger.Info("optimised build in use")
}

// changed asks for the artifacts to be tidied.
func (d *Daemon) changed() {
	select {
	case d.untidy <- struct{}{}:
	default: // that has been asked for
	}
}

// tidyDelay gathers deploys that follow each other before what they left is tidied.
const tidyDelay = 2 * time.Second

// keepTidy tidies when the daemon starts and after every change of what is deployed, until ctx ends.
func (d *Daemon) keepTidy(ctx context.Context) {
	keys := make(map[built]aot.Key)
	for {
		d.tidy(ctx, keys)
		select {
		case <-ctx.Done():
			return
		case <-d.untidy:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(tidyDelay):
		}
	}
}

// built is what an artifact's key follows from. Kept between rounds, so that a module is passed through the gate once.
type built struct {
	module app.Hash
	memory uint32 // gate.Limits.MemoryPages
}

// tidy removes the artifacts that no kept version is made of, and lets unfinished builds go on. It works beside the daemon,
// one module after another.
func (d *Daemon) tidy(ctx context.Context, keys map[built]aot.Key) {
	checked := false
	keep := map[aot.Key]struct{}{d.cache.KeyOf(wasmedge.KeeperModule()): {}}
	for _, name := range d.registry.Apps() {
		versions, err := d.registry.Versions(name)
		if err != nil {
			d.logger.Warn("artifacts are not tidied", "app", name, "error", err)
			return
		}
		for _, version := range versions {
			if ctx.Err() != nil {
				return
			}
			of := built{version.Module, gateLimits(version.Manifest).MemoryPages}
			if key, known := keys[of]; known {
				keep[key] = struct{}{}
				continue
			}
			c, err := recheck(version)
			if err != nil {
				continue // it can not serve, so its artifact serves nobody
			}
			checked = true
			keys[of] = d.cache.KeyOf(c.module.Code)
			keep[keys[of]] = struct{}{}
			if version.Active {
				d.improve(ctx, c)
			}
		}
	}
	if checked {
		debug.FreeOSMemory() // what checking all modules took
	}
	maps.DeleteFunc(keys, func(_ built, key aot.Key) bool { _, kept := keep[key]; return !kept })
	if !d.building.TryLock() {
		return // a deploy is under way and will ask again: it must not wait, nor those behind it
	}
	defer d.building.Unlock()
	for _, one := range d.deployed() {
		if key := one.key.Load(); key != nil {
			keep[*key] = struct{}{} // deployed while this looked
		}
	}
	n, err := d.cache.GC(keep)
	if err != nil {
		d.logger.Error("artifacts not tidied", "removed", n, "error", err)
	} else if n > 0 {
		d.logger.Info("artifacts tidied", "removed", n)
	}
}

// improve lets the cache finish a build that was only begun when the daemon ended.
func (d *Daemon) improve(ctx context.Context, c *candidate) {
	if artifact, ok := d.cache.Lookup(c.module.Code); ok && artifact.Final {
		return
	}
	if _, err := d.cache.Get(ctx, c.module.Code, nil); err != nil && ctx.Err() == nil {
		d.logger.Warn("module not compiled", "app", c.manifest.App, "error", err)
	}
}

// functions returns what guests may import.
func (d *Daemon) functions() []wasmedge.HostFunc { return d.engine.Functions() }

// invalid reports an error of what the user gave.
func invalid(err error) error {
	var known *admin.Error
	if errors.As(err, &known) {
		return err
	}
	return &admin.Error{Kind: admin.ErrInvalid, Detail: err.Error(), Cause: err}
}

func conflict(err error) error {
	if errors.Is(err, router.ErrConflict) {
		return &admin.Error{Kind: admin.ErrConflict, Detail: err.Error(), Cause: err, Remedy: "give one of them another http.path"}
	}
	return invalid(err)
}
