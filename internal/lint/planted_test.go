package lint

import (
	"maps"
	"strings"
	"testing"
)

// sound is a small repository that no rule finds fault with; the planted violations are added to it.
func sound() map[string]string {
	return map[string]string{
		"go.mod":               "module edged.dev/edge\n\nrequire (\n\texample.com/good v1.2.3\n)\n",
		"docs/DEPENDENCIES.md": "example.com/good: does what we need\n",
		"docs/ABI.md":          "`input_len() -> i32`\n",
		"hostfn/a.go":          "// Package hostfn does.\npackage hostfn\n\nfunc all() []native { return []native{{\"input_len\", 1}} }\n",
		".golangci.yml": "linters:\n  settings:\n    depguard:\n      rules:\n        kvstore:\n          files: [\"**/kvstore/**\"]\n          deny:\n" +
			"            - {pkg: edged.dev/edge/edged, desc: no}\n        old:\n          files: [\"$all\"]\n          deny:\n            - {pkg: \"log$\", desc: no}\n",
		"p/p.go":               "// Package p does.\npackage p\n\nimport _ \"example.com/good/sub\"\n",
		"p/p_test.go":          "package p\n\n// The User-Agent header is HTTP's; userAgent is its value.\nfunc FuzzParse() {}\n",
		"wasmedge/a_unsafe.go": "// Package wasmedge does.\npackage wasmedge\n\n// SAFETY: nothing is done.\nimport _ \"unsafe\"\n",
	}
}

// TestRulesFindPlanted gives each rule a repository that breaks it in one place, and one that does not.
func TestRulesFindPlanted(t *testing.T) {
	long := func(n int) string { return strings.Repeat("\tx()\n", n) }
	for _, c := range []struct{ rule, path, text, want string }{
		{"package-doc", "q/q.go", "package q\n", "0 package comments"},
		{"package-doc", "p/other.go", "// Package p does.\npackage p\n", "2 package comments"},
		{"exported-doc", "p/a.go", "package p\n\nfunc Do() {}\n", "Do has no comment"},
		{"exported-doc", "p/a.go", "package p\n\n// T is.\ntype T[K any] struct{}\n\nfunc (t *T[K]) Do() {}\n", "Do has no comment"},
		{"exported-doc", "p/a.go", "package p\n\nvar Default = 1\n", "Default has no comment"},
		{"names", "p/util/a.go", "// Package util does.\npackage util\n", `"util"`},
		{"names", "p/helpers.go", "package p\n", `"helpers"`},
		{"names", "p/a.go", "package p\n\ntype connManager struct{}\n", "connManager"},
		{"names", "p/a.go", "package p\n\ntype info struct{}\n", "info"},
		{"names", "p/a.go", "package p\n\nfunc GetName() {}\n", "GetName"},
		{"file-length", "p/a.go", "package p\n" + strings.Repeat("\n", 801), "802 lines"},
		{"file-length", "scripts/a.sh", strings.Repeat("x\n", 801), "801 lines"},
		{"function-length", "p/a.go", "package p\n\nfunc f() {\n" + long(80) + "}\n", "f has 82 lines"},
		{"no-init", "p/a.go", "package p\n\nfunc init() {}\n", "init"},
		{"unsafe-place", "p/a_unsafe.go", "package p\n\nimport _ \"unsafe\"\n", "unsafe"},
		{"unsafe-place", "wasmedge/b.go", "package wasmedge\n\nimport \"C\"\n", `"C"`},
		{"unsafe-reason", "wasmedge/b_unsafe.go", "package wasmedge\n\nimport _ \"unsafe\"\n", "without saying why"},
		{"typed-atomics", "p/a.go", "package p\n\nimport \"sync/atomic\"\n\nfunc f(n *int64) { atomic.AddInt64(n, 1) }\n", "atomic.AddInt64"},
		{"panics", "p/a.go", "package p\n\nfunc f() { panic(1) }\n", "panics"},
		{"environment", "p/a.go", "package p\n\nimport \"os\"\n\nfunc f() { os.Getenv(\"X\") }\n", "os.Getenv"},
		{"environment", "p/a.go", "package p\n\nimport system \"os\"\n\nvar f = system.LookupEnv\n", "system.LookupEnv"},
		{"output", "p/a.go", "package p\n\nimport \"fmt\"\n\nfunc f() { fmt.Println() }\n", "fmt.Println"},
		{"output", "p/a.go", "package p\n\nimport \"os\"\n\nfunc f() { os.Exit(1) }\n", "os.Exit"},
		{"test-sleep", "p/a_test.go", "package p\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n", "time.Sleep"},
		{"test-port", "p/a_test.go", "package p\n\nvar a = \"127.0.0.1:8080\"\n", "8080"},
		{"test-port", "p/a_test.go", "package p\n\nvar a = \":9999\"\n", "9999"},
		{"parser-fuzz", "q/a.go", "// Package q does.\npackage q\n\nfunc parseHead(b []byte) {}\n", "parseHead"},
		{"parser-fuzz", "q/a.go", "// Package q does.\npackage q\n\nimport \"io\"\n\n// Read reads.\nfunc Read(r io.Reader) {}\n", "Read"},
		{"imports", "kvstore/a.go", "// Package kvstore does.\npackage kvstore\n\nimport _ \"edged.dev/edge/edged/internal/app\"\n", "kvstore"},
		{"imports", "p/a.go", "package p\n\nimport _ \"log\"\n", "log"},
		{"imports", "sdk/go/a.go", "// Package edged does.\npackage edged\n\nimport _ \"edged.dev/edge/wasmedge\"\n", "guests do not have"},
		{"test-packages", "p/a.go", "package p\n\nimport _ \"edged.dev/edge/internal/testutil\"\n", "for tests"},
		{"dependencies", "go.mod", "module edged.dev/edge\n\nrequire example.com/good v1.2.3\n\nrequire (\n\texample.com/other v0.1.0 // indirect\n)\n", ""},
		{"host-functions", "hostfn/b.go", "package hostfn\n\nfunc more() []preview1 { return []preview1{{name: \"input\"}} }\n", `"input"`},
		{"references", "README.md", "Shown by `p` `TestNothing`.\n", "TestNothing"},
		{"references", "README.md", "See `p/none.go`.\n", "p/none.go"},
		{"references", "README.md", "See `hostfn/none`.\n", "hostfn/none"},
		{"references", "docs/a.md", "See [this](DEPENDENCIES.md#x) and [that](NONE.md).\n", "NONE.md"},
		{"strict-shell", "scripts/a.sh", "#!/bin/sh\nset -u\n", "failing step"},
		{"open-ends", "p/a.go", "package p\n\n// TODO: later\n", "TODO"},
		{"open-ends", "scripts/a.sh", "# FIXME\n", "FIXME"},
		{"machine-paths", "scripts/a.sh", "cd /work/main\n", "/work/"},
		{"machine-paths", "p/a.go", "package p\n\nconst dir = \"/tmp/x\"\n", "/tmp/"},
		{"machine-paths", "README.md", "run `ls /root`\nls /root\n", "/root"},
		{"package-hosts", "scripts/a.sh", "curl https://deb.debian.org/debian\n", "deb.debian.org"},
		{"about-the-code", "p/a.go", "package p\n\n// written by an AI\n", "AI"},
		{"about-the-code", "p/a.go", "package p\n\n// the agent did this\n", "agent"},
		{"about-the-code", "README.md", "Made with an assistant.\n", "assistant"},
		{"about-the-code", "p/a.go", "package p\n\n// see issue 2\n", "issue 2"},
	} {
		t.Run(c.rule+" in "+c.path, func(t *testing.T) {
			broken := sound()
			broken[c.path] = c.text
			if c.want == "" { // the violation needs a second file
				broken["p/other.go"] = "package p\n\nimport _ \"example.com/other\"\n"
				c.want = "example.com/other"
			}
			found := check(t, c.rule, broken)
			if !strings.Contains(found, c.want) || found == "" {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func TestRulesAcceptSound(t *testing.T) {
	for _, r := range rules() {
		if found := check(t, r.name, sound()); found != "" {
			t.Errorf("%s: %s", r.name, found)
		}
	}
}

// TestRulesNeedWhatTheyRead proves that a rule complains when what it goes by is gone, instead of finding nothing.
func TestRulesNeedWhatTheyRead(t *testing.T) {
	for rule, gone := range map[string]string{
		"imports": ".golangci.yml", "dependencies": "docs/DEPENDENCIES.md", "host-functions": "docs/ABI.md",
	} {
		files := sound()
		delete(files, gone)
		if found := check(t, rule, files); !strings.Contains(found, "missing") {
			t.Errorf("%s without %s: %q", rule, gone, found)
		}
	}
	blind := sound()
	delete(blind, "hostfn/a.go")
	if found := check(t, "host-functions", blind); !strings.Contains(found, "no table") {
		t.Errorf("without a table of host functions: %q", found)
	}
}

// TestGuestsAreFree keeps the rules that are not for guests away from them.
func TestGuestsAreFree(t *testing.T) {
	for _, c := range []struct{ rule, path, text string }{
		{"unsafe-place", "sdk/go/abi.go", "// Package edged does.\npackage edged\n\nimport _ \"unsafe\"\n"},
		{"environment", "examples/cgi/main.go", "// Command cgi does.\npackage main\n\nimport \"os\"\n\nfunc main() { os.Getenv(\"X\") }\n"},
		{"output", "examples/cgi/main.go", "// Command cgi does.\npackage main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n"},
		{"panics", "hostfn/testdata/g/main.go", "package main\n\nfunc main() { panic(1) }\n"},
	} {
		files := sound()
		files[c.path] = c.text
		if found := check(t, c.rule, files); found != "" {
			t.Errorf("%s: %s", c.rule, found)
		}
	}
}

// check runs one rule over a repository and returns what it found.
func check(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	contents := make(map[string][]byte)
	for path, text := range maps.All(files) {
		contents[path] = []byte(text)
	}
	for _, r := range rules() {
		if r.name != name {
			continue
		}
		var text strings.Builder
		for _, f := range r.check(newTree(t, contents)) {
			text.WriteString(f.path + ": " + f.text + "\n")
		}
		return text.String()
	}
	t.Fatalf("there is no rule %q", name)
	return ""
}
