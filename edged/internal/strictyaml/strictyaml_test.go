package strictyaml

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// sample has a field of every type that the decoder knows.
type sample struct {
	Name    string              `yaml:"name"`
	Count   int                 `yaml:"count"`
	Small   int8                `yaml:"small"`
	On      bool                `yaml:"on"`
	Wait    time.Duration       `yaml:"wait"`
	Memory  Size                `yaml:"memory"`
	Tags    []string            `yaml:"tags"`
	Limits  limits              `yaml:"limits"`
	Options map[string]string   `yaml:"options"`
	Jobs    map[jobName]job     `yaml:"jobs,nullable"`
	Steps   []job               `yaml:"steps"`
	Lists   map[string][]string `yaml:"lists"`
	hidden  int                 //nolint:unused // no key may reach it
}

type (
	jobName string
	limits  struct {
		Timeout time.Duration `yaml:"timeout"`
	}
	job struct {
		Entry string `yaml:"entry"`
		Tries int    `yaml:"tries"`
	}
)

func (j *job) SetDefaults() { j.Tries = 3 }

func TestDecode(t *testing.T) {
	const text = `# a comment
name: "x"
count: 7
on: true
wait: 1m30s
memory: 64MiB
tags: [a, b]
limits:
  timeout: 5s
options: {k: v, "l": 'w'}
jobs:
  one: {entry: go}
  two:
steps:
  - entry: |
      several
      lines
    tries: 1
lists: {a: [x]}
`
	got := sample{Name: "default", Small: 9}
	if err := Decode("f.yaml", []byte(text), &got).Err(); err != nil {
		t.Fatal(err)
	}
	want := sample{
		Name: "x", Count: 7, Small: 9, On: true, Wait: 90 * time.Second, Memory: 64 * MiB, Tags: []string{"a", "b"},
		Limits: limits{5 * time.Second}, Options: map[string]string{"k": "v", "l": "w"},
		Jobs:  map[jobName]job{"one": {"go", 3}, "two": {"", 3}},
		Steps: []job{{"several\nlines\n", 1}}, Lists: map[string][]string{"a": {"x"}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestDecodeProblems(t *testing.T) {
	for _, c := range []struct{ name, text, want string }{
		{"unknown key", "naem: x", `f.yaml:1:1: unknown key "naem"; did you mean "name"?`},
		{"unknown key far from all", "zzzzzz: x", `f.yaml:1:1: unknown key "zzzzzz"; the keys here are count, jobs, limits, lists, memory, name, on, options, small, steps, tags, wait`},
		{"key of a level below", "timeout: 5s", `f.yaml:1:1: unknown key "timeout"; it belongs under "limits"`},
		{"unexported field is no key", "hidden: 1", `f.yaml:1:1: unknown key "hidden"`},
		{"duplicate", "name: x\ncount: 1\nname: y", `f.yaml:3:1: the key "name" is here twice, first in line 1; remove one`},
		{"duplicate in a map", "options:\n  k: v\n  k: w", `f.yaml:3:3: options: the key "k" is here twice, first in line 2; remove one`},
		{"number as text", "name: 1.10", `f.yaml:1:7: name: want a text, got the number 1.10; put it in quotes: "1.10"`},
		{"truth value as text", "options: {k: true}", `f.yaml:1:14: options.k: want a text, got the truth value true; put it in quotes: "true"`},
		{"list as text", "name: [x]", "f.yaml:1:7: name: want a text, got a list"},
		{"mapping as text", "name:\n  x: y", "f.yaml:2:3: name: want a text, got a mapping"},
		{"text as number", "count: many", `f.yaml:1:8: count: want a whole number, got the text "many"`},
		{"float as number", "count: 1.5", "f.yaml:1:8: count: want a whole number, got the number 1.5"},
		{"overflow", "small: 300", "f.yaml:1:8: small: the number 300 is too large"},
		{"overflow of 64 bits", "count: 18446744073709551615", "f.yaml:1:8: count: the number 18446744073709551615 is too large"},
		{"text as truth value", "on: yes", `f.yaml:1:5: on: want true or false, got the text "yes"; write true`},
		{"scalar as list", "tags: a", `f.yaml:1:7: tags: want a list, got the text "a"; write [a]`},
		{"scalar as mapping", "limits: 5s", `f.yaml:1:9: limits: want a mapping (key: value), got the text "5s"`},
		{"wrong element", "tags: [a, 2]", `f.yaml:1:11: tags[1]: want a text, got the number 2; put it in quotes: "2"`},
		{"bad duration", "wait: 5", "f.yaml:1:7: wait: want a duration such as 5s, got the number 5"},
		{"bad duration text", "wait: soon", `f.yaml:1:7: wait: "soon" is not a duration; write a number and ms, s, m or h, such as 5s`},
		{"zero duration", "wait: 0s", `f.yaml:1:7: wait: "0s": a duration is above zero`},
		{"bad size", "memory: 64M", `f.yaml:1:9: memory: "64M" is not a size; the unit is B, KiB, MiB or GiB, such as 64MiB`},
		{"number as size", "memory: 64", "f.yaml:1:9: memory: want a size such as 64MiB, got the number 64"},
		{"no value", "name:", "f.yaml:1:1: name: there is no value here; give it one or remove the key"},
		{"null value", "name: ~", "f.yaml:1:1: name: there is no value here"},
		{"number as key", "options: {1: a}", "f.yaml:1:11: options: a key must be a text; put it in quotes"},
		{"anchor and alias", "name: &a x\ntags: [*a]", "f.yaml:1:7: anchors (&name) are not allowed"},
		{"alias", "name: &a x\ntags: [*a]", "f.yaml:2:8: aliases (*name) are not allowed"},
		{"merge key", "limits:\n  <<: {timeout: 5s}", "f.yaml:2:3: merge keys (<<) are not allowed"},
		{"tag", "name: !!str 5", "f.yaml:1:7: tags (!type) are not allowed"},
		{"directive", "%YAML 1.2\n---\nname: x", "directives (%) are not allowed"},
		{"second document", "name: x\n---\nname: y", "f.yaml:2:1: a second document starts here"},
		{"top is a list", "- a", "f.yaml:1:1: want a mapping (key: value), got a list"},
		{"top is a text", "hello", `f.yaml:1:1: want a mapping (key: value), got the text "hello"`},
		{"empty", "", "f.yaml: the file is empty"},
		{"only comments", "# nothing\n", "f.yaml: the file is empty"},
		{"only a marker", "---\n", "f.yaml: the file is empty"},
		{"syntax", "name: [a", "f.yaml:1:"},
		{"tab", "limits:\n\ttimeout: 5s", "f.yaml:2:1"},
		{"control character", "name: a\x07b", "f.yaml:1:8: this is not text"},
		{"not UTF-8", "name: a\xff", "f.yaml:1:8: this is not text"},
		{"too large", "name: " + strings.Repeat("x", MaxBytes), "f.yaml: the file has 1048582 bytes; at most 1048576 are read"},
		{"too deep in brackets", "tags: " + strings.Repeat("[", 1000), "nested too deep"},
		{"too deep in dashes", "tags:\n " + strings.Repeat("- ", 1000) + "x", "nested too deep"},
		{"too many entries", "options:\n" + strings.Repeat(" k: v\n", maxEntries), "f.yaml:5001:3: the file has more than 5000 entries"},
		{"too deep in keys", deepKeys(40), "nested too deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Decode("f.yaml", []byte(c.text), &sample{}).Err()
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got\n%v\nwant %s", err, c.want)
			}
		})
	}
}

func deepKeys(n int) string {
	var text strings.Builder
	for i := range n {
		text.WriteString(strings.Repeat(" ", i) + "k:\n")
	}
	return text.String()
}

func TestDecodeReportsAllWithExcerpts(t *testing.T) {
	const text = "naem: x\ncount: many\nlimits:\n  timeot: 5s\ntags: [1]\n"
	err := Decode("f.yaml", []byte(text), &sample{}).Err()
	const want = `f.yaml:1:1: unknown key "naem"; did you mean "name"?
    1 | naem: x
      | ^~~~
f.yaml:2:8: count: want a whole number, got the text "many"
    2 | count: many
      |        ^~~~
f.yaml:4:3: limits: unknown key "timeot"; did you mean "timeout"?
    4 |   timeot: 5s
      |   ^~~~~~
f.yaml:5:8: tags[0]: want a text, got the number 1; put it in quotes: "1"
    5 | tags: [1]
      |        ^`
	if err == nil || err.Error() != want {
		t.Errorf("got\n%v\nwant\n%s", err, want)
	}
}

func TestExcerptCountsRunesAndCutsLongLines(t *testing.T) {
	err := Decode("f.yaml", []byte(`options: {"ärger": "ö", x: 5}`), &sample{}).Err()
	if err == nil || !strings.Contains(err.Error(), "f.yaml:1:28:") || !strings.HasSuffix(err.Error(), "| "+strings.Repeat(" ", 27)+"^") {
		t.Errorf("the caret does not count characters:\n%v", err)
	}
	long := Decode("f.yaml", []byte(`options: {k: "`+strings.Repeat("x", 5000)+`", x: 5}`), &sample{}).Err()
	if long == nil || len(long.Error()) > 600 || !strings.HasSuffix(long.Error(), "^") {
		t.Errorf("the line is not cut:\n%v", long)
	}
}

func TestDocumentAddPointsAtNearest(t *testing.T) {
	const text = "name: x\nlimits:\n  timeout: 5s\n"
	for _, c := range []struct{ path, want string }{
		{"limits.timeout", "f.yaml:3:12: limits.timeout: bad"},
		{"limits.memory", "f.yaml:2:1: limits.memory: bad"},
		{"limits.memory.deep[3]", "f.yaml:2:1: limits.memory.deep[3]: bad"},
		{"module", "f.yaml:1:1: module: bad"},
	} {
		t.Run(c.path, func(t *testing.T) {
			d := Decode("f.yaml", []byte(text), &sample{})
			d.Add(c.path, "bad", "")
			if err := d.Err(); err == nil || !strings.HasPrefix(err.Error(), c.want) {
				t.Errorf("got %v, want %s", err, c.want)
			}
		})
	}
}

func TestDocumentMerge(t *testing.T) {
	d := Decode("f.yaml", []byte("name: x\n"), &sample{})
	d.Merge(nil)
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	var c Checker
	c.Add("name", "bad name", "choose another")
	c.Require(true, "name", "not shown", "")
	c.OneOf("name", "sycn", []string{"sync", "memory"})
	d.Merge(c.Err())
	d.Merge(errors.New("other"))
	var list *Error
	if !errors.As(d.Err(), &list) || len(list.Problems) != 3 {
		t.Fatalf("got %v", d.Err())
	}
	if !strings.Contains(list.Error(), `f.yaml:1:7: name: "sycn" is not known here; did you mean "sync"?`) {
		t.Errorf("got %v", list)
	}
}

func TestErrorIsBounded(t *testing.T) {
	err := Decode("f.yaml", []byte(strings.Repeat("a: b\nb: c\n", 500)), &sample{}).Err()
	if lines := strings.Count(err.Error(), "\n"); lines > 100 {
		t.Errorf("the message has %d lines", lines)
	}
	if !strings.Contains(err.Error(), "more problems") {
		t.Errorf("the rest is not mentioned: %v", err)
	}
}

func TestNearest(t *testing.T) {
	words := []string{"module", "memory", "timeout", "kv", "abi"}
	for _, c := range []struct{ word, want string }{
		{"modul", "module"},
		{"moduel", "module"},
		{"Memory", "memory"},
		{"time-out", "timeout"},
		{"k", "kv"},
		{"abl", "abi"},
		{"concurrency", ""},
		{"", ""},
		{strings.Repeat("m", 100), ""},
	} {
		if got := Nearest(c.word, words); got != c.want {
			t.Errorf("Nearest(%q) = %q, want %q", c.word, got, c.want)
		}
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want Size
		back string
	}{
		{"64MiB", 64 * MiB, "64MiB"}, {"1 KiB", KiB, "1KiB"}, {"1024B", KiB, "1KiB"}, {"1536MiB", 1536 * MiB, "1536MiB"}, {"4GiB", 4 * GiB, "4GiB"},
	} {
		if got, err := ParseSize(c.text); err != nil || got != c.want || got.String() != c.back {
			t.Errorf("ParseSize(%q) = %v %v", c.text, got, err)
		}
	}
	for _, text := range []string{"", "64", "64MB", "64mib", "-1MiB", "0MiB", "MiB", "1.5GiB", "64  MiB", "99999999999GiB", "99999999999999999999B", "٣MiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("ParseSize(%q) = %v, want an error", text, got)
		}
	}
}

// FuzzDecode looks for inputs that crash the decoder, and checks that what it accepts it points at correctly.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("name: x\ncount: 1\nlimits: {timeout: 5s}\njobs:\n  a:\n"))
	f.Add([]byte("tags: [[[[\n- - - -\n? a : b"))
	f.Add([]byte("name: |\n  a\n\n b"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var into sample
		d := Decode("f.yaml", text, &into)
		lines := strings.Count(string(text), "\n") + 1
		for _, at := range d.marks {
			if at.value.line < 0 || at.value.line > lines {
				t.Fatalf("a value in line %d of %d", at.value.line, lines)
			}
		}
		if err := d.Err(); err != nil {
			if err.Error() == "" {
				t.Fatal("an error without words")
			}
			return
		}
		var again sample
		if err := Decode("f.yaml", text, &again).Err(); err != nil || !reflect.DeepEqual(into, again) {
			t.Fatalf("decoded differently the second time: %v", err)
		}
	})
}
