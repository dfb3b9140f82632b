// Package manifest is the app manifest, edged.yaml: its types, its defaults, the strict reading of it and its JSON Schema.
//
// A manifest is judged on its own here. Whether the module exports the entries, and whether the daemon allows the
// limits, is known at deploy.
package manifest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/strictyaml"
)

// FileName is what a manifest is called in an app's folder.
const FileName = "edged.yaml"

// CurrentVersion is the version of the format that this package reads and writes.
const CurrentVersion = 1

// CommandEntry is the export that makes a module a command. The function with this entry answers on the app's own path.
const CommandEntry = "_start"

// The defaults of [Default].
const (
	// DefaultMemory is enough for a stock Go guest (3 MiB) with room for its data, and 32 such apps fit in 4 GiB.
	DefaultMemory = 128 * strictyaml.MiB
	// DefaultConcurrency is above any honest burst on one box and keeps one app from filling every run queue.
	DefaultConcurrency = 1024
)

// ABI is the guest interface that a module speaks; see docs/ABI.md.
type ABI string

// The guest interfaces.
const (
	ABIAuto  ABI = "auto"  // worked out from imports and exports
	ABIEdged ABI = "edged" // the native host functions
	ABICGI   ABI = "cgi"   // a command that answers CGI 1.1 on its standard output
	ABIStdio ABI = "stdio" // a command: request body in, response body out

	ABIWaverless ABI = "waverless" // a reactor written for waverless
	ABIFaasm     ABI = "faasm"     // a command written for Faasm
	ABISledge    ABI = "sledge"    // a command written for Sledge
	ABIWarrior   ABI = "warrior"   // a command written for Warrior
)

// Command reports whether a module of this interface is entered at [CommandEntry]; false for auto, of which it is not known.
func (a ABI) Command() bool {
	switch a {
	case ABICGI, ABIStdio, ABIFaasm, ABISledge, ABIWarrior:
		return true
	case ABIAuto, ABIEdged, ABIWaverless:
	}
	return false
}

// abis lists the interfaces as a manifest names them.
func abis() []string {
	return []string{
		string(ABIAuto), string(ABIEdged), string(ABICGI), string(ABIStdio),
		string(ABIWaverless), string(ABIFaasm), string(ABISledge), string(ABIWarrior),
	}
}

// Durability says when a write to the app's space is acknowledged.
type Durability string

// The durability classes, from the safest to the fastest.
const (
	DurabilitySync    Durability = "sync"    // when it is on disk
	DurabilityBatched Durability = "batched" // at once; on disk within a bounded delay
	DurabilityMemory  Durability = "memory"  // at once; gone after a restart
)

// Template says whether instances start from a snapshot.
type Template string

// The template modes.
const (
	TemplateAuto Template = "auto" // start from the memory as it was after the module's own initialisation
	TemplateOff  Template = "off"  // initialise anew for every request
)

// Access is one way in which a function uses keys.
type Access string

// The ways to use a key.
const (
	AccessGet    Access = "get"
	AccessSet    Access = "set"
	AccessDelete Access = "delete"
)

// Manifest describes one app. Get one from [Load], [Parse] or [FromModule]: those have the defaults filled in and have
// been validated. It is plain data; whoever holds it may change it and call [Manifest.Validate] again.
type Manifest struct {
	Version  int            `yaml:"version"`
	App      invoke.AppName `yaml:"app"`
	Module   string         `yaml:"module"` // relative to the manifest's folder, or absolute
	ABI      ABI            `yaml:"abi"`
	Template Template       `yaml:"template"`
	// Reuse keeps an instance and its state for the next request of the same function.
	Reuse     bool                             `yaml:"reuse,omitempty"`
	Limits    Limits                           `yaml:"limits"`
	KV        KV                               `yaml:"kv"`
	Grants    Grants                           `yaml:"grants,omitempty"`
	Functions map[invoke.FunctionName]Function `yaml:"functions,omitempty,nullable"`
}

// Limits bound one app.
type Limits struct {
	Memory strictyaml.Size `yaml:"memory"` // of one instance's linear memory
	// Timeout is after what time a guest is killed; zero stands for the daemon's default.
	Timeout time.Duration `yaml:"timeout,omitempty"`
	// Concurrency is how many requests of the app may be queued or running at once; more are answered 429.
	Concurrency int `yaml:"concurrency"`
}

// KV describes the app's space.
type KV struct {
	Space      string     `yaml:"space"` // the app's name unless given; apps that name the same space share it
	Durability Durability `yaml:"durability"`
}

// Grants are what the app may reach beyond its own memory and space. Nothing is granted unless listed.
type Grants struct {
	Dirs    []Dir             `yaml:"dirs,omitempty"`
	Hosts   []string          `yaml:"hosts,omitempty"` // "example.com", "*.example.com" or with ":port"
	Config  map[string]string `yaml:"config,omitempty"`
	Secrets []string          `yaml:"secrets,omitempty"` // names; the daemon keeps the values
	Calls   []string          `yaml:"calls,omitempty"`   // functions of other apps, "app/function" or "app/*", that let it call them
}

// Dir gives a guest a folder of the host.
type Dir struct {
	Host     string `yaml:"host"`  // relative to the manifest's folder, or absolute
	Guest    string `yaml:"guest"` // absolute and clean
	ReadOnly bool   `yaml:"readonly"`
}

// SetDefaults makes a folder readable only: writing is what has to be asked for.
func (d *Dir) SetDefaults() { d.ReadOnly = true }

// Function is one entry of an app.
type Function struct {
	Entry string `yaml:"entry"` // the export; the function's name unless given
	HTTP  HTTP   `yaml:"http,omitempty"`
	// Deadline is when a caller loses interest, counted from arrival: the scheduler's order, not a kill. Zero is unknown.
	Deadline time.Duration `yaml:"deadline,omitempty"`
	// RelativeDeadline is Deadline in Sledge's unit, for manifests made of its route files; it stands for a deadline that is not
	// given. ExpectedExecution and AdmissionsPercentile are of those files too: what they tell is learnt here.
	RelativeDeadline     int `yaml:"relative-deadline-us,omitempty"`
	ExpectedExecution    int `yaml:"expected-execution-us,omitempty"`
	AdmissionsPercentile int `yaml:"admissions-percentile,omitempty"`
	// KVs are the keys that the function may use, as patterns, and how; every other key is denied. Without it the function may
	// use every key of the app's space.
	KVs map[string][]Access `yaml:"kvs,omitempty"`
	// On is what starts the function beside HTTP.
	On []Trigger `yaml:"on,omitempty"`
	// Callers are the apps that may call it beside its own, if their manifests say so too; "*" for all.
	Callers []string `yaml:"callers,omitempty"`
	// Actor makes it a class of actors: see actor_new in docs/ABI.md.
	Actor bool `yaml:"actor,omitempty"`
	// Then are functions of the same app that its result goes through, in order, before it is the answer; see [Manifest.Chain].
	Then []invoke.FunctionName `yaml:"then,omitempty"`
}

// HTTP narrows what a function answers on HTTP and on the Unix socket.
type HTTP struct {
	Methods []string `yaml:"methods,omitempty"` // upper case; empty for all
	// Path is a pattern that replaces /APP/FUNCTION/*. It begins with /APP; {name} stands for one segment, and /* at the
	// end for all that follow and for none; without it the path must match to its end.
	Path string `yaml:"path,omitempty"`
}

// Default returns a manifest in which every default that does not depend on a name is set. It is not valid yet: app and
// module are missing.
func Default() *Manifest {
	return &Manifest{
		Version:  CurrentVersion,
		ABI:      ABIAuto,
		Template: TemplateAuto,
		Limits:   Limits{Memory: DefaultMemory, Concurrency: DefaultConcurrency},
		KV:       KV{Durability: DurabilitySync},
	}
}

// complete sets the defaults that follow from names.
func (m *Manifest) complete() {
	if m.KV.Space == "" {
		m.KV.Space = string(m.App)
	}
	for name, function := range m.Functions {
		if function.Entry == "" {
			function.Entry = string(name)
		}
		for i := range function.On {
			function.On[i].complete()
		}
		if function.Deadline == 0 && function.RelativeDeadline > 0 {
			function.Deadline = time.Duration(function.RelativeDeadline) * time.Microsecond
		}
		m.Functions[name] = function
	}
}

// Load reads the manifest at path, which may name the file or the folder that holds it. The error tells every problem
// at once; it is an [*strictyaml.Error] unless the file cannot be read. Paths in the manifest stay as written; see
// [Resolve].
func Load(path string) (*Manifest, error) {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, FileName)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read manifest: %w; an app's folder holds a file %s (make one with: edged init)", err, FileName)
	}
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	defer file.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(file, strictyaml.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return Parse(path, text)
}

// Parse reads a manifest; name is the file's name in messages. The error is an [*strictyaml.Error].
func Parse(name string, text []byte) (*Manifest, error) {
	m := Default()
	m.Version = 0 // must be written: a later version may mean something else
	doc := strictyaml.Decode(name, text, m)
	m.complete()
	if !doc.Broken("") {
		doc.Merge(m.check(doc.Broken))
	}
	if err := doc.Err(); err != nil {
		return nil, err
	}
	return m, nil
}

// Resolve returns where a path of the manifest leads, given the manifest's folder.
func Resolve(dir, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(dir, path)
}

// YAML returns the manifest in the form that [Parse] reads back to an equal one.
func (m *Manifest) YAML() ([]byte, error) {
	text, err := yaml.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return text, nil
}

// MarshalJSON returns the manifest with the keys and the units of the file.
func (m *Manifest) MarshalJSON() ([]byte, error) {
	text, err := m.YAML()
	if err != nil {
		return nil, err
	}
	return yaml.YAMLToJSON(text)
}
