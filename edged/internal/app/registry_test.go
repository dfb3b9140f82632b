package app

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/internal/testutil"
)

func newManifest(name string) *manifest.Manifest {
	m := manifest.Default()
	m.App, m.Module, m.KV.Space = invoke.AppName(name), "a.wasm", name
	return m
}

// moduleOf returns module bytes that differ for every n.
func moduleOf(n int) []byte { return fmt.Appendf([]byte("\x00asm\x01\x00\x00\x00"), "%d", n) }

func mustOpen(t *testing.T, dir string) *Registry {
	t.Helper()
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shut(t, r) })
	return r
}

func shut(t *testing.T, r *Registry) {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

// deploy stages and activates a version.
func deploy(t *testing.T, r *Registry, name string, n int) *Version {
	t.Helper()
	v, err := r.Stage(newManifest(name), []byte("# as written\n"), moduleOf(n))
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Activate(v.App, v.ID); err != nil {
		t.Fatal(err)
	}
	return v
}

func reopen(t *testing.T, r *Registry, dir string) *Registry {
	t.Helper()
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return mustOpen(t, dir)
}

func TestDeployIsThereAfterReopen(t *testing.T) {
	testutil.NoLeaks(t)
	dir := t.TempDir()
	r := mustOpen(t, dir)
	if _, err := r.Active("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an empty registry: %v", err)
	}
	staged, err := r.Stage(newManifest("a"), []byte("# as written\n"), moduleOf(1))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Active("a"); !errors.Is(err, ErrNotActive) {
		t.Errorf("staged only: %v", err)
	}
	if err := r.Activate("a", staged.ID); err != nil {
		t.Fatal(err)
	}
	r = reopen(t, r, dir)
	got, err := r.Active("a")
	if err != nil {
		t.Fatal(err)
	}
	module, err := got.ReadModule()
	if err != nil || !bytes.Equal(module, moduleOf(1)) {
		t.Errorf("module %q %v", module, err)
	}
	if got.ID != staged.ID || got.Number != 1 || !got.Active || string(got.Source) != "# as written\n" || got.Manifest.App != "a" || !got.Staged.Equal(staged.Staged) {
		t.Errorf("got %+v, staged %+v", got, staged)
	}
	if !strings.HasPrefix(string(got.ID), "v1-") {
		t.Errorf("the first version is called %s", got.ID)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
	if _, err := r.Stage(newManifest("a"), nil, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}

func TestRollback(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir)
	first := deploy(t, r, "a", 1)
	if _, err := r.Rollback("a", ""); !errors.Is(err, ErrNoVersion) {
		t.Errorf("with nothing to go back to: %v", err)
	}
	second, third := deploy(t, r, "a", 2), deploy(t, r, "a", 3)
	check := func(ask VersionID, want VersionID) {
		t.Helper()
		if v, err := r.Rollback("a", ask); err != nil || v.ID != want {
			t.Fatalf("Rollback(%q) = %v %v, want %s", ask, v, err, want)
		}
		r = reopen(t, r, dir)
		if v, err := r.Active("a"); err != nil || v.ID != want {
			t.Fatalf("after reopen %v %v, want %s", v, err, want)
		}
	}
	check("", second.ID)
	check("", third.ID)
	check("v1", first.ID)
	check(second.ID, second.ID)
	if _, err := r.Rollback("a", "v9"); !errors.Is(err, ErrNoVersion) || !strings.Contains(err.Error(), string(first.ID)) {
		t.Errorf("an unknown version: %v", err)
	}
	if _, err := r.Rollback("b", ""); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown app: %v", err)
	}
}

func TestOldVersionsAndFilesAreForgotten(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir)
	first := deploy(t, r, "a", 0)
	for n := 1; n <= 2*KeepVersions; n++ {
		if _, err := r.Stage(newManifest("a"), nil, moduleOf(n)); err != nil {
			t.Fatal(err)
		}
	}
	versions, err := r.Versions("a")
	if err != nil || len(versions) != KeepVersions || versions[0].ID != first.ID || versions[KeepVersions-1].Number != 2*KeepVersions+1 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	files, err := os.ReadDir(filepath.Join(dir, "apps", "modules"))
	if err != nil || len(files) != KeepVersions {
		t.Errorf("%d modules for %d versions %v", len(files), KeepVersions, err)
	}
	deploy(t, r, "b", 7777)
	if err := r.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if err := r.Remove("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("removing twice: %v", err)
	}
	if files, err := os.ReadDir(filepath.Join(dir, "apps", "modules")); err != nil || len(files) != 1 {
		t.Errorf("%d modules are left for one app %v", len(files), err)
	}
	r = reopen(t, r, dir)
	if apps := r.Apps(); !slices.Equal(apps, []invoke.AppName{"b"}) {
		t.Errorf("apps %v", apps)
	}
}

func TestStageRefusesWhatIsNotValid(t *testing.T) {
	r := mustOpen(t, t.TempDir())
	m := newManifest("a")
	m.App = "../escape"
	if _, err := r.Stage(m, nil, moduleOf(1)); err == nil {
		t.Error("accepted")
	}
	if len(r.Apps()) != 0 {
		t.Errorf("apps %v", r.Apps())
	}
}

func TestOneDaemonAFolder(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir)
	_, err := Open(dir)
	if !errors.Is(err, ErrInUse) || !strings.Contains(err.Error(), fmt.Sprintf("process %d", os.Getpid())) {
		t.Errorf("got %v", err)
	}
	reopen(t, r, dir)
}

func TestDamage(t *testing.T) {
	flip := func(path string) error {
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		content[len(content)/2] ^= 1
		return os.WriteFile(path, content, 0o600)
	}
	record := func(dir string) string { return filepath.Join(dir, "apps", "records", "a.app") }
	for _, c := range []struct {
		name   string
		damage func(dir string, v *Version) error
		file   string
	}{
		{"flipped bit in the record", func(dir string, _ *Version) error { return flip(record(dir)) }, "a.app"},
		{"empty record", func(dir string, _ *Version) error { return os.Truncate(record(dir), 0) }, "a.app"},
		{"cut record", func(dir string, _ *Version) error { return os.Truncate(record(dir), 100) }, "a.app"},
		{"record of another app", func(dir string, _ *Version) error {
			return os.Rename(filepath.Join(dir, "apps", "records", "c.app"), record(dir))
		}, "a.app"},
		{"flipped bit in the module", func(_ string, v *Version) error { return flip(v.modules.path(v.Module)) }, ".wasm"},
		{"missing module", func(_ string, v *Version) error { return os.Remove(v.modules.path(v.Module)) }, ".wasm"},
		{"flipped bit in the manifest", func(dir string, v *Version) error {
			text, err := v.Manifest.YAML()
			if err != nil {
				return err
			}
			return flip(filepath.Join(dir, "apps", "manifests", string(hashOf(text))+".yaml"))
		}, ".yaml"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := mustOpen(t, dir)
			v, other := deploy(t, r, "a", 1), deploy(t, r, "b", 2)
			deploy(t, r, "c", 3)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			if err := c.damage(dir, v); err != nil {
				t.Fatal(err)
			}
			r = mustOpen(t, dir)
			if got, err := r.Active("b"); err != nil || got.ID != other.ID {
				t.Errorf("the other app: %v %v", got, err)
			}
			_, err := r.Active("a")
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), c.file) || !strings.Contains(err.Error(), "deploy the app again") {
				t.Errorf("got %v", err)
			}
			list := r.Damaged()
			if len(list) != 1 || list[0].App != "a" || !errors.Is(list[0].Err, ErrDamaged) {
				t.Errorf("listed as %v", list)
			}
			if module, err := other.ReadModule(); err != nil || !bytes.Equal(module, moduleOf(2)) {
				t.Errorf("the other module: %v", err)
			}
			again := deploy(t, r, "a", 1)
			if got, err := r.Active("a"); err != nil || got.ID != again.ID {
				t.Errorf("deployed again: %v %v", got, err)
			}
			r = reopen(t, r, dir)
			if list := r.Damaged(); len(list) != 0 {
				t.Errorf("still damaged: %v", list)
			}
		})
	}
}

// TestDamagedRecordKeepsItsFiles puts the record back, as from a backup: nothing that it names may have been collected.
func TestDamagedRecordKeepsItsFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "apps", "records", "a.app")
	r := mustOpen(t, dir)
	v := deploy(t, r, "a", 1)
	shut(t, r)
	backup := testutil.Read(t, path)
	if err := os.Truncate(path, 0); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, dir)
	deploy(t, r, "b", 2)
	if err := r.Remove("b"); err != nil {
		t.Fatal(err)
	}
	shut(t, r)
	if err := os.WriteFile(path, backup, 0o600); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, dir)
	if got, err := r.Active("a"); err != nil || got.ID != v.ID {
		t.Errorf("got %v %v, want %s", got, err, v.ID)
	}
}

func TestDamagedAppCanBeRemoved(t *testing.T) {
	dir := t.TempDir()
	r := mustOpen(t, dir)
	deploy(t, r, "a", 1)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "apps", "records", "a.app"), 10); err != nil {
		t.Fatal(err)
	}
	r = mustOpen(t, dir)
	if err := r.Remove("a"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Active("a"); !errors.Is(err, ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

// TestCrashAtEveryStep stops a change at each step it does on disk, as a crash would, and opens the folder again: it
// must be as before the change or as after it, and the change must work when done again.
func TestCrashAtEveryStep(t *testing.T) {
	errCrash := errors.New("crash")
	changes := []struct {
		name   string
		change func(r *Registry) error
	}{
		{"stage", func(r *Registry) error { _, err := r.Stage(newManifest("a"), nil, moduleOf(9)); return err }},
		{"activate", func(r *Registry) error { return r.Activate("a", versionID(r, 3)) }},
		{"rollback", func(r *Registry) error { _, err := r.Rollback("a", ""); return err }},
		{"remove", func(r *Registry) error { return r.Remove("a") }},
		{"first stage", func(r *Registry) error { _, err := r.Stage(newManifest("new"), nil, moduleOf(1)); return err }},
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			for stop, crashed := 1, true; crashed; stop++ {
				dir := t.TempDir()
				r := mustOpen(t, dir)
				deploy(t, r, "a", 1)
				deploy(t, r, "a", 2)
				if _, err := r.Stage(newManifest("a"), nil, moduleOf(3)); err != nil {
					t.Fatal(err)
				}
				before := stateOf(t, r)
				shut(t, r)
				count := 0
				crashed = false
				r, err := open(dir, disk{})
				if err != nil {
					t.Fatal(err)
				}
				limit := func(string) error {
					if count++; count >= stop {
						crashed = true
						return errCrash
					}
					return nil
				}
				r.disk.before, r.modules.disk.before, r.manifests.disk.before = limit, limit, limit
				changeErr := c.change(r)
				shut(t, r)
				r = mustOpen(t, dir)
				got := stateOf(t, r)
				if changeErr != nil && !errors.Is(changeErr, errCrash) {
					t.Fatal(changeErr)
				}
				if changeErr == nil && got == before {
					t.Errorf("stopped at step %d: acknowledged, but nothing has changed", stop)
				}
				if len(r.Damaged()) != 0 {
					t.Errorf("stopped at step %d: damaged %v", stop, r.Damaged())
				}
				if got == before {
					if err := c.change(r); err != nil {
						t.Errorf("stopped at step %d, done again: %v", stop, err)
					}
				}
				shut(t, r)
				if stop > 50 {
					t.Fatal("a change of more than 50 steps")
				}
			}
		})
	}
}

func versionID(r *Registry, number int) VersionID {
	versions, _ := r.Versions("a")
	for _, v := range versions {
		if v.Number == number {
			return v.ID
		}
	}
	return "none"
}

// stateOf describes everything that a registry holds, every file verified.
func stateOf(t *testing.T, r *Registry) string {
	t.Helper()
	var text strings.Builder
	for _, name := range r.Apps() {
		versions, err := r.Versions(name)
		if err != nil {
			t.Errorf("versions of %s: %v", name, err)
		}
		active, err := r.Active(name)
		switch {
		case errors.Is(err, ErrNotActive):
			fmt.Fprintf(&text, "%s: none of", name)
		case err != nil:
			t.Errorf("active version of %s: %v", name, err)
		default:
			fmt.Fprintf(&text, "%s: %s of", name, active.ID)
		}
		for _, v := range versions {
			if _, err := v.ReadModule(); err != nil {
				t.Error(err)
			}
			fmt.Fprintf(&text, " %s", v.ID)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// TestModel does random changes on a registry and on plain maps beside it, and compares after each, and after reopening.
func TestModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	r := mustOpen(t, dir)
	model := newModel()
	names := []invoke.AppName{"a", "b", "c"}
	for step := range 300 {
		name := names[random.IntN(len(names))]
		switch random.IntN(10) {
		case 0, 1, 2, 3:
			v, err := r.Stage(newManifest(string(name)), nil, moduleOf(step))
			if err != nil {
				t.Fatal(err)
			}
			model.stage(name, v.ID)
		case 4, 5, 6:
			id := model.pick(name, random)
			model.compare(t, r.Activate(name, id), model.activate(name, id))
		case 7:
			_, err := r.Rollback(name, "")
			model.compare(t, err, model.activate(name, model.previous[name]))
		case 8:
			model.compare(t, r.Remove(name), model.remove(name))
		case 9:
			r = reopen(t, r, dir)
		}
		if got, want := stateOf(t, r), model.state(); got != want {
			t.Fatalf("step %d: got\n%s\nwant\n%s", step, got, want)
		}
	}
}

// model is what a registry should hold.
type model struct {
	versions         map[invoke.AppName][]VersionID
	active, previous map[invoke.AppName]VersionID
}

func newModel() *model {
	return &model{map[invoke.AppName][]VersionID{}, map[invoke.AppName]VersionID{}, map[invoke.AppName]VersionID{}}
}

func (m *model) stage(name invoke.AppName, id VersionID) {
	list := append(slices.Clone(m.versions[name]), id)
	for i := 0; len(list) > KeepVersions; i++ {
		if list[i] != m.active[name] && list[i] != m.previous[name] {
			list = slices.Delete(list, i, i+1)
			i--
		}
	}
	m.versions[name] = list
}

// pick returns a version of the app, or one that it does not have.
func (m *model) pick(name invoke.AppName, random *rand.Rand) VersionID {
	if list := m.versions[name]; len(list) > 0 && random.IntN(5) > 0 {
		return list[random.IntN(len(list))]
	}
	return "v999-00000000"
}

func (m *model) activate(name invoke.AppName, id VersionID) bool {
	if !slices.Contains(m.versions[name], id) {
		return false
	}
	if m.active[name] != id {
		m.previous[name], m.active[name] = m.active[name], id
	}
	return true
}

func (m *model) remove(name invoke.AppName) bool {
	_, there := m.versions[name]
	delete(m.versions, name)
	delete(m.active, name)
	delete(m.previous, name)
	return there
}

func (m *model) compare(t *testing.T, err error, want bool) {
	t.Helper()
	if (err == nil) != want {
		t.Fatalf("got %v, want success=%v", err, want)
	}
}

func (m *model) state() string {
	var text strings.Builder
	for _, name := range []invoke.AppName{"a", "b", "c"} {
		list, there := m.versions[name]
		if !there {
			continue
		}
		active := string(m.active[name])
		if active == "" {
			active = "none"
		}
		fmt.Fprintf(&text, "%s: %s of", name, active)
		for _, id := range list {
			fmt.Fprintf(&text, " %s", id)
		}
		text.WriteString("\n")
	}
	return text.String()
}

// TestHammer changes and reads from many goroutines at once; readers always see a whole version.
func TestHammer(t *testing.T) {
	r := mustOpen(t, t.TempDir())
	deploy(t, r, "a", 0)
	var wait sync.WaitGroup
	for g := range 8 {
		wait.Go(func() {
			for n := range 20 {
				if g%2 == 0 {
					v, err := r.Stage(newManifest("a"), nil, moduleOf(g*100+n))
					if err == nil {
						err = r.Activate("a", v.ID)
					}
					// Another goroutine may have pushed the version out before it was activated.
					if err != nil && !errors.Is(err, ErrNoVersion) {
						t.Error(err)
					}
					continue
				}
				v, err := r.Active("a")
				if err == nil {
					_, err = v.ReadModule()
				}
				// A version may be forgotten between the two calls; its module is gone then, never wrong.
				if err != nil && !strings.Contains(err.Error(), "is missing") {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	if list := r.Damaged(); len(list) != 0 {
		t.Errorf("damaged %v", list)
	}
}

// FuzzDecodeRecord looks for records that crash the decoder; behind the checksum it is never reached by accident, so the
// target puts a right one on any body.
func FuzzDecodeRecord(f *testing.F) {
	good, err := (&record{App: "a", Next: 2, Active: "v1-x", Versions: []entry{{ID: "v1-x", Number: 1, Module: hashOf(nil), Manifest: hashOf(nil), Source: hashOf(nil)}}}).encode()
	if err != nil {
		f.Fatal(err)
	}
	_, body, _ := bytes.Cut(good, []byte("\n"))
	f.Add(good, body)
	f.Add([]byte(recordFormat), []byte(`{"app":"a","versions":[{}]}`))
	f.Fuzz(func(t *testing.T, whole, body []byte) {
		if _, err := decodeRecord(whole); err != nil && !errors.Is(err, ErrDamaged) {
			t.Fatalf("an error of another kind: %v", err)
		}
		r, err := decodeRecord(append([]byte(recordFormat+string(hashOf(body))+"\n"), body...))
		if err != nil {
			return
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeRecord(again); err != nil {
			t.Fatalf("what was written does not read back: %v", err)
		}
	})
}
