package lint

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// references finds what documents name and the repository does not have: tests, files, and targets of links.
func references(t *tree) []finding {
	declared := regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)\w+)\(`)
	tests := make(map[string]bool)
	for _, f := range t.files {
		if f.isTest() {
			for _, match := range declared.FindAllSubmatch(f.text, -1) {
				tests[string(match[1])] = true
			}
		}
	}
	file := func(name string) bool {
		return slices.ContainsFunc(t.files, func(f *file) bool { return strings.HasSuffix("/"+f.path, "/"+name) })
	}
	rows := []struct {
		pattern *regexp.Regexp
		known   func(from, name string) bool
	}{
		{regexp.MustCompile(`\b((?:Test|Fuzz|Benchmark)[A-Z]\w+)\b`), func(_, name string) bool { return tests[name] }},
		{regexp.MustCompile("`([a-z][\\w./-]*\\.(?:go|c|h|S|sh|md|svg|service))`"), func(_, name string) bool { return file(name) }},
		{regexp.MustCompile("`((?:docs|e2e|edged|examples|hostfn|internal|kvstore|scripts|sdk|wasmedge)/[a-z][\\w/-]*)/?`"), func(_, name string) bool { return t.has(name) }},
		{regexp.MustCompile(`\]\(([^):#]+)(?:#[^)]*)?\)`), func(from, name string) bool { return t.has(path.Join(path.Dir(from), name)) }},
	}
	var list []finding
	for _, f := range t.files {
		if path.Ext(f.path) != ".md" || f.under("testdata", "templates") {
			continue
		}
		for i, line := range bytes.Split(f.text, []byte("\n")) {
			for _, row := range rows {
				for _, match := range row.pattern.FindAllSubmatch(line, -1) {
					if name := string(match[1]); !row.known(f.path, name) {
						list = append(list, finding{f.path, i + 1, fmt.Sprintf("%q is not there", name)})
					}
				}
			}
		}
	}
	return list
}

// has reports whether there is a file or a folder at a path.
func (t *tree) has(name string) bool {
	return slices.ContainsFunc(t.files, func(f *file) bool { return f.path == name || f.in(name) })
}
