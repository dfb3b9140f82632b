package e2e_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// tally counts increments of one counter over all runs of a daemon.
type tally struct {
	attempted, acknowledged, highest atomic.Int64
}

// increment calls the counter until ctx ends or the daemon does.
func (c *tally) increment(ctx context.Context, tr transport, key string) error {
	for ctx.Err() == nil {
		c.attempted.Add(1)
		got, err := tr.call(ctx, http.MethodPost, "/shop/count", []byte(key))
		if err != nil {
			return nil //nolint:nilerr // killed, as it should be
		}
		n, err := strconv.ParseInt(string(got.body), 10, 64)
		if got.status != 200 || err != nil {
			return fmt.Errorf("status %d: %.200s", got.status, got.body)
		}
		c.acknowledged.Add(1)
		for old := c.highest.Load(); n > old && !c.highest.CompareAndSwap(old, n); old = c.highest.Load() {
		}
	}
	return nil
}

// TestKilled kills the daemon with SIGKILL at random moments of deploys and writes, again and again in one data folder. No
// acknowledged write is ever lost, and there is always one whole version that answers.
func TestKilled(t *testing.T) {
	rounds := 8
	if testing.Short() {
		rounds = 3
	}
	h := newHome(t, "")
	d := h.start(t)
	dirs := []string{app(t, "shop", innocent(t, 1)), app(t, "shop", innocent(t, 2))}
	d.must(t, "deploy", dirs[0])
	d.must(t, "deploy", dirs[1])
	random := rand.New(rand.NewPCG(7, 7))
	var counters [2]tally
	for round := range rounds {
		ctx, cancel := context.WithCancel(t.Context())
		var load sync.WaitGroup
		for n := range 8 {
			load.Go(func() {
				if err := counters[n%2].increment(ctx, d.clients[n%2], "counter"+strconv.Itoa(n%2)); err != nil {
					t.Error(err)
				}
			})
		}
		load.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				// It fails when the daemon is killed in the middle, with whatever code.
				_ = exec.CommandContext(ctx, edgedPath, "deploy", dirs[i%2], "--admin", d.ready.Admin).Run()
			}
		})
		target := counters[0].acknowledged.Load() + 1 + random.Int64N(300)
		eventually(t, "increments are acknowledged", func() error {
			if n := counters[0].acknowledged.Load(); n < target {
				return fmt.Errorf("%d of %d", n, target)
			}
			return nil
		})
		d.kill()
		cancel()
		load.Wait()
		d = h.start(t)
		checkCounters(t, d, &counters, round)
	}
	d.stop(t)
}

// checkCounters compares what a restarted daemon holds with what was acknowledged.
func checkCounters(t *testing.T, d *daemon, counters *[2]tally, round int) {
	t.Helper()
	if got := d.http().ok(t, "/shop/which", nil); got != "v1" && got != "v2" {
		t.Errorf("round %d: answered by %q", round, got)
	}
	for i := range counters {
		c := &counters[i]
		value, err := strconv.ParseInt(d.uds().ok(t, "/shop/value", []byte("counter"+strconv.Itoa(i))), 10, 64)
		attempted, acknowledged := c.attempted.Load(), c.acknowledged.Load()
		if err != nil || value < acknowledged || value > attempted || value < c.highest.Load() {
			t.Errorf("round %d: counter %d is %d (%v), acknowledged %d up to %d, attempted %d",
				round, i, value, err, acknowledged, c.highest.Load(), attempted)
		}
		t.Logf("round %d: counter %d: %d acknowledged <= %d <= %d attempted", round, i, acknowledged, value, attempted)
	}
	if got := d.cli(t, "doctor"); got.code != 0 {
		t.Errorf("round %d: doctor: %+v", round, got)
	}
}

// inodes returns the files below a folder with their inode numbers.
func inodes(t *testing.T, dir string) map[string]uint64 {
	t.Helper()
	files := make(map[string]uint64)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		files[path] = info.Sys().(*syscall.Stat_t).Ino //nolint:forcetypeassert // it is so on Linux
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestRestartCompilesNothing restarts a killed daemon whose binary cannot be executed a second time, so that no compiler can
// be started, in a network namespace without any network when this test may make one. Every app answers nevertheless.
func TestRestartCompilesNothing(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	names := []string{"one", "two", "three"}
	for i, name := range names {
		d.must(t, "deploy", app(t, name, innocent(t, i+1)))
	}
	d.kill()
	before := inodes(t, h.path("data", "aot"))
	h.binary = h.path("edged")
	if err := os.WriteFile(h.binary, testutil.Read(t, edgedPath), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := exec.CommandContext(t.Context(), "unshare", "-n", "true").Run(); err == nil {
		h.prefix, h.http = []string{"unshare", "-n"}, "0.0.0.0:0"
	} else {
		t.Logf("with the network there is: unshare -n: %v", err)
	}
	again := h.start(t)
	if err := os.Chmod(h.binary, 0); err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if got := again.uds().ok(t, "/"+name+"/which", nil); got != fmt.Sprintf("v%d", i+1) {
			t.Errorf("%s is answered by %q", name, got)
		}
	}
	after := inodes(t, h.path("data", "aot"))
	for path, inode := range before {
		if after[path] != inode {
			t.Errorf("%s was made again", path)
		}
	}
	if len(after) != len(before) {
		t.Errorf("%d files of artifacts before, %d after", len(before), len(after))
	}
	// What shows that no compiler could have been started.
	if got := again.cli(t, "deploy", app(t, "four", hostile(t))); got.code != 1 || !strings.Contains(got.stderr, "compile") {
		t.Errorf("a deploy without a compiler: %+v", got)
	}
	again.stop(t)
}

// TestDamagedArtifacts damages every compiled file while the daemon is down. Each is made again, and the apps answer.
func TestDamagedArtifacts(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	d.stop(t)
	foreign := testutil.Read(t, edgedPath)[:1<<20]
	for _, c := range []struct {
		name   string
		damage func(content []byte) []byte
	}{
		{"a byte flipped", func(content []byte) []byte { content[len(content)/2] ^= 1; return content }},
		{"the last byte flipped", func(content []byte) []byte { content[len(content)-1] ^= 0x80; return content }},
		{"cut to half", func(content []byte) []byte { return content[:len(content)/2] }},
		{"empty", func([]byte) []byte { return nil }},
		{"a foreign ELF file", func([]byte) []byte { return foreign }},
		{"longer", func(content []byte) []byte { return append(content, "more"...) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			damaged := 0
			for path := range inodes(t, h.path("data", "aot")) {
				content := testutil.Read(t, path)
				if !strings.HasPrefix(string(content), "\x7fELF") {
					continue
				}
				if err := os.WriteFile(path, c.damage(content), 0o600); err != nil {
					t.Fatal(err)
				}
				damaged++
			}
			if damaged < 2 {
				t.Fatalf("%d artifacts found, want that of the app and the engine's own", damaged)
			}
			d := h.start(t)
			eventually(t, "the app answers", func() error {
				got, err := d.http().call(t.Context(), http.MethodPost, "/shop/which", nil)
				if err != nil || got.status != 200 && got.status != 503 {
					t.Fatalf("%v: status %d: %.300s", err, got.status, got.body)
				}
				if got.status == 503 {
					return fmt.Errorf("503: %s", got.body)
				}
				if string(got.body) != "v1" {
					t.Fatalf("it answers %q", got.body)
				}
				return nil
			})
			d.stop(t)
		})
	}
}

// TestDamagedApps damages what the registry keeps of three of four apps. Those report what is wrong, the fourth serves.
func TestDamagedApps(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", app(t, "good", innocent(t, 1)))
	files := map[string]string{}
	for i, name := range []string{"module", "manifest", "record"} {
		before := inodes(t, h.path("data", "apps"))
		d.must(t, "deploy", app(t, name, innocent(t, i+2), "limits: {timeout: "+strconv.Itoa(i+2)+"s}"))
		for path := range inodes(t, h.path("data", "apps")) {
			if _, old := before[path]; !old && strings.Contains(path, "/"+name+"s/") {
				files[name] = path
			}
		}
	}
	d.stop(t)
	if len(files) != 3 {
		t.Fatalf("found %v", files)
	}
	for _, path := range files {
		content := testutil.Read(t, path)
		content[len(content)/2] ^= 4
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d = h.start(t)
	if got := d.http().ok(t, "/good/which", nil); got != "v1" {
		t.Errorf("the intact app is answered by %q", got)
	}
	for name, path := range files {
		if got := d.http().must(t, http.MethodGet, "/"+name+"/which", nil); got.status != 404 && got.status != 503 {
			t.Errorf("%s answers %d: %s", name, got.status, got.body)
		}
		got := d.cli(t, "inspect", name)
		if got.code != 1 || !strings.Contains(got.stderr, filepath.Base(path)) || !strings.Contains(got.stderr, "damaged") {
			t.Errorf("inspect %s: %+v, want an error that names %s", name, got, path)
		}
	}
	if got := d.cli(t, "doctor"); got.code != 1 || !strings.Contains(got.stdout, "damaged") {
		t.Errorf("doctor: %+v", got)
	}
	list := d.must(t, "ls")
	if strings.Count(list, "failed") != 3 || strings.Count(list, "ready") != 1 {
		t.Errorf("ls shows\n%s", list)
	}
	// The remedy that the errors name.
	for name := range files {
		d.must(t, "deploy", app(t, name, innocent(t, 1)))
		if got := d.http().ok(t, "/"+name+"/which", nil); got != "v1" {
			t.Errorf("%s, deployed again, is answered by %q", name, got)
		}
	}
	if list := d.must(t, "ls"); strings.Contains(list, "failed") {
		t.Errorf("ls shows after the remedy\n%s", list)
	}
	d.stop(t)
}

// TestDamagedStore flips bits in the key-value store's file: the daemon says so and never serves a wrong value.
func TestDamagedStore(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	value := strings.Repeat("precious", 1000)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	d.must(t, "kv", "set", "shop", "key", value)
	d.stop(t)
	path := h.path("data", "kv.db")
	content := testutil.Read(t, path)
	at := strings.Index(string(content), value)
	if at < 0 {
		t.Skip("the store does not keep the value in one piece")
	}
	content[at+100] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	d = h.start(t)
	got := d.http().must(t, http.MethodPost, "/shop/value", []byte("key"))
	if got.status == 200 {
		t.Errorf("a damaged value is served: %.50q", got.body)
	}
	if got := d.cli(t, "kv", "get", "shop", "key"); got.code != 1 || got.stdout != "" {
		t.Errorf("kv get: %+v", got)
	}
	if got := d.http().ok(t, "/shop/which", nil); got != "v1" {
		t.Errorf("the app is answered by %q", got)
	}
	d.stop(t)
}

// TestSecondDaemon starts a daemon over a data folder that is in use.
func TestSecondDaemon(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	got := edged(t, nil, "serve", "--data", h.path("data"), "--http", "127.0.0.1:0", "--uds", h.path("other.sock"), "--admin", h.path("other-admin.sock"))
	if got.code != 1 || !strings.Contains(got.stderr, "in use by process "+strconv.Itoa(d.command.Process.Pid)) || got.stdout != "" {
		t.Errorf("a second daemon over the same data: %+v", got)
	}
	// Nor does one with other data take the sockets away.
	got = edged(t, nil, "serve", "--data", h.path("other"), "--http", "127.0.0.1:0", "--uds", d.ready.UDS, "--admin", h.path("other-admin.sock"))
	if got.code != 1 || !strings.Contains(got.stderr, d.ready.UDS) {
		t.Errorf("a second daemon at the same socket: %+v", got)
	}
	got = edged(t, nil, "serve", "--data", h.path("other"), "--http", d.ready.HTTP, "--uds", h.path("other.sock"), "--admin", h.path("other-admin.sock"))
	if got.code != 1 || !strings.Contains(got.stderr, d.ready.HTTP) {
		t.Errorf("a second daemon at the same port: %+v", got)
	}
	for _, tr := range d.clients {
		if got := tr.ok(t, "/shop/which", nil); got != "v1" {
			t.Errorf("the first one answers %q over %s", got, tr.name)
		}
	}
	d.stop(t)
}
