package manifest

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/router"
	"edged.dev/edge/edged/internal/strictyaml"
)

const full = `version: 1
app: shop
module: build/shop.wasm
abi: edged
template: off
reuse: true
limits: {memory: 64MiB, timeout: 2s, concurrency: 8}
kv: {space: goods, durability: batched}
grants:
  dirs:
    - {host: ./data, guest: /data}
    - {host: /var/tmp/out, guest: /out, readonly: false}
  hosts: [api.example.com, "*.example.com:443", "[::1]:80", 10.0.0.1]
  config: {colour: blue}
  secrets: [API_KEY]
functions:
  list:
  item:
    entry: get_item
    http: {methods: [GET, HEAD], path: "/shop/items/{id}"}
    deadline: 50ms
    kvs: {"item/{id}": [get]}
    on:
      - {kv: "stock/{id}", events: [new, delete], retries: 0, backoff: 2s, backlog: 10}
      - {kv: "log/*", space: other}
      - {cron: "*/5 * * * *", tz: Europe/Berlin}
      - every: 30s
`

func TestParse(t *testing.T) {
	got, err := Parse("edged.yaml", []byte(full))
	if err != nil {
		t.Fatal(err)
	}
	want := &Manifest{
		Version: 1, App: "shop", Module: "build/shop.wasm", ABI: ABIEdged, Template: TemplateOff, Reuse: true,
		Limits: Limits{64 * strictyaml.MiB, 2 * time.Second, 8},
		KV:     KV{"goods", DurabilityBatched},
		Grants: Grants{
			Dirs:    []Dir{{"./data", "/data", true}, {"/var/tmp/out", "/out", false}},
			Hosts:   []string{"api.example.com", "*.example.com:443", "[::1]:80", "10.0.0.1"},
			Config:  map[string]string{"colour": "blue"},
			Secrets: []string{"API_KEY"},
		},
		Functions: map[invoke.FunctionName]Function{
			"list": {Entry: "list"},
			"item": {
				Entry: "get_item", HTTP: HTTP{[]string{"GET", "HEAD"}, "/shop/items/{id}"}, Deadline: 50 * time.Millisecond,
				KVs: map[string][]Access{"item/{id}": {AccessGet}},
				On: []Trigger{
					{KV: "stock/{id}", Events: []Event{EventNew, EventDelete}, Backoff: 2 * time.Second, Backlog: 10},
					{KV: "log/*", Space: "other", Events: []Event{EventSet}, Retries: DefaultRetries, Backoff: DefaultBackoff, Backlog: DefaultBacklog},
					timer(Trigger{Cron: "*/5 * * * *", TZ: "Europe/Berlin", Missed: MissedOnce}),
					timer(Trigger{Every: 30 * time.Second}),
				},
			},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// timer completes a timer: it has the defaults of the keys that are of kv.
func timer(t Trigger) Trigger {
	t.SetDefaults()
	return t
}

func TestParseDefaults(t *testing.T) {
	got, err := Parse("edged.yaml", []byte("version: 1\napp: a\nmodule: a.wasm\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.App, want.Module, want.KV.Space = "a", "a.wasm", "a"
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

// TestSledgeRoute: the keys of a route file of Sledge stand as they are in a manifest, and its deadline counts.
func TestSledgeRoute(t *testing.T) {
	const text = `version: 1
app: fib
module: fib.wasm
abi: sledge
functions:
  main:
    entry: _start
    http: {path: /fib}
    relative-deadline-us: 50000
    expected-execution-us: 4000
    admissions-percentile: 70
`
	m, err := Parse("edged.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Functions["main"].Deadline; got != 50*time.Millisecond {
		t.Errorf("deadline %v, want 50ms", got)
	}
	back, err := m.YAML()
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Parse("again.yaml", back); err != nil || !reflect.DeepEqual(again, m) {
		t.Errorf("%v: %+v, want %+v", err, again, m)
	}
}

func TestYAMLRoundTrip(t *testing.T) {
	for _, text := range []string{full, "version: 1\napp: a\nmodule: a.wasm\n", "version: 1\napp: a\nmodule: '1.0'\nabi: cgi\nlimits: {timeout: 1h30m}\ngrants: {config: {a: 'true', b: '', c: \"x\\ny\"}}\n"} {
		m, err := Parse("edged.yaml", []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		back, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.yaml", back)
		if err != nil || !reflect.DeepEqual(again, m) {
			t.Errorf("%v\nthe text:\n%s\ngot  %+v\nwant %+v", err, back, again, m)
		}
		object, err := json.Marshal(m)
		var fields map[string]any
		if err != nil || json.Unmarshal(object, &fields) != nil || fields["app"] != string(m.App) {
			t.Errorf("as JSON: %v %s", err, object)
		}
	}
}

func TestParseProblems(t *testing.T) {
	const head = "version: 1\napp: a\nmodule: a.wasm\n"
	for _, c := range []struct{ name, text, want string }{
		{"nothing given", "app: a\n", "m.yaml:1:1: version: the manifest does not say which version"},
		{"other version", "version: 2\napp: a\nmodule: a.wasm\n", "m.yaml:1:10: version: version 2 of the format is not known here; write version: 1"},
		{"no app", "version: 1\nmodule: a.wasm\n", "m.yaml:1:1: app: an app has a name"},
		{"no module", "version: 1\napp: a\n", "module: an app has a module"},
		{"system name", "version: 1\napp: _edged\nmodule: a.wasm\n", `m.yaml:2:6: app: "_edged" is not a name; a name has 1 to 63`},
		{"upper case name", "version: 1\napp: Hello World\nmodule: a.wasm\n", `such as "hello-world"`},
		{"long name", "version: 1\napp: " + strings.Repeat("a", 64) + "\nmodule: a.wasm\n", "is not a name"},
		{"unknown abi", head + "abi: cig\n", `m.yaml:4:6: abi: "cig" is not known here; did you mean "cgi"?`},
		{"unknown durability", head + "kv: {durability: async}\n", `did you mean "sync"?`},
		{"template", head + "template: on\n", `template: "on" is not known here`},
		{"small memory", head + "limits: {memory: 1KiB}\n", "m.yaml:4:18: limits.memory: 1KiB is outside what an instance can have; give 64KiB to 4GiB"},
		{"large memory", head + "limits: {memory: 5GiB}\n", "limits.memory: 5GiB is outside"},
		{"zero concurrency", head + "limits: {concurrency: 0}\n", "limits.concurrency: 0 requests at once"},
		{"zero timeout", head + "limits: {timeout: 0s}\n", "limits.timeout: \"0s\": a duration is above zero"},
		{"relative guest folder", head + "grants: {dirs: [{host: a, guest: b}]}\n", `grants.dirs[0].guest: "b" is not an absolute, clean path; write "/b"`},
		{"unclean guest folder", head + "grants: {dirs: [{host: a, guest: /a/../b}]}\n", `write "/b"`},
		{"folder without host", head + "grants: {dirs: [{guest: /b}]}\n", "m.yaml:4:17: grants.dirs[0].host: the folder of the host is missing"},
		{"folder twice", head + "grants: {dirs: [{host: a, guest: /b}, {host: c, guest: /b}]}\n", "is granted twice"},
		{"bad host", head + "grants: {hosts: ['http://x']}\n", `grants.hosts[0]: "http://x" is not a host`},
		{"bad port", head + "grants: {hosts: ['x:99999']}\n", "is not a host"},
		{"secret with a value", head + "grants: {secrets: ['a=b']}\n", "list names only"},
		{"secret twice", head + "grants: {secrets: [a, a]}\n", `grants.secrets[1]: "a" is here twice`},
		{"function name", head + "functions: {Get: {}}\n", `functions.Get: "Get" is not a name`},
		{"method", head + "functions: {f: {http: {methods: [get]}}}\n", `"get" is not known here; did you mean "GET"?`},
		{"deadline of Sledge", head + "functions: {f: {relative-deadline-us: -1}}\n", "functions.f.relative-deadline-us: -1 is not a deadline"},
		{"two deadlines", head + "functions: {f: {deadline: 5ms, relative-deadline-us: 6000}}\n", "has a deadline already"},
		{"execution of Sledge", head + "functions: {f: {expected-execution-us: -5}}\n", "-5 is not a time"},
		{"percentile of Sledge", head + "functions: {f: {admissions-percentile: 100}}\n", "100 is not one of Sledge's percentiles; give 50 to 99"},
		{"command of another system", head + "abi: faasm\nfunctions: {f: {}}\n", "a module of abi faasm is entered at _start"},
		{"foreign path", head + "functions: {f: {http: {path: /b/f}}}\n", `functions.f.http.path: "/b/f" is not below the app's own path; begin it with /a`},
		{"path of a longer name", head + "functions: {f: {http: {path: /ab}}}\n", "is not below"},
		{"path with dots", head + "functions: {f: {http: {path: /a/../b}}}\n", "has an empty segment"},
		{"path with query", head + "functions: {f: {http: {path: '/a/x?y'}}}\n", "is not a plain segment"},
		{"open part", head + "functions: {f: {http: {path: '/a/{x'}}}\n", "is not a part"},
		{"rest in the middle", head + "functions: {f: {http: {path: '/a/*/y'}}}\n", "is not a plain segment"},
		{"too many segments", head + "functions: {f: {http: {path: /a" + strings.Repeat("/x", 32) + "}}}\n", "has more than 32 segments"},
		{"part with a dash", head + "functions: {f: {http: {path: '/a/{x-y}'}}}\n", "is not a part"},
		{"part twice around a segment", head + "functions: {f: {http: {path: '/a/{x}/x/{x}'}}}\n", "is here twice"},
		{"part twice", head + "functions: {f: {http: {path: '/a/{x}/{x}'}}}\n", "is here twice"},
		{"same path", head + "functions: {f: {http: {path: /a/x}}, g: {http: {path: /a/x}}}\n", `functions.g.http.path: "f" answers at /a/x already`},
		{"same path by other names", head + "functions: {f: {http: {path: '/a/{x}', methods: [GET, PUT]}}, g: {http: {path: '/a/{y}', methods: [PUT]}}}\n", `"f" answers at /a/{x} already`},
		{"path of another's default", head + "functions: {f: {http: {path: /a/g/*}}, g: {}}\n", `functions.g.http.path: "f" answers at /a/g/* already`},
		{"two commands", head + "functions: {f: {entry: _start}, g: {entry: _start}}\n", `functions.g.entry: _start is the entry of "f" already`},
		{"cgi with an entry", head + "abi: cgi\nfunctions: {f: {}}\n", "a module of abi cgi is entered at _start"},
		{"pattern of kvs", head + "functions: {f: {kvs: {\"a*b\": [get]}}}\n", "at the end only"},
		{"nothing on", head + "functions: {f: {on: [{retries: 2}]}}\n", "functions.f.on[0]: nothing says what starts"},
		{"pattern", head + "functions: {f: {on: [{kv: \"{}{}\"}]}}\n", "functions.f.on[0].kv"},
		{"event", head + "functions: {f: {on: [{kv: a, events: [sett]}]}}\n", `did you mean "set"?`},
		{"event twice", head + "functions: {f: {on: [{kv: a, events: [set, set]}]}}\n", "functions.f.on[0].events"},
		{"trigger twice", head + "functions: {f: {on: [{kv: a}, {kv: a, events: [new]}]}}\n", "is there twice"},
		{"retries", head + "functions: {f: {on: [{kv: a, retries: 101}]}}\n", "give 0 to 100"},
		{"backoff", head + "functions: {f: {on: [{kv: a, backoff: 2h}]}}\n", "functions.f.on[0].backoff"},
		{"backlog", head + "functions: {f: {on: [{kv: a, backlog: 0}]}}\n", "functions.f.on[0].backlog"},
		{"space of a trigger", head + "functions: {f: {on: [{kv: a, space: A/B}]}}\n", "functions.f.on[0].space"},
		{"key of on", head + "functions: {f: {on: [{kvs: a}]}}\n", `did you mean "kv"?`},
		{"no trigger", head + "functions: {f: {on: [{}]}}\n", "functions.f.on[0]: nothing says what starts"},
		{"two triggers in one", head + "functions: {f: {on: [{cron: '@daily', every: 1s}]}}\n", "keys cron and every"},
		{"schedule", head + "functions: {f: {on: [{every: 1s}, {cron: '61 * * * *'}]}}\n", "functions.f.on[1].cron: 61 in the minute is outside 0 to 59"},
		{"zone", head + "functions: {f: {on: [{cron: '@daily', tz: Mars/Olympus}]}}\n", `functions.f.on[0].tz: "Mars/Olympus" is no known time zone`},
		{"the machine's zone", head + "functions: {f: {on: [{cron: '@daily', tz: Local}]}}\n", "another zone on every machine"},
		{"zone of a period", head + "functions: {f: {on: [{every: 1s, tz: UTC}]}}\n", "functions.f.on[0].tz: only a schedule"},
		{"missed of a period", head + "functions: {f: {on: [{every: 1s, missed: all}]}}\n", "functions.f.on[0].missed: only a schedule"},
		{"policy", head + "functions: {f: {on: [{cron: '@daily', missed: al}]}}\n", `did you mean "all"?`},
		{"short period", head + "functions: {f: {on: [{every: 1ms}]}}\n", "functions.f.on[0].every: a period of 1ms"},
		{"many triggers", head + "functions: {f: {on: [" + strings.Repeat("{every: 1s},", 65) + "]}}\n", "functions.f.on: 65 triggers are too many"},
		{"timer of an actor", head + "functions: {f: {actor: true, on: [{every: 1s}]}}\n", "functions.f.actor: an actor works on messages"},
		{"retries of a timer", head + "functions: {f: {on: [{cron: '@daily', retries: 1}]}}\n", "a timer's run is not tried again"},
		{"kinds", head + "functions: {f: {on: [{kv: a, cron: '@daily'}]}}\n", "keys kv and cron"},
		{"key of a trigger", head + "functions: {f: {on: [{crom: '@daily'}]}}\n", `did you mean "cron"?`},
		{"empty access", head + "functions: {f: {kvs: {k: []}}}\n", "functions.f.kvs.k: no access is listed"},
		{"access", head + "functions: {f: {kvs: {k: [gte]}}}\n", `did you mean "get"?`},
		{"alias bomb", "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "anchors (&name) are not allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := Parse("m.yaml", []byte(c.text))
			if err == nil || !strings.Contains(err.Error(), c.want) || m != nil {
				t.Errorf("got\n%v\nwant %s", err, c.want)
			}
		})
	}
}

func TestParseReportsAllOnceInOrder(t *testing.T) {
	const text = `version: one
app: Shop
modul: shop.wasm
limits:
  memory: 64
  timeuot: 5s
functions:
  f: {http: {methods: [FETCH]}}
`
	_, err := Parse("edged.yaml", []byte(text))
	var list *strictyaml.Error
	if !errors.As(err, &list) {
		t.Fatalf("got %v", err)
	}
	var got []string
	for _, p := range list.Problems {
		got = append(got, p.Path)
	}
	// module is missing, which is told at the top; the unknown keys are told at what they are in.
	want := []string{"module", "version", "app", "", "limits.memory", "limits", "functions.f.http.methods[0]"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q\n%v", got, want, err)
	}
}

func TestLoad(t *testing.T) {
	dir := t.TempDir()
	if _, err := Load(dir); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "edged init") {
		t.Errorf("without a manifest: %v", err)
	}
	file := filepath.Join(dir, FileName)
	if err := os.WriteFile(file, []byte("version: 1\napp: a\nmodule: a.wasm\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, file} {
		if m, err := Load(path); err != nil || m.App != "a" {
			t.Errorf("Load(%q) = %v %v", path, m, err)
		}
	}
	if err := os.WriteFile(file, make([]byte, strictyaml.MaxBytes+100), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(file); err == nil || !strings.Contains(err.Error(), "at most 1048576 are read") {
		t.Errorf("a file that is too large: %v", err)
	}
}

func TestFromModule(t *testing.T) {
	for _, c := range []struct {
		name, file string
		exports    []string
		app        invoke.AppName
		want       map[invoke.FunctionName]string
	}{
		{"reactor", "dir/hello.wasm", []string{"_initialize", "hello", "__wasm_call_ctors", "edged_restore"}, "hello", map[invoke.FunctionName]string{"hello": "hello"}},
		{"names are mapped", "My App.wasm", []string{"makeThing", "Make.Thing", "make-thing", "_x"}, "my-app", map[invoke.FunctionName]string{
			"makething": "makeThing", "make-thing": "Make.Thing", "make-thing-2": "make-thing", "x": "_x",
		}},
		{"command", "page.wasm", []string{"_start", "other"}, "page", map[invoke.FunctionName]string{"main": "_start"}},
		{"long", strings.Repeat("x", 80) + ".wasm", []string{strings.Repeat("f", 70), strings.Repeat("f", 71)}, invoke.AppName(strings.Repeat("x", 63)), map[invoke.FunctionName]string{
			invoke.FunctionName(strings.Repeat("f", 63)):        strings.Repeat("f", 70),
			invoke.FunctionName(strings.Repeat("f", 61) + "-2"): strings.Repeat("f", 71),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := FromModule(c.file, ABIAuto, c.exports)
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[invoke.FunctionName]string)
			for name, function := range m.Functions {
				got[name] = function.Entry
			}
			if m.App != c.app || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %s %v, want %s %v", m.App, got, c.app, c.want)
			}
			text, err := m.YAML()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := Parse("x", text); err != nil || !reflect.DeepEqual(again, m) {
				t.Errorf("it does not read back: %v\n%s", err, text)
			}
		})
	}
	for _, c := range []struct {
		file    string
		exports []string
	}{{"a.wasm", nil}, {"a.wasm", []string{"_initialize"}}, {"___.wasm", []string{"f"}}} {
		if m, err := FromModule(c.file, ABIAuto, c.exports); err == nil {
			t.Errorf("FromModule(%q, %q) = %+v, want an error", c.file, c.exports, m)
		}
	}
}

func TestRouteAndRename(t *testing.T) {
	m, err := Parse("m.yaml", []byte("version: 1\napp: a\nmodule: a.wasm\nfunctions: {f: {}, g: {http: {path: /a/x}}, m: {entry: _start}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	check := func(name invoke.FunctionName, want string) {
		t.Helper()
		if route := m.Route(name); route != want {
			t.Errorf("Route(%q) = %q, want %q", name, route, want)
		}
	}
	check("f", "/a/f/*")
	check("g", "/a/x")
	check("m", "/a/*")
	if name, ok := m.Command(); !ok || name != "m" {
		t.Errorf("Command() = %q %v", name, ok)
	}
	m.Rename("other")
	if err := m.Validate(); err != nil || m.KV.Space != "other" {
		t.Errorf("after Rename: %v, space %q", err, m.KV.Space)
	}
	check("g", "/other/x")
	check("f", "/other/f/*")
}

// target is a function that is not deployed.
type target struct{}

func (target) Name() (invoke.AppName, invoke.FunctionName) { return "", "" }

// routable builds the router's table for a manifest: what is accepted here must be accepted there.
func routable(m *Manifest) error {
	var entries []router.Entry
	for name, function := range m.Functions {
		entries = append(entries, router.Entry{
			App: m.App, Function: name, Methods: function.HTTP.Methods, Path: m.Route(name), Target: target{}, Deadline: function.Deadline,
		})
	}
	_, err := router.Build(entries)
	return err
}

func TestRouterTakesPatterns(t *testing.T) {
	const text = "version: 1\napp: a\nmodule: a.wasm\nfunctions:\n  f:\n  m: {entry: _start}\n  g: {http: {path: '/a/x/{id}/*', methods: [GET]}}\n" +
		"  h: {http: {path: '/a/x/{name}/*', methods: [POST, DELETE]}}\n  i: {http: {path: /a/x/y.z~-_}}\n  j: {http: {path: '/a/{A_1}/b'}}\n"
	m, err := Parse("m.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := routable(m); err != nil {
		t.Error(err)
	}
}

func TestExamplesOfTheRepositoryAreValid(t *testing.T) {
	files, err := filepath.Glob("../../../examples/*/" + FileName)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := Load(file); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParse looks for manifests that crash the reader, and checks that what it accepts survives being written and read.
func FuzzParse(f *testing.F) {
	f.Add([]byte(full))
	f.Add([]byte("version: 1\napp: a\nmodule: a.wasm\nfunctions: {f: , g: {entry: _start}}\n"))
	f.Add([]byte("version: 1\napp: a\nmodule: a.wasm\nfunctions: {f: {http: {path: '/a/{x}/y/*', methods: [GET]}}, g: {http: {path: '/a/{z}/y/*'}}}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Parse("f.yaml", text)
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("accepted though not valid: %v", err)
		}
		if !ValidName(string(m.App)) || m.App == "_edged" {
			t.Fatalf("accepted the name %q", m.App)
		}
		if err := routable(m); err != nil {
			t.Fatalf("accepted, but the router does not: %v", err)
		}
		back, err := m.YAML()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse("back.yaml", back); err != nil {
			t.Fatalf("what was written does not read back: %v\n%s", err, back)
		}
	})
}
