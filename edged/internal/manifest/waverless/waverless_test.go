package waverless

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/strictyaml"
)

func on(pattern string, events ...manifest.Event) manifest.Trigger {
	t := manifest.Trigger{KV: pattern, Events: events}
	t.SetDefaults()
	return t
}

func TestConvert(t *testing.T) {
	get, set, del := manifest.AccessGet, manifest.AccessSet, manifest.AccessDelete
	for _, c := range []struct {
		name, text string
		app        invoke.AppName
		want       map[invoke.FunctionName]manifest.Function
		notes      []string
	}{
		{
			"format 2", `word_count:
  split_file:
    http.post: {call: indirect}
    kvs:
      wordcount_slice_{}: [write]
  handle_one_slice:
    kvs:
      wordcount_slice_{}: [get, delete, trigger_by_write]
      wordcount_{}: [set, trigger_by_new, trigger_by_write]
    sync: async
    affinity: {tags: [worker], nodes: "*"}
`, "word_count",
			map[invoke.FunctionName]manifest.Function{
				"split_file": {
					Entry: "split_file", HTTP: manifest.HTTP{Methods: []string{"POST"}},
					KVs: map[string][]manifest.Access{"*": {get}, "wordcount_slice_{}": {set}},
				},
				"handle_one_slice": {
					Entry: "handle_one_slice", HTTP: manifest.HTTP{Methods: []string{"POST"}},
					KVs: map[string][]manifest.Access{"*": {get}, "wordcount_slice_{}": {get, del}, "wordcount_{}": {set}},
					On: []manifest.Trigger{
						on("wordcount_slice_{}", manifest.EventSet), on("wordcount_{}", manifest.EventNew, manifest.EventSet),
					},
				},
			},
			[]string{"format 2", "wait=graph", "respond-async", "affinity", "starts when a key wordcount_slice_{} changes"},
		},
		{
			"names", `stock-mng:
  createUser:
    http.get: {call: direct}
    http.post: {call: direct}
  StockMngFacade.query:
    rpc:
`, "stock-mng",
			map[invoke.FunctionName]manifest.Function{
				"createuser": {
					Entry: "createUser", HTTP: manifest.HTTP{Methods: []string{"GET", "POST"}, Path: "/stock-mng/createUser"},
				},
				"stockmngfacade-query": {
					Entry: "StockMngFacade.query", HTTP: manifest.HTTP{Methods: []string{"POST"}}, Callers: []string{"*"},
				},
			},
			[]string{"stock-mng/stockmngfacade-query", "not for HTTP"},
		},
		{
			"as the demos have it", `fns:
  chain_begin:
    http.get: call: indirect
    kvs:
      z_last: [get]
      chain_count: [set]

  chain_loop:
    condition:
      kv_set: 0
    kvs:
      chain_count: [set,get,delete]
      a_first: [set]`, "longchain",
			map[invoke.FunctionName]manifest.Function{
				"chain_begin": {
					Entry: "chain_begin", HTTP: manifest.HTTP{Methods: []string{"GET"}},
					KVs: map[string][]manifest.Access{"*": {get}, "chain_count": {set}, "z_last": {get}},
				},
				"chain_loop": {
					Entry: "chain_loop", HTTP: manifest.HTTP{Methods: []string{"POST"}},
					KVs: map[string][]manifest.Access{"*": {get}, "chain_count": {set, get, del}, "a_first": {set}},
					On:  []manifest.Trigger{on("chain_count", manifest.EventSet)},
				},
			},
			[]string{"format 1", "1 lines such as"},
		},
		{
			"format 1", `fns:
  split_file:
    event:
    - http_app:
    args:
    kvs:
      slice_{}: [set]
  handle:
    event:
    - kv_set: 1
    args:
    - kv_key: 0
    kvs:
      count_{}: [set]
      slice_{}: [delete]
  notes:
    args:
    - http_text: null
    event:
    - http_fn: null
`, "longchain",
			map[invoke.FunctionName]manifest.Function{
				"split_file": {Entry: "split_file", KVs: map[string][]manifest.Access{"*": {get}, "slice_{}": {set}}},
				"handle": {
					Entry: "handle", HTTP: manifest.HTTP{Methods: []string{"POST"}},
					KVs: map[string][]manifest.Access{"*": {get}, "count_{}": {set}, "slice_{}": {del}},
					On:  []manifest.Trigger{on("slice_{}", manifest.EventSet)},
				},
				"notes": {Entry: "notes"},
			},
			[]string{"format 1", "handle: starts when a key slice_{} changes"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, notes, err := Convert("app.yml", "longchain", []byte(c.text), []string{"x.wasm"})
			if err != nil {
				t.Fatal(err)
			}
			if m.App != c.app || m.Module != "x.wasm" || m.ABI != manifest.ABIWaverless || !reflect.DeepEqual(m.Functions, c.want) {
				t.Errorf("got %s %s %s\n%+v\nwant %s\n%+v", m.App, m.Module, m.ABI, m.Functions, c.app, c.want)
			}
			for _, note := range c.notes {
				if !strings.Contains(strings.Join(notes, "\n"), note) {
					t.Errorf("no note says %q:\n%s", note, strings.Join(notes, "\n"))
				}
			}
		})
	}
}

func TestConvertProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "the file is empty"},
		{"two apps", "a:\n  f: {rpc: }\nb:\n  f: {rpc: }\n", "one app, not 2"},
		{"no function", "a: {}\n", "app.yml:1:4: a: an app has 1 to 1024 functions, not 0"},
		{"unknown key", "a:\n  f:\n    http.gte: {call: direct}\n", `app.yml:3:5: a.f: unknown key "http.gte"; did you mean "http.get"?`},
		{"unknown call", "a:\n  f:\n    http.get: {call: perhaps}\n", `app.yml:3:15: a.f.http.get: call is "perhaps"`},
		{"no call", "a:\n  f:\n    http.get:\n", `a.f.http.get: call is ""; write {call: direct}`},
		{"unknown access", "a:\n  f:\n    kvs:\n      k: [get, put]\n", `app.yml:4:16: a.f.kvs.k[1]: "put" is not known here`},
		{"condition of a trigger", "a:\n  f:\n    kvs:\n      k: [{trigger_by_write: {condition: g}}]\n", "want a text, got a mapping"},
		{"number of no pattern", "a:\n  f:\n    condition: {kv_set: 1}\n    kvs:\n      k: [get]\n", "app.yml:3:16: a.f.condition: there is no key pattern 1, the function's kvs has 1"},
		{"below zero", "fns:\n  f:\n    event:\n    - kv_set: -1\n", "there is no key pattern -1"},
		{"sync", "a:\n  f: {sync: never}\n", `a.f.sync: "never" is not known here; write sync or async`},
		{"like names", "a:\n  getIt: {rpc: }\n  getit: {rpc: }\n", "cannot be told from another function"},
		{"bad pattern", "a:\n  f:\n    kvs:\n      'k}': [get]\n", "not a key pattern"},
		{"a list", "- a\n", "want a mapping"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, _, err := Convert("app.yml", "folder", []byte(c.text), []string{"app.wasm"})
			var list *strictyaml.Error
			if !errors.As(err, &list) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got:\n%v\nwant %q in it", err, c.want)
			}
		})
	}
}

func TestPick(t *testing.T) {
	for _, c := range []struct {
		modules []string
		want    string
	}{
		{[]string{"other.wasm", "app.wasm"}, "app.wasm"},
		{[]string{"other.wasm", "word_count.wasm"}, "word_count.wasm"},
		{[]string{"other.wasm", "folder.wasm"}, "folder.wasm"},
		{[]string{"other.wasm"}, "other.wasm"},
	} {
		if got, err := pick(c.modules, "word-count", "folder"); got != c.want || err != nil {
			t.Errorf("%q: %q, %v; want %q", c.modules, got, err, c.want)
		}
	}
	for _, modules := range [][]string{nil, {"a.wasm", "b.wasm"}} {
		if got, err := pick(modules, "word-count", "folder"); err == nil || !strings.Contains(err.Error(), "app.wasm") {
			t.Errorf("%q: %q, %v; want an error that says what to do", modules, got, err)
		}
	}
}

func FuzzConvert(f *testing.F) {
	f.Add("fns:\n  f:\n    event:\n    - kv_set: 0\n    args:\n    - kv_key: 0\n    kvs:\n      k_{}: [set, trigger_by_new]\n", "x")
	f.Add("app:\n  f:\n    http.get: call: direct\n    rpc:\n    sync: async\n    affinity: {nodes: '*'}\n", "")
	f.Fuzz(func(t *testing.T, text, folder string) {
		m, _, err := Convert("app.yml", folder, []byte(text), []string{"app.wasm"})
		if err != nil {
			return
		}
		if err := m.Validate(); err != nil {
			t.Fatalf("converted to a manifest that is not valid: %v", err)
		}
	})
}
