//go:build cgo

package hostfn

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edged.dev/edge/internal/testutil"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// compilePart makes the test binary compile a module instead of testing.
const compilePart = "hostfn-compile"

var stock = flag.String("stock", "", "comma-separated packages of Go's standard library whose own tests to run as guests")

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == compilePart {
		os.Exit(aot.ChildMain(os.Args[2:], os.Stdin, os.Stdout, os.Stderr))
	}
	code := m.Run()
	if realEngine.dir != "" {
		_ = realEngine.cache.Close(context.Background())
		_ = os.RemoveAll(realEngine.dir)
	}
	os.Exit(code)
}

// realEngine is the engine of this process, opened by the first test that needs it.
var realEngine struct {
	once   sync.Once
	dir    string
	cache  *aot.Cache
	engine *wasmedge.Engine
	err    error
}

func openEngine() {
	re := &realEngine
	if re.dir, re.err = os.MkdirTemp("", "hostfn-engine"); re.err != nil {
		return
	}
	re.cache, re.err = aot.Open(aot.Options{
		Dir: filepath.Join(re.dir, "aot"), Self: []string{"/proc/self/exe", compilePart}, Best: aot.O0,
		Limits: aot.ChildLimits{FirstWall: 10 * time.Minute, CPU: 20 * time.Minute},
	})
	if re.err != nil {
		return
	}
	keeper, err := re.cache.Get(context.Background(), wasmedge.KeeperModule(), nil)
	if re.err = err; err != nil {
		return
	}
	re.engine, re.err = wasmedge.Open(wasmedge.Options{
		Keeper: keeper.Path, HostFuncs: All(), Logger: slog.New(slog.DiscardHandler),
	})
}

// program is a compiled guest.
type program struct {
	module  *wasmedge.Module
	exports []string
}

// load takes a module the way a deploy does: through the gate and the compiler, imports checked by name and type.
func load(t testing.TB, file string) *program {
	t.Helper()
	realEngine.once.Do(openEngine)
	if realEngine.err != nil {
		t.Fatal(realEngine.err)
	}
	checked, err := gate.Check(testutil.Read(t, file), gate.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	options := wasmedge.ModuleOptions{MemoryExport: checked.MemoryExport, Start: checked.StartExport}
	for _, i := range checked.Imports {
		if typ, ok := realEngine.engine.Provides(i.Module, i.Name); !ok || !typ.Equal(i.Type) {
			t.Fatalf("import %s.%s %v: provided %v, with type %v", i.Module, i.Name, i.Type, ok, typ)
		}
		if !slices.Contains(options.Imports, i.Module) {
			options.Imports = append(options.Imports, i.Module)
		}
	}
	for _, s := range checked.Data {
		options.Data = append(options.Data, wasmedge.Segment{Offset: s.Offset, Bytes: s.Bytes})
	}
	artifact, err := realEngine.cache.Get(context.Background(), checked.Code, nil)
	if err != nil {
		t.Fatal(err)
	}
	module, err := realEngine.engine.Load(artifact.Path, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(module.Close)
	p := &program{module: module}
	for _, e := range checked.Exports {
		if e.Kind == gate.KindFunction {
			p.exports = append(p.exports, e.Name)
		}
	}
	return p
}

// run runs one invocation in a fresh instance and returns what came out; each part of the output is kept only until the
// next invocation of the Env, which there is none of.
func (p *program) run(ctx context.Context, t testing.TB, app *App, r Request, entry string) Output {
	t.Helper()
	env := app.NewEnv()
	done := make(chan Output, 1)
	err := realEngine.engine.Go(func(thread *wasmedge.Thread) {
		env.Begin(ctx, r)
		done <- env.Finish(p.call(thread, env, app.ABI, entry))
	})
	if err != nil {
		t.Fatal(err)
	}
	return <-done
}

func (p *program) call(thread *wasmedge.Thread, env *Env, abi ABI, entry string) error {
	instance, err := thread.Instantiate(p.module)
	if err != nil {
		return err
	}
	defer instance.Close()
	var names []string
	if start := p.module.StartExport(); start != "" {
		names = append(names, start)
	}
	names = append(append(names, StartUp(p.exports, abi)...), entry)
	for _, name := range names {
		fn, err := instance.Func(name, wasmedge.FuncType{})
		if err != nil {
			return err
		}
		if err := thread.Call(instance, fn, env, nil); err != nil {
			return err
		}
	}
	return nil
}

func newApp(t testing.TB, options AppOptions) *App {
	t.Helper()
	options.Name = "guest"
	app, err := NewApp(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := app.Close(); err != nil {
			t.Error(err)
		}
	})
	return app
}

func TestCProgram(t *testing.T) {
	p := load(t, testutil.BuildCFile(t, "testdata/files.c"))
	host, logged := t.TempDir(), &sink{}
	app := newApp(t, AppOptions{ABI: ABIStdio, Dirs: []Dir{{Guest: "/", Host: host}}, Log: logged})
	out := p.run(context.Background(), t, app, request{body: "the body"}, entryCommand)
	if out.Err != nil {
		t.Fatalf("%v; stdout %q, log %q", out.Err, out.Body, logged.texts())
	}
	wantEq(t, "stdout", string(out.Body), "stdin: the body\nall passed\n")
	if got := logged.texts(); !slices.Equal(got, []string{"a line", "one without an end"}) {
		t.Errorf("stderr %q", got)
	}
	if left, err := os.ReadDir(host); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCReactor(t *testing.T) {
	p := load(t, testutil.BuildCFile(t, "testdata/reactor.c", testutil.Reactor()...))
	abi, err := Detect(p.exports)
	wantEq(t, "abi", abi, ABIEdged)
	wantEq(t, "error", err, nil)
	app := newApp(t, AppOptions{Space: newSpace(), Config: map[string]string{"greeting": "Hello"}})
	for i, want := range []string{"Hello, ann: 1", "Hello, bob: 2", "Hello, : 3"} {
		name := []string{"ann", "bob", ""}[i]
		out := p.run(context.Background(), t, app, request{body: name, meta: map[string]string{"method": "POST"}}, "greet")
		wantEq(t, "error", out.Err, nil)
		wantEq(t, "status", out.Status, 201)
		wantEq(t, "body", string(out.Body), want)
		wantEq(t, "headers", fmt.Sprint(out.Headers), "[{X-Method POST}]")
	}
	out := p.run(context.Background(), t, app, request{}, "refuse")
	if !errors.Is(out.Err, ErrReported) || out.GuestError != "not today" {
		t.Errorf("refuse: %+v", out)
	}
	out = p.run(context.Background(), t, app, request{}, "wild")
	var outside *PointerError
	if !errors.As(out.Err, &outside) || outside.Func != "edged.kv_get" || outside.Arg != "buf" {
		t.Errorf("wild: %v", out.Err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	out = p.run(ctx, t, app, request{}, "doze")
	if !errors.Is(out.Err, context.DeadlineExceeded) {
		t.Errorf("doze: %v", out.Err)
	}
}

func TestGoCGIProgram(t *testing.T) {
	if testing.Short() {
		t.Skip("compiling a stock Go program takes a minute")
	}
	p := load(t, testutil.BuildGo(t, "testdata/gocgi", false))
	host := t.TempDir()
	mustWrite(t, filepath.Join(host, "page.txt"), "from a file")
	logged := &sink{}
	app := newApp(t, AppOptions{ABI: ABICGI, Dirs: []Dir{{Guest: "/data", Host: host}}, Log: logged})
	ask := func(method, path, query, body string) Output {
		return p.run(context.Background(), t, app, request{
			meta: map[string]string{
				"method": method, "path": "/guest" + path, "path_info": path, "route": "/guest", "query": query,
				"proto": "HTTP/1.1", "host": "localhost:8080", "remote": "127.0.0.1:1",
			},
			headers: []Header{{"Content-Type", "text/plain"}, {"X-Ask", "yes"}}, body: body,
		}, entryCommand)
	}
	for _, row := range []struct {
		method, path, query, body string
		status                    int
		want                      string
	}{
		{"GET", "/hello", "name=ann", "", 200, "hello ann\n"},
		{"POST", "/echo", "", "some body", 200, "POST some body yes"},
		{"GET", "/file", "", "", 200, "from a file"},
		{"POST", "/save", "", "saved bytes", 200, "saved bytes"},
		{"GET", "/nothing", "", "", 404, "404 page not found\n"},
		{"GET", "/sleep", "", "", 200, "slept"},
	} {
		out := ask(row.method, row.path, row.query, row.body)
		if out.Err != nil || out.Status != row.status || string(out.Body) != row.want {
			t.Errorf("%s: %d %q, %v; log %q", row.path, out.Status, out.Body, out.Err, logged.texts())
		}
	}
	if b, err := os.ReadFile(filepath.Join(host, "saved")); err != nil || string(b) != "saved bytes" {
		t.Errorf("saved: %q, %v", b, err)
	}
	if out := ask("GET", "/panic", "", ""); out.Err == nil && out.Status != 500 {
		t.Errorf("panic: %+v", out)
	}
}

// TestStockGoTests runs tests of Go's standard library as guests. It is for whoever changes preview1 and takes minutes:
//
//	go test ./hostfn -run TestStockGoTests -v -args -stock io/fs,os,time
func TestStockGoTests(t *testing.T) {
	if *stock == "" {
		t.Skip("no package named with -stock")
	}
	for pkg := range strings.SplitSeq(*stock, ",") {
		t.Run(pkg, func(t *testing.T) {
			wasm := filepath.Join(t.TempDir(), "test.wasm")
			build := exec.Command("go", "test", "-c", "-o", wasm, pkg)
			build.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm")
			if text, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v: %s", err, text)
			}
			p := load(t, wasm)
			goroot, err := exec.Command("go", "env", "GOROOT").Output()
			if err != nil {
				t.Fatal(err)
			}
			root := strings.TrimSpace(string(goroot))
			logged, host, src := &sink{}, t.TempDir(), filepath.Join(root, "src", pkg)
			for _, dir := range []string{src, filepath.Join(root, "lib", "time"), filepath.Join(root, "src", "unicode")} {
				if err := os.CopyFS(filepath.Join(host, dir), os.DirFS(dir)); err != nil {
					t.Fatal(err)
				}
			}
			for _, name := range []string{"go.env", "VERSION", "LICENSE", "CONTRIBUTING.md"} {
				mustWrite(t, filepath.Join(host, root, name), string(testutil.Read(t, filepath.Join(root, name))))
			}
			mustMkdir(t, filepath.Join(host, "tmp"))
			app := newApp(t, AppOptions{
				ABI: ABIStdio, Log: logged, Dirs: []Dir{{Guest: "/", Host: host}}, Limits: Limits{OpenFiles: 4096},
			})
			env := app.NewEnv()
			result := make(chan Output, 1)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
			defer cancel()
			if err := realEngine.engine.Go(func(thread *wasmedge.Thread) {
				env.Begin(ctx, request{})
				env.process.made = true
				// A guest has no devices.
				env.process.args = []string{"test", "-test.v", "-test.short", "-test.skip=DevNull"}
				env.process.environ = []string{"PWD=" + src, "GOROOT=" + root, "TMPDIR=/tmp", "PATH=/bin"}
				result <- env.Finish(p.call(thread, env, ABIStdio, entryCommand))
			}); err != nil {
				t.Fatal(err)
			}
			out := <-result
			report := string(out.Body)
			t.Logf("%s: %d passed, %d failed, %d skipped; %v", pkg, strings.Count(report, "--- PASS"),
				strings.Count(report, "--- FAIL"), strings.Count(report, "--- SKIP"), out.Err)
			if out.Err != nil || strings.Contains(report, "--- FAIL") {
				t.Errorf("%s\n%q", report, logged.texts())
			}
		})
	}
}
