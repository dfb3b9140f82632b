package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// whole is what the function version answers.
func whole(version int) string {
	var text strings.Builder
	for i := range 4000 {
		fmt.Fprintf(&text, "v%d %d\n", version, i)
	}
	return text.String()
}

// TestBadDeploys tries what cannot be deployed: each is refused with a clear error, and what served before serves on.
func TestBadDeploys(t *testing.T) {
	d := sharedDaemon(t)
	module := innocent(t, 1)
	d.must(t, "deploy", app(t, "shop", module))
	good := testutil.Read(t, module)
	elf := testutil.Read(t, edgedPath)[:1<<16]
	freestanding := func(src string) string { return testutil.BuildC(t, src, testutil.Freestanding()...) }
	const entry = `__attribute__((export_name("which"))) int which(void) { return `
	const imported = `__attribute__((import_module("edged"), import_name("%s"))) %s;` + "\n" + entry + "%s; }\n"
	functions := "functions: {which: {entry: which}}"
	for _, c := range []struct {
		name   string
		module string
		lines  string
		wants  []string
	}{
		{"an ELF object", file(t, "elf.wasm", elf), functions, []string{"elf.wasm", "no WebAssembly file"}},
		{"an empty file", file(t, "empty.wasm", nil), functions, []string{"no WebAssembly file"}},
		{"a component", file(t, "component.wasm", append([]byte("\x00asm\x0d\x00\x01\x00"), good[8:]...)), functions, []string{"component"}},
		{"a later version", file(t, "later.wasm", append([]byte("\x00asm\x02\x00\x00\x00"), good[8:]...)), functions, []string{"version"}},
		{"cut off", file(t, "cut.wasm", good[:len(good)*2/3]), functions, []string{"truncated"}},
		{"noise behind the head", file(t, "noise.wasm", append(good[:8:8], bytes.Repeat([]byte{0xff}, 100)...)), functions, nil},
		{
			"an unknown import", freestanding(fmt.Sprintf(imported, "kv_gett", "int f(int)", "f(1)")), functions,
			[]string{"kv_gett", "missing"},
		},
		{
			"an import of the wrong type", freestanding(fmt.Sprintf(imported, "kv_get", "int f(int, int)", "f(1, 2)")), functions,
			[]string{"kv_get", "(i32, i32)", "(i32, i32, i32, i32)"},
		},
		{
			"a socket of the wrong type", freestanding(strings.Replace(fmt.Sprintf(imported, "sock_accept", "int f(void)", "f()"), "edged", "wasi_snapshot_preview1", 1)),
			functions,
			[]string{"sock_accept"},
		},
		{"an entry that is misspelt", module, "functions: {which: {entry: whichs}}", []string{"whichs", `did you mean "which"?`}},
		{"an entry with parameters", freestanding(`__attribute__((export_name("which"))) int which(int a) { return a; }`), functions, []string{"which", "(i32) -> i32"}},
		{"more memory than allowed", module, functions + "\nlimits: {memory: 64KiB}", []string{"memory"}},
		{"a timeout above the daemon's", module, functions + "\nlimits: {timeout: 10h}", []string{"10h", "timeout"}},
		{"a key that is misspelt", module, "funktions: {}", []string{"funktions", "functions"}},
		{
			"a start-up that traps", freestanding(`__attribute__((export_name("_initialize"))) void i(void) { __builtin_trap(); }` + entry + "0; }"), functions,
			[]string{"_initialize", "unreachable"},
		},
		{
			"a start-up without end", freestanding(`volatile int x; __attribute__((export_name("_initialize"))) void i(void) { for (;;) x++; }` + entry + "0; }"),
			functions + "\nlimits: {timeout: 100ms}",
			[]string{"start"},
		},
		{"a path of another app", module, "functions: {which: {http: {path: /other/x}}}", []string{"/other/x"}},
		{"a module that is not there", "nowhere.wasm", functions, []string{"nowhere.wasm"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := d.cli(t, "deploy", app(t, "shop", c.module, c.lines))
			if got.code != 1 {
				t.Errorf("exit code %d, want 1\n%s%s", got.code, got.stdout, got.stderr)
			}
			for _, want := range c.wants {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("the error does not say %q:\n%s", want, got.stderr)
				}
			}
			if answer := d.http().ok(t, "/shop/which", nil); answer != "v1" {
				t.Errorf("what served before answers %q", answer)
			}
		})
	}
	var detail struct {
		Versions []struct{} `json:"versions"`
	}
	if err := json.Unmarshal([]byte(d.must(t, "inspect", "shop", "--json")), &detail); err != nil || len(detail.Versions) != 1 {
		t.Errorf("%d versions are kept after failed deploys, want 1 (%v)", len(detail.Versions), err)
	}
}

// TestSwitchUnderLoad deploys two versions in turn while clients call: every answer is whole and of one of them.
func TestSwitchUnderLoad(t *testing.T) {
	d := sharedDaemon(t)
	dirs := []string{app(t, "shop", innocent(t, 1)), app(t, "shop", innocent(t, 2))}
	answers := []string{whole(1), whole(2)}
	broken := app(t, "shop", file(t, "broken.wasm", []byte("\x00asm\x01\x00\x00\x00\xff")))
	d.must(t, "deploy", dirs[0])
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var seen [2]atomic.Int64
	for n := range 4 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, err := d.clients[n%2].call(t.Context(), http.MethodGet, "/shop/version", nil)
				switch {
				case err == nil && got.status == 200 && string(got.body) == answers[0]:
					seen[0].Add(1)
				case err == nil && got.status == 200 && string(got.body) == answers[1]:
					seen[1].Add(1)
				default:
					t.Errorf("%v: status %d, %d bytes: %.200s", err, got.status, len(got.body), got.body)
					return
				}
			}
		})
	}
	deploys := 20
	if testing.Short() {
		deploys = 6
	}
	for i := range deploys {
		d.must(t, "deploy", dirs[(i+1)%2])
		// The switch has happened when the deploy has answered: from now on every call sees the new one.
		if got := d.http().ok(t, "/shop/version", nil); got != answers[(i+1)%2] {
			t.Errorf("after deploy %d the answer begins with %.10q", i, got)
		}
		if i%5 == 0 {
			if got := d.cli(t, "deploy", broken); got.code != 1 {
				t.Errorf("a broken module was deployed: %+v", got)
			}
		}
	}
	close(stop)
	clients.Wait()
	t.Logf("answers: %d of version 1, %d of version 2", seen[0].Load(), seen[1].Load())
	if seen[0].Load() == 0 || seen[1].Load() == 0 {
		t.Error("the load never saw one of the versions")
	}
}

// TestInFlightEndsOnOldVersion holds a request while its version is replaced, and while it is removed.
func TestInFlightEndsOnOldVersion(t *testing.T) {
	d := sharedDaemon(t)
	const limits = "limits: {timeout: 60s}"
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), limits))
	first := hold(t, d, "first")
	d.must(t, "deploy", app(t, "shop", innocent(t, 2), limits))
	second := hold(t, d, "second")
	if got := d.http().ok(t, "/shop/which", nil); got != "v2" {
		t.Errorf("new requests are answered by %q", got)
	}
	d.must(t, "rm", "shop")
	if got := d.http().must(t, http.MethodGet, "/shop/which", nil); got.status != 404 {
		t.Errorf("a removed app answers %d", got.status)
	}
	for _, c := range []struct {
		held *held
		want string
	}{{first, "held first by v1"}, {second, "held second by v2"}} {
		if got := c.held.release(t); got.status != 200 || string(got.body) != c.want {
			t.Errorf("held request: status %d, %q, want %q", got.status, got.body, c.want)
		}
	}
	eventually(t, "instances of removed versions go away", func() error {
		var status struct {
			Live int `json:"live_instances"`
		}
		err := json.Unmarshal([]byte(d.must(t, "status", "--json")), &status)
		if err == nil && status.Live > 0 {
			err = fmt.Errorf("%d live instances", status.Live)
		}
		return err
	})
}

// held is a request that runs until it is released.
type held struct {
	d     *daemon
	name  string
	reply reply
	err   error
	done  chan struct{} // closed when reply and err are set
}

// hold starts a request to function hold of the innocent app, deployed as shop, and waits until the guest runs.
func hold(t *testing.T, d *daemon, name string) *held {
	t.Helper()
	d.cli(t, "kv", "rm", "shop", "held/"+name, "release/"+name) // of an earlier run in the same space; else they are not there
	h := &held{d: d, name: name, done: make(chan struct{})}
	go func() {
		defer close(h.done)
		h.reply, h.err = d.http().call(context.Background(), http.MethodPost, "/shop/hold", []byte(name))
	}()
	eventually(t, "the held request runs", func() error {
		if got := d.cli(t, "kv", "get", "shop", "held/"+name); got.code != 0 {
			return fmt.Errorf("%d %s", got.code, got.stderr)
		}
		return nil
	})
	return h
}

// release lets the request end and returns its answer.
func (h *held) release(t *testing.T) reply {
	t.Helper()
	h.d.must(t, "kv", "set", "shop", "release/"+h.name, "now")
	return h.wait(t)
}

// wait returns the answer of the request.
func (h *held) wait(t *testing.T) reply {
	t.Helper()
	<-h.done
	if h.err != nil {
		t.Fatal(h.err)
	}
	return h.reply
}

func TestRollbackAndRemove(t *testing.T) {
	d := sharedDaemon(t)
	which := func(want string) {
		t.Helper()
		if got := d.http().ok(t, "/shop/which", nil); got != want {
			t.Errorf("answered by %q, want %q", got, want)
		}
	}
	var ids []string
	for version := 1; version <= 3; version++ {
		var result struct {
			Version string `json:"version"`
		}
		text := d.must(t, "deploy", app(t, "shop", innocent(t, version)), "--json")
		if err := json.Unmarshal([]byte(text), &result); err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		ids = append(ids, result.Version)
	}
	which("v3")
	d.must(t, "rollback", "shop")
	which("v2")
	d.must(t, "rollback", "shop", ids[0])
	which("v1")
	if got := d.cli(t, "rollback", "shop", "v9-00000000"); got.code != 1 || !strings.Contains(got.stderr, "v9-00000000") {
		t.Errorf("a rollback to a version that never was: %+v", got)
	}
	which("v1")
	d.must(t, "kv", "set", "shop", "kept", "yes")
	d.must(t, "rm", "shop")
	if got := d.http().must(t, http.MethodGet, "/shop/which", nil); got.status != 404 {
		t.Errorf("a removed app answers %d", got.status)
	}
	if got := d.cli(t, "rm", "shop"); got.code != 1 || !strings.Contains(got.stderr, "shop") {
		t.Errorf("removing it again: %+v", got)
	}
	d.must(t, "deploy", app(t, "shop", innocent(t, 2)))
	which("v2")
	if got := d.must(t, "kv", "get", "shop", "kept"); got != "yes" {
		t.Errorf("the space of a removed app holds %q", got)
	}
}

// TestRoutes deploys apps beside each other; a second function at a path that is taken is refused with both named.
func TestRoutes(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "one", innocent(t, 1)))
	d.must(t, "deploy", app(t, "two", innocent(t, 2)))
	if one, two := d.http().ok(t, "/one/which", nil), d.http().ok(t, "/two/which", nil); one != "v1" || two != "v2" {
		t.Errorf("answered by %q and %q", one, two)
	}
	got := d.cli(t, "deploy", app(t, "one", innocent(t, 2), "functions:", "  which: {http: {path: /one/x}}", "  echo: {http: {path: /one/x}}"))
	if got.code != 1 || !strings.Contains(got.stderr, "which") || !strings.Contains(got.stderr, "echo") || !strings.Contains(got.stderr, "/one/x") {
		t.Errorf("two functions at one path: %+v", got)
	}
	d.must(t, "deploy", app(t, "one", innocent(t, 2), "functions:", "  which: {http: {path: /one/x, methods: [GET]}}", "  echo: {http: {path: /one/x, methods: [POST]}}"))
	if got := d.http().must(t, http.MethodGet, "/one/x", nil); string(got.body) != "v2" {
		t.Errorf("GET is answered %d %q", got.status, got.body)
	}
	if got := d.http().must(t, http.MethodPost, "/one/x", []byte("back")); string(got.body) != "back" {
		t.Errorf("POST is answered %d %q", got.status, got.body)
	}
	if got := d.http().must(t, http.MethodPut, "/one/x", nil); got.status != 405 || got.header.Get("Allow") == "" {
		t.Errorf("PUT is answered %d, Allow %q", got.status, got.header.Get("Allow"))
	}
}

// TestDeployCancelled interrupts a deploy while the module is compiled: nothing is left of it, and the next one works.
func TestDeployCancelled(t *testing.T) {
	d := sharedDaemon(t)
	dir := app(t, "shop", large(t, 400))
	command := exec.Command(edgedPath, "deploy", dir, "--admin", d.ready.Admin)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the compiler runs", func() error { return compilers(d, 1) })
	if err := command.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err == nil || command.ProcessState.ExitCode() != 1 {
		t.Errorf("an interrupted deploy ended with %v; it said %s", err, stderr.String())
	}
	eventually(t, "the compiler ends", func() error { return compilers(d, 0) })
	if text := d.must(t, "ls", "--json"); strings.TrimSpace(text) != "[]" {
		t.Errorf("an interrupted deploy left %s", text)
	}
	if got := d.http().must(t, http.MethodGet, "/shop/which", nil); got.status != 404 {
		t.Errorf("it answers %d", got.status)
	}
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	if got := d.http().ok(t, "/shop/which", nil); got != "v1" {
		t.Errorf("the next deploy answers %q", got)
	}
}

// TestConcurrentDeploys deploys one app many times at once: all succeed, every version is there once, and what is active is
// what answers.
func TestConcurrentDeploys(t *testing.T) {
	d := startDaemon(t, "")
	dirs := []string{app(t, "shop", innocent(t, 1)), app(t, "shop", innocent(t, 2))}
	var deploys sync.WaitGroup
	for n := range 8 {
		deploys.Go(func() {
			if got := d.cli(t, "deploy", dirs[n%2]); got.code != 0 {
				t.Errorf("deploy %d: %+v", n, got)
			}
		})
	}
	deploys.Wait()
	var detail struct {
		Version  string `json:"version"`
		Versions []struct {
			Version string `json:"version"`
			Active  bool   `json:"active"`
		} `json:"versions"`
	}
	text := d.must(t, "inspect", "shop", "--json")
	if err := json.Unmarshal([]byte(text), &detail); err != nil {
		t.Fatal(err)
	}
	active, seen := 0, map[string]bool{}
	for _, v := range detail.Versions {
		if v.Active {
			active++
			if v.Version != detail.Version {
				t.Errorf("%s serves and %s is active", detail.Version, v.Version)
			}
		}
		if seen[v.Version] {
			t.Errorf("version %s is listed twice", v.Version)
		}
		seen[v.Version] = true
	}
	if active != 1 {
		t.Errorf("%d versions are active: %s", active, text)
	}
	before := d.http().ok(t, "/shop/which", nil)
	d.kill()
	again := d.home.start(t)
	if after := again.http().ok(t, "/shop/which", nil); after != before {
		t.Errorf("%q answered before a restart, %q after it", before, after)
	}
	again.stop(t)
}
