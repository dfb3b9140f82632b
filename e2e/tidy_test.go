package e2e_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// TestArtifactsAreTidied deploys more versions of an app than are kept, and one that fails, and removes the app in the
// end: compiled code that nothing can go back to does not stay on the disk.
func TestArtifactsAreTidied(t *testing.T) {
	d := startDaemon(t, "")
	const kept, own = 10, 1 // versions to go back to; the engine's own module
	codes := func() int {
		entries, err := os.ReadDir(d.home.path("data", "aot"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, entry := range entries {
			if strings.HasSuffix(entry.Name(), ".so") {
				n++
			}
		}
		return n
	}
	left := func(want int) func() error {
		return func() error {
			if n := codes(); n != want {
				return fmt.Errorf("there are %d artifacts, want %d", n, want)
			}
			return nil
		}
	}
	eventually(t, "the engine's own artifact is there", left(own))
	version := func(n int, entry string) string {
		src := fmt.Sprintf(`__attribute__((export_name("%s"))) int run(void) { return %d; }`, entry, n)
		return app(t, "many", testutil.BuildC(t, src, testutil.Freestanding()...), "functions: {"+entry+": {entry: "+entry+"}}")
	}
	for n := range kept + 3 {
		d.must(t, "deploy", version(1000+n, "run"))
	}
	eventually(t, "versions that are not kept", left(kept+own))
	trap := testutil.BuildC(t, `__attribute__((export_name("_initialize"))) void start(void) { __builtin_trap(); }
		__attribute__((export_name("run"))) void run(void) {}`, testutil.Freestanding()...)
	if got := d.cli(t, "deploy", app(t, "many", trap, "functions: {run: {entry: run}}")); got.code != 1 {
		t.Fatalf("a module that cannot be started was deployed: %+v", got)
	}
	eventually(t, "a deploy that failed", left(kept+own))
	d.must(t, "rollback", "many", "v4") // the oldest that is kept
	d.must(t, "rm", "many")
	eventually(t, "the app is removed", left(own))
}
