package e2e_test

import (
	"bufio"
	"encoding/json"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// TestCommands runs every client verb against a real daemon.
func TestCommands(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1), "limits: {timeout: 30s}"))
	module := testutil.BuildCFile(t, filepath.Join("testdata", "mutant.c"), testutil.Freestanding()...)
	export := filepath.Join(t.TempDir(), "shop.kv")
	admin := []string{"--admin", d.ready.Admin}
	for _, c := range []struct {
		name   string
		args   []string
		stdin  string
		code   int
		stdout []string // parts of it
		stderr []string
		json   bool // stdout is one JSON document
		alone  bool // without --admin
	}{
		{name: "ls", args: []string{"ls"}, stdout: []string{"shop", "ready"}},
		{name: "ls json", args: []string{"ls", "--json"}, stdout: []string{`"shop"`}, json: true},
		{name: "inspect", args: []string{"inspect", "shop"}, stdout: []string{"/shop/which", "edged.kv_get", "provided", "30s", "active"}},
		{name: "inspect json", args: []string{"inspect", "shop", "--json"}, stdout: []string{`"limits"`}, json: true},
		{name: "inspect nobody", args: []string{"inspect", "nobody"}, code: 1, stderr: []string{`"nobody"`, "edged ls"}},
		{name: "invoke", args: []string{"invoke", "shop/echo", "--data", "hello"}, stdout: []string{"hello"}},
		{name: "invoke stdin", args: []string{"invoke", "shop/echo", "--data", "-"}, stdin: "from a pipe", stdout: []string{"from a pipe"}},
		{name: "invoke file", args: []string{"invoke", "shop/echo", "--data", "@" + file(t, "in", []byte("from a file"))}, stdout: []string{"from a file"}},
		{
			name: "invoke header", args: []string{"invoke", "shop/facts", "--header", "X-One: 1", "--path", "/below?a=b"},
			stdout: []string{"header:x-one=1", "path=/shop/facts/below", "query=a=b", "path_info=/below", "method=GET"},
		},
		{name: "invoke json", args: []string{"invoke", "shop/which", "--json"}, stdout: []string{`"status"`}, json: true},
		{name: "invoke which fails", args: []string{"invoke", "shop/refuse"}, code: 1, stderr: []string{"no: because"}},
		{name: "invoke teapot", args: []string{"invoke", "shop/teapot"}, code: 1, stderr: []string{"418"}},
		{name: "invoke one of many", args: []string{"invoke", "shop"}, code: 1, stderr: []string{"functions", "edged invoke shop/FUNCTION"}},
		{name: "invoke no function", args: []string{"invoke", "shop/nothing"}, code: 1, stderr: []string{`"nothing"`}},
		{name: "kv set", args: []string{"kv", "set", "shop", "a/1", "one"}},
		{name: "kv set stdin", args: []string{"kv", "set", "shop", "a/2", "-"}, stdin: "two"},
		{name: "kv get", args: []string{"kv", "get", "shop", "a/1"}, stdout: []string{"one"}},
		{name: "kv get json", args: []string{"kv", "get", "shop", "a/2", "--json"}, stdout: []string{`"dHdv"`}, json: true},
		{name: "kv get absent", args: []string{"kv", "get", "shop", "b"}, code: 1, stderr: []string{"not found"}},
		{name: "kv ls spaces", args: []string{"kv", "ls"}, stdout: []string{"shop", "sync"}},
		{name: "kv ls", args: []string{"kv", "ls", "shop", "--prefix", "a/"}, stdout: []string{"a/1", "a/2"}},
		{name: "kv ls json", args: []string{"kv", "ls", "shop", "--json"}, json: true},
		{name: "kv export", args: []string{"kv", "export", "shop", export}},
		{name: "kv rm", args: []string{"kv", "rm", "shop", "a/1", "a/2"}},
		{name: "kv rm absent", args: []string{"kv", "rm", "shop", "a/1"}, code: 1, stderr: []string{"a/1"}},
		{name: "kv import", args: []string{"kv", "import", "copy", export}},
		{name: "kv get imported", args: []string{"kv", "get", "copy", "a/2"}, stdout: []string{"two"}},
		{name: "kv import nonsense", args: []string{"kv", "import", "copy", "-"}, stdin: "nonsense", code: 1, stderr: []string{"export"}},
		{name: "status", args: []string{"status"}, stdout: []string{"serving", d.ready.HTTP, d.ready.UDS, "WasmEdge"}},
		{name: "status json", args: []string{"status", "--json"}, stdout: []string{`"pid"`}, json: true},
		{name: "doctor json", args: []string{"doctor", "--json"}, stdout: []string{`"engine"`, `"disk"`}, json: true},
		{name: "logs", args: []string{"logs", "shop"}},
		{name: "logs of nobody", args: []string{"logs", "nobody"}, code: 1, stderr: []string{`"nobody"`}},
		{name: "compile", args: []string{"compile", module}, stdout: []string{"compiled", "second", "edged.kv_get"}, alone: true},
		{name: "compile json", args: []string{"compile", module, "--json"}, json: true, alone: true},
		{name: "compile nonsense", args: []string{"compile", file(t, "x.wasm", []byte("nonsense"))}, code: 1, stderr: []string{"x.wasm"}, alone: true},
		{name: "schema", args: []string{"schema"}, stdout: []string{`"limits"`}, json: true, alone: true},
		{name: "version", args: []string{"version"}, stdout: []string{"WasmEdge"}, alone: true},
		{name: "completion", args: []string{"completion", "bash"}, stdout: []string{"complete"}, alone: true},
		{name: "a typo", args: []string{"depoly"}, code: 2, stderr: []string{"deploy"}, alone: true},
		{name: "an unknown flag", args: []string{"ls", "--jsno"}, code: 2, stderr: []string{"jsno"}, alone: true},
		{name: "an argument too many", args: []string{"ls", "x"}, code: 2},
		{name: "no daemon", args: []string{"ls", "--admin", filepath.Join(t.TempDir(), "none.sock")}, code: 3, stderr: []string{"none.sock"}, alone: true},
		{name: "status without a daemon", args: []string{"status", "--admin", filepath.Join(t.TempDir(), "none.sock")}, code: 3, alone: true},
		{name: "doctor without a daemon", args: []string{"doctor", "--admin", filepath.Join(t.TempDir(), "none.sock")}, code: 3, alone: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := c.args
			if !c.alone {
				args = append(append([]string{}, args...), admin...)
			}
			got := edged(t, strings.NewReader(c.stdin), args...)
			if got.code != c.code {
				t.Errorf("exit code %d, want %d\n%s%s", got.code, c.code, got.stdout, got.stderr)
			}
			for _, want := range c.stdout {
				if !strings.Contains(got.stdout, want) {
					t.Errorf("standard output has no %q:\n%s", want, got.stdout)
				}
			}
			for _, want := range c.stderr {
				if !strings.Contains(got.stderr, want) {
					t.Errorf("standard error has no %q:\n%s", want, got.stderr)
				}
			}
			if c.json && !json.Valid([]byte(got.stdout)) {
				t.Errorf("not JSON:\n%s", got.stdout)
			}
			if progress := strings.HasSuffix(got.stderr, ": compile\n"); c.code == 0 && got.stderr != "" && !progress {
				t.Errorf("a command that went well says on standard error:\n%s", got.stderr)
			}
		})
	}
}

// TestFollowLogs follows an app's log while it logs, and ends with an interrupt.
func TestFollowLogs(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	d.http().ok(t, "/shop/say", []byte("before"))
	follow := exec.Command(edgedPath, "logs", "shop", "-f", "--json", "--admin", d.ready.Admin)
	stdout, err := follow.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := follow.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"before", "first", "second", "\x1b[31mred"} {
		if want != "before" {
			d.http().ok(t, "/shop/say", []byte(want))
		}
		if !lines.Scan() {
			t.Fatalf("the log ends before %q", want)
		}
		var entry struct{ App, Function, Level, Text string }
		if err := json.Unmarshal(lines.Bytes(), &entry); err != nil {
			t.Fatalf("%v in %q", err, lines.Text())
		}
		if entry.App != "shop" || entry.Function != "say" || entry.Level != "warn" || entry.Text != want {
			t.Errorf("got %+v, want %q", entry, want)
		}
	}
	if err := follow.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := follow.Wait(); err != nil {
		t.Errorf("logs -f after an interrupt: %v", err)
	}
}

// TestRunCommand runs programs without a daemon: arguments, standard input and output, exit codes, folders, a timeout.
func TestRunCommand(t *testing.T) {
	program := testutil.BuildCFile(t, filepath.Join("testdata", "program.c"))
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	for _, c := range []struct {
		name           string
		args           []string
		stdin          string
		code           int
		stdout, stderr string
	}{
		{name: "arguments", args: []string{program, "--", "args", "one", "--two", "3 4"}, stdout: "[one][--two][3 4]"},
		{name: "input to output", args: []string{program, "upper"}, stdin: "line 1\nline 2\n", stdout: "LINE 1\nLINE 2\n"},
		{name: "no input", args: []string{program, "upper"}},
		{name: "standard error", args: []string{program, "complain"}, stderr: "complaint"},
		{name: "an exit code", args: []string{program, "exit", "7"}, code: 1, stderr: "ended with code 7"},
		{name: "a trap", args: []string{program, "trap"}, code: 1, stderr: "unreachable"},
		{name: "the environment", args: []string{"--env", "GREETING=hi", program, "env", "GREETING"}, stdout: "hi"},
		{name: "a folder", args: []string{"--dir", dir, program, "write", filepath.Join(dir, "out")}, stdout: "written"},
		{name: "no folder", args: []string{program, "write", filepath.Join(dir, "other")}, code: 1, stderr: "code 4"},
		{name: "a timeout", args: []string{"--timeout", "100ms", program, "spin"}, code: 1, stderr: "timed out after 100ms"},
		{name: "recursion", args: []string{program, "recurse"}, code: 1, stderr: "trap"},
		{name: "much output", args: []string{program, "flood"}, stdout: strings.Repeat("0123456789abcdef", 1<<16)},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := edged(t, strings.NewReader(c.stdin), append([]string{"run"}, c.args...)...)
			if got.code != c.code || got.stdout != c.stdout || !strings.Contains(got.stderr, c.stderr) {
				t.Errorf("exit code %d, %d bytes %.200q, %.500q; want %d, %d bytes, %q", got.code, len(got.stdout), got.stdout, got.stderr, c.code, len(c.stdout), c.stderr)
			}
		})
	}
	if got := string(testutil.Read(t, filepath.Join(dir, "out"))); got != "content" {
		t.Errorf("the program wrote %q", got)
	}
}

// TestTransportsAgree sends the same requests over TCP and over the Unix socket and compares the answers.
func TestTransportsAgree(t *testing.T) {
	d := sharedDaemon(t)
	d.must(t, "deploy", app(t, "shop", innocent(t, 1)))
	for _, c := range []struct {
		name, method, target, body string
		header                     []string
		status                     int
	}{
		{name: "facts", method: "POST", target: "/shop/facts/below?a=b%20c", body: "x", header: []string{"X-One", "1", "X-One", "2"}, status: 201},
		{name: "echo", method: "PUT", target: "/shop/echo", body: strings.Repeat("body", 10000), status: 200},
		{name: "head", method: "HEAD", target: "/shop/version", status: 200},
		{name: "large", method: "POST", target: "/shop/big", body: "300000", status: 200},
		{name: "refused", method: "POST", target: "/shop/refuse", status: 500},
		{name: "teapot", method: "GET", target: "/shop/teapot", status: 418},
		{name: "no such function", method: "GET", target: "/shop/nothing", status: 404},
		{name: "no such app", method: "GET", target: "/nothing", status: 404},
		{name: "no such system path", method: "GET", target: "/_edged/nothing", status: 404},
		{name: "livez", method: "GET", target: "/_edged/livez", status: 200},
		{name: "readyz", method: "GET", target: "/_edged/readyz", status: 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			one := d.http().must(t, c.method, c.target, []byte(c.body), c.header...)
			two := d.uds().must(t, c.method, c.target, []byte(c.body), c.header...)
			for _, r := range []*reply{&one, &two} {
				if r.status != c.status {
					t.Errorf("status %d, want %d: %.200s", r.status, c.status, r.body)
				}
				for _, name := range []string{"Date", "Server-Timing"} {
					r.header.Del(name)
				}
				if strings.HasPrefix(r.header.Get("Content-Type"), "application/problem+json") {
					var p map[string]any
					if err := json.Unmarshal(r.body, &p); err != nil {
						t.Fatal(err)
					}
					delete(p, "id") // counts every invocation
					r.header.Del("Content-Length")
					r.body, _ = json.Marshal(p)
				}
			}
			if string(one.body) != string(two.body) {
				t.Errorf("bodies differ:\n%.300q\n%.300q", one.body, two.body)
			}
			first, _ := json.Marshal(one.header)
			second, _ := json.Marshal(two.header)
			if string(first) != string(second) {
				t.Errorf("headers differ:\n%s\n%s", first, second)
			}
		})
	}
}
