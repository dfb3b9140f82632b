package config

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/strictyaml"
)

// env returns a Getenv over a map.
func env(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func writeFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultIsValid(t *testing.T) {
	for _, uid := range []int{0, 1000} {
		if err := defaults(uid, env(nil)).Validate(); err != nil {
			t.Errorf("user %d: %v", uid, err)
		}
	}
}

func TestDefaultPaths(t *testing.T) {
	for _, c := range []struct {
		name              string
		uid               int
		env               map[string]string
		data, uds, client string
	}{
		{"root", 0, map[string]string{"XDG_RUNTIME_DIR": "/x"}, "/var/lib/edged", "/run/edged/edged.sock", "/run/edged/admin.sock"},
		{"user", 7, map[string]string{"XDG_RUNTIME_DIR": "/x", "XDG_STATE_HOME": "/s"}, "/s/edged", "/x/edged/edged.sock", "/x/edged/admin.sock"},
		{"user without XDG", 7, map[string]string{"HOME": "/h"}, "/h/.local/state/edged", "/run/user/7/edged/edged.sock", "/run/user/7/edged/admin.sock"},
		{"relative XDG is ignored", 7, map[string]string{"HOME": "h", "XDG_RUNTIME_DIR": "x"}, "/var/lib/edged", "/run/user/7/edged/edged.sock", "/run/user/7/edged/admin.sock"},
		{"named by environment", 0, map[string]string{"EDGED_ADMIN": "/a"}, "/var/lib/edged", "/run/edged/edged.sock", "/a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := defaults(c.uid, env(c.env))
			if client := adminPath("", c.uid, env(c.env)); got.Data != c.data || got.UDS != c.uds || client != c.client {
				t.Errorf("got %q %q %q, want %q %q %q", got.Data, got.UDS, client, c.data, c.uds, c.client)
			}
			if got := adminPath("/flag", c.uid, env(c.env)); got != "/flag" {
				t.Errorf("the flag gives %q", got)
			}
		})
	}
}

func TestLoadPrecedence(t *testing.T) {
	file := writeFile(t, "data: kept\nhttp: 127.0.0.1:1\nuds: /file/u\nlog: {level: debug}\nlimits:\n  body: 1MiB\n")
	l, err := Load(Options{
		File:   file,
		Flags:  map[string]string{"http": "127.0.0.1:3", "log.level": "error"},
		Getenv: env(map[string]string{"EDGED_HTTP": "127.0.0.1:2", "EDGED_UDS": "/env/u", "EDGED_CORES": "1"}),
	})
	if err != nil {
		t.Fatal(err)
	}
	values := make(map[string]Setting)
	for _, s := range l.Settings() {
		values[s.Key] = s
	}
	for _, want := range []Setting{
		{"data", filepath.Join(filepath.Dir(file), "kept"), Source("file " + file + ":1:7")},
		{"http", "127.0.0.1:3", "flag --http"},
		{"uds", "/env/u", "environment EDGED_UDS"},
		{"cores", "1", "environment EDGED_CORES"},
		{"log.level", "error", "flag --log-level"},
		{"log.format", "text", "default"},
		{"limits.body", "1MiB", Source("file " + file + ":6:9")},
		{"timeouts.app", "5s", "default"},
	} {
		if got := values[want.Key]; got != want {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	if l.Limits.Body != strictyaml.MiB || l.Timeouts.App != 5*time.Second {
		t.Errorf("got %+v", l.Config)
	}
}

func TestLoadNamesEveryProblem(t *testing.T) {
	file := writeFile(t, "htpp: x\nlimits:\n  body: 1\n  queue: 0\ntimeouts: {app: 10m}\nadmin: /same\n")
	_, err := Load(Options{
		File:   file,
		Flags:  map[string]string{"uds": "/same", "what": "x"},
		Getenv: env(map[string]string{"EDGED_CORES": "many", "EDGED_LOG_LEVEL": "inof", "EDGED_HTTP": "localhost"}),
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		`c.yaml:1:1: unknown key "htpp"; did you mean "http"?`,
		"c.yaml:3:9: limits.body: want a size such as 64MiB, got the number 1",
		"c.yaml:4:10: limits.queue: 0 is outside of 1 to 1048576",
		"c.yaml:5:17: timeouts.app: 10m0s is not above zero and at most timeouts.app_max, 5m0s",
		"uds: the data socket and the management socket have the same path; give each its own; it comes from flag --uds",
		"what: no flag sets this key",
		`cores: "many" is not a number of cores; it comes from environment EDGED_CORES`,
		`log.level: "inof" is not known here; did you mean "info"?; it comes from environment EDGED_LOG_LEVEL`,
		`http: "localhost" is not an address`,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("missing: %s", want)
		}
	}
	if t.Failed() {
		t.Logf("got\n%v", err)
	}
}

func TestLoadFile(t *testing.T) {
	if _, err := Load(Options{File: filepath.Join(t.TempDir(), "none"), Getenv: env(nil)}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "--config") {
		t.Errorf("a file that is named must exist: %v", err)
	}
	missing := map[string]string{"EDGED_CONFIG": filepath.Join(t.TempDir(), "none")}
	if _, err := Load(Options{Getenv: env(missing)}); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "EDGED_CONFIG") {
		t.Errorf("a file that is named must exist: %v", err)
	}
	l, err := Load(Options{Getenv: env(map[string]string{"EDGED_CONFIG": writeFile(t, "http: '[::1]:0'\n")})})
	if err != nil || l.HTTP != "[::1]:0" {
		t.Errorf("got %v %v", l, err)
	}
	if _, err := Load(Options{File: writeFile(t, "http: [\n"), Getenv: env(nil)}); err == nil || strings.Count(err.Error(), "c.yaml") != 1 {
		t.Errorf("a file that cannot be parsed gives one problem: %v", err)
	}
}

func TestLoadMakesPathsAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	l, err := Load(Options{File: writeFile(t, "log: {format: json}\n"), Flags: map[string]string{"data": "data"}, Getenv: env(nil)})
	if err != nil || !filepath.IsAbs(l.Data) || filepath.Base(l.Data) != "data" {
		t.Errorf("got %v %v", l, err)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no data", func(c *Config) { c.Data = "" }, "data: there is no data folder"},
		{"port too large", func(c *Config) { c.HTTP = "127.0.0.1:70000" }, "is not an address"},
		{"named port", func(c *Config) { c.HTTP = "127.0.0.1:http" }, "is not an address"},
		{"long socket", func(c *Config) { c.UDS = "/" + strings.Repeat("x", 107) }, "the path has 108 bytes; a socket's has at most 107"},
		{"no admin", func(c *Config) { c.Admin = "" }, "admin: the socket has no path"},
		{"no cores", func(c *Config) { c.Cores = 0 }, "cores: 0 is outside of 1 to"},
		{"more cores than there are", func(c *Config) { c.Cores = 100000 }, "cores: 100000 is outside"},
		{"format", func(c *Config) { c.Log.Format = "xml" }, "log.format"},
		{"small body", func(c *Config) { c.Limits.Body = 1 }, "limits.body: 1B is outside of 1KiB to 1GiB"},
		{"memories", func(c *Config) { c.Limits.Memories = 20000 }, "limits.memories: 20000 is outside"},
		{"drain", func(c *Config) { c.Timeouts.Drain = 0 }, "timeouts.drain: 0s is outside"},
		{"compile", func(c *Config) { c.Compile.Wall = 0 }, "compile.wall"},
		{"policy", func(c *Config) { c.Scheduler.Policy = "eddf" }, "scheduler.policy"},
		{"preempt", func(c *Config) { c.Scheduler.Preempt = "" }, "scheduler.preempt"},
		{"slice", func(c *Config) { c.Scheduler.Slice = time.Microsecond }, "scheduler.slice: 1µs is outside of 500µs to 1s"},
		{"guest memory", func(c *Config) { c.Limits.Memory = 1 << 60 }, "limits.memory"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := defaults(0, env(nil))
			c.change(config)
			if err := config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

// TestSettingsReadBack proves that every field can be written in a file: what Settings shows is what Load reads.
func TestSettingsReadBack(t *testing.T) {
	want := &Loaded{Config: *defaults(0, env(nil))}
	var text strings.Builder
	section := ""
	for _, s := range want.Settings() {
		group, key, nested := strings.Cut(s.Key, ".")
		if !nested {
			text.WriteString(s.Key + ": " + s.Value + "\n")
			continue
		}
		if group != section {
			text.WriteString(group + ":\n")
			section = group
		}
		text.WriteString("  " + key + ": " + s.Value + "\n")
	}
	got, err := Load(Options{File: writeFile(t, text.String()), Getenv: env(nil)})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got.Config, want.Config) {
		t.Errorf("got  %+v\nwant %+v", got.Config, want.Config)
	}
	for _, s := range got.Settings() {
		if !strings.HasPrefix(string(s.Source), "file ") {
			t.Errorf("%s comes from %q", s.Key, s.Source)
		}
	}
}
