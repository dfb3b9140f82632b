package app

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
)

// childEnv makes this test binary the process that is killed; its value is the data folder.
const childEnv = "EDGED_APP_KILL_CHILD"

// TestKill kills a process that changes a registry without end, opens the folder again, and finds each app as its last
// acknowledged change left it, or as the change that was under way would.
func TestKill(t *testing.T) {
	if dir := os.Getenv(childEnv); dir != "" {
		changeForEver(dir)
		return
	}
	dir := t.TempDir()
	rounds := 12
	if testing.Short() {
		rounds = 3
	}
	state := newModel()
	for round := range rounds {
		lines := killed(t, dir, rand.IntN(60)+round)
		pending := replay(t, state, lines)
		r := mustOpen(t, dir)
		if list := r.Damaged(); len(list) != 0 {
			t.Fatalf("round %d: damaged %v", round, list)
		}
		got := stateOf(t, r)
		if want := state.state(); got != want {
			apply(t, state, pending, r)
			if alternative := state.state(); got != alternative {
				t.Fatalf("round %d: got\n%s\nwant\n%s\nor, after %q,\n%s", round, got, want, pending, alternative)
			}
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// killed runs the child, kills it when it has acknowledged some changes, and returns what it said.
func killed(t *testing.T, dir string, after int) []string {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	scanner := bufio.NewScanner(out)
	var lines []string
	for scanner.Scan() {
		lines = append(lines, scanner.Text())
		if len(lines) == after {
			// The pipe still holds what was said since, and the loop reads on.
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(lines) < after {
		t.Fatalf("the child ended by itself after %q", lines)
	}
	return lines
}

// changeForEver is the child: it announces each change before it does it and acknowledges it afterwards. It ends when its
// output breaks, which is when the parent is gone.
func changeForEver(dir string) {
	say := func(format string, args ...any) {
		if _, err := io.WriteString(os.Stdout, fmt.Sprintf(format, args...)+"\n"); err != nil {
			os.Exit(1)
		}
	}
	r, err := Open(dir)
	if err != nil {
		say("error %v", err)
		return
	}
	for n := 0; ; n++ {
		name := []invoke.AppName{"a", "b", "c"}[rand.IntN(3)]
		if rand.IntN(8) == 0 {
			say("begin remove %s", name)
			if err := r.Remove(name); err == nil {
				say("done remove %s", name)
			} else {
				say("none")
			}
			continue
		}
		say("begin stage %s", name)
		v, err := r.Stage(newManifest(string(name)), nil, moduleOf(rand.Int()))
		if err != nil {
			say("error %v", err)
			return
		}
		say("done stage %s %s", name, v.ID)
		say("begin activate %s %s", name, v.ID)
		if err := r.Activate(name, v.ID); err != nil {
			say("error %v", err)
			return
		}
		say("done activate %s %s", name, v.ID)
	}
}

// replay does the acknowledged changes on the model and returns the one that was announced and not acknowledged, or "".
func replay(t *testing.T, m *model, lines []string) (pending string) {
	t.Helper()
	for _, line := range lines {
		kind, change, _ := strings.Cut(line, " ")
		switch kind {
		case "begin":
			pending = change
		case "done":
			apply(t, m, change, nil)
			pending = ""
		case "none":
			pending = ""
		default:
			t.Fatalf("the child said %q", line)
		}
	}
	return pending
}

// apply does one change on the model. The name of a version that was staged and not acknowledged is the newest that r has.
func apply(t *testing.T, m *model, change string, r *Registry) {
	t.Helper()
	fields := strings.Fields(change)
	if len(fields) < 2 {
		return
	}
	name := invoke.AppName(fields[1])
	switch fields[0] {
	case "stage":
		if len(fields) == 2 {
			versions, err := r.Versions(name)
			if err != nil || len(versions) == 0 {
				return
			}
			fields = append(fields, string(versions[len(versions)-1].ID))
		}
		m.stage(name, VersionID(fields[2]))
	case "activate":
		m.activate(name, VersionID(fields[2]))
	case "remove":
		m.remove(name)
	default:
		t.Fatalf("the child said %q", change)
	}
}
