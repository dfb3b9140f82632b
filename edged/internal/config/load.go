package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"edged.dev/edge/edged/internal/strictyaml"
)

// DefaultFile is read when no other file is named; it may be missing.
const DefaultFile = "/etc/edged/config.yaml"

// fileEnv names the variable with the path of the file.
const fileEnv = "EDGED_CONFIG"

// Options say where a configuration comes from. The zero value is ready: no flags, the process's own environment.
type Options struct {
	// File is the file to read, which must exist; when empty it is EDGED_CONFIG's, else [DefaultFile] if there is one.
	File string
	// Flags are the values of the flags that were given, by key: "http", "log.level".
	Flags map[string]string
	// Getenv replaces os.Getenv in tests.
	Getenv func(string) string
}

// Source is where a value came from, as people say it: "default", "flag --http", "environment EDGED_HTTP" or
// "file /etc/edged/config.yaml:3:7".
type Source string

// Loaded is a configuration that has been validated, and where its values came from.
type Loaded struct {
	Config
	sources map[string]Source
}

// Source returns where the value of a key such as "limits.body" came from.
func (l *Loaded) Source(key string) Source {
	if source, ok := l.sources[key]; ok {
		return source
	}
	return "default"
}

// Setting is one value of a configuration.
type Setting struct {
	Key    string
	Value  string // as it would be written in the file
	Source Source
}

// Settings returns every value in the order of the file.
func (l *Loaded) Settings() []Setting {
	var list []Setting
	walk(reflect.ValueOf(l.Config), "", func(key string, value reflect.Value) {
		list = append(list, Setting{key, fmt.Sprint(value.Interface()), l.Source(key)})
	})
	return list
}

// walk calls visit for every value that is not a section.
func walk(section reflect.Value, prefix string, visit func(key string, value reflect.Value)) {
	for i := range section.NumField() {
		key := prefix + section.Type().Field(i).Tag.Get("yaml")
		if field := section.Field(i); field.Kind() == reflect.Struct {
			walk(field, key+".", visit)
		} else {
			visit(key, field)
		}
	}
}

// override is a key that a flag or a variable can set.
type override struct {
	key, env string
	set      func(c *Config, text string) error
}

// overrides lists what can be set without a file: what differs between two daemons on one machine, and what one wants
// changed for a single run.
func overrides() []override {
	text := func(field func(*Config) *string) func(*Config, string) error {
		return func(c *Config, value string) error { *field(c) = value; return nil }
	}
	return []override{
		{"data", "EDGED_DATA", text(func(c *Config) *string { return &c.Data })},
		{"http", "EDGED_HTTP", text(func(c *Config) *string { return &c.HTTP })},
		{"uds", "EDGED_UDS", text(func(c *Config) *string { return &c.UDS })},
		{"admin", "EDGED_ADMIN", text(func(c *Config) *string { return &c.Admin })},
		{"cores", "EDGED_CORES", setCores},
		{"log.level", "EDGED_LOG_LEVEL", text(func(c *Config) *string { return &c.Log.Level })},
		{"log.format", "EDGED_LOG_FORMAT", text(func(c *Config) *string { return &c.Log.Format })},
	}
}

func setCores(c *Config, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("%q is not a number of cores", text)
	}
	c.Cores = n
	return nil
}

// flagOf returns the flag that sets a key.
func flagOf(key string) string { return "--" + strings.ReplaceAll(key, ".", "-") }

// Load reads the configuration and validates it. The error tells every problem of the file, the environment and the flags
// at once; it is an [*strictyaml.Error] unless the file cannot be read. Paths in the result are absolute: those of the
// file are relative to its folder, others to the working folder.
func Load(o Options) (*Loaded, error) {
	if o.Getenv == nil {
		o.Getenv = os.Getenv
	}
	l := &Loaded{Config: *defaults(os.Geteuid(), o.Getenv), sources: make(map[string]Source)}
	doc, err := l.readFile(&o)
	if err != nil {
		return nil, err
	}
	var others strictyaml.Checker
	for _, each := range overrides() {
		l.override(&o, each, &others)
	}
	for key := range o.Flags {
		others.Require(knownFlag(key), key, "no flag sets this key", "set it in the file")
	}
	if doc == nil || !doc.Broken("") {
		l.divide(l.check(), doc, &others)
	}
	if err := join(doc, &others); err != nil {
		return nil, err
	}
	if err := l.absolute(); err != nil {
		return nil, err
	}
	return l, nil
}

func knownFlag(key string) bool {
	for _, each := range overrides() {
		if each.key == key {
			return true
		}
	}
	return false
}

// readFile decodes the file, if there is one, and notes which values it gave. The document holds its problems.
func (l *Loaded) readFile(o *Options) (*strictyaml.Document, error) {
	path, origin := o.File, "--config"
	if path == "" {
		path, origin = o.Getenv(fileEnv), fileEnv
	}
	optional := path == ""
	if optional {
		path = DefaultFile
	}
	file, err := os.Open(path)
	switch {
	case optional && errors.Is(err, fs.ErrNotExist):
		return nil, nil //nolint:nilnil // no file is as good as an empty one
	case optional && err != nil:
		return nil, fmt.Errorf("read configuration: %w; let this user read it, or name another file with --config", err)
	case err != nil:
		return nil, fmt.Errorf("read configuration: %w; the path comes from %s", err, origin)
	}
	defer file.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(io.LimitReader(file, strictyaml.MaxBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	doc := strictyaml.Decode(path, text, &l.Config)
	dir := filepath.Dir(path)
	for key, field := range l.paths() {
		if doc.Has(key) && *field != "" && !filepath.IsAbs(*field) {
			*field = filepath.Join(dir, *field)
		}
	}
	walk(reflect.ValueOf(l.Config), "", func(key string, _ reflect.Value) {
		if line, column := doc.Position(key); doc.Has(key) {
			l.sources[key] = Source(fmt.Sprintf("file %s:%d:%d", path, line, column))
		}
	})
	return doc, nil
}

// override sets one key from its variable and then from its flag.
func (l *Loaded) override(o *Options, each override, problems *strictyaml.Checker) {
	flag, given := o.Flags[each.key]
	text, source := o.Getenv(each.env), Source("environment "+each.env)
	if given {
		text, source = flag, Source("flag "+flagOf(each.key))
	} else if text == "" {
		return
	}
	l.sources[each.key] = source
	if err := each.set(&l.Config, text); err != nil {
		problems.Add(each.key, err.Error(), "it comes from "+string(source))
	}
}

// divide gives the problems of values that the file gave to doc, which knows where they stand, and the rest to others.
func (l *Loaded) divide(err error, doc *strictyaml.Document, others *strictyaml.Checker) {
	var list *strictyaml.Error
	if !errors.As(err, &list) {
		return
	}
	for _, p := range list.Problems {
		source := l.Source(p.Path)
		if doc != nil && strings.HasPrefix(string(source), "file ") {
			if !doc.Broken(p.Path) {
				doc.Add(p.Path, p.Text, p.Hint)
			}
			continue
		}
		hint := p.Hint
		if hint != "" {
			hint += "; "
		}
		others.Add(p.Path, p.Text, hint+"it comes from "+string(source))
	}
}

// join returns the problems of the file and of everything else as one error.
func join(doc *strictyaml.Document, others *strictyaml.Checker) error {
	var all []*strictyaml.Problem
	errs := []error{others.Err()}
	if doc != nil {
		errs = []error{doc.Err(), others.Err()}
	}
	for _, err := range errs {
		var list *strictyaml.Error
		if errors.As(err, &list) {
			all = append(all, list.Problems...)
		}
	}
	if len(all) == 0 {
		return nil
	}
	return &strictyaml.Error{Problems: all}
}

// paths returns the values that are paths, by key.
func (c *Config) paths() map[string]*string {
	return map[string]*string{"data": &c.Data, "uds": &c.UDS, "admin": &c.Admin}
}

// absolute makes the paths independent of the working folder.
func (c *Config) absolute() error {
	for key, field := range c.paths() {
		path, err := filepath.Abs(*field)
		if err != nil {
			return fmt.Errorf("resolve %s: %w", key, err)
		}
		*field = path
	}
	return c.check()
}
