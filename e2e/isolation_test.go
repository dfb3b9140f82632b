package e2e_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// TestEveryRequestStartsAlike calls, on several connections at once, a guest that hashes its memory and looks at all that
// it has when a request begins, and spoils all of it before it ends, in every way that a call can end. Every request must
// see the same, whatever ran before it in the instance, on the thread, and with the host's bookkeeping.
func TestEveryRequestStartsAlike(t *testing.T) {
	d := sharedDaemon(t)
	files := t.TempDir()
	if err := os.WriteFile(filepath.Join(files, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	module := testutil.BuildCFile(t, filepath.Join("testdata", "isolation.c"), append(testutil.Reactor(), "-I", filepath.Join("..", "sdk", "c"))...)
	grants := fmt.Sprintf("grants: {dirs: [{host: %s, guest: /files, readonly: false}]}", files)
	for _, row := range []struct{ name, line string }{
		{"reset to a template", "template: auto"},
		{"made anew", "template: off"},
	} {
		t.Run(row.name, func(t *testing.T) {
			name := "isolation-" + strings.Fields(row.line)[1]
			d.must(t, "deploy", app(t, name, module, row.line, grants, "kv: {durability: memory}",
				"limits: {timeout: 300ms, memory: 4MiB}", "functions: {state: {entry: state}}"))
			var seen states
			var clients sync.WaitGroup
			const callers, calls = 6, 60
			for n := range callers {
				clients.Go(func() {
					tr := d.clients[n%len(d.clients)]
					for i := range calls {
						if err := seen.call(t, tr, "/"+name+"/state", n*calls+i); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			clients.Wait()
			if seen.answers < callers*calls/2 || len(seen.lines) != 1 {
				t.Errorf("%d answers told of %d states, want one:\n%s", seen.answers, len(seen.lines), strings.Join(seen.list(), "\n"))
			}
		})
	}
}

// states are the different accounts of what a request began with.
type states struct {
	mu      sync.Mutex
	lines   map[string]int // guarded by mu
	answers int            // guarded by mu
}

// call makes call number n and notes what the guest saw. Of every eight calls, some end badly.
func (s *states) call(t *testing.T, tr transport, target string, n int) error {
	t.Helper()
	ending := "0000gtxr"[n%8]
	if n%50 == 49 {
		ending = 'l'
	}
	id := fmt.Sprintf("%06d%c", n, ending)
	got, err := tr.call(t.Context(), http.MethodPost, target, []byte(id))
	if err != nil {
		return fmt.Errorf("call %s: %w", id, err)
	}
	if want := map[byte]int{'t': 500, 'l': 504, 'r': 500}[ending]; want != 0 {
		if got.status != want {
			return fmt.Errorf("call %s: status %d, want %d: %.200s", id, got.status, want, got.body)
		}
		return nil
	}
	line, mine := strings.CutPrefix(string(got.body), id+" ")
	if got.status != 203 || !mine || len(got.header.Values("X-Id")) != 1 || got.header.Get("X-Id") != id {
		return fmt.Errorf("call %s was answered with %d, %v, %.200s", id, got.status, got.header["X-Id"], got.body)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines == nil {
		s.lines = make(map[string]int)
	}
	s.lines[line]++
	s.answers++
	return nil
}

// list returns the accounts, each with how often it was given.
func (s *states) list() []string {
	var list []string
	for line, times := range s.lines {
		list = append(list, fmt.Sprintf("%d times: %s", times, line))
	}
	return list
}
