package lint

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
)

// grep finds the lines of files that match, one finding a line.
func grep(t *tree, pattern *regexp.Regexp, skip func(f *file) bool, text string) []finding {
	var list []finding
	for _, f := range t.files {
		// This package names what it forbids; checksums and the licence are not our words.
		if f.in("internal/lint") || f.path == "go.sum" || f.path == "LICENSE" || skip(f) {
			continue
		}
		if !pattern.Match(f.text) {
			continue
		}
		for i, line := range bytes.Split(f.text, []byte("\n")) {
			if match := pattern.Find(line); match != nil {
				list = append(list, finding{f.path, i + 1, fmt.Sprintf(text, bytes.TrimSpace(match))})
			}
		}
	}
	return list
}

// shellsAllowed lists scripts that go on after a failing step, and why.
func shellsAllowed() map[string]string {
	return map[string]string{
		"scripts/check.sh": "runs every check and fails at the end, so that all findings show at once",
	}
}

func strictShell(t *tree) []finding {
	shebang, strict := regexp.MustCompile(`^#!.*\b(ba)?sh\b`), regexp.MustCompile(`(?m)^set -[a-z]*e[a-z]*u|^set -[a-z]*u[a-z]*e`)
	var list []finding
	for _, f := range t.files {
		if shebang.Match(f.text) && !strict.Match(f.text) && !inTestdata(f) && shellsAllowed()[f.path] == "" {
			list = append(list, finding{f.path, 1, "goes on after a failing step"})
		}
	}
	return list
}

func inTestdata(f *file) bool { return f.under("testdata") }

func openEnds(t *tree) []finding {
	return grep(t, regexp.MustCompile(`\b(TODO|FIXME|XXX|HACK)\b`), inTestdata, "%q is an end left open")
}

func machinePaths(t *tree) []finding {
	// A path of one machine: the folder a checkout or a home happens to be in. In tests they are data, never opened.
	pattern := regexp.MustCompile(`(^|[^A-Za-z0-9_.}/-])/(work|root|tmp|home/[a-z]+)(/|["'\s:;,)]|$)`)
	return grep(t, pattern, func(f *file) bool { return f.isTest() || inTestdata(f) }, "%q is a path of one machine")
}

func packageHosts(t *tree) []finding {
	pattern := regexp.MustCompile(`\b((deb|security|snapshot|ftp)\.debian\.org|(proxy|sum)\.golang\.org|goproxy\.(io|cn)|registry\.npmjs\.org|(index\.)?crates\.io|(files\.)?py(pi|thonhosted)\.org|(archive|ports)\.ubuntu\.com|registry\.yarnpkg\.com)\b`)
	return grep(t, pattern, inTestdata, "%q is a host of packages")
}

// wordsAllowed lists files in which a word of aboutTheCode means something else, and what.
func wordsAllowed() map[string]string {
	return map[string]string{
		"examples/cgi/README.md": "the agent is the browser, as HTTP calls it",
	}
}

// aboutTheCode finds text about how the code was made. Each pattern comes with words of which a file must have one before
// it is searched, because searching every file without regard to case takes seconds.
func aboutTheCode(t *tree) []finding {
	rows := []struct {
		words   []string
		pattern *regexp.Regexp
	}{
		{[]string{"ai", "a.i", "llm"}, regexp.MustCompile(`\b(A\.?I\.?|LLMs?)\b`)},
		{[]string{"gpt", "copilot", "claude", "anthropic", "openai", "language model"}, regexp.MustCompile(`(?i)\b(chatgpt|gpt-?[0-9]|copilot|claude|anthropic|openai|language model)\b`)},
		{[]string{"assistant", "prompt"}, regexp.MustCompile(`(?i)\b(assistants?|prompts?)\b`)},
		{[]string{" session"}, regexp.MustCompile(`(?i)\b(this|the|my|our|previous|last|next) session\b`)},
		{[]string{"issue ", "ticket "}, regexp.MustCompile(`(?i)\b(issue|ticket) #?[0-9]+\b`)},
		{[]string{"part "}, regexp.MustCompile(`\b[Pp]art [A-F]\b`)},
		// An agent that is none of HTTP's: User-Agent and userAgent are the only ones here.
		{[]string{"agent"}, regexp.MustCompile(`(?i)(^|[^a-z_ -]|[^r_-] |[^r ]-)agents?\b`)},
	}
	var list []finding
	for _, row := range rows {
		list = append(list, grep(t, row.pattern, func(f *file) bool {
			return inTestdata(f) || wordsAllowed()[f.path] != "" || !f.mentions(row.words)
		}, "%q is about how this was made")...)
	}
	return list
}

// mentions reports whether the file has one of the words, given in lower case, in any case.
func (f *file) mentions(words []string) bool {
	if f.lower == nil {
		f.lower = bytes.ToLower(f.text)
	}
	return slices.ContainsFunc(words, func(word string) bool { return bytes.Contains(f.lower, []byte(word)) })
}
