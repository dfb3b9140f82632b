package router

import (
	"strings"

	"edged.dev/edge/edged/internal/invoke"
)

// node is a place in the tree of segments. Immutable after Build.
type node struct {
	literal map[string]*node
	part    *node // any one segment
	exact   *routeSet
	prefix  *routeSet // this place and everything below it
}

// found is a match in progress: the routes, and how many bytes of the path are behind them.
type found struct {
	set  *routeSet
	rest int
}

// find returns the most specific routes for a path, nil when there are none, and the length of what follows the
// pattern. The error, of kind ErrNotFound, says what is wrong with a path that is refused as a whole.
func (t *Table) find(path string) (*routeSet, int, error) {
	if path == "" || path[0] != '/' {
		return nil, 0, nil
	}
	if reason := refused(path); reason != "" {
		return nil, 0, &invoke.Error{Kind: invoke.ErrNotFound, Detail: reason}
	}
	m := t.root.match(path)
	return m.set, m.rest, nil
}

// match looks for rest, which is empty or begins with a slash, below n. Every node is on one way from the root only, so
// going back never visits one twice.
func (n *node) match(rest string) found {
	if rest == "" {
		if n.exact != nil {
			return found{n.exact, 0}
		}
		return found{n.prefix, 0}
	}
	segment, next := cut(rest)
	if segment != "" {
		if child := n.child(segment); child != nil {
			if m := child.match(next); m.set != nil {
				return m
			}
		}
		if n.part != nil {
			if m := n.part.match(next); m.set != nil {
				return m
			}
		}
	}
	return found{n.prefix, len(rest)}
}

// child returns the node of a literal segment.
func (n *node) child(segment string) *node {
	if strings.IndexByte(segment, '%') >= 0 {
		segment = decode(segment)
	}
	return n.literal[segment]
}

// cut takes the first segment off a path that begins with a slash.
func cut(path string) (segment, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : 1+i], path[1+i:]
	}
	return path[1:], ""
}

// refused returns why no function may see a path, "" when nothing speaks against it.
func refused(path string) string {
	encoded := false
	for i := 0; i < len(path); i++ {
		if path[i] != '%' {
			continue
		}
		encoded = true
		if i+2 >= len(path) || !isHex(path[i+1]) || !isHex(path[i+2]) {
			return "the path has a percent sign that begins no encoded byte"
		}
		if path[i+1] == '0' && path[i+2] == '0' {
			return "the path has an encoded NUL"
		}
	}
	for rest := path; rest != ""; {
		var segment string
		segment, rest = cut(rest)
		if encoded && len(segment) <= len("%2e%2e") && strings.IndexByte(segment, '%') >= 0 {
			segment = decode(segment)
		}
		if segment == "." || segment == ".." {
			return "the path has a segment . or ..; send it resolved"
		}
	}
	return ""
}

// decode resolves the percent-encodings of a segment, which are known to be well-formed.
func decode(segment string) string {
	if strings.IndexByte(segment, '%') < 0 {
		return segment
	}
	b := make([]byte, 0, len(segment))
	for i := 0; i < len(segment); i++ {
		if segment[i] != '%' {
			b = append(b, segment[i])
			continue
		}
		b = append(b, unhex(segment[i+1])<<4|unhex(segment[i+2]))
		i += 2
	}
	return string(b)
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c <= 'F':
		return c - 'A' + 10
	default:
		return c - 'a' + 10
	}
}
