// Package keypattern matches keys with patterns: text that stands for itself, {} or {name} for one segment of letters and
// digits, and * at the end for whatever follows.
package keypattern

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	// MaxBytes is the longest pattern: as long as a key.
	MaxBytes = 1024
	// MaxSegments bounds the {} of a pattern, so that what is bound to a key stays small.
	MaxSegments = 16
	// maxName is the longest name of a segment.
	maxName = 63
)

// Rest is the name under which [Pattern.Bind] gives what the final * stands for.
const Rest = "*"

// ErrPattern matches every error of [Parse].
var ErrPattern = errors.New("not a key pattern")

// Pattern is a parsed pattern. It is immutable; any goroutine may use it.
type Pattern struct {
	text  string
	parts []part
	open  bool // it ends in *
}

// part is some text and, unless it is the last one, the segment behind it.
type part struct {
	text string
	name string // of the segment; "" for none
}

// Parse reads a pattern. {} or {name} stands for one or more of a-z, A-Z and 0-9, as many as there are, so what follows it is
// another character, * or the end. * is allowed at the end only, and everything else stands for itself.
func Parse(text string) (*Pattern, error) {
	if text == "" || len(text) > MaxBytes {
		return nil, fmt.Errorf("%w: a pattern has 1 to %d bytes, not %d", ErrPattern, MaxBytes, len(text))
	}
	p := &Pattern{text: text}
	rest, open := strings.CutSuffix(text, "*")
	p.open = open
	for n := 0; ; n++ {
		at := strings.IndexAny(rest, "{}*")
		if at < 0 {
			break
		}
		if rest[at] != '{' {
			return nil, fmt.Errorf("%w: %q has a %q that does not belong there; * stands at the end only, {name} for a segment", ErrPattern, text, rest[at:at+1])
		}
		inner, after, found := strings.Cut(rest[at+1:], "}")
		if !found {
			return nil, fmt.Errorf("%w: %q has a { without a }", ErrPattern, text)
		}
		name, err := p.segment(inner, after, n)
		if err != nil {
			return nil, err
		}
		p.parts = append(p.parts, part{text: rest[:at], name: name})
		rest = after
	}
	p.parts = append(p.parts, part{text: rest})
	return p, nil
}

// segment checks segment n, given what stands in its braces and behind them, and returns its name.
func (p *Pattern) segment(inner, after string, n int) (string, error) {
	if n == MaxSegments {
		return "", fmt.Errorf("%w: %q has more than %d segments", ErrPattern, p.text, MaxSegments)
	}
	if after != "" && (alnum(after[0]) || after[0] == '{') {
		return "", fmt.Errorf("%w: in %q nothing says where {%s} ends; put a character such as _ or / behind it", ErrPattern, p.text, inner)
	}
	if inner == "" {
		return strconv.Itoa(n), nil
	}
	if !validName(inner) {
		return "", fmt.Errorf("%w: in %q {%s} has no good name: 1 to %d letters, digits and _, beginning with a letter", ErrPattern, p.text, inner, maxName)
	}
	for _, before := range p.parts {
		if before.name == inner {
			return "", fmt.Errorf("%w: %q has {%s} twice", ErrPattern, p.text, inner)
		}
	}
	return inner, nil
}

func validName(name string) bool {
	if len(name) > maxName || name[0] >= '0' && name[0] <= '9' {
		return false
	}
	for i := range len(name) {
		if !alnum(name[i]) && (i == 0 || name[i] != '_') {
			return false
		}
	}
	return true
}

func alnum(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
}

// String returns the text that the pattern was read from.
func (p *Pattern) String() string { return p.text }

// Prefix is what every key begins with that the pattern matches.
func (p *Pattern) Prefix() string { return p.parts[0].text }

// Match reports whether the pattern stands for the whole of key. Its time is linear in the key, and it allocates nothing.
func (p *Pattern) Match(key []byte) bool { return walk(p, key, nil) }

// MatchString is [Pattern.Match] for a string.
func (p *Pattern) MatchString(key string) bool { return walk(p, key, nil) }

// Bind returns what the segments of the pattern are in key: by their names, those without one by their number from 0 on, and
// what * stands for as [Rest]. ok is false when the pattern does not match.
func (p *Pattern) Bind(key string) (segments map[string]string, ok bool) {
	segments = make(map[string]string, len(p.parts))
	if !walk(p, key, func(name string, from, to int) { segments[name] = key[from:to] }) {
		return nil, false
	}
	return segments, true
}

// walk compares a key part by part and tells bind, which may be nil, where the segments are.
func walk[K string | []byte](p *Pattern, key K, bind func(name string, from, to int)) bool {
	at := 0
	for i := range p.parts {
		part := &p.parts[i]
		if len(key)-at < len(part.text) || string(key[at:at+len(part.text)]) != part.text {
			return false
		}
		at += len(part.text)
		if part.name == "" {
			break
		}
		from := at
		for at < len(key) && alnum(key[at]) {
			at++
		}
		if at == from {
			return false
		}
		if bind != nil {
			bind(part.name, from, at)
		}
	}
	if p.open && bind != nil {
		bind(Rest, at, len(key))
	}
	return p.open || at == len(key)
}
