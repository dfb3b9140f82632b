package manifest

import (
	"bytes"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"edged.dev/edge/edged/internal/strictyaml"
)

// node is the part of a schema that the tests look at.
type node struct {
	Ref         string          `json:"$ref"`
	Type        any             `json:"type"`
	Description string          `json:"description"`
	Properties  map[string]node `json:"properties"`
	Additional  json.RawMessage `json:"additionalProperties"`
	Items       *node           `json:"items"`
	Enum        []any           `json:"enum"`
	Const       any             `json:"const"`
	Default     any             `json:"default"`
	Defs        map[string]node `json:"$defs"`
}

func readSchema(t *testing.T) node {
	t.Helper()
	var root node
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	return root
}

// TestSchemaHasEveryField walks the types and the schema side by side: the same keys in both, documented, and of the same
// type.
func TestSchemaHasEveryField(t *testing.T) {
	root := readSchema(t)
	compare(t, root.Defs, "manifest", reflect.TypeFor[Manifest](), root)
}

func compare(t *testing.T, defs map[string]node, at string, typ reflect.Type, schema node) {
	t.Helper()
	if schema.Ref != "" {
		schema.Type = defs[strings.TrimPrefix(schema.Ref, "#/$defs/")].Type
	}
	want := ""
	switch {
	case typ == reflect.TypeFor[time.Duration](), typ == reflect.TypeFor[strictyaml.Size](), typ.Kind() == reflect.String:
		want = "string"
	case typ.Kind() == reflect.Bool:
		want = "boolean"
	case typ.Kind() == reflect.Int:
		want = "integer"
	case typ.Kind() == reflect.Slice:
		want = "array"
		compare(t, defs, at+"[]", typ.Elem(), *schema.Items)
	case typ.Kind() == reflect.Map:
		want = "object"
		var element node
		if err := json.Unmarshal(schema.Additional, &element); err != nil {
			t.Fatalf("%s: %v", at, err)
		}
		compare(t, defs, at+".*", typ.Elem(), element)
	case typ.Kind() == reflect.Struct:
		want = "object"
		compareFields(t, defs, at, typ, schema)
	}
	got := schema.Type
	if list, ok := got.([]any); ok {
		got = list[0]
	}
	if schema.Enum == nil && schema.Const == nil && got != want {
		t.Errorf("%s: the schema says %v, the decoder wants %s", at, got, want)
	}
}

func compareFields(t *testing.T, defs map[string]node, at string, typ reflect.Type, schema node) {
	t.Helper()
	if string(schema.Additional) != "false" {
		t.Errorf("%s: the schema allows unknown keys", at)
	}
	left := maps.Clone(schema.Properties)
	for field := range typ.Fields() {
		key, _, _ := strings.Cut(field.Tag.Get("yaml"), ",")
		property, there := left[key]
		if !there {
			t.Errorf("%s: %q is missing in the schema", at, key)
			continue
		}
		delete(left, key)
		if property.Description == "" {
			t.Errorf("%s: %q has no description, so editors show nothing", at, key)
		}
		compare(t, defs, at+"."+key, field.Type, property)
	}
	for _, key := range slices.Sorted(maps.Keys(left)) {
		t.Errorf("%s: the schema has %q, which the decoder does not know", at, key)
	}
}

func TestSchemaTellsTheDefaults(t *testing.T) {
	root, want := readSchema(t), Default()
	for _, c := range []struct {
		at        string
		got, want any
	}{
		{"version", root.Properties["version"].Const, float64(want.Version)},
		{"abi", root.Properties["abi"].Default, string(want.ABI)},
		{"template", root.Properties["template"].Default, string(want.Template)},
		{"reuse", root.Properties["reuse"].Default, want.Reuse},
		{"limits.memory", root.Properties["limits"].Properties["memory"].Default, want.Limits.Memory.String()},
		{"limits.concurrency", root.Properties["limits"].Properties["concurrency"].Default, float64(want.Limits.Concurrency)},
		{"kv.durability", root.Properties["kv"].Properties["durability"].Default, string(want.KV.Durability)},
	} {
		if c.got != c.want {
			t.Errorf("%s: the schema says %v, the default is %v", c.at, c.got, c.want)
		}
	}
}

// TestSchemaJudgesLikeParse gives the same documents to both.
func TestSchemaJudgesLikeParse(t *testing.T) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("edged.yaml.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("edged.yaml.json")
	if err != nil {
		t.Fatal(err)
	}
	const head = "version: 1\napp: a\nmodule: a.wasm\n"
	for _, c := range []struct {
		text string
		want bool
	}{
		{full, true},
		{head, true},
		{"{}", false},
		{"- a", false},
		{"version: 2\napp: a\nmodule: a.wasm\n", false},
		{"version: '1'\napp: a\nmodule: a.wasm\n", false},
		{"version: 1\napp: A\nmodule: a.wasm\n", false},
		{"version: 1\napp: _edged\nmodule: a.wasm\n", false},
		{"version: 1\napp: a\nmodule: ''\n", false},
		{"version: 1\napp: a\nmodule: 5\n", false},
		{head + "extra: 1\n", false},
		{head + "abi: stdio\n", true},
		{head + "abi: wagi\n", false},
		{head + "template: auto\n", true},
		{head + "reuse: false\n", true},
		{head + "reuse: yes\n", false},
		{head + "limits: {}\n", true},
		{head + "limits: {memory: 1 GiB}\n", true},
		{head + "limits: {memory: 1GB}\n", false},
		{head + "limits: {memory: 0MiB}\n", false},
		{head + "limits: {memory: 64}\n", false},
		{head + "limits: {timeout: 1h30m}\n", true},
		{head + "limits: {timeout: 1.5s}\n", true},
		{head + "limits: {timeout: -1s}\n", false},
		{head + "limits: {timeout: '5'}\n", false},
		{head + "limits: {timeout: soon}\n", false},
		{head + "limits: {timeout: 0s}\n", false},
		{head + "limits: {timeout: 1s, timeot: 1s}\n", false},
		{head + "limits: {concurrency: 0}\n", false},
		{head + "limits: {concurrency: 1048577}\n", false},
		{head + "limits: {concurrency: 1.5}\n", false},
		{head + "kv: {space: x}\n", true},
		{head + "kv: {space: X}\n", false},
		{head + "kv: {durability: none}\n", false},
		{head + "grants: {dirs: [{host: a, guest: /a}]}\n", true},
		{head + "grants: {dirs: [{host: a}]}\n", false},
		{head + "grants: {dirs: [{host: a, guest: a}]}\n", false},
		{head + "grants: {dirs: {host: a, guest: /a}}\n", false},
		{head + "grants: {config: {a: b}}\n", true},
		{head + "grants: {config: {a: 1}}\n", false},
		{head + "grants: {config: {'': a}}\n", false},
		{head + "grants: {secrets: [A_b]}\n", true},
		{head + "grants: {secrets: [A, A]}\n", false},
		{head + "grants: {secrets: ['a b']}\n", false},
		{head + "grants: {hosts: ['http://x']}\n", false},
		{head + "functions: {}\n", true},
		{head + "functions: {f: }\n", true},
		{head + "functions: {F: {}}\n", false},
		{head + "functions: [f]\n", false},
		{head + "functions: {f: {http: {methods: [GET]}}}\n", true},
		{head + "functions: {f: {http: {methods: [GET, GET]}}}\n", false},
		{head + "functions: {f: {http: {methods: GET}}}\n", false},
		{head + "functions: {f: {http: {methods: [CONNECT]}}}\n", false},
		{head + "functions: {f: {http: {path: /a/b}}}\n", true},
		{head + "functions: {f: {http: {path: a/b}}}\n", false},
		{head + "functions: {f: {kvs: {k: [get, set]}}}\n", true},
		{head + "functions: {f: {kvs: {k: []}}}\n", false},
		{head + "functions: {f: {kvs: {k: [take]}}}\n", false},
		{head + "functions: {f: {on: [{kv: 'a_{}'}]}}\n", true},
		{head + "functions: {f: {on: [{kv: a, events: [set, new], space: b, retries: 0, backoff: 1s, backlog: 5}]}}\n", true},
		{head + "functions: {f: {on: {kv: a}}}\n", false},
		{head + "functions: {f: {on: [{}]}}\n", false},
		{head + "functions: {f: {on: [{kv: ''}]}}\n", false},
		{head + "functions: {f: {on: [{kv: a, events: [put]}]}}\n", false},
		{head + "functions: {f: {on: [{kv: a, retries: -1}]}}\n", false},
		{head + "functions: {f: {on: [{kv: a, space: A}]}}\n", false},
		{head + "functions: {f: {deadline: 10ms}}\n", true},
		{head + "functions: {f: {deadline: 10}}\n", false},
		{head + "functions: {f: {on: []}}\n", true},
		{head + "functions: {f: {on: [{cron: '*/5 * * * *', tz: Europe/Berlin, missed: all}, {every: 30s}]}}\n", true},
		{head + "functions: {f: {on: [{}]}}\n", false},
		{head + "functions: {f: {on: [{cron: '@daily', every: 30s}]}}\n", false},
		{head + "functions: {f: {on: [{cron: ''}]}}\n", false},
		{head + "functions: {f: {on: [{every: 30s, tz: UTC}]}}\n", false},
		{head + "functions: {f: {on: [{every: 30s, missed: once}]}}\n", false},
		{head + "functions: {f: {on: [{cron: '@daily', missed: never}]}}\n", false},
		{head + "functions: {f: {on: {every: 30s}}}\n", false},
		{"version: 1\napp: ~\nmodule: a.wasm\n", false},
	} {
		_, parseErr := Parse("m.yaml", []byte(c.text))
		object, err := yaml.YAMLToJSON([]byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		value, err := jsonschema.UnmarshalJSON(bytes.NewReader(object))
		if err != nil {
			t.Fatal(err)
		}
		schemaErr := schema.Validate(value)
		if (parseErr == nil) != c.want || (schemaErr == nil) != c.want {
			t.Errorf("want valid=%v of\n%s\nParse: %v\nschema: %v", c.want, c.text, parseErr, schemaErr)
		}
	}
}
