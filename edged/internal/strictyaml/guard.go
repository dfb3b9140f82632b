package strictyaml

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// maxDepth bounds nesting. The files of this program need 6 levels; the parser recurses once a level and keeps a path
// as long as the nesting for each value, so its cost grows with the square of the depth.
const maxDepth = 32

// maxEntries bounds the keys and list elements of a file. The parser's time grows with the square of the entries of one mapping:
// 0.2 s for this many, minutes for what fits in [MaxBytes].
const maxEntries = 5000

// refused lists the constructs that are not decoded, with what to do instead.
func refused(t token.Type) (what, hint string) {
	switch t { //nolint:exhaustive // the other types are decoded
	case token.AnchorType:
		return "anchors (&name) are not allowed", "write the value where it is needed"
	case token.AliasType:
		return "aliases (*name) are not allowed", "write the value out; a text that starts with * needs quotes"
	case token.MergeKeyType:
		return "merge keys (<<) are not allowed", "write the values out"
	case token.TagType:
		return "tags (!type) are not allowed", "remove it; a text that starts with ! needs quotes"
	case token.DirectiveType:
		return "directives (%) are not allowed", "remove the line"
	case token.MappingKeyType:
		return "complex keys (?) are not allowed", "write key: value"
	default:
		return "", ""
	}
}

// checkTokens refuses, before anything recurses over them, tokens that are not decoded and nesting that is too deep.
func (d *Document) checkTokens(tokens token.Tokens) bool {
	fine := true
	var nesting nesting
	entries := 0
	for _, t := range tokens {
		switch t.Type { //nolint:exhaustive // only these start an entry
		case token.MappingValueType, token.SequenceEntryType, token.CollectEntryType:
			entries++
		}
		if entries > maxEntries {
			d.add("", spanOf(t), fmt.Sprintf("the file has more than %d entries", maxEntries), "")
			return false
		}
		if what, hint := refused(t.Type); what != "" {
			d.add("", spanOf(t), what, hint)
			fine = false
		}
		if nesting.enter(t) > maxDepth {
			d.add("", spanOf(t), "nested too deep: this file needs no more than a few levels", "")
			return false
		}
	}
	return fine
}

// nesting follows how deep the tokens nest: brackets, and block collections by the column they start in.
type nesting struct {
	flow    int
	columns []int
}

// enter takes the next token and returns the depth after it.
func (n *nesting) enter(t *token.Token) int {
	switch t.Type { //nolint:exhaustive // only these open or close a level
	case token.SequenceStartType, token.MappingStartType:
		n.flow++
	case token.SequenceEndType, token.MappingEndType:
		n.flow = max(0, n.flow-1)
	case token.SequenceEntryType, token.MappingValueType:
		if n.flow == 0 {
			n.block(t)
		}
	}
	return n.flow + len(n.columns)
}

// block enters the block collection that the token belongs to: one that starts left of it or in the same column ends.
func (n *nesting) block(t *token.Token) {
	at := t
	if t.Type == token.MappingValueType && t.Prev != nil {
		at = t.Prev // the key
	}
	column := at.Position.Column
	for len(n.columns) > 0 && n.columns[len(n.columns)-1] >= column {
		n.columns = n.columns[:len(n.columns)-1]
	}
	n.columns = append(n.columns, column)
}

// spanOf returns where a token stands; a token of several lines counts to the end of its first.
func spanOf(t *token.Token) span {
	if t.Position == nil {
		return span{}
	}
	text := strings.TrimSpace(t.Origin)
	if text == "" {
		text = t.Value
	}
	first, _, _ := strings.Cut(text, "\n")
	return span{t.Position.Line, t.Position.Column, max(1, utf8.RuneCountInString(first))}
}

// spanAt returns where a node stands: a block mapping stands at its first key, not at that key's colon.
func spanAt(node ast.Node) span {
	switch n := node.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return spanOf(n.Values[0].Key.GetToken())
		}
	case *ast.MappingValueNode:
		return spanOf(n.Key.GetToken())
	}
	return spanOf(node.GetToken())
}
