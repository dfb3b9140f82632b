// Package app is the registry of deployed apps: which versions each has, which one is active, and the modules and
// manifests they are made of. It keeps all of it below the data folder, so that a daemon that was killed starts the same
// apps again.
//
// On disk, below DATA:
//
//	lock                     held by the daemon
//	apps/records/APP.app     one record an app: its versions and which is active
//	apps/modules/HASH.wasm   modules by SHA-256, as they were uploaded
//	apps/manifests/HASH.yaml manifests by SHA-256: with defaults, and as the user wrote them
//
// Every change of an app is one rename of its record, so a crash at any point leaves the old state or the new one. Files
// that a record names are on disk before it is. A damaged file is found by its checksum and takes only its app with it.
//
// Lock order: writeMu, then mu.
package app

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
)

// KeepVersions is how many versions an app keeps to roll back to.
const KeepVersions = 10

// recordExt is the extension of records.
const recordExt = ".app"

// Registry is the set of deployed apps. All methods may be called from any goroutine; changes are done one after the
// other and are on disk when the method returns, reading never waits for them.
type Registry struct {
	dir       string // of the records
	modules   store
	manifests store
	disk      disk
	lock      *os.File

	writeMu sync.Mutex // held during a change, disk included
	mu      sync.RWMutex
	closed  bool                       // guarded by mu
	records map[invoke.AppName]*record // guarded by mu; the records are immutable
	damaged map[invoke.AppName]error   // guarded by mu; apps that cannot be served, and why
}

// Version is one immutable version of an app.
type Version struct {
	App      invoke.AppName
	ID       VersionID
	Number   int
	Active   bool // at the time it was asked for
	Manifest *manifest.Manifest
	Source   []byte // the manifest as the user wrote it; nil when there was none
	Module   Hash   // of the module as it was uploaded
	Staged   time.Time
	modules  store
}

// ReadModule returns the module's bytes, verified against its hash; the error wraps ErrDamaged when they are not what was
// staged. The caller owns the slice.
func (v *Version) ReadModule() ([]byte, error) {
	content, err := v.modules.read(v.Module)
	if err != nil {
		return nil, fmt.Errorf("module of %s %s: %w; deploy the app again", v.App, v.ID, err)
	}
	return content, nil
}

// Damage is an app whose files are not what was written.
type Damage struct {
	App invoke.AppName
	Err error // wraps ErrDamaged; names the file and what to do
}

// Open opens the registry in a data folder, which is made if need be, and locks the folder until [Registry.Close]. Apps
// with damaged files are left out and listed by [Registry.Damaged]; the active version of every other one has been read
// and verified.
func Open(dataDir string) (*Registry, error) { return open(dataDir, disk{}) }

func open(dataDir string, d disk) (*Registry, error) {
	apps := filepath.Join(dataDir, "apps")
	r := &Registry{
		dir:       filepath.Join(apps, "records"),
		modules:   store{d, filepath.Join(apps, "modules"), ".wasm"},
		manifests: store{d, filepath.Join(apps, "manifests"), ".yaml"},
		disk:      d,
		records:   make(map[invoke.AppName]*record),
		damaged:   make(map[invoke.AppName]error),
	}
	for _, dir := range []string{r.dir, r.modules.dir, r.manifests.dir} {
		if err := os.MkdirAll(dir, 0o700); err != nil { //nolint:gosec // below the operator's own data folder
			return nil, fmt.Errorf("open app registry: %w", err)
		}
	}
	lock, err := acquire(filepath.Join(dataDir, "lock"))
	if err != nil {
		return nil, fmt.Errorf("open app registry: %w", err)
	}
	r.lock = lock
	for _, dir := range []string{dataDir, apps} {
		err = errors.Join(err, d.syncDir(dir))
	}
	if err = errors.Join(err, r.load()); err != nil {
		return nil, errors.Join(fmt.Errorf("open app registry: %w", err), r.Close())
	}
	return r, nil
}

// Close gives the data folder back. It waits for a change that is under way; closing again does nothing.
func (r *Registry) Close() error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return nil
	}
	r.closed = true
	return r.lock.Close()
}

// load reads all records.
func (r *Registry) load() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return err
	}
	for _, file := range entries {
		path := filepath.Join(r.dir, file.Name())
		name, isRecord := strings.CutSuffix(file.Name(), recordExt)
		switch {
		case strings.HasSuffix(file.Name(), tempSuffix):
			if err := r.disk.remove(path); err != nil {
				return err
			}
		case isRecord && manifest.ValidName(name):
			r.loadRecord(invoke.AppName(name), path)
		}
	}
	return r.collect()
}

// loadRecord reads one record and verifies its active version; what is wrong is noted, not returned.
func (r *Registry) loadRecord(name invoke.AppName, path string) {
	const remedy = "deploy the app again, or remove it with: edged rm"
	content, err := os.ReadFile(path)
	var rec *record
	if err == nil {
		rec, err = decodeRecord(content)
	}
	if err == nil && rec.App != name {
		err = fmt.Errorf("%w: it is the record of %q", ErrDamaged, rec.App)
	}
	if err != nil {
		if !errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		r.damaged[name] = fmt.Errorf("record %s of app %s: %w; %s", path, name, err, remedy)
		return
	}
	r.records[name] = rec
	active, there := rec.find(rec.Active)
	if !there {
		return
	}
	version, err := r.version(rec, active)
	if err == nil {
		_, err = version.ReadModule()
	}
	if err != nil {
		r.damaged[name] = fmt.Errorf("%w; or go back with: edged rollback %s", err, name)
	}
}

// collect removes the files that no record names. A record that cannot be read may name any of them, so then all stay.
func (r *Registry) collect() error {
	keepModules, keepManifests := make(map[Hash]bool), make(map[Hash]bool)
	r.mu.RLock()
	for name := range r.damaged {
		if r.records[name] == nil {
			r.mu.RUnlock()
			return nil
		}
	}
	for _, rec := range r.records {
		for _, e := range rec.Versions {
			keepModules[e.Module], keepManifests[e.Manifest], keepManifests[e.Source] = true, true, true
		}
	}
	r.mu.RUnlock()
	return errors.Join(r.modules.collect(keepModules), r.manifests.collect(keepManifests))
}

// Stage keeps a version of the app that the manifest names, without activating it. source is the manifest as the user wrote
// it, nil when there was none. Both slices are only read. When it returns, the version is on disk; on an error the app
// is as before (should making the change durable be what went wrong, a restart may find it done after all). The oldest versions beyond [KeepVersions] are forgotten, never the active one and the one before it.
func (r *Registry) Stage(m *manifest.Manifest, source, module []byte) (*Version, error) {
	if err := m.Validate(); err != nil {
		return nil, fmt.Errorf("stage: %w", err)
	}
	full, err := m.YAML()
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", m.App, err)
	}
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	old, err := r.current(m.App)
	if errors.Is(err, ErrNotFound) {
		old, err = &record{App: m.App, Next: 1}, r.setAside(m.App)
	}
	if err != nil {
		return nil, fmt.Errorf("stage %s: %w", m.App, err)
	}
	e := entry{Number: old.Next, Staged: time.Now().UTC().Truncate(time.Millisecond)}
	var errs [3]error
	e.Module, errs[0] = r.modules.put(module)
	e.Manifest, errs[1] = r.manifests.put(full)
	e.Source, errs[2] = r.manifests.put(source)
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("stage %s: %w", m.App, err)
	}
	const idDigits = 8
	e.ID = VersionID(fmt.Sprintf("v%d-%s", e.Number, hashOf([]byte(e.Module + e.Manifest))[:idDigits]))
	next := old.with(e, KeepVersions)
	if err := r.commit(next); err != nil {
		return nil, fmt.Errorf("stage %s: %w", m.App, err)
	}
	if len(next.Versions) <= len(old.Versions) {
		r.collectLater()
	}
	return r.version(next, e)
}

// setAside renames a record that cannot be read, so that the app can be deployed anew and nothing is destroyed.
func (r *Registry) setAside(name invoke.AppName) error {
	path := r.path(name)
	err := os.Rename(path, path+".damaged") //nolint:gosec // below the operator's own data folder
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Activate makes a staged version the one that serves. When it returns, that is on disk; on an error the version from
// before goes on serving, as with [Registry.Stage]. Activating the active version changes nothing.
func (r *Registry) Activate(name invoke.AppName, id VersionID) error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	return r.activate(name, id)
}

// activate is Activate; writeMu is held.
func (r *Registry) activate(name invoke.AppName, id VersionID) error {
	rec, err := r.current(name)
	if err != nil {
		return fmt.Errorf("activate %s %s: %w", name, id, err)
	}
	e, there := rec.find(id)
	if !there {
		return fmt.Errorf("activate %s %s: %w; the app has %s", name, id, ErrNoVersion, ids(rec))
	}
	version, err := r.version(rec, e)
	if err == nil {
		_, err = version.ReadModule()
	}
	if err != nil {
		return fmt.Errorf("activate %s %s: %w", name, id, err)
	}
	if err := r.commit(rec.activated(id)); err != nil {
		return fmt.Errorf("activate %s %s: %w", name, id, err)
	}
	return nil
}

// ids lists the versions of a record for messages.
func ids(rec *record) string {
	list := make([]string, 0, len(rec.Versions))
	for _, e := range rec.Versions {
		list = append(list, string(e.ID))
	}
	return strings.Join(list, ", ")
}

// Earlier returns the version that a rollback leads to; "" means the one that was active before the active one. A version
// may be given by its number alone: "v3" or "3". Its module has been read and verified.
func (r *Registry) Earlier(name invoke.AppName, id VersionID) (*Version, error) {
	rec, err := r.current(name)
	if err != nil {
		return nil, fmt.Errorf("roll back %s: %w", name, err)
	}
	if id == "" {
		id = rec.Previous
	}
	if id == "" {
		return nil, fmt.Errorf("roll back %s: %w: none was active before; the app has %s", name, ErrNoVersion, ids(rec))
	}
	for _, e := range rec.Versions {
		if string(id) == fmt.Sprintf("v%d", e.Number) || string(id) == strconv.Itoa(e.Number) {
			id = e.ID
		}
	}
	e, there := rec.find(id)
	if !there {
		return nil, fmt.Errorf("roll back %s: %w: %s; the app has %s", name, ErrNoVersion, id, ids(rec))
	}
	version, err := r.version(rec, e)
	if err == nil {
		_, err = version.ReadModule()
	}
	if err != nil {
		return nil, fmt.Errorf("roll back %s to %s: %w", name, id, err)
	}
	return version, nil
}

// Rollback activates an earlier version and returns it; see [Registry.Earlier] for what id means. Twice in a row without a
// version leads back.
func (r *Registry) Rollback(name invoke.AppName, id VersionID) (*Version, error) {
	version, err := r.Earlier(name, id)
	if err != nil {
		return nil, err
	}
	if err := r.Activate(name, version.ID); err != nil {
		return nil, err
	}
	return r.Active(name)
}

// Remove forgets an app with all its versions. When it returns, that is on disk.
func (r *Registry) Remove(name invoke.AppName) error {
	r.writeMu.Lock()
	defer r.writeMu.Unlock()
	r.mu.RLock()
	closed, known := r.closed, r.records[name] != nil || r.damaged[name] != nil
	r.mu.RUnlock()
	switch {
	case closed:
		return fmt.Errorf("remove %s: %w", name, ErrClosed)
	case !known:
		return fmt.Errorf("remove %s: %w", name, ErrNotFound)
	}
	if err := r.disk.remove(r.path(name)); err != nil {
		return fmt.Errorf("remove %s: %w", name, err)
	}
	r.mu.Lock()
	delete(r.records, name)
	delete(r.damaged, name)
	r.mu.Unlock()
	r.collectLater()
	return nil
}

// collectLater removes unused files after a change that has succeeded without them; what cannot be removed now costs
// space and is tried again at the next change and when the registry opens.
func (r *Registry) collectLater() { _ = r.collect() }

// commit makes a record the current one: on disk, then for readers. writeMu is held.
func (r *Registry) commit(rec *record) error {
	content, err := rec.encode()
	if err != nil {
		return err
	}
	if err := r.disk.replace(r.path(rec.App), content); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if old := r.records[rec.App]; old == nil || old.Active != rec.Active {
		delete(r.damaged, rec.App) // the version that was damaged no longer serves
	}
	r.records[rec.App] = rec
	return nil
}

func (r *Registry) path(name invoke.AppName) string {
	return filepath.Join(r.dir, string(name)+recordExt)
}

// current returns the record of an app.
func (r *Registry) current(name invoke.AppName) (*record, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.closed {
		return nil, ErrClosed
	}
	if rec := r.records[name]; rec != nil {
		return rec, nil
	}
	return nil, fmt.Errorf("%w: %q", ErrNotFound, name)
}

// version reads the files of an entry but for the module.
func (r *Registry) version(rec *record, e entry) (*Version, error) {
	where := fmt.Sprintf("manifest of %s %s", rec.App, e.ID)
	text, err := r.manifests.read(e.Manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; deploy the app again", where, err)
	}
	m, err := manifest.Parse(r.manifests.path(e.Manifest), text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w; deploy the app again", where, ErrDamaged, err)
	}
	source, err := r.manifests.read(e.Source)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; deploy the app again", where, err)
	}
	if len(source) == 0 {
		source = nil
	}
	return &Version{
		App: rec.App, ID: e.ID, Number: e.Number, Active: e.ID == rec.Active,
		Manifest: m, Source: source, Module: e.Module, Staged: e.Staged, modules: r.modules,
	}, nil
}

// Apps returns the names of all apps that have a record that can be read, sorted, those without an active version too.
func (r *Registry) Apps() []invoke.AppName {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Sorted(maps.Keys(r.records))
}

// Damaged returns the apps that cannot be served because of damaged files, by name.
func (r *Registry) Damaged() []Damage {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var list []Damage
	for _, name := range slices.Sorted(maps.Keys(r.damaged)) {
		list = append(list, Damage{name, r.damaged[name]})
	}
	return list
}

// Versions returns the versions of an app from old to new. Versions with damaged files are left out, and told by the
// error beside the rest.
func (r *Registry) Versions(name invoke.AppName) ([]*Version, error) {
	rec, err := r.current(name)
	if err != nil {
		return nil, err
	}
	var list []*Version
	var errs []error
	for _, e := range rec.Versions {
		version, err := r.version(rec, e)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, version)
	}
	return list, errors.Join(errs...)
}

// Active returns the version of an app that serves, or an error that wraps ErrNotFound, ErrNotActive or ErrDamaged.
func (r *Registry) Active(name invoke.AppName) (*Version, error) {
	r.mu.RLock()
	damage := r.damaged[name]
	r.mu.RUnlock()
	if damage != nil {
		return nil, damage
	}
	rec, err := r.current(name)
	if err != nil {
		return nil, err
	}
	e, there := rec.find(rec.Active)
	if !there {
		return nil, fmt.Errorf("%w of app %s", ErrNotActive, name)
	}
	return r.version(rec, e)
}
