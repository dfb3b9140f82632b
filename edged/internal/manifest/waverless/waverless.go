// Package waverless turns the project files of waverless, app.yml or app.yaml in both of their formats, into manifests.
package waverless

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/strictyaml"
)

// maxFunctions bounds a project, as the memory that a hostile file makes.
const maxFunctions = 1024

// oldKey is the top-level key of the first format; in the second, the app's name stands there.
const oldKey = "fns"

// project is a file: one app's functions under its name, or under fns.
type project map[string]map[string]function

// function is a function in either format; of the first are event and args.
type function struct {
	Get       httpCall            `yaml:"http.get,nullable"`
	Post      httpCall            `yaml:"http.post,nullable"`
	RPC       struct{}            `yaml:"rpc,nullable"`
	KVs       map[string][]string `yaml:"kvs"`
	Condition condition           `yaml:"condition"`
	Sync      string              `yaml:"sync"`
	Affinity  affinity            `yaml:"affinity"`
	Event     []event             `yaml:"event,nullable"`
	Args      []arg               `yaml:"args,nullable"`
}

type httpCall struct {
	Call string `yaml:"call"`
}

type condition struct {
	KVSet int `yaml:"kv_set"`
}

type affinity struct {
	Tags  []string `yaml:"tags"`
	Nodes string   `yaml:"nodes"`
}

type event struct {
	HTTPFn  struct{} `yaml:"http_fn,nullable"`
	HTTPApp struct{} `yaml:"http_app,nullable"`
	KVSet   int      `yaml:"kv_set"`
}

type arg struct {
	HTTPText struct{} `yaml:"http_text,nullable"`
	KVKey    int      `yaml:"kv_key"`
}

// Convert reads a project file. name is its name in messages, folder that of the project's folder, which names an app of the
// first format, and modules are the files in it that end in .wasm. Notes say what was understood and what has no meaning here.
// The error is an [*strictyaml.Error] when it is about the file.
func Convert(name, folder string, text []byte, modules []string) (m *manifest.Manifest, notes []string, err error) {
	text, loose := braces(text)
	var file project
	doc := strictyaml.Decode(name, text, &file)
	if err := doc.Err(); err != nil {
		return nil, nil, err
	}
	c := &converter{doc: doc, manifest: manifest.Default()}
	if loose > 0 {
		c.note("%d lines such as \"http.get: call: indirect\" are not YAML; read as http.get: {call: indirect}", loose)
	}
	c.project(file, folder)
	if err := doc.Err(); err != nil {
		return nil, nil, err
	}
	if c.manifest.Module, err = pick(modules, string(c.manifest.App), folder); err != nil {
		return nil, nil, err
	}
	out, err := c.manifest.YAML()
	if err == nil {
		c.manifest, err = manifest.Parse(name+" (as a manifest)", out)
	}
	if err != nil {
		return nil, nil, err
	}
	return c.manifest, c.notes, nil
}

// looseLine is a mapping in a line of another, as the demos of waverless have it.
var looseLine = regexp.MustCompile(`(?m)^([ \t]*(?:http\.get|http\.post|condition):[ \t]+)([a-z_]+:[ \t]+[a-z0-9]+)[ \t]*$`)

// braces makes YAML of lines with a mapping in a line of another, and counts them.
func braces(text []byte) ([]byte, int) {
	n := len(looseLine.FindAll(text, -1))
	if n == 0 {
		return text, 0
	}
	return looseLine.ReplaceAll(text, []byte("${1}{${2}}")), n
}

// pick returns the module of a project: app.wasm, the one that is named after the app or its folder, or the only one.
func pick(modules []string, names ...string) (string, error) {
	for _, name := range append([]string{"app"}, names...) {
		for _, module := range modules {
			base := strings.TrimSuffix(filepath.Base(module), ".wasm")
			if strings.ReplaceAll(base, "_", "-") == strings.ReplaceAll(name, "_", "-") {
				return module, nil
			}
		}
	}
	switch len(modules) {
	case 0:
		return "", errors.New("a project of waverless has its module beside app.yml: app.wasm; build it first (apps of Java are not run)")
	case 1:
		return modules[0], nil
	}
	return "", fmt.Errorf("there are several modules here, %s; call the app's app.wasm", strings.Join(modules, ", "))
}

// converter makes a manifest and says what it makes of what.
type converter struct {
	doc      *strictyaml.Document
	manifest *manifest.Manifest
	notes    []string
}

func (c *converter) note(format string, args ...any) {
	c.notes = append(c.notes, fmt.Sprintf(format, args...))
}

func (c *converter) project(file project, folder string) {
	keys := slices.Sorted(maps.Keys(file))
	if len(keys) != 1 {
		c.doc.Add("", fmt.Sprintf("a project has one app, not %d", len(keys)), "write one file an app, with its name or fns at the top")
		return
	}
	app, format := keys[0], 2
	functions := file[app]
	if app == oldKey {
		app, format = folder, 1
	}
	if len(functions) == 0 || len(functions) > maxFunctions {
		c.doc.Add(keys[0], fmt.Sprintf("an app has 1 to %d functions, not %d", maxFunctions, len(functions)), "")
		return
	}
	m := c.manifest
	m.App, m.ABI = invoke.AppName(manifest.Name(app)), manifest.ABIWaverless
	m.Functions = make(map[invoke.FunctionName]manifest.Function, len(functions))
	c.note("format %d of waverless: app %s, functions %s", format, m.App, strings.Join(slices.Sorted(maps.Keys(functions)), ", "))
	for _, name := range slices.Sorted(maps.Keys(functions)) {
		f := functions[name]
		at := keys[0] + "." + name
		short := invoke.FunctionName(manifest.Name(name))
		if _, there := m.Functions[short]; there || short == "" {
			c.doc.Add(at, fmt.Sprintf("%q cannot be told from another function here: names are made of lower case letters, digits, - and _", name), "rename one")
			continue
		}
		m.Functions[short] = c.function(at, name, string(short), &f)
	}
}

func (c *converter) function(at, name, short string, f *function) manifest.Function {
	out := manifest.Function{Entry: name}
	if short != name && !strings.ContainsAny(name, ".") {
		out.HTTP.Path = "/" + string(c.manifest.App) + "/" + name // by which its callers know it
	}
	c.http(at, name, f, &out)
	if c.doc.Has(at + ".rpc") {
		out.Callers = []string{"*"}
		c.note("%s: rpc: other apps may call it as %s/%s", name, c.manifest.App, short)
	}
	c.keys(at, f, &out)
	c.triggers(at, name, f, &out)
	switch f.Sync {
	case "", "sync":
	case "async":
		c.note("%s: async: who does not want to wait sends Prefer: respond-async", name)
	default:
		c.doc.Add(at+".sync", fmt.Sprintf("%q is not known here", f.Sync), "write sync or async")
	}
	if c.doc.Has(at + ".affinity") {
		c.note("%s: affinity has no meaning on one node", name)
	}
	return out
}

func (c *converter) http(at, name string, f *function, out *manifest.Function) {
	for _, call := range []struct{ key, method, kind string }{{"http.get", "GET", f.Get.Call}, {"http.post", "POST", f.Post.Call}} {
		if !c.doc.Has(at + "." + call.key) {
			continue
		}
		out.HTTP.Methods = append(out.HTTP.Methods, call.method)
		switch call.kind {
		case "direct":
		case "indirect":
			c.note("%s: call: indirect: who wants to wait for all that it starts adds ?wait=graph", name)
		default:
			c.doc.Add(at+"."+call.key, fmt.Sprintf("call is %q", call.kind), "write {call: direct} or {call: indirect}")
		}
	}
	open := len(out.HTTP.Methods) > 0
	for i := range f.Event {
		where := fmt.Sprintf("%s.event[%d]", at, i)
		open = open || c.doc.Has(where+".http_fn") || c.doc.Has(where+".http_app")
	}
	if !open {
		c.note("%s: not for HTTP there; here it answers POST too", name)
		out.HTTP.Methods = []string{"POST"}
	}
}

// patterns returns the patterns of a function's kvs in the order in which they are written, which numbers them.
func (c *converter) patterns(at string, f *function) []string {
	list := slices.Collect(maps.Keys(f.KVs))
	slices.SortFunc(list, func(a, b string) int {
		lineA, columnA := c.doc.Position(at + ".kvs." + a)
		lineB, columnB := c.doc.Position(at + ".kvs." + b)
		return cmp.Or(cmp.Compare(lineA, lineB), cmp.Compare(columnA, columnB), cmp.Compare(a, b))
	})
	return list
}

// keys makes permissions of a function's kvs. waverless lets every function read and lock what it likes.
func (c *converter) keys(at string, f *function, out *manifest.Function) {
	if !c.doc.Has(at + ".kvs") {
		return
	}
	out.KVs = map[string][]manifest.Access{"*": {manifest.AccessGet}}
	for _, pattern := range c.patterns(at, f) {
		where := at + ".kvs." + pattern
		for i, word := range f.KVs[pattern] {
			var access manifest.Access
			switch word {
			case "set", "write":
				access = manifest.AccessSet
			case "get", "read":
				access = manifest.AccessGet
			case "delete":
				access = manifest.AccessDelete
			case "trigger_by_write", "trigger_by_new":
				c.trigger(pattern, map[string]manifest.Event{"trigger_by_write": manifest.EventSet, "trigger_by_new": manifest.EventNew}[word], out)
				continue
			default:
				c.doc.Add(fmt.Sprintf("%s[%d]", where, i), fmt.Sprintf("%q is not known here", word),
					"write set, get, delete, trigger_by_write or trigger_by_new")
				continue
			}
			if !slices.Contains(out.KVs[pattern], access) {
				out.KVs[pattern] = append(out.KVs[pattern], access)
			}
		}
	}
}

// trigger has changes of keys start a function.
func (c *converter) trigger(pattern string, kind manifest.Event, out *manifest.Function) {
	for i := range out.On {
		if on := &out.On[i]; on.KV == pattern {
			if !slices.Contains(on.Events, kind) {
				on.Events = append(on.Events, kind)
			}
			return
		}
	}
	on := manifest.Trigger{KV: pattern, Events: []manifest.Event{kind}}
	on.SetDefaults()
	out.On = append(out.On, on)
}

// triggers makes triggers of condition and event, which name a pattern of kvs by its number.
func (c *converter) triggers(at, name string, f *function, out *manifest.Function) {
	patterns := c.patterns(at, f)
	numbered := func(where string, n int) {
		if n < 0 || n >= len(patterns) {
			c.doc.Add(where, fmt.Sprintf("there is no key pattern %d, the function's kvs has %d", n, len(patterns)), "count from 0")
			return
		}
		c.trigger(patterns[n], manifest.EventSet, out)
	}
	if c.doc.Has(at + ".condition") {
		numbered(at+".condition", f.Condition.KVSet)
	}
	for i, e := range f.Event {
		if where := fmt.Sprintf("%s.event[%d].kv_set", at, i); c.doc.Has(where) {
			numbered(where, e.KVSet)
		}
	}
	for _, on := range out.On {
		c.note("%s: starts when a key %s changes, with the key as its argument", name, on.KV)
	}
}
