package manifest

import (
	"fmt"
	"maps"
	"net"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/strictyaml"
)

// maxName is the longest name of an app, a function or a space.
const maxName = 63

// nameRule says in messages what a name may be.
const nameRule = "a name has 1 to 63 of a-z, 0-9, - and _, and begins with a letter or a digit"

// The bounds of limits.memory: one page and what 32 bits reach (core specification 4.2.8).
const (
	minMemory = 64 * strictyaml.KiB
	maxMemory = 4 * strictyaml.GiB
)

// maxConcurrency is far above what one box can hold and small enough for a counter of 32 bits.
const maxConcurrency = 1 << 20

// ValidName reports whether text may name an app, a function or a space: [a-z0-9][a-z0-9_-]{0,62}. A leading
// underscore is excluded, so no app can take the system's paths below /_edged/.
func ValidName(text string) bool {
	if text == "" || len(text) > maxName || text[0] == '_' || text[0] == '-' {
		return false
	}
	for i := range len(text) {
		c := text[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// Validate judges the manifest. The error is an [*strictyaml.Error] with every problem and its path; nil means that the
// manifest is as good as one that was read.
func (m *Manifest) Validate() error {
	return m.check(func(string) bool { return false })
}

// check is Validate, but leaves out values that have been reported already: broken tells for a path whether it has, so
// that a value of the wrong type is not reported as missing too.
func (m *Manifest) check(broken func(path string) bool) error {
	c := &checker{broken: broken}
	c.require(m.Version == CurrentVersion, "version", versionProblem(m.Version), fmt.Sprintf("write version: %d", CurrentVersion))
	c.required("app", string(m.App), "an app has a name")
	c.name("app", string(m.App))
	c.required("module", m.Module, "an app has a module: the path of its .wasm file")
	c.oneOf("abi", string(m.ABI), abis()...)
	c.oneOf("template", string(m.Template), string(TemplateAuto), string(TemplateOff))
	c.limits(&m.Limits)
	if m.KV.Space != string(m.App) { // else it is the default, and the app's name has been judged
		c.name("kv.space", m.KV.Space)
	}
	c.oneOf("kv.durability", string(m.KV.Durability), string(DurabilitySync), string(DurabilityBatched), string(DurabilityMemory))
	c.grants(&m.Grants)
	c.functions(m)
	c.calls(m)
	_, command := m.Command()
	c.require(!m.Reuse || !command, "reuse", "a command cannot be reused: _start runs a program from its beginning to its end",
		"leave reuse out, or export functions from a reactor")
	return c.Err()
}

func versionProblem(version int) string {
	if version == 0 {
		return "the manifest does not say which version of the format it is"
	}
	return fmt.Sprintf("version %d of the format is not known here", version)
}

// checker adds the rules of manifests to a list of problems.
type checker struct {
	strictyaml.Checker
	broken func(path string) bool
}

func (c *checker) require(ok bool, path, text, hint string) {
	c.Require(ok || c.broken(path), path, text, hint)
}

func (c *checker) required(path, value, text string) {
	c.require(value != "", path, text, "add the key")
}

func (c *checker) oneOf(path, value string, allowed ...string) {
	if !c.broken(path) {
		c.OneOf(path, value, allowed)
	}
}

// name checks a name that is there; that one must be there is another rule.
func (c *checker) name(path, value string) {
	if value != "" {
		c.require(ValidName(value), path, fmt.Sprintf("%q is not a name", value), hintName(value))
	}
}

// hintName proposes the nearest name that would do.
func hintName(value string) string {
	if near := toName(value); near != "" {
		return fmt.Sprintf("%s, such as %q", nameRule, near)
	}
	return nameRule
}

// toName makes a name of any text: lower case, everything else a dash; "" when nothing is left.
func toName(text string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		case (r >= 'a' && r <= 'z') || (r >= '0' && r <= '9') || r == '_':
			return r
		default:
			return '-'
		}
	}, text)
	name = strings.TrimLeft(name, "-_")
	return strings.TrimRight(name[:min(len(name), maxName)], "-")
}

func (c *checker) limits(l *Limits) {
	c.require(l.Memory >= minMemory && l.Memory <= maxMemory, "limits.memory", l.Memory.String()+" is outside what an instance can have",
		fmt.Sprintf("give %s to %s", minMemory, maxMemory))
	c.require(l.Timeout >= 0, "limits.timeout", "a timeout is above zero", "")
	c.require(l.Concurrency >= 1 && l.Concurrency <= maxConcurrency, "limits.concurrency",
		fmt.Sprintf("%d requests at once is outside what is possible", l.Concurrency), fmt.Sprintf("give 1 to %d", maxConcurrency))
}

func (c *checker) grants(g *Grants) {
	guests := make(map[string]bool)
	for i, dir := range g.Dirs {
		at := fmt.Sprintf("grants.dirs[%d]", i)
		c.required(at+".host", dir.Host, "the folder of the host is missing")
		c.required(at+".guest", dir.Guest, "the path that the guest sees is missing")
		if dir.Guest == "" {
			continue
		}
		c.require(path.IsAbs(dir.Guest) && path.Clean(dir.Guest) == dir.Guest, at+".guest", fmt.Sprintf("%q is not an absolute, clean path", dir.Guest),
			fmt.Sprintf("write %q", path.Clean("/"+dir.Guest)))
		c.require(!guests[dir.Guest], at+".guest", fmt.Sprintf("%q is granted twice", dir.Guest), "remove one")
		guests[dir.Guest] = true
	}
	for i, host := range g.Hosts {
		at := fmt.Sprintf("grants.hosts[%d]", i)
		c.require(validHost(host), at, fmt.Sprintf("%q is not a host", host), "write example.com, *.example.com or an address, with :port for one port only")
	}
	for _, key := range slices.Sorted(maps.Keys(g.Config)) {
		c.require(key != "", "grants.config", "a setting without a name", "")
	}
	c.unique("grants.secrets", g.Secrets)
	for i, name := range g.Secrets {
		c.require(ValidName(strings.ToLower(name)), fmt.Sprintf("grants.secrets[%d]", i), fmt.Sprintf("%q is not the name of a secret", name), "list names only, never values")
	}
}

// validHost reports whether text is a host name, perhaps with "*." before it, or an address, each perhaps with a port.
func validHost(text string) bool {
	host := text
	if name, port, err := net.SplitHostPort(text); err == nil {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return false
		}
		host = name
	}
	if net.ParseIP(strings.Trim(host, "[]")) != nil {
		return true
	}
	host = strings.TrimPrefix(host, "*.")
	if host == "" || len(host) > 253 { // RFC 1035, 2.3.4
		return false
	}
	for label := range strings.SplitSeq(host, ".") {
		if !ValidName(strings.ToLower(label)) || strings.Contains(label, "_") {
			return false
		}
	}
	return true
}

func (c *checker) unique(at string, values []string) {
	seen := make(map[string]bool)
	for i, value := range values {
		c.require(!seen[value], fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("%q is here twice", value), "remove one")
		seen[value] = true
	}
}

func (c *checker) functions(m *Manifest) {
	command := ""
	names := slices.Sorted(maps.Keys(m.Functions))
	for i, name := range names {
		function := m.Functions[name]
		at := "functions." + string(name)
		c.require(ValidName(string(name)), at, fmt.Sprintf("%q is not a name", name), hintName(string(name)))
		c.require(function.Deadline >= 0, at+".deadline", "a deadline is above zero", "")
		c.sledge(at, &function)
		c.http(m.App, at+".http", &function.HTTP)
		c.kvs(at+".kvs", function.KVs)
		c.on(m, at+".on", function.On)
		if function.Entry == CommandEntry {
			c.require(command == "", at+".entry", fmt.Sprintf("%s is the entry of %q already", CommandEntry, command), "a module has one command")
			command = string(name)
		}
		for _, other := range names[:i] {
			c.require(!m.collide(name, other), at+".http.path", fmt.Sprintf("%q answers at %s already", other, m.Route(other)),
				"give each a path or methods of its own")
		}
	}
	if m.ABI.Command() {
		for _, name := range names {
			c.require(m.Functions[name].Entry == CommandEntry, fmt.Sprintf("functions.%s.entry", name),
				fmt.Sprintf("a module of abi %s is entered at %s", m.ABI, CommandEntry), "write entry: "+CommandEntry)
		}
	}
}

// maxRelativeDeadline is one hour: far above what a route of Sledge waits for, and it fits in every unit.
const maxRelativeDeadline = 3_600_000_000

// sledge checks the keys that come from Sledge's route files.
func (c *checker) sledge(at string, f *Function) {
	c.require(f.RelativeDeadline >= 0 && f.RelativeDeadline <= maxRelativeDeadline, at+".relative-deadline-us",
		fmt.Sprintf("%d is not a deadline", f.RelativeDeadline), fmt.Sprintf("give 1 to %d microseconds", maxRelativeDeadline))
	c.require(f.RelativeDeadline <= 0 || f.RelativeDeadline > maxRelativeDeadline ||
		f.Deadline == time.Duration(f.RelativeDeadline)*time.Microsecond, at+".relative-deadline-us",
		"the function has a deadline already, and another", "remove one of both")
	c.require(f.ExpectedExecution >= 0 && f.ExpectedExecution <= maxRelativeDeadline, at+".expected-execution-us",
		fmt.Sprintf("%d is not a time", f.ExpectedExecution), fmt.Sprintf("give 1 to %d microseconds", maxRelativeDeadline))
	c.require(f.AdmissionsPercentile == 0 || f.AdmissionsPercentile >= 50 && f.AdmissionsPercentile <= 99, at+".admissions-percentile",
		fmt.Sprintf("%d is not one of Sledge's percentiles", f.AdmissionsPercentile), "give 50 to 99")
}

// collide reports whether two functions answer the same method at the same pattern. Patterns that only overlap do not:
// the more specific one goes first.
func (m *Manifest) collide(a, b invoke.FunctionName) bool {
	if unnamed(m.Route(a)) != unnamed(m.Route(b)) {
		return false
	}
	ours, theirs := m.Functions[a].HTTP.Methods, m.Functions[b].HTTP.Methods
	return len(ours) == 0 || len(theirs) == 0 || slices.ContainsFunc(ours, func(method string) bool { return slices.Contains(theirs, method) })
}

// unnamed returns a pattern with its parts made alike: /{a} and /{b} match the same paths.
func unnamed(pattern string) string {
	segments := strings.Split(pattern, "/")
	for i, segment := range segments {
		if strings.HasPrefix(segment, "{") {
			segments[i] = "{}"
		}
	}
	return strings.Join(segments, "/")
}

// methods lists what may be narrowed to (RFC 9110, 9.1, and PATCH of RFC 5789). CONNECT makes no sense on a route, and TRACE is
// refused by the server.
func methods() []string {
	return []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
}

func (c *checker) http(app invoke.AppName, at string, h *HTTP) {
	for i, method := range h.Methods {
		c.oneOf(fmt.Sprintf("%s.methods[%d]", at, i), method, methods()...)
	}
	c.unique(at+".methods", h.Methods)
	if h.Path != "" {
		text, hint := pathProblem(app, h.Path)
		c.require(text == "", at+".path", text, hint)
	}
}

// maxSegments bounds a pattern; the router's table is as deep as its longest one.
const maxSegments = 32

// pathProblem says what is wrong with a pattern, and what to write instead; both are empty for a good one.
func pathProblem(app invoke.AppName, pattern string) (text, hint string) {
	prefix := "/" + string(app)
	if pattern != prefix && !strings.HasPrefix(pattern, prefix+"/") {
		return fmt.Sprintf("%q is not below the app's own path", pattern), fmt.Sprintf("begin it with %s", prefix)
	}
	names := make(map[string]bool)
	segments := strings.Split(strings.TrimSuffix(pattern, "/*")[1:], "/")
	if len(segments) > maxSegments {
		return fmt.Sprintf("%q has more than %d segments", pattern, maxSegments), "end it in /* to answer everything below"
	}
	for _, segment := range segments {
		part, isPart := strings.CutPrefix(segment, "{")
		name, closed := strings.CutSuffix(part, "}")
		switch {
		case segment == "" || segment == "." || segment == "..":
			return fmt.Sprintf("%q has an empty segment, or . or ..", pattern), "write it without"
		case !isPart && strings.ContainsFunc(segment, notPlain):
			return fmt.Sprintf("%q is not a plain segment of a path", segment), "{name} stands for one segment and /* at the end for all that follow"
		case isPart && (!closed || !validPart(name)):
			return fmt.Sprintf("%q is not a part", segment), "write {name}, with a name of letters, digits and _"
		case isPart && names[name]:
			return fmt.Sprintf("the part %q is here twice", name), "name it differently"
		}
		if isPart {
			names[name] = true
		}
	}
	return "", ""
}

// validPart reports whether text can name a part of a pattern.
func validPart(text string) bool {
	return text != "" && len(text) <= maxName && !strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '_'
	})
}

// notPlain reports whether a character cannot stand in a segment of a pattern: it has a meaning there, or a client must
// encode it (RFC 3986, 3.3).
func notPlain(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune(`{}*%?#\"<>`, r) }

func (c *checker) kvs(at string, kvs map[string][]Access) {
	for _, pattern := range slices.Sorted(maps.Keys(kvs)) {
		where := at + "." + pattern
		c.pattern(where, pattern)
		c.require(len(kvs[pattern]) > 0, where, "no access is listed", "write [get], [set] or [delete]")
		seen := make([]string, 0, len(kvs[pattern]))
		for i, access := range kvs[pattern] {
			c.oneOf(fmt.Sprintf("%s[%d]", where, i), string(access), string(AccessGet), string(AccessSet), string(AccessDelete))
			seen = append(seen, string(access))
		}
		c.unique(where, seen)
	}
}
