package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/admin/admintest"
	"edged.dev/edge/edged/internal/invoke"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// result is what one command did.
type result struct {
	code        int
	out, errOut string
}

// run runs a command line with the dependencies, whose streams are replaced unless set.
func run(t *testing.T, deps Deps, args ...string) result {
	t.Helper()
	return runContext(t.Context(), deps, args...)
}

func runContext(ctx context.Context, deps Deps, args ...string) result {
	var out, errOut bytes.Buffer
	if deps.Stdin == nil {
		deps.Stdin = strings.NewReader("")
	}
	if deps.Stdout == nil {
		deps.Stdout = &out
	}
	deps.Stderr = &errOut
	if deps.Version == "" {
		deps.Version = "v0.0.0-test"
	}
	code := Run(ctx, args, deps)
	return result{code, out.String(), errOut.String()}
}

// daemon serves the service on a socket and returns dependencies that find it.
func daemon(t *testing.T, service *admintest.Service) Deps {
	t.Helper()
	path := filepath.Join(t.TempDir(), "admin.sock")
	server := admin.New(admin.Options{Path: path, Service: service})
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return Deps{AdminPath: path}
}

// commandPaths lists every command, "kv get" for one of a group.
func commandPaths(commands []*cli.Command, prefix string) []string {
	var paths []string
	for _, command := range commands {
		paths = append(paths, prefix+command.Name)
		paths = append(paths, commandPaths(command.Subcommands, prefix+command.Name+" ")...)
	}
	return paths
}

func TestHelpGolden(t *testing.T) {
	p := &program{}
	for _, path := range append(commandPaths(p.app().Commands, ""), "") {
		t.Run("edged "+path, func(t *testing.T) {
			args := append(strings.Fields(path), "--help")
			got := run(t, Deps{}, args...)
			if got.code != 0 || got.errOut != "" {
				t.Fatalf("exit code %d, stderr %q", got.code, got.errOut)
			}
			if !strings.Contains(got.out, "Examples:\n") || !strings.Contains(got.out, "edged "+path) {
				t.Errorf("the help of %q has no examples:\n%s", path, got.out)
			}
			golden := filepath.Join("testdata", "help", strings.TrimSuffix("edged-"+strings.ReplaceAll(path, " ", "-"), "-")+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got.out), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || string(want) != got.out {
				t.Errorf("%v; help differs from %s (go test -update rewrites it):\n%s", err, golden, got.out)
			}
			other := run(t, Deps{}, append([]string{"help"}, strings.Fields(path)...)...)
			if other.out != got.out {
				t.Errorf("'edged help %s' differs from 'edged %s --help'", path, path)
			}
		})
	}
}

// TestStableCommands holds the names that scripts rely on.
func TestStableCommands(t *testing.T) {
	want := map[string]string{
		"serve": "data http uds admin cores config", "deploy": "name admin json", "ls": "admin json", "inspect": "admin json",
		"invoke": "data header admin json", "logs": "f since admin json", "rollback": "admin json", "rm": "admin",
		"kv get": "admin json", "kv set": "admin", "kv rm": "admin", "kv ls": "admin json", "kv export": "admin", "kv import": "admin",
		"status": "admin json", "top": "interval sort once admin json", "doctor": "admin json", "run": "", "compile": "", "schema": "json", "completion": "",
		"version": "json", "init": "lang", "build": "",
	}
	found := make(map[string]*cli.Command)
	var walk func([]*cli.Command, string)
	walk = func(commands []*cli.Command, prefix string) {
		for _, command := range commands {
			found[prefix+command.Name] = command
			walk(command.Subcommands, prefix+command.Name+" ")
		}
	}
	walk((&program{}).app().Commands, "")
	for path, flags := range want {
		command := found[path]
		if command == nil {
			t.Errorf("there is no command %q", path)
			continue
		}
		for name := range strings.FieldsSeq(flags) {
			if !hasOption(command, name) {
				t.Errorf("%q has no option %s", path, dashed(name))
			}
		}
	}
}

func TestUsageErrors(t *testing.T) {
	cases := []struct {
		args string
		text string // in the first line of stderr
		hint string // in the second
	}{
		{"", "a command is missing; there are serve", "edged --help"},
		{"lss", `unknown command "lss"`, `did you mean "ls"?`},
		{"stauts", `unknown command "stauts"`, `did you mean "status"?`},
		{"depoly .", `unknown command "depoly"`, `did you mean "deploy"?`},
		{"zzzzzzzz", `unknown command "zzzzzzzz"`, "see 'edged --help'"},
		{"kv", "a command is missing; there are get set", "edged kv --help"},
		{"kv gte s k", `unknown command "kv gte"`, `did you mean "get"?`},
		{"ls --jsno", "edged ls has no option --jsno", `did you mean "--json"?`},
		{"logs -x", "edged logs has no option -x", `"-f"`},
		{"ls --name x", "edged ls has no option --name", "edged ls --help"},
		{"ls --admin", "option --admin needs a value", "edged --help"},
		{"ls extra", `does not take "extra"`, "edged ls --help"},
		{"inspect", "needs APP", "edged inspect --help"},
		{"rm a b", `does not take "b"`, "edged rm --help"},
		{"kv get s", "needs SPACE KEY", "edged kv get --help"},
		{"kv ls s --limit 0", "--limit 0", "edged kv ls --help"},
		{"kv ls s --limit ten", "limit", "edged kv ls --help"},
		{"invoke a --header novalue", "not of the form NAME:VALUE", "edged invoke --help"},
		{"logs --since tomorrow", `--since "tomorrow"`, "edged logs --help"},
		{"completion powershell", `the shell "powershell"`, "edged completion --help"},
		{"init Hello", `"Hello" cannot be an app's name`, "edged init --help"},
		{"init x --lang rusty", `the language "rusty"`, "edged init --help"},
		{"run x.wasm --dir ../x", "cannot see a path above", "--dir ../x:/x"},
		{"run x.wasm --dir :/x", "not of the form", "edged run --help"},
		{"run x.wasm --timeout soon", "timeout", "edged run --help"},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			deps := daemon(t, &admintest.Service{})
			deps.RunModule = func(context.Context, RunOptions) (int, error) { return 0, nil }
			got := run(t, deps, strings.Fields(tc.args)...)
			lines := strings.Split(got.errOut, "\n")
			if got.code != 2 || got.out != "" || len(lines) != 3 ||
				!strings.HasPrefix(lines[0], "edged: ") || !strings.Contains(lines[0], tc.text) || !strings.Contains(lines[1], tc.hint) {
				t.Errorf("code %d, stdout %q, stderr %q", got.code, got.out, got.errOut)
			}
		})
	}
}

func TestUnreachableIsThree(t *testing.T) {
	nowhere := filepath.Join(t.TempDir(), "none.sock")
	for _, args := range []string{"ls", "status", "top", "top --json", "inspect a", "kv ls", "logs -f", "invoke a", "rm a", "rollback a", "doctor"} {
		got := run(t, Deps{AdminPath: "/never/asked"}, append(strings.Fields(args), "--admin", nowhere)...)
		if got.code != 3 || !strings.Contains(got.errOut, nowhere) || !strings.Contains(got.errOut, "edged serve") {
			t.Errorf("%s: code %d, %q", args, got.code, got.errOut)
		}
	}
}

func TestErrorsAsJSON(t *testing.T) {
	deps := daemon(t, &admintest.Service{
		InspectFunc: func(_ context.Context, app invoke.AppName) (admin.AppDetail, error) {
			return admin.AppDetail{}, &admin.Error{Kind: admin.ErrNotFound, Detail: fmt.Sprintf("no app <%s>", app), Remedy: "see 'edged ls'"}
		},
		AppsFunc: func(context.Context) ([]admin.AppSummary, error) {
			return nil, &admin.Error{Kind: admin.ErrInternal, Detail: "disk on fire\n"}
		},
		KVGetFunc: func(context.Context, string, []byte) ([]byte, error) {
			return nil, &invoke.Error{Kind: invoke.ErrQueueFull}
		},
		DoctorFunc: func(context.Context) ([]admin.Check, error) {
			return []admin.Check{{Name: "engine", State: admin.CheckFail}}, nil
		},
	})
	cases := []struct {
		args string
		code int
		want string // all of stderr
	}{
		{"inspect a --json", 1, `{"error":{"kind":"not_found","message":"no app <a>","remedy":"see 'edged ls'"}}`},
		{"ls --json", 1, `{"error":{"kind":"internal","message":"disk on fire"}}`},
		{"--json kv get s k", 1, `{"error":{"kind":"limit","message":"too many requests at once"}}`},
		{"doctor --json", 1, `{"error":{"kind":"failed","message":"something on this machine does not work"}}`},
		{"status --json", 1, `{"error":{"kind":"unsupported","message":"not supported"}}`},
		{"ls x --json", 2, `{"error":{"kind":"usage","message":"edged ls does not take \"x\"","remedy":"see 'edged ls --help'"}}`},
		{"lss --json", 2, `{"error":{"kind":"usage","message":"unknown command \"lss\"","remedy":"did you mean \"ls\"? See 'edged --help'"}}`},
		{"rm a --json", 2, `{"error":{"kind":"usage","message":"edged rm has no option --json","remedy":"see 'edged rm --help'"}}`},
		{"ls --admin /none --json", 3, `{"error":{"kind":"unreachable","message":"cannot reach the daemon at /none","remedy":"start it with 'edged serve', or name its socket with --admin PATH or EDGED_ADMIN"}}`},
		{"inspect a --json=false", 1, "edged: no app <a>\n  see 'edged ls'"},
		{"inspect --data --json", 2, "edged: edged inspect has no option --data\n  see 'edged inspect --help'"}, // the option's value
		{"inspect -- --json", 1, "edged: no app <--json>\n  see 'edged ls'"},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			got := run(t, deps, strings.Fields(tc.args)...)
			if got.code != tc.code || got.errOut != tc.want+"\n" {
				t.Errorf("code %d, want %d, stderr\n%s\nwant\n%s", got.code, tc.code, got.errOut, tc.want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := runContext(ctx, deps, "ls", "--json"); got.code != 1 || got.errOut != `{"error":{"kind":"interrupted","message":"interrupted"}}`+"\n" {
		t.Errorf("interrupted: %+v", got)
	}
}

func TestNames(t *testing.T) {
	deps := daemon(t, &admintest.Service{
		AppsFunc: func(context.Context) ([]admin.AppSummary, error) {
			return []admin.AppSummary{{Name: "a"}, {Name: "b"}}, nil
		},
		TopFunc: func(context.Context) (admin.Top, error) {
			return admin.Top{Functions: []admin.FunctionLoad{{App: "a", Function: "f"}, {App: "a", Function: "g"}, {App: "b", Function: "f"}}}, nil
		},
		SpacesFunc: func(context.Context) ([]admin.SpaceSummary, error) { return []admin.SpaceSummary{{Name: "s"}}, nil },
	})
	for kind, want := range map[string]string{"apps": "a\nb\n", "functions": "a\na/f\na/g\nb\nb/f\n", "spaces": "s\n"} {
		if got := run(t, deps, "names", kind); got.code != 0 || got.out != want {
			t.Errorf("%s: %+v, want %q", kind, got, want)
		}
	}
	if got := run(t, deps, "names", "colours"); got.code != 2 || got.out != "" {
		t.Errorf("%+v", got)
	}
	for path := range namedArgs {
		if !slices.ContainsFunc(completions((&program{}).app().Commands, nil), func(c completion) bool { return strings.Join(c.path, " ") == path }) {
			t.Errorf("there is no command %q", path)
		}
	}
}

func TestDoctorWithoutADaemon(t *testing.T) {
	deps := Deps{AdminPath: filepath.Join(t.TempDir(), "none"), LocalChecks: func(context.Context) []admin.Check {
		return []admin.Check{{Name: "engine", State: admin.CheckFail, Detail: "no libwasmedge", Remedy: "install it"}}
	}}
	if r := run(t, deps, "doctor"); r.code != 3 || !strings.Contains(r.out, "fail engine: no libwasmedge\n     install it\n") || !strings.Contains(r.errOut, "cannot reach the daemon") {
		t.Errorf("%+v", r)
	}
}

func TestOrder(t *testing.T) {
	commands := (&program{}).app().Commands
	cases := []struct{ in, want string }{
		{"ls --json", "ls --json --"},
		{"--json ls", "ls --json --"},
		{"deploy . --name x", "deploy --name x -- ."},
		{"deploy --name=x .", "deploy --name=x -- ."},
		{"--admin /s kv --json ls sp --prefix -p", "kv ls --admin /s --json --prefix -p -- sp"},
		{"kv set s k -5", "kv set -- s k -5"},
		{"kv set s k -", "kv set -- s k -"},
		{"kv set s k -- --json", "kv set -- s k --json"},
		{"kv set s help x", "kv set -- s help x"},
		{"run a.wasm -- -v x", "run -- a.wasm -v x"},
		{"logs -f a --since 5m", "logs -f --since 5m -- a"},
		{"--version", "version --"},
		{"-v", "version --"},
		{"help kv get", "kv get --help"},
		{"kv --help", "kv --help"},
		{"ls -h --nonsense", ""},
	}
	for _, tc := range cases {
		t.Run(tc.in, func(t *testing.T) {
			got, err := order(commands, strings.Fields(tc.in))
			if tc.want == "" {
				tc.want = "ls --help"
			}
			if err != nil || strings.Join(got, " ") != tc.want {
				t.Errorf("got %q, %v, want %q", got, err, tc.want)
			}
		})
	}
}

// TestFlagsAgree holds what order rests on: an option of one name takes a value everywhere or nowhere.
func TestFlagsAgree(t *testing.T) {
	takes := make(map[string]bool)
	var walk func([]*cli.Command)
	walk = func(commands []*cli.Command) {
		for _, command := range commands {
			for name, value := range flagTable([]*cli.Command{{Flags: command.Flags}}) {
				if before, ok := takes[name]; ok && before != value {
					t.Errorf("option %s of %s takes a value: %t; elsewhere: %t", dashed(name), command.Name, value, before)
				}
				takes[name] = value
			}
			walk(command.Subcommands)
		}
	}
	walk((&program{}).app().Commands)
}

func TestServe(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var got ServeOptions
	deps := Deps{Serve: func(ctx context.Context, options ServeOptions) error {
		got = options
		if err := options.Ready(Ready{HTTP: "127.0.0.1:41234", UDS: "/u", Admin: "/a"}); err != nil {
			return err
		}
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}}
	r := runContext(ctx, deps, "serve", "--http", "127.0.0.1:0", "--cores", "2", "--config", "f.yaml", "--log-level=debug")
	if r.code != 0 || r.out != `{"event":"ready","http":"127.0.0.1:41234","uds":"/u","admin":"/a"}`+"\n" {
		t.Errorf("code %d, stdout %q, stderr %q", r.code, r.out, r.errOut)
	}
	want := map[string]string{"http": "127.0.0.1:0", "cores": "2", "log.level": "debug"}
	if got.ConfigFile != "f.yaml" || fmt.Sprint(got.Flags) != fmt.Sprint(want) {
		t.Errorf("options %+v, want flags %v", got, want)
	}
	deps.Serve = func(context.Context, ServeOptions) error { return errors.New("port taken") }
	if r := run(t, deps, "serve"); r.code != 1 || r.errOut != "edged: port taken\n" {
		t.Errorf("code %d, stderr %q", r.code, r.errOut)
	}
	if r := run(t, Deps{}, "serve"); r.code != 1 || !strings.Contains(r.errOut, "this build of edged cannot serve") {
		t.Errorf("without a daemon: code %d, stderr %q", r.code, r.errOut)
	}
}

func TestReadingCommands(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	summary := admin.AppSummary{Name: "hello", Version: "3", State: "ready", Functions: 2, Instances: 1, Deployed: when}
	deps := daemon(t, &admintest.Service{
		AppsFunc: func(context.Context) ([]admin.AppSummary, error) { return []admin.AppSummary{summary}, nil },
		InspectFunc: func(_ context.Context, app invoke.AppName) (admin.AppDetail, error) {
			if app != "hello" {
				return admin.AppDetail{}, &admin.Error{Kind: admin.ErrNotFound, Detail: fmt.Sprintf("no app %q", app), Remedy: "see 'edged ls'"}
			}
			return admin.AppDetail{
				AppSummary: summary, ABI: "edged", Limits: admin.Limits{MemoryBytes: 4 << 20, Timeout: time.Second, Concurrency: 8},
				FunctionSet: []admin.FunctionRoute{{Name: "hi", Route: "/hello/hi", Methods: []string{"GET", "PUT"}}},
				Imports:     []admin.Import{{Module: "edged", Name: "log", Type: "(i32) -> ()", Status: "provided"}},
				Versions:    []admin.Version{{Version: "3", Active: true, Deployed: when}, {Version: "2", Deployed: when}},
			}, nil
		},
		StatusFunc: func(context.Context) (admin.Status, error) {
			return admin.Status{Version: "v9", Cores: 4, Uptime: 90 * time.Minute, MemoryBytes: 70 << 20, HTTP: "127.0.0.1:80"}, nil
		},
		DoctorFunc: func(context.Context) ([]admin.Check, error) {
			return []admin.Check{{Name: "engine", State: admin.CheckOK, Detail: "fine"}, {Name: "setting http", State: admin.CheckOK, Detail: "x"}, {Name: "criu", State: admin.CheckFail, Detail: "missing", Remedy: "install it"}}, nil
		},
		SpacesFunc: func(context.Context) ([]admin.SpaceSummary, error) {
			return []admin.SpaceSummary{{Name: "counter", Durability: "sync", Keys: 2, Bytes: 2048}}, nil
		},
	})
	cases := []struct {
		args string
		code int
		want []string // in order, on stdout
	}{
		{"ls", 0, []string{"APP    VERSION  STATE  FUNCTIONS  INSTANCES  AGE\nhello  3        ready  2          1 "}},
		{"inspect hello", 0, []string{"hello", "memory 4.0 MiB, timeout 1s, concurrency 8", "hi        /hello/hi  GET,PUT", "edged.log", "provided", "active"}},
		{"status", 0, []string{"v9", "serving for 1h30m", "127.0.0.1:80", "70.0 MiB"}},
		{"doctor", 1, []string{"ok   engine: fine", "fail criu: missing", "install it"}},
		{"doctor --all", 1, []string{"setting http: x"}},
		{"kv ls", 0, []string{"counter  sync        2     2.0 KiB"}},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			got := run(t, deps, strings.Fields(tc.args)...)
			rest := got.out
			for _, text := range tc.want {
				_, after, ok := strings.Cut(rest, text)
				if !ok {
					t.Fatalf("no %q (in this order) in:\n%s%s", text, got.out, got.errOut)
				}
				rest = after
			}
			if got.code != tc.code || strings.Contains(got.out, "\x1b") {
				t.Errorf("code %d, want %d; stdout %q", got.code, tc.code, got.out)
			}
			asJSON := run(t, deps, append(strings.Fields(tc.args), "--json")...)
			if !json.Valid([]byte(asJSON.out)) || asJSON.code != tc.code {
				t.Errorf("--json: code %d, %q", asJSON.code, asJSON.out)
			}
			deps := deps
			deps.StdoutTerminal = true
			if plain := run(t, Deps{AdminPath: deps.AdminPath, StdoutTerminal: true, NoColor: true}, strings.Fields(tc.args)...); plain.out != got.out {
				t.Errorf("NO_COLOR on a terminal differs from a pipe: %q", plain.out)
			}
			if colored := run(t, deps, strings.Fields(tc.args)...); !strings.Contains(colored.out, "\x1b[") {
				t.Errorf("no colours on a terminal: %q", colored.out)
			}
		})
	}
	got := run(t, deps, "inspect", "other")
	if got.code != 1 || got.errOut != "edged: no app \"other\"\n  see 'edged ls'\n" {
		t.Errorf("code %d, stderr %q", got.code, got.errOut)
	}
}

func TestInvoke(t *testing.T) {
	file := filepath.Join(t.TempDir(), "body")
	if err := os.WriteFile(file, []byte("from a file"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got admin.InvokeRequest
	status := 200
	deps := daemon(t, &admintest.Service{
		InvokeFunc: func(_ context.Context, req admin.InvokeRequest) (admin.InvokeResponse, error) {
			got = req
			return admin.InvokeResponse{Status: status, Body: []byte("answer\x00")}, nil
		},
	})
	cases := []struct {
		args []string
		want string // method app function path headers body
	}{
		{[]string{"hello"}, " hello   [] "},
		{[]string{"hello/hi", "--path", "/x?y=1"}, " hello hi /x?y=1 [] "},
		{[]string{"hello", "--data", "text", "--header", "A: b", "--header", "C:d, e"}, "POST hello   [{A b} {C d, e}] text"},
		{[]string{"hello", "--data", "@" + file, "--method", "put"}, "PUT hello   [] from a file"},
		{[]string{"hello", "--data", "-"}, "POST hello   [] from stdin"},
		{[]string{"hello", "--data", ""}, "POST hello   [] "},
	}
	for _, tc := range cases {
		t.Run(strings.Join(tc.args, " "), func(t *testing.T) {
			deps := deps
			deps.Stdin = strings.NewReader("from stdin")
			r := run(t, deps, append([]string{"invoke"}, tc.args...)...)
			text := fmt.Sprintf("%s %s %s %s %v %s", got.Method, got.App, got.Function, got.Path, got.Headers, got.Body)
			if r.code != 0 || r.out != "answer\x00" || text != tc.want {
				t.Errorf("code %d, stdout %q, stderr %q, request %q, want %q", r.code, r.out, r.errOut, text, tc.want)
			}
		})
	}
	status = 404
	if r := run(t, deps, "invoke", "hello"); r.code != 1 || r.out != "answer\x00" || !strings.Contains(r.errOut, "status 404") {
		t.Errorf("a 404: %+v", r)
	}
	if r := run(t, deps, "invoke", "hello", "--data", "@/no/such/file"); r.code != 1 || !strings.Contains(r.errOut, "/no/such/file") {
		t.Errorf("missing file: %+v", r)
	}
	deps.StdoutTerminal = true
	if r := run(t, deps, "invoke", "hello"); strings.Contains(r.out, "\x00") {
		t.Errorf("raw bytes reached the terminal: %q", r.out)
	}
}

func TestLogs(t *testing.T) {
	inside := make(chan struct{}, 1)
	ended := make(chan struct{}, 1)
	deps := daemon(t, &admintest.Service{
		LogsFunc: func(ctx context.Context, req admin.LogsRequest, yield func(admin.LogEntry) error) error {
			e := admin.LogEntry{Time: time.Unix(1, 0), App: "a", Function: "f", Level: "warn", Text: "evil \x1b]0;title\x07", Lost: 2}
			if err := yield(e); err != nil || !req.Follow {
				return err
			}
			inside <- struct{}{}
			<-ctx.Done()
			ended <- struct{}{}
			return ctx.Err()
		},
	})
	piped := run(t, deps, "logs", "a", "--since", "1h")
	if piped.code != 0 || !strings.Contains(piped.out, "... 2 lines lost") || !strings.Contains(piped.out, "warn  a/f evil \x1b]0;title\x07\n") {
		t.Errorf("piped: %+v", piped)
	}
	terminal := deps
	terminal.StdoutTerminal, terminal.NoColor = true, true
	if r := run(t, terminal, "logs"); strings.Contains(r.out, "\x1b") || !strings.Contains(r.out, `evil \x1b]0;title\a`) {
		t.Errorf("on a terminal: %q", r.out)
	}
	var entry admin.LogEntry
	if r := run(t, deps, "logs", "--json"); json.Unmarshal([]byte(r.out), &entry) != nil || entry.Lost != 2 {
		t.Errorf("json: %q", r.out)
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-inside
		cancel()
	}()
	if r := runContext(ctx, deps, "logs", "-f"); r.code != 0 || r.errOut != "" {
		t.Errorf("interrupted follow: %+v", r)
	}
	<-ended // the daemon's side ends too
}

func TestRollbackAndRemove(t *testing.T) {
	deps := daemon(t, &admintest.Service{
		RollbackFunc: func(_ context.Context, app invoke.AppName, version string) (admin.DeployResult, error) {
			return admin.DeployResult{App: app, Version: "v" + cmp.Or(version, "1")}, nil
		},
		InspectFunc: func(context.Context, invoke.AppName) (admin.AppDetail, error) {
			return admin.AppDetail{AppSummary: admin.AppSummary{Version: "v3"}}, nil
		},
		RemoveFunc: func(_ context.Context, app invoke.AppName) error {
			if app == "busy" {
				return fmt.Errorf("remove: %w", admin.ErrConflict)
			}
			return nil
		},
	})
	for args, want := range map[string]string{
		"rollback a":   "rolled back a to v1 (was v3)\n",
		"rollback a 2": "rolled back a to v2 (was v3)\n",
		"rm a":         "removed a\n",
	} {
		if r := run(t, deps, strings.Fields(args)...); r.code != 0 || r.out != want {
			t.Errorf("%s: %+v", args, r)
		}
	}
	if r := run(t, deps, "rm", "busy"); r.code != 1 || r.errOut != "edged: remove: conflict\n" {
		t.Errorf("rm busy: %+v", r)
	}
}

func TestRunAndCompile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(file, []byte("\x00asm\x01\x00\x00\x00"), 0o600); err != nil {
		t.Fatal(err)
	}
	var got RunOptions
	code := 0
	deps := Deps{
		RunModule: func(_ context.Context, o RunOptions) (int, error) { got = o; return code, nil },
		Compile: func(_ context.Context, o CompileOptions) (CompileResult, error) {
			o.Progress(admin.Progress{Stage: "compile", Done: 1, Total: 2})
			return CompileResult{Bytes: 2048, Exports: []string{"handle"}, Imports: []admin.Import{{Module: "m", Name: "n", Type: "() -> ()", Status: "missing"}}}, nil
		},
		CompileChild: func(_ []string, _ io.Reader, _, _ io.Writer) int { return 42 },
	}
	if r := run(t, deps, "run", file, "a", "--timeout", "3s", "--env", "A=B", "--", "--flag"); r.code != 0 || fmt.Sprint(got.Args, got.Env, got.Timeout) != "[a --flag] [A=B] 3s" {
		t.Errorf("%+v, options %+v", r, got)
	}
	code = 7
	if r := run(t, deps, "run", file); r.code != 1 || !strings.Contains(r.errOut, "ended with code 7") {
		t.Errorf("a guest's code 7: %+v", r)
	}
	if r := run(t, deps, "compile", file); r.code != 0 || !strings.Contains(r.out, "m.n") || r.errOut != file+": compile\n" {
		t.Errorf("compile: %+v", r)
	}
	if r := run(t, deps, "compile"); r.code != 42 {
		t.Errorf("the compile child's code: %+v", r)
	}
	elf := filepath.Join(t.TempDir(), "elf.wasm")
	if err := os.WriteFile(elf, []byte("\x7fELF"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r := run(t, deps, "run", elf); r.code != 1 || !strings.Contains(r.errOut, "is no WebAssembly file") {
		t.Errorf("an ELF file: %+v", r)
	}
}

func TestParseDir(t *testing.T) {
	for text, want := range map[string]RunDir{
		"data":        {"data", "/data"},
		"./data":      {"./data", "/data"},
		".":           {".", "/"},
		"/srv/x/":     {"/srv/x/", "/srv/x"},
		"../in:/in":   {"../in", "/in"},
		"../in:in/":   {"../in", "/in"},
		"a:b:/colon":  {"a:b", "/colon"},
		"data/..":     {"data/..", "/"},
		"/srv/../etc": {"/srv/../etc", "/etc"},
	} {
		if got, err := parseDir(text); err != nil || got != want {
			t.Errorf("parseDir(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
}

func TestMissingFunctionsAreSaid(t *testing.T) {
	for _, args := range []string{"schema", "run x.wasm", "compile x.wasm", "init x"} {
		if r := run(t, Deps{}, strings.Fields(args)...); r.code != 1 || !strings.Contains(r.errOut, "this build of edged cannot") {
			t.Errorf("%s: %+v", args, r)
		}
	}
}

func TestVersion(t *testing.T) {
	if r := run(t, Deps{Engine: "WasmEdge 0.14.1"}, "version"); !strings.HasPrefix(r.out, "edged v0.0.0-test (WasmEdge 0.14.1, go1.") {
		t.Errorf("%+v", r)
	}
	var got map[string]string
	if r := run(t, Deps{}, "version", "--json"); json.Unmarshal([]byte(r.out), &got) != nil || got["version"] != "v0.0.0-test" {
		t.Errorf("%+v", r)
	}
}
