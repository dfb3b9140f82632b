package strictyaml

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// maxShown bounds how many problems [Error.Error] spells out; a file of another kind would bury the screen.
const maxShown = 25

// maxKept bounds how many problems of one file are kept: each costs its excerpt, and a hostile file has one every few
// bytes.
const maxKept = 100

// excerptRunes is the most of a line that is shown.
const excerptRunes = 100

// Problem is one thing that is wrong with a file.
type Problem struct {
	File         string // as it was given; empty when the values did not come from a file
	Line, Column int    // from 1, the column in runes; 0 when it is the file as a whole
	Path         string // the value's place in the tree, "limits.memory"; empty for the whole
	Text         string // what is wrong
	Hint         string // what to do; empty when the text says it
	excerpt      string // the line and the caret below it, or empty
}

// Message returns the problem without its place and the excerpt.
func (p *Problem) Message() string {
	if p.Hint == "" {
		return p.Text
	}
	return p.Text + "; " + p.Hint
}

// String returns the problem as a compiler would print it, excerpt included, without a newline at the end.
func (p *Problem) String() string {
	var text strings.Builder
	if p.File != "" {
		text.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&text, ":%d:%d", p.Line, p.Column)
		}
		text.WriteString(": ")
	}
	if p.Path != "" {
		text.WriteString(p.Path + ": ")
	}
	text.WriteString(p.Message())
	if p.excerpt != "" {
		text.WriteString("\n" + p.excerpt)
	}
	return text.String()
}

// Error is everything that is wrong with a file. Problems has at least one element and is in the order of the file.
type Error struct{ Problems []*Problem }

// Error returns all problems, one below the other.
func (e *Error) Error() string {
	var lines []string
	for i, p := range e.Problems {
		if i == maxShown {
			lines = append(lines, fmt.Sprintf("... and %d more problems", len(e.Problems)-maxShown))
			break
		}
		lines = append(lines, p.String())
	}
	return strings.Join(lines, "\n")
}

// newError returns the problems in the order of the file, each once.
func newError(problems []*Problem) *Error {
	list := slices.Clone(problems)
	slices.SortStableFunc(list, func(a, b *Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Problems: slices.CompactFunc(list, func(a, b *Problem) bool { return *a == *b })}
}

// Checker collects the problems of values that are judged apart from any file. The zero value is ready.
type Checker struct{ problems []*Problem }

// Add notes a problem of the value at path.
func (c *Checker) Add(path, text, hint string) {
	c.problems = append(c.problems, &Problem{Path: path, Text: text, Hint: hint})
}

// Require notes a problem of the value at path unless ok.
func (c *Checker) Require(ok bool, path, text, hint string) {
	if !ok {
		c.Add(path, text, hint)
	}
}

// OneOf notes a problem unless value is one of allowed.
func (c *Checker) OneOf(path, value string, allowed []string) {
	if slices.Contains(allowed, value) {
		return
	}
	hint := "it is one of " + strings.Join(allowed, ", ")
	if near := Nearest(value, allowed); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	c.Add(path, fmt.Sprintf("%q is not known here", value), hint)
}

// Err returns an [*Error] with all problems in the order they were noted, or nil when there is none.
func (c *Checker) Err() error {
	if len(c.problems) == 0 {
		return nil
	}
	return &Error{Problems: slices.Clone(c.problems)}
}

// excerpt returns the line at a place with a caret line below it, or "" when there is no such line.
func (d *Document) excerpt(at span) string {
	if at.line < 1 || at.line > len(d.lines) {
		return ""
	}
	runes := []rune(d.lines[at.line-1])
	start := min(max(at.column-1, 0), len(runes))
	width := max(1, min(at.width, len(runes)-start))
	from := 0
	if start > excerptRunes/2 && len(runes) > excerptRunes {
		from = start - excerptRunes/2
	}
	to := min(len(runes), from+excerptRunes)
	width = max(1, min(width, to-start))
	shown := strings.Map(printable, string(runes[from:to]))
	number := fmt.Sprintf("%5d", at.line)
	gutter := strings.Repeat(" ", len(number))
	caret := strings.Repeat(" ", start-from) + "^" + strings.Repeat("~", width-1)
	return number + " | " + strings.TrimRight(shown, " ") + "\n" + gutter + " | " + caret
}

// printable replaces what would move the caret or a terminal's cursor.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return ' '
	case !unicode.IsPrint(r):
		return '?'
	default:
		return r
	}
}
