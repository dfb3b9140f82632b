package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/app"
	"edged.dev/edge/edged/internal/calls"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/logring"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/kvstore"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// deployed is the version of an app that serves.
type deployed struct {
	version  *app.Version
	app      *pool.App
	abi      hostfn.ABI
	warnings []string
	callees  map[invoke.FunctionName]calls.Function
	key      atomic.Pointer[aot.Key] // what its program was made from; nil until it is loaded
	quick    atomic.Bool             // its program is the quick build of a module whose better one is being made
}

// candidate is a module on its way to be deployed, or back into service: everything known of it.
type candidate struct {
	manifest *manifest.Manifest
	module   *gate.Module
	abi      hostfn.ABI
	names    []string // of exported functions
	types    map[string]wasmedge.FuncType
	imports  gate.Table
}

// gateLimits are the limits for an app's module.
func gateLimits(m *manifest.Manifest) gate.Limits {
	limits := gate.DefaultLimits()
	limits.MemoryPages = uint32(min(int64(m.Limits.Memory)/65536, 65536))
	return limits
}

// inspect passes a module through the loader gate and works out how it is spoken to.
func inspect(m *manifest.Manifest, module *gate.Module) (*candidate, error) {
	c := &candidate{manifest: m, module: module}
	c.names, c.types = functionExports(module)
	abi, err := abiOf(m.ABI, c.names)
	if err != nil {
		return nil, err
	}
	c.abi = abi
	return c, nil
}

// abis are the interfaces that a manifest can name.
func abis() map[manifest.ABI]hostfn.ABI {
	return map[manifest.ABI]hostfn.ABI{
		manifest.ABIEdged: hostfn.ABIEdged, manifest.ABICGI: hostfn.ABICGI, manifest.ABIStdio: hostfn.ABIStdio,
		manifest.ABIWaverless: hostfn.ABIWaverless, manifest.ABIFaasm: hostfn.ABIFaasm,
		manifest.ABISledge: hostfn.ABISledge, manifest.ABIWarrior: hostfn.ABIWarrior,
	}
}

// abiOf returns how a module is spoken to. auto never means another system here: a deploy has written that into the manifest.
func abiOf(name manifest.ABI, exports []string) (hostfn.ABI, error) {
	if abi, named := abis()[name]; named {
		return abi, nil
	}
	return hostfn.Detect(exports)
}

// program loads an artifact of the candidate.
func (c *candidate) program(engine *wasmedge.Engine, artifact *aot.Artifact) (*pool.Program, error) {
	module, err := load(engine, c.module, artifact)
	if err != nil {
		return nil, err
	}
	program := &pool.Program{
		Module: module, StartUp: startUp(c.module, c.names, c.abi), Entries: c.types,
		Resettable: c.manifest.Template == manifest.TemplateAuto && !c.module.TablesMutable && !c.module.SegmentsMutable,
	}
	for _, global := range c.module.MutableGlobals {
		if global.Type == gate.FuncRef || global.Type == gate.ExternRef {
			program.Resettable = false // a reference belongs to its instance
		}
		program.Globals = append(program.Globals, global.Export)
	}
	if t, ok := c.types[restoreExport]; ok && t.Equal(wasmedge.FuncType{}) {
		program.Restore = restoreExport
	}
	return program, nil
}

// restoreExport is what a guest exports to be told that it starts from a template; see docs/ABI.md.
const restoreExport = "edged_restore"

// made notes which artifact the app's program was loaded from.
func (a *deployed) made(artifact *aot.Artifact) {
	a.key.Store(&artifact.Key)
	a.quick.Store(!artifact.Final)
}

// restore puts a version that was active when the daemon ended back into service.
func (d *Daemon) restore(version *app.Version) error {
	one, err := d.ready(version, version.Manifest, nil)
	if err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.apps[version.App] = one
	return nil
}

// ready makes a version ready to serve. program is what has been loaded of it already, nil to load it when the first
// request comes.
func (d *Daemon) ready(version *app.Version, m *manifest.Manifest, program *pool.Program) (*deployed, error) {
	guest, warnings, err := d.guest(m)
	if err != nil {
		return nil, err
	}
	one := &deployed{version: version, abi: guest.ABI, warnings: warnings}
	spec := pool.Spec{
		App: m.App, Guest: guest, Timeout: d.timeout(m), Concurrency: m.Limits.Concurrency, Reuse: m.Reuse,
		Failed: d.failed,
		Load: func() (*pool.Program, error) {
			if first := program; first != nil {
				program = nil
				return first, nil
			}
			return d.reload(one)
		},
	}
	for name, function := range m.Functions {
		spec.Functions = append(spec.Functions, pool.FunctionSpec{
			Name: name, Entry: function.Entry, Deadline: function.Deadline, Metric: d.metrics.Function(m.App, name),
			Then: m.Chain(name), Actor: function.Actor, History: d.pool.History(m.App, name),
		})
	}
	one.app = pool.NewApp(spec)
	one.callees = callees(one.app, m)
	return one, nil
}

// reload reads, checks and loads the module of a version again; it compiles it when its artifact is missing or damaged.
func (d *Daemon) reload(one *deployed) (*pool.Program, error) {
	begun := time.Now()
	c, err := recheck(one.version)
	if err != nil {
		return nil, err
	}
	artifact, err := d.cache.Get(context.Background(), c.module.Code, nil)
	if err != nil {
		return nil, err
	}
	program, err := c.program(d.engine, artifact)
	if err != nil {
		return nil, err
	}
	one.made(artifact)
	d.logger.Debug("app loaded", "app", one.version.App, "version", one.version.ID, "took", time.Since(begun))
	return program, nil
}

// recheck passes the module of a kept version through the gate again.
func recheck(version *app.Version) (*candidate, error) {
	module, err := version.ReadModule()
	if err != nil {
		return nil, err
	}
	checked, err := gate.Check(module, gateLimits(version.Manifest))
	if err != nil {
		return nil, err
	}
	return inspect(version.Manifest, checked)
}

// timeout is after what time a guest of the app is killed.
func (d *Daemon) timeout(m *manifest.Manifest) time.Duration {
	if m.Limits.Timeout == 0 {
		return d.config.Timeouts.App
	}
	return min(m.Limits.Timeout, d.config.Timeouts.AppMax)
}

// guest makes what the invocations of an app share. Warnings are what is missing and can be given later.
func (d *Daemon) guest(m *manifest.Manifest) (*hostfn.App, []string, error) {
	space, err := d.appSpace(m)
	if err != nil {
		return nil, nil, err
	}
	reach, err := spaceOf(space, m)
	if err != nil {
		return nil, nil, err
	}
	secrets, warnings, err := d.secrets(m)
	if err != nil {
		return nil, nil, err
	}
	abi, named := abis()[m.ABI]
	if _, command := m.Command(); !named && command {
		abi = hostfn.ABICGI
	}
	options := hostfn.AppOptions{
		Name: string(m.App), ABI: abi, Space: space, SpaceOf: reach, Calls: d.calls.For(m.App, m.Grants.Calls), Config: m.Grants.Config, Secrets: secrets,
		Log: logSink{d.logs.Ring(m.App)}, Node: d.node(), Software: "edged/" + d.version,
	}
	for _, dir := range m.Grants.Dirs {
		granted, err := d.grant(dir)
		if err != nil {
			return nil, nil, err
		}
		options.Dirs = append(options.Dirs, granted)
	}
	guest, err := hostfn.NewApp(options)
	return guest, append(warnings, notYet(m)...), err
}

// notYet warns of what a manifest may say and this version does nothing with.
func notYet(m *manifest.Manifest) []string {
	var warnings []string
	if len(m.Grants.Hosts) > 0 {
		warnings = append(warnings, "grants.hosts has no effect yet: there is no outbound HTTP for guests")
	}
	return warnings
}

func durability(d manifest.Durability) kvstore.Durability {
	switch d {
	case manifest.DurabilityBatched:
		return kvstore.Batched
	case manifest.DurabilityMemory:
		return kvstore.Memory
	case manifest.DurabilitySync:
	}
	return kvstore.Sync
}

// node names this box to guests: its host name.
func (d *Daemon) node() string {
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}

// maxSecretBytes bounds a secret's file.
const maxSecretBytes = 64 << 10

// secrets reads the secrets that the manifest names from DATA/secrets/APP/NAME, a file each. One that others may read is
// used, with a warning.
func (d *Daemon) secrets(m *manifest.Manifest) (map[string]string, []string, error) {
	values := make(map[string]string)
	var warnings []string
	for _, name := range m.Grants.Secrets {
		path := filepath.Join(d.config.Data, "secrets", string(m.App), name)
		value, open, err := readSecret(path)
		switch {
		case errors.Is(err, os.ErrNotExist):
			warnings = append(warnings, fmt.Sprintf("secret %s has no value; write it to %s and deploy again", name, path))
			continue
		case err != nil:
			return nil, nil, fmt.Errorf("read secret %s: %w", name, err)
		case len(value) > maxSecretBytes:
			return nil, nil, fmt.Errorf("secret %s: %s has more than the limit of %d bytes", name, path, maxSecretBytes)
		}
		if open {
			warnings = append(warnings, fmt.Sprintf("secret %s can be read by other users: chmod 600 %s", name, path))
		}
		values[name] = strings.TrimSuffix(string(value), "\n")
	}
	return values, warnings, nil
}

// readSecret reads a secret's file, one byte above the limit at most. open says that others than its owner may use it.
func readSecret(path string) (value []byte, open bool, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return nil, false, err
	}
	if !info.Mode().IsRegular() {
		return nil, false, fmt.Errorf("%s is not a file", path)
	}
	value, err = io.ReadAll(io.LimitReader(file, maxSecretBytes+1))
	return value, info.Mode().Perm()&0o077 != 0, err
}

// failed writes an invocation that ended badly into its app's log, where its author looks.
func (d *Daemon) failed(inv *invoke.Invocation, cause error) {
	d.logs.Ring(inv.App).Append(logring.Entry{
		Time: time.Now(), App: inv.App, Function: inv.Function, Invocation: inv.ID, Level: logring.LevelError, Text: cause.Error(),
	})
}

// logSink writes what guests log to the app's ring.
type logSink struct{ ring *logring.Ring }

// Log implements hostfn.LogSink.
func (s logSink) Log(line hostfn.LogLine) {
	s.ring.Append(logring.Entry{
		Time: line.Time, App: invoke.AppName(line.App), Function: invoke.FunctionName(line.Function), Invocation: line.Invocation,
		Level: logring.Level(line.Level), Text: line.Text,
	})
}

// reroute builds the routes of all apps that serve and swaps them in.
func (d *Daemon) reroute() error {
	table, err := d.routes("", nil)
	if err != nil {
		return err
	}
	d.router.Swap(table)
	return nil
}

// routes builds the table that holds when name is served by one; a nil one leaves the app out, and an empty name changes
// nothing.
func (d *Daemon) routes(name invoke.AppName, one *deployed) (*router.Table, error) {
	apps := d.deployed()
	if name != "" {
		delete(apps, name)
	}
	if one != nil {
		apps[name] = one
	}
	var entries []router.Entry
	for _, a := range apps {
		entries = append(entries, a.entries()...)
	}
	return router.Build(entries)
}

// entries returns the routes of the app.
func (a *deployed) entries() []router.Entry {
	m := a.version.Manifest
	var entries []router.Entry
	for name, function := range m.Functions {
		entries = append(entries, router.Entry{
			App: m.App, Function: name, Methods: function.HTTP.Methods, Path: m.Route(name), Target: a.app.Function(name),
		})
	}
	return entries
}

// deployed returns a copy of the map of what serves.
func (d *Daemon) deployed() map[invoke.AppName]*deployed {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.apps)
}
