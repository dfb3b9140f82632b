package lint

import (
	"testing"
)

// rule is one thing that holds in the whole repository.
type rule struct {
	name  string
	fix   string // what to do about a finding
	check func(t *tree) []finding
}

// rules is the table of all of them.
func rules() []rule {
	return []rule{
		{"package-doc", "write one comment above the package clause of one file that says what the package is for", packageDoc},
		{"exported-doc", "write a comment that says what it guarantees: units, ownership, errors, who may call it", exportedDoc},
		{"names", "name it after what it is or does", names},
		{"file-length", "split it by verb or noun; 500 lines are the habit, 800 the limit", fileLength},
		{"function-length", "take a step out as a function with a name; 60 lines are the habit, 80 the limit", functionLength},
		{"no-init", "make it explicit: a constructor, or a function that returns the table", noInit},
		{"unsafe-place", "move it to wasmedge/, into a file that ends in _cgo.go or _unsafe.go", unsafePlace},
		{"unsafe-reason", "say in a SAFETY: comment what makes it safe, checkable by reading the lines around", unsafeReason},
		{"typed-atomics", "use the types of sync/atomic (atomic.Uint64), which cannot be mixed with plain access", typedAtomics},
		{"panics", "return an error; for a programming error add the file to the list in code_test.go, with the reason", panics},
		{"environment", "take it from edged/internal/config", environment},
		{"output", "log with slog, or return an error and let main exit", output},
		{"test-sleep", "wait for the event itself: a channel, a condition, or testing/synctest", testSleep},
		{"test-port", "listen on port 0 and ask for the address", testPort},
		{"parser-fuzz", "write a Fuzz target in the package, or add the function to the list in code_test.go, with the reason", parserFuzz},
		{"imports", "turn the dependency round: the consumer declares an interface, the daemon joins them", imports},
		{"test-packages", "import it from _test.go files only", testPackages},
		{"dependencies", "give the module a line in docs/DEPENDENCIES.md that says why it is worth having, or drop it", dependencies},
		{"host-functions", "document the function in docs/ABI.md", hostFunctions},
		{"references", "write the name that it has now, or take the sentence out", references},
		{"strict-shell", "write set -eu (and -o pipefail in bash) below the comment, so that a failing step is not passed over", strictShell},
		{"open-ends", "do it, or write down the limitation where its users look", openEnds},
		{"machine-paths", "take it from configuration, a parameter or t.TempDir()", machinePaths},
		{"package-hosts", "derive it from what is configured on the machine", packageHosts},
		{"about-the-code", "write about the code, not about how it came to be", aboutTheCode},
	}
}

// TestRules checks the repository against every rule.
func TestRules(t *testing.T) {
	repository := readTree(t, "../..")
	if repository.find("go.mod") == nil || len(repository.files) < 20 {
		t.Fatalf("this is not the repository: %d files", len(repository.files))
	}
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, f := range r.check(repository) {
				t.Errorf("%s:%d: %s; %s", f.path, f.line, f.text, r.fix)
			}
		})
	}
}
