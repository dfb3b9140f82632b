//go:build cgo

package pool_test

import (
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/internal/testutil"
)

// TestRandomIsFresh: no two requests share a random number that they draw through the SDKs, although each starts from the
// same state; what start-up drew they do share, which the documentation says.
func TestRandomIsFresh(t *testing.T) {
	sdk := filepath.Join("..", "..", "..", "sdk", "c")
	for _, c := range []struct {
		name  string
		path  string
		lines int // of a sequence
		start bool
	}{
		{"C", testutil.BuildCFile(t, filepath.Join("testdata", "random.c"), append(testutil.Reactor(), "-I", sdk)...), 8, true},
		{"Go", testutil.BuildGo(t, filepath.Join("testdata", "random"), true), 16, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			app := newApp(t, func(s *pool.Spec) {
				s.Load = loader(t, c.path)
				s.Functions = []pool.FunctionSpec{{Name: "sequence", Entry: "sequence"}}
				if c.start {
					s.Functions = append(s.Functions, pool.FunctionSpec{Name: "start", Entry: "start"})
				}
			})
			seen := make(map[string]int)
			for n := range 20 {
				got := call(t, app, "sequence")
				if got.Err != nil {
					t.Fatal(got.Err)
				}
				lines := strings.Fields(string(got.Body))
				if len(lines) != c.lines {
					t.Fatalf("the answer is %q, want %d numbers", got.Body, c.lines)
				}
				for _, line := range lines {
					if before, twice := seen[line]; twice {
						t.Fatalf("request %d draws %s, as request %d did", n, line, before)
					}
					seen[line] = n
				}
			}
			if !c.start {
				return
			}
			first := call(t, app, "start")
			want(t, call(t, app, "start"), string(first.Body), first.Err)
		})
	}
}
