package examples_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// asc puts this checkout's AssemblyScript compiler into a build command. The test is skipped where there is none.
func asc(t *testing.T, command []string) []string {
	t.Helper()
	var out []byte
	testutil.Require(t, "the AssemblyScript compiler (scripts/install-assemblyscript.sh)", func() (err error) {
		out, err = exec.CommandContext(t.Context(), "../scripts/install-assemblyscript.sh", "--print").Output()
		return err
	})
	compiler, err := filepath.Abs(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	command[0] = compiler
	// It takes an output only below its base folder, which is where it runs unless it is told otherwise.
	return slices.Concat(command, []string{"--baseDir", "."})
}

func TestHelloAS(t *testing.T) {
	path := compile(t, "hello-as", asc(t, buildCommand(t, "hello-as")))
	d := theDaemon(t)
	d.run(t, "deploy", path)
	check(t, d, []exchange{
		{"plain", "GET", "/hello-as", "", 200, "hello, world, from AssemblyScript\n"},
		{"query", "GET", "/hello-as?name=%C5%BDofie+L.", "", 200, "hello, Žofie L., from AssemblyScript\n"},
	})
	if got := d.transports(t)[0].must(t, "GET", "/hello-as/visits", nil); got.status != 200 || string(got.body) != "4\n" {
		t.Errorf("visits: status %d, body %q; want 4, two over each transport", got.status, got.body)
	}
}

// TestAssemblyScriptRandom checks that no two calls draw the same numbers, although the top level has drawn one, and that the message
// of an abort reaches the caller.
func TestAssemblyScriptRandom(t *testing.T) {
	d := theDaemon(t)
	d.run(t, "deploy", compile(t, "../sdk/testdata/probe-as", asc(t, strings.Fields(probeAS))))
	seen := make(map[string]bool)
	for _, tr := range d.transports(t) {
		if got := tr.must(t, "GET", "/probe-as/aborts", nil); got.status != 500 || !strings.Contains(string(got.body), "as it must in main.ts") {
			t.Errorf("%s: status %d, body %q; want 500 with the message", tr.name, got.status, got.body)
		}
		for range 20 {
			got := tr.must(t, "GET", "/probe-as/draw", nil)
			for word := range strings.SplitSeq(strings.TrimSpace(string(got.body)), " [") {
				if got.status != 200 || seen[word] {
					t.Fatalf("%s: status %d, %q was drawn before", tr.name, got.status, word)
				}
				seen[word] = true
			}
		}
	}
}

// probeAS builds the probe of the AssemblyScript SDK.
const probeAS = "asc main.ts -O --runtime incremental --exportStart _initialize --use abort=../../assemblyscript/edged/abort " +
	"--use seed=../../assemblyscript/edged/seed -o probe-as.wasm"
