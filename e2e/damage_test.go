package e2e_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// TestMutatedModules deploys modules in which bytes have been changed at random, and calls what is accepted. Whatever the
// loader gate, the compiler, the engine and the functions make of them: the daemon and its other app go on.
func TestMutatedModules(t *testing.T) {
	mutants := 120
	if testing.Short() {
		mutants = 15
	}
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "innocent", innocent(t, 1)))
	good := testutil.Read(t, testutil.BuildCFile(t, filepath.Join("testdata", "mutant.c"), testutil.Freestanding()...))
	random := rand.New(rand.NewPCG(20, 26))
	pid := d.command.Process.Pid
	var refused, failed, answered int
	for n := range mutants {
		module := mutate(t, bytes.Clone(good), random)
		got := d.cli(t, "deploy", app(t, "mutant", file(t, fmt.Sprintf("mutant%d.wasm", n), module), "limits: {timeout: 100ms, memory: 16MiB}"))
		if got.code != 0 {
			refused++
			if got.code != 1 || !strings.Contains(got.stderr, "edged: ") || strings.Contains(got.stderr, "internal error") {
				t.Errorf("mutant %d is refused with %+v", n, got)
			}
			alive(t, d)
			continue
		}
		for _, name := range []string{"first", "second", "third"} {
			got := d.http().must(t, http.MethodPost, "/mutant/"+name, []byte("some input"))
			switch got.status {
			case 200:
				answered++
			case 404: // the name is what was changed
			default:
				failed++
				if p, err := got.problem(); err != nil || got.status != 500 && got.status != 504 || p.App != "mutant" {
					t.Errorf("mutant %d, %s: status %d %+v %v", n, name, got.status, p, err)
				}
			}
		}
		alive(t, d)
	}
	t.Logf("%d mutants: %d refused; of the others' calls %d failed and %d were answered", mutants, refused, failed, answered)
	if refused == 0 || answered == 0 {
		t.Error("the mutants are too alike to test anything")
	}
	if d.command.Process.Pid != pid {
		t.Error("the daemon is another one")
	}
}

// code returns where a module's code section begins and ends (core specification 5.5.2).
func code(t *testing.T, module []byte) (from, to int) {
	t.Helper()
	for at := 8; at < len(module); {
		size, n := binary.Uvarint(module[at+1:])
		from, to = at+1+n, at+1+n+int(size)
		if module[at] == 10 {
			return from, to
		}
		at = to
	}
	t.Fatal("the module has no code")
	return 0, 0
}

// mutate changes one to three bytes: one of the code section first, then any behind the module's head.
func mutate(t *testing.T, module []byte, random *rand.Rand) []byte {
	t.Helper()
	from, to := code(t, module)
	for i := range 1 + random.IntN(3) {
		at := from + random.IntN(to-from)
		if i > 0 {
			at = 8 + random.IntN(len(module)-8)
		}
		switch random.IntN(3) {
		case 0:
			module[at] ^= 1 << random.IntN(8)
		case 1:
			module[at] = byte(random.IntN(256))
		default:
			module[at] += byte(1 - 2*random.IntN(2))
		}
	}
	return module
}

// TestDiskFull fills the disk with values: the writer is told, and nothing else happens. With room again it goes on.
func TestDiskFull(t *testing.T) {
	testutil.Require(t, "the right to mount", func() error {
		return exec.CommandContext(t.Context(), "unshare", "-m", "true").Run()
	})
	h := newHome(t, "")
	if err := os.Mkdir(h.path("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	h.prefix = []string{"unshare", "-m", "sh", "-c", `mount -t tmpfs -o size=24m,mode=700 edged "$0" && exec "$@"`, h.path("data")}
	d := h.start(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	d.http().ok(t, "/shop/count", []byte("counter"))
	// The disk is in the daemon's own mount namespace.
	filler := filepath.Join("/proc", strconv.Itoa(d.command.Process.Pid), "root", h.path("data", "filler"))
	if err := os.WriteFile(filler, make([]byte, 4<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	value := file(t, "value", bytes.Repeat([]byte("x"), 1<<20))
	stored := 0
	var last output
	for stored < 100 {
		if last = d.cli(t, "kv", "set", "shop", "key"+strconv.Itoa(stored), "@"+value); last.code != 0 {
			break
		}
		stored++
	}
	if last.code != 1 || !strings.Contains(last.stderr, "space") || stored == 0 {
		t.Errorf("after %d values: %+v", stored, last)
	}
	if got := d.cli(t, "deploy", app(t, "other", hostile(t))); got.code != 1 || !strings.Contains(got.stderr, "space") {
		t.Errorf("a deploy on a full disk: %+v", got)
	}
	for range 3 {
		if got := d.http().ok(t, "/shop/which", nil); got != "v1" {
			t.Errorf("it answers %q", got)
		}
		if got := d.http().ok(t, "/shop/value", []byte("counter")); got != "1" {
			t.Errorf("what was stored before is read as %q", got)
		}
	}
	// Somebody makes room elsewhere: what compilers left behind may have taken what the store kept for itself.
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	for i := range stored {
		eventually(t, "a key is removed", func() error {
			if got := d.cli(t, "kv", "rm", "shop", "key"+strconv.Itoa(i)); got.code != 0 {
				return errors.New(got.stderr)
			}
			return nil
		})
	}
	d.must(t, "kv", "set", "shop", "again", "@"+value)
	if got := d.http().ok(t, "/shop/count", []byte("counter")); got != "2" {
		t.Errorf("with room again the counter is %q", got)
	}
	d.stop(t)
}

// TestStoreRefused destroys the head of the key-value store's file: the daemon does not start, and says what to do.
func TestStoreRefused(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "kv", "set", "space", "key", "value")
	d.stop(t)
	path := h.path("data", "kv.db")
	content := testutil.Read(t, path)
	copy(content, bytes.Repeat([]byte{0xaa}, 8192)) // both meta pages
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	args := h.serveCommand()
	got := edged(t, nil, args[1:]...)
	if got.code != 1 || !strings.Contains(got.stderr, path) || got.stdout != "" {
		t.Errorf("over a destroyed store: %+v", got)
	}
	if err := os.Rename(path, path+".damaged"); err != nil {
		t.Fatal(err)
	}
	h.start(t).stop(t)
}
