package strictyaml

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// defaulter is a struct that starts with other values than zero when a list or a map gets one.
type defaulter interface{ SetDefaults() }

// decoder writes nodes into values and reports to its document.
type decoder struct{ doc *Document }

// value decodes node into a settable value.
func (d *decoder) value(node ast.Node, into reflect.Value, path string) {
	at := spanAt(node)
	if known, ok := d.doc.marks[path]; ok && path != "" {
		d.doc.marks[path] = mark{known.key, at}
	} else {
		d.doc.marks[path] = mark{at, at}
	}
	if node.Type() == ast.NullType {
		at = d.doc.marks[path].key // what is not written has no place of its own
		d.fail(path, at, "there is no value here", "give it one or remove the key")
		return
	}
	if text, ok := into.Addr().Interface().(encoding.TextUnmarshaler); ok {
		want := "a text"
		if described, ok := text.(interface{ Expected() string }); ok {
			want = described.Expected()
		}
		d.text(node, path, want, text.UnmarshalText)
		return
	}
	switch {
	case into.Type() == reflect.TypeFor[time.Duration]():
		d.text(node, path, "a duration such as 5s", func(text []byte) error { return setDuration(into, string(text)) })
	case into.Kind() == reflect.Struct:
		d.structure(node, into, path)
	case into.Kind() == reflect.Map:
		d.mapping(node, into, path)
	case into.Kind() == reflect.Slice:
		d.list(node, into, path)
	case into.Kind() == reflect.String:
		d.text(node, path, "a text", func(text []byte) error { into.SetString(string(text)); return nil })
	case into.Kind() == reflect.Bool:
		d.boolean(node, into, path)
	case into.CanInt():
		d.integer(node, into, path)
	default:
		panic(fmt.Sprintf("strictyaml: the target has a field of type %s at %q", into.Type(), path))
	}
}

// fail reports a value that could not be decoded.
func (d *decoder) fail(path string, at span, text, hint string) {
	d.doc.add(path, at, text, hint)
	d.doc.broken[path] = true
}

// field is one key that a struct accepts.
type field struct {
	value    reflect.Value
	nullable bool
}

// fieldsOf returns the fields of a struct by their keys.
func fieldsOf(into reflect.Value) map[string]field {
	fields := make(map[string]field)
	for i := range into.NumField() {
		name, options, _ := strings.Cut(into.Type().Field(i).Tag.Get("yaml"), ",")
		if name != "" && name != "-" {
			fields[name] = field{into.Field(i), strings.Contains(options, "nullable")}
		}
	}
	return fields
}

func (d *decoder) structure(node ast.Node, into reflect.Value, path string) {
	fields := fieldsOf(into)
	d.entries(node, path, func(name string, key, value ast.Node) {
		f, known := fields[name]
		if !known {
			d.doc.add(path, spanOf(key.GetToken()), fmt.Sprintf("unknown key %q", name), hintKey(name, fields))
			return
		}
		if f.nullable && f.value.Kind() != reflect.Map && value.Type() == ast.NullType {
			return // the key alone says something: Document.Has tells that it is there
		}
		if f.nullable && f.value.Kind() == reflect.Map {
			d.nullableMapping(value, f.value, join(path, name))
			return
		}
		d.value(value, f.value, join(path, name))
	})
}

// hintKey says which key was meant by an unknown one: a similar one, or the same one a level below.
func hintKey(name string, fields map[string]field) string {
	keys := slices.Sorted(maps.Keys(fields))
	for _, key := range keys {
		if f := fields[key].value; f.Kind() == reflect.Struct {
			if _, inside := fieldsOf(f)[name]; inside {
				return fmt.Sprintf("it belongs under %q", key)
			}
		}
	}
	if near := Nearest(name, keys); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "the keys here are " + strings.Join(keys, ", ")
}

func (d *decoder) mapping(node ast.Node, into reflect.Value, path string) {
	d.mapEntries(node, into, path, false)
}

// nullableMapping is mapping, but null stands for a value's defaults, and for no entries when it is the whole.
func (d *decoder) nullableMapping(node ast.Node, into reflect.Value, path string) {
	at := spanAt(node)
	d.doc.marks[path] = mark{d.doc.marks[path].key, at}
	d.mapEntries(node, into, path, true)
}

func (d *decoder) mapEntries(node ast.Node, into reflect.Value, path string, nullable bool) {
	result := reflect.MakeMap(into.Type())
	d.entries(node, path, func(name string, _, value ast.Node) {
		element := newElement(into.Type().Elem())
		if nullable && value.Type() == ast.NullType {
			at := d.doc.marks[join(path, name)].key
			d.doc.marks[join(path, name)] = mark{at, at}
		} else {
			d.value(value, element, join(path, name))
		}
		result.SetMapIndex(reflect.ValueOf(name).Convert(into.Type().Key()), element)
	})
	into.Set(result)
}

func (d *decoder) list(node ast.Node, into reflect.Value, path string) {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		hint := "write it as a list: [...]"
		if text, plain := scalarText(node); plain {
			hint = fmt.Sprintf("write [%s]", text)
		}
		d.wrong(node, path, "a list", hint)
		return
	}
	result := reflect.MakeSlice(into.Type(), 0, len(sequence.Values))
	for i, value := range sequence.Values {
		element := newElement(into.Type().Elem())
		d.value(value, element, fmt.Sprintf("%s[%d]", path, i))
		result = reflect.Append(result, element)
	}
	into.Set(result)
}

// newElement returns a settable value of a type, with its defaults.
func newElement(t reflect.Type) reflect.Value {
	pointer := reflect.New(t)
	if d, ok := pointer.Interface().(defaulter); ok {
		d.SetDefaults()
	}
	return pointer.Elem()
}

// entries calls each for every entry of a mapping whose key is a text that has not been there before, having marked
// where the key stands.
func (d *decoder) entries(node ast.Node, path string, each func(name string, key, value ast.Node)) {
	var values []*ast.MappingValueNode
	switch n := node.(type) {
	case *ast.MappingNode:
		values = n.Values
	case *ast.MappingValueNode:
		values = []*ast.MappingValueNode{n}
	default:
		d.wrong(node, path, "a mapping (key: value)", "")
		return
	}
	lines := make(map[string]int)
	for _, entry := range values {
		at := spanOf(entry.Key.GetToken())
		name, ok := keyText(entry.Key)
		if !ok {
			d.doc.add(path, at, "a key must be a text", "put it in quotes")
			continue
		}
		if line, there := lines[name]; there {
			d.doc.add(path, at, fmt.Sprintf("the key %q is here twice, first in line %d", name, line), "remove one")
			continue
		}
		lines[name] = at.line
		d.doc.marks[join(path, name)] = mark{at, at}
		each(name, entry.Key, entry.Value)
	}
}

func keyText(key ast.Node) (string, bool) {
	text, ok := key.(*ast.StringNode)
	if !ok {
		return "", false
	}
	return text.Value, true
}

// join returns the path of a key below path.
func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// text gives the text of a scalar to set. Numbers and truth values are texts only in quotes: whether 1.10 means the
// text or the number 1.1 should not depend on what it is written for.
func (d *decoder) text(node ast.Node, path, want string, set func([]byte) error) {
	var text string
	switch n := node.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	default:
		hint := ""
		if plain, ok := scalarText(node); ok && want == "a text" {
			hint = fmt.Sprintf("put it in quotes: %q", plain)
		}
		d.wrong(node, path, want, hint)
		return
	}
	if err := set([]byte(text)); err != nil {
		d.fail(path, spanAt(node), err.Error(), "")
	}
}

func setDuration(into reflect.Value, text string) error {
	duration, err := time.ParseDuration(text)
	switch {
	case err != nil:
		return fmt.Errorf("%q is not a duration; write a number and ms, s, m or h, such as 5s", text)
	case duration <= 0:
		return fmt.Errorf("%q: a duration is above zero", text)
	}
	into.SetInt(int64(duration))
	return nil
}

func (d *decoder) boolean(node ast.Node, into reflect.Value, path string) {
	if n, ok := node.(*ast.BoolNode); ok {
		into.SetBool(n.Value)
		return
	}
	hint := "write true or false"
	if text, ok := scalarText(node); ok {
		switch strings.ToLower(text) {
		case "yes", "on", "y":
			hint = "write true"
		case "no", "off", "n":
			hint = "write false"
		}
	}
	d.wrong(node, path, "true or false", hint)
}

func (d *decoder) integer(node ast.Node, into reflect.Value, path string) {
	n, ok := node.(*ast.IntegerNode)
	if !ok {
		d.wrong(node, path, "a whole number", "")
		return
	}
	switch value := n.Value.(type) {
	case int64:
		if !into.OverflowInt(value) {
			into.SetInt(value)
			return
		}
	case uint64:
		if value <= 1<<63-1 && !into.OverflowInt(int64(value)) {
			into.SetInt(int64(value))
			return
		}
	}
	d.fail(path, spanAt(node), fmt.Sprintf("the number %s is too large", n.Token.Value), "")
}

// wrong reports a node of another type than wanted.
func (d *decoder) wrong(node ast.Node, path, want, hint string) {
	d.fail(path, spanAt(node), fmt.Sprintf("want %s, got %s", want, describe(node)), hint)
}

func describe(node ast.Node) string {
	text, _ := scalarText(node)
	switch node.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.StringNode, *ast.LiteralNode:
		return fmt.Sprintf("the text %q", shorten(text))
	case *ast.BoolNode:
		return "the truth value " + text
	case *ast.NullNode:
		return "nothing"
	default:
		return "the number " + shorten(text)
	}
}

// shorten keeps messages to a line.
func shorten(text string) string {
	const most = 40
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most]) + "..."
	}
	return text
}

// scalarText returns the text of a scalar as it was written, and false when node is a collection.
func scalarText(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.LiteralNode:
		return n.Value.Value, true
	case ast.ScalarNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}
