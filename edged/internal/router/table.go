package router

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Entry is one route to build a table from.
type Entry struct {
	App invoke.AppName
	// Function is the name in the manifest. It may be empty for a command app's only entry.
	Function invoke.FunctionName
	// Methods are the methods that are answered, upper case; empty means any. GET brings HEAD with it.
	Methods []string
	// Path is the pattern, with the app's name as its first segment; "" is the default: /app/function/*, or /app/* when
	// there is no function name.
	Path   string
	Target invoke.Target
	// Deadline is how long after its arrival an invocation is worth anything; zero is without end.
	Deadline time.Duration
}

// String names the entry as error messages do.
func (e *Entry) String() string {
	if e.Function == "" {
		return string(e.App)
	}
	return string(e.App) + "/" + string(e.Function)
}

// Table is an immutable set of routes.
type Table struct {
	root   node
	routes []string
}

// Routes returns the patterns in order, for listings. The slice is the caller's.
func (t *Table) Routes() []string { return slices.Clone(t.routes) }

// maxSegments bounds a pattern.
const maxSegments = 32

// Build makes a table. It reports every bad entry and every conflict at once, with both names; the errors are
// [ErrEntry] and [ErrConflict]. The entries are copied.
func Build(entries []Entry) (*Table, error) {
	t := &Table{}
	var errs []error
	for i := range entries {
		if err := t.add(&entries[i]); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	slices.Sort(t.routes)
	return t, nil
}

// add puts one entry into the tree.
func (t *Table) add(e *Entry) error {
	r, segments, err := newRoute(e)
	if err != nil {
		return fmt.Errorf("%w: %s: %w", ErrEntry, e, err)
	}
	n := &t.root
	for _, s := range segments {
		n = n.grow(s)
	}
	place := &n.exact
	if r.below {
		place = &n.prefix
	}
	if *place == nil {
		*place = &routeSet{}
	}
	if other := (*place).overlap(r); other != nil {
		return fmt.Errorf("%w: %s and %s both answer %s at %s", ErrConflict, other.name, r.name, r.methodText(other), r.pattern)
	}
	(*place).insert(r)
	t.routes = append(t.routes, r.pattern)
	return nil
}

// grow returns the node for one segment of a pattern, making it when needed.
func (n *node) grow(segment string) *node {
	if segment[0] == '{' {
		if n.part == nil {
			n.part = &node{}
		}
		return n.part
	}
	if n.literal[segment] == nil {
		if n.literal == nil {
			n.literal = make(map[string]*node)
		}
		n.literal[segment] = &node{}
	}
	return n.literal[segment]
}

// route is an entry made ready.
type route struct {
	name     string
	app      invoke.AppName
	function invoke.FunctionName
	target   invoke.Target
	deadline time.Duration
	pattern  string
	prefix   string   // the pattern without /*
	below    bool     // the pattern ends in /*
	methods  []string // nil: any; with HEAD where GET is
	names    []name   // the parts in braces
}

// name is a part in braces and the segment it takes.
type name struct {
	text string
	at   int
}

// newRoute checks an entry and returns its route and the segments of its pattern.
func newRoute(e *Entry) (*route, []string, error) {
	switch {
	case !validName(string(e.App)):
		return nil, nil, fmt.Errorf("%q is not an app's name ([a-z0-9][a-z0-9_-]{0,62})", e.App)
	case e.Function != "" && !validName(string(e.Function)):
		return nil, nil, fmt.Errorf("%q is not a function's name ([a-z0-9][a-z0-9_-]{0,62})", e.Function)
	case e.Target == nil:
		return nil, nil, errors.New("there is no target")
	}
	r := &route{name: e.String(), app: e.App, function: e.Function, target: e.Target, deadline: e.Deadline, pattern: e.Path}
	if r.pattern == "" {
		r.pattern = "/" + e.String() + "/*"
	}
	r.prefix, r.below = strings.CutSuffix(r.pattern, "/*")
	if !strings.HasPrefix(r.prefix, "/") {
		return nil, nil, fmt.Errorf("path %q does not begin with a slash", r.pattern)
	}
	segments := strings.Split(r.prefix[1:], "/")
	if segments[0] != string(e.App) {
		return nil, nil, fmt.Errorf("path %q is outside /%s", r.pattern, e.App)
	}
	if len(segments) > maxSegments {
		return nil, nil, fmt.Errorf("path %q has more than %d segments", r.pattern, maxSegments)
	}
	for i, s := range segments {
		part, err := parseSegment(s)
		if err != nil {
			return nil, nil, fmt.Errorf("path %q: %w", r.pattern, err)
		}
		if part == "" {
			continue
		}
		if slices.ContainsFunc(r.names, func(n name) bool { return n.text == part }) {
			return nil, nil, fmt.Errorf("path %q has {%s} twice", r.pattern, part)
		}
		r.names = append(r.names, name{part, i})
	}
	return r, segments, r.setMethods(e.Methods)
}

// parseSegment checks a segment of a pattern and returns the name when it is a part in braces.
func parseSegment(s string) (string, error) {
	if s == "" || s == "." || s == ".." {
		return "", fmt.Errorf("segment %q is not allowed", s)
	}
	if inner, ok := strings.CutPrefix(s, "{"); ok {
		inner, ok = strings.CutSuffix(inner, "}")
		if !ok || !validPart(inner) {
			return "", fmt.Errorf("%q is not a name in braces", s)
		}
		return inner, nil
	}
	if i := strings.IndexAny(s, "{}*%?#\\\"<> "); i >= 0 {
		return "", fmt.Errorf("segment %q has the character %q; braces stand around a whole segment and * at the end only", s, s[i])
	}
	return "", nil
}

func (r *route) setMethods(methods []string) error {
	for _, m := range methods {
		if m == "" || strings.IndexFunc(m, func(c rune) bool { return (c < 'A' || c > 'Z') && c != '-' }) >= 0 {
			return fmt.Errorf("%q is not a method in upper case", m)
		}
		r.methods = append(r.methods, m)
	}
	if slices.Contains(r.methods, "GET") {
		r.methods = append(r.methods, "HEAD")
	}
	slices.Sort(r.methods)
	r.methods = slices.Compact(r.methods)
	return nil
}

// allows reports whether the route answers a method.
func (r *route) allows(method string) bool {
	return len(r.methods) == 0 || slices.Contains(r.methods, method)
}

// methodText names the methods that two routes share.
func (r *route) methodText(other *route) string {
	switch {
	case len(r.methods) == 0 && len(other.methods) == 0:
		return "every method"
	case len(r.methods) == 0:
		return strings.Join(other.methods, ", ")
	case len(other.methods) == 0:
		return strings.Join(r.methods, ", ")
	}
	shared := slices.DeleteFunc(slices.Clone(r.methods), func(m string) bool { return !other.allows(m) })
	return strings.Join(shared, ", ")
}

// params returns the decoded parts in braces of a path that matched.
func (r *route) params(path string) map[string]string {
	params := make(map[string]string, len(r.names))
	segment, rest := cut(path)
	at := 0
	for _, n := range r.names {
		for at < n.at {
			segment, rest = cut(rest)
			at++
		}
		params[n.text] = decode(segment)
	}
	return params
}

// routeSet is the routes of one pattern shape; their methods do not overlap.
type routeSet struct {
	routes []*route
	allow  []string // all their methods, sorted
}

// route returns the one that answers a method, nil when none does.
func (s *routeSet) route(method string) *route {
	for _, r := range s.routes {
		if r.allows(method) {
			return r
		}
	}
	return nil
}

func (s *routeSet) overlap(r *route) *route {
	for _, other := range s.routes {
		if len(r.methods) == 0 || len(other.methods) == 0 || slices.ContainsFunc(r.methods, other.allows) {
			return other
		}
	}
	return nil
}

func (s *routeSet) insert(r *route) {
	s.routes = append(s.routes, r)
	s.allow = append(s.allow, r.methods...)
	slices.Sort(s.allow)
	s.allow = slices.Compact(s.allow)
}

// validName reports whether s is [a-z0-9][a-z0-9_-]{0,62}.
func validName(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '_' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' && c != '-' {
			return false
		}
	}
	return true
}

// validPart reports whether s is a name for a part in braces: letters, digits and underscores.
func validPart(s string) bool {
	for _, c := range []byte(s) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != ""
}
