package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/app"
	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/kvstore"
)

// TestGrant: no folder is granted through which a guest could reach the daemon's own files, by whatever name.
func TestGrant(t *testing.T) {
	top := t.TempDir()
	for _, dir := range []string{"data/secrets", "run", "app/files", "database"} {
		if err := os.MkdirAll(filepath.Join(top, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	at := func(path string) string { return filepath.Join(top, path) }
	for from, to := range map[string]string{"link-data": "data", "link-top": ".", "link-files": "app/files", "link-proc": "/proc/self"} {
		if err := os.Symlink(to, at(from)); err != nil {
			t.Fatal(err)
		}
	}
	d := &Daemon{config: &config.Loaded{Config: config.Config{
		Data: at("link-data"), UDS: at("run/edged.sock"), Admin: at("run/admin.sock"),
	}}}
	for _, row := range []struct{ name, host, want string }{
		{"a folder of its own", at("app/files"), ""},
		{"one whose name begins like the data folder's", at("database"), ""},
		{"a link to a folder of its own", at("link-files"), ""},
		{"the data folder", at("data"), "data folder"},
		{"the data folder by another name", at("link-data"), "data folder"},
		{"a folder in the data folder", at("data/secrets"), "data folder"},
		{"a folder in the data folder by another name", at("link-data/secrets"), "data folder"},
		{"what holds the data folder", top, "data folder"},
		{"a link to what holds it", at("link-top"), "data folder"},
		{"a path with ..", at("app/files/../../data"), "data folder"},
		{"everything", "/", "data folder"},
		{"the folder of the sockets", at("run"), "socket"},
		{"proc", "/proc", "proc"},
		{"a process in proc", "/proc/self", "proc"},
		{"a link into proc", at("link-proc"), "proc"},
		{"sys", "/sys", "sysfs"},
		{"devices", "/dev", "devices"},
		{"one that is not there", at("none"), "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			got, err := d.grant(manifest.Dir{Host: row.host, Guest: "/g", ReadOnly: true})
			if row.want != "" {
				if err == nil || !strings.Contains(err.Error(), row.want) {
					t.Errorf("%s: error %v, want one with %q", row.host, err, row.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if real, _ := filepath.EvalSymlinks(row.host); got.Host != real || got.Guest != "/g" || !got.ReadOnly {
				t.Errorf("granted %+v", got)
			}
		})
	}
}

// TestSecretsOfOthers: the value of a secret is in no warning, and a file that others may read has one.
func TestSecretsOfOthers(t *testing.T) {
	data := t.TempDir()
	dir := filepath.Join(data, "secrets", "a")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"kept": 0o600, "open": 0o644} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("hush-"+name+"\n"), mode); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "large"), make([]byte, maxSecretBytes+1), 0o600); err != nil {
		t.Fatal(err)
	}
	d := &Daemon{config: &config.Loaded{Config: config.Config{Data: data}}}
	values, warnings, err := d.secrets(&manifest.Manifest{App: "a", Grants: manifest.Grants{Secrets: []string{"kept", "open", "none"}}})
	if err != nil || values["kept"] != "hush-kept" || values["open"] != "hush-open" || len(values) != 2 {
		t.Fatalf("values %q, %v", values, err)
	}
	text := strings.Join(warnings, "\n")
	if len(warnings) != 2 || !strings.Contains(text, "chmod 600") || !strings.Contains(text, "none") || strings.Contains(text, "hush") {
		t.Errorf("warnings %q", warnings)
	}
	for _, name := range []string{"large", "."} {
		_, _, err := d.secrets(&manifest.Manifest{App: "a", Grants: manifest.Grants{Secrets: []string{name}}})
		if err == nil {
			t.Errorf("secret %q was read", name)
		}
	}
}

// TestDurabilityOfSharedSpaces: a space is as safe as the strictest app that serves from it wants; a deploy that fails
// makes it no less safe.
func TestDurabilityOfSharedSpaces(t *testing.T) {
	store, err := kvstore.Open(filepath.Join(t.TempDir(), "kv.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	d := &Daemon{store: store, logger: slog.New(slog.DiscardHandler), apps: map[invoke.AppName]*deployed{}}
	of := func(name invoke.AppName, class manifest.Durability) *manifest.Manifest {
		return &manifest.Manifest{App: name, KV: manifest.KV{Space: "shared", Durability: class}}
	}
	deploy := func(m *manifest.Manifest) *kvstore.Space {
		t.Helper()
		space, err := d.appSpace(m)
		if err != nil {
			t.Fatal(err)
		}
		d.apps[m.App] = &deployed{version: &app.Version{App: m.App, Manifest: m}}
		d.relax()
		return space
	}
	space := deploy(of("a", manifest.DurabilitySync))
	wants := func(when string, want kvstore.Durability) {
		t.Helper()
		if got := space.Durability(); got != want {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	if _, err := d.appSpace(of("a", manifest.DurabilityBatched)); err != nil { // and then the deploy fails
		t.Fatal(err)
	}
	wants("after a deploy that failed", kvstore.Sync)
	deploy(of("b", manifest.DurabilityBatched))
	wants("beside an app that wants sync", kvstore.Sync)
	deploy(of("a", manifest.DurabilityBatched))
	wants("when nobody wants sync", kvstore.Batched)
	if _, err := d.appSpace(of("c", manifest.DurabilitySync)); err != nil {
		t.Fatal(err)
	}
	wants("before an app that wants sync serves", kvstore.Sync)
	if _, err := d.appSpace(of("c", manifest.DurabilityMemory)); err == nil {
		t.Error("a space on disk was given to an app that wants one in memory")
	}
}
