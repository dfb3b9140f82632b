// Package strictyaml decodes the YAML files that people write for this program into structs, and reports everything that
// is wrong with one at once: each problem with file, line and column, the line itself with a caret below, and the
// nearest word that would have been right.
//
// It is stricter than YAML: unknown and duplicate keys, values of another type, anchors, aliases, merge keys, tags,
// directives and further documents are refused, and so are files above 1 MiB or nested deeper than 32 levels. A file
// says what it says where it says it, and no input makes the decoder grow or recurse without bound.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
)

// MaxBytes is the largest file that is read: far above any honest one.
const MaxBytes = 1 << 20

// Document is a decoded file that remembers where its values stand, so that problems found later, when the values are
// judged, can still point at them. It is not safe for concurrent use.
type Document struct {
	name     string
	lines    []string
	marks    map[string]mark // by path of the value
	problems []*Problem      // at most maxKept
	broken   map[string]bool // paths of values that could not be decoded; "" when nothing could
}

// mark is where a value stands, and the key before it; both are the same for an element of a list.
type mark struct{ key, value span }

// span is a piece of one line; line and column count from 1, the column in runes.
type span struct{ line, column, width int }

// Decode reads text into target, a non-nil pointer to a struct whose fields carry `yaml:"key"` tags ("-" for none);
// name is the file's name in messages. Fields may be strings, booleans, integers, time.Duration (above zero), types
// with UnmarshalText (and perhaps a method Expected that names what they want), structs, and slices of and maps with string keys to any of these. What the file does not mention
// keeps its value, so target may hold defaults; a struct in a list or a map starts with what its SetDefaults method
// (on the pointer) gives it. A null is refused, except where a tag says ",nullable": for the values of a map, where it
// stands for the defaults, and for a field that is no map, which keeps its value. target may point to a map, too.
//
// The problems found are kept in the document; see [Document.Err]. Fields with a problem keep their value.
func Decode(name string, text []byte, target any) *Document {
	d := &Document{name: name, marks: map[string]mark{"": {value: span{1, 1, 1}, key: span{1, 1, 1}}}, broken: make(map[string]bool)}
	body := d.read(text)
	if body == nil {
		d.broken[""] = true
		return d
	}
	(&decoder{doc: d}).value(body, reflect.ValueOf(target).Elem(), "")
	return d
}

// read returns the body of the file, or nil after having reported why there is none.
func (d *Document) read(text []byte) ast.Node {
	if len(text) > MaxBytes {
		d.add("", span{}, fmt.Sprintf("the file has %d bytes; at most %d are read", len(text), MaxBytes), "")
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	text = bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))
	d.lines = strings.Split(string(text), "\n")
	if !d.checkText(text) {
		return nil
	}
	return d.parse(string(text))
}

// Add reports a problem of the value at path, in the form "functions.hello.http.methods[0]"; it points at the value, or
// at what is nearest to it in the file when the file does not mention it. hint may be empty.
func (d *Document) Add(path, text, hint string) {
	at, found := d.marks[path]
	if found {
		d.add(path, at.value, text, hint)
		return
	}
	for outer := path; outer != ""; {
		outer = parent(outer)
		if at, found = d.marks[outer]; found {
			d.add(path, at.key, text, hint)
			return
		}
	}
	d.add(path, span{}, text, hint)
}

// Merge adds the problems of err, an [*Error] of a check that knew paths but no positions, where they belong. Any other
// error becomes a problem of the file as a whole. Nil adds nothing.
func (d *Document) Merge(err error) {
	var list *Error
	switch {
	case err == nil:
	case errors.As(err, &list):
		for _, p := range list.Problems {
			d.Add(p.Path, p.Text, p.Hint)
		}
	default:
		d.Add("", err.Error(), "")
	}
}

// Has reports whether the file gives a value at path.
func (d *Document) Has(path string) bool {
	_, found := d.marks[path]
	return found && path != ""
}

// Position returns where the value at path stands; both are 0 when the file does not mention it.
func (d *Document) Position(path string) (line, column int) {
	at := d.marks[path].value
	return at.line, at.column
}

// Err returns an [*Error] with every problem so far in the order of the file, or nil when there is none.
func (d *Document) Err() error {
	if len(d.problems) == 0 {
		return nil
	}
	return newError(d.problems)
}

func (d *Document) add(path string, at span, text, hint string) {
	if len(d.problems) >= maxKept {
		return
	}
	d.problems = append(d.problems, &Problem{
		File: d.name, Line: at.line, Column: at.column, Path: path, Text: text, Hint: hint, excerpt: d.excerpt(at),
	})
}

// checkText refuses what the YAML specification does not allow in a file at all (section 5.1), so that the parser and a
// terminal that shows the message never see it.
func (d *Document) checkText(text []byte) bool {
	for i, line := range d.lines {
		column := 0
		for _, r := range line {
			column++
			if r == utf8.RuneError || r == 0x7f || (r < 0x20 && r != '\t') {
				d.add("", span{i + 1, column, 1}, "this is not text: the file holds a control character or is not UTF-8", "save the file as UTF-8")
				return false
			}
		}
	}
	if len(bytes.TrimSpace(text)) == 0 {
		d.add("", span{}, "the file is empty", "")
		return false
	}
	return true
}

// parse returns the body of the one document in text, or nil after having reported why not.
func (d *Document) parse(text string) (body ast.Node) {
	defer func() {
		// The parser is other people's code on anybody's input: a fault of it is this file's problem, not the daemon's.
		if fault := recover(); fault != nil {
			d.add("", span{}, "the file cannot be parsed as YAML", "look for unusual constructs and simplify them")
			body = nil
		}
	}()
	tokens := lexer.Tokenize(text)
	if !d.checkTokens(tokens) {
		return nil
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		d.addSyntax(err)
		return nil
	}
	var docs []*ast.DocumentNode
	for _, doc := range file.Docs {
		if doc.Body != nil {
			docs = append(docs, doc)
		}
	}
	switch {
	case len(docs) == 0:
		d.add("", span{}, "the file is empty", "")
		return nil
	case len(file.Docs) > 1:
		last := file.Docs[len(file.Docs)-1]
		at := span{}
		if last.Start != nil {
			at = spanOf(last.Start)
		}
		d.add("", at, "a second document starts here", "one file holds one document; remove the ---")
		return nil
	}
	return docs[0].Body
}

// addSyntax reports the parser's error at its token.
func (d *Document) addSyntax(err error) {
	var syntax yaml.Error
	if errors.As(err, &syntax) {
		at := span{}
		if t := syntax.GetToken(); t != nil {
			at = spanOf(t)
		}
		d.add("", at, "not valid YAML: "+syntax.GetMessage(), "")
		return
	}
	d.add("", span{}, "not valid YAML: "+err.Error(), "")
}

// Broken reports whether the value at path, or something that it is in, could not be decoded; it still has the value from
// before then. Broken("") is true when nothing of the file could be read.
func (d *Document) Broken(path string) bool {
	if d.broken[""] {
		return true
	}
	for ; path != ""; path = parent(path) {
		if d.broken[path] {
			return true
		}
	}
	return false
}

// parent returns the path of what a value is in.
func parent(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }
