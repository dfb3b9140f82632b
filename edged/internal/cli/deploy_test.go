package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/admin/admintest"
	"edged.dev/edge/edged/internal/manifest"
)

// wasm is the shortest valid module.
const wasm = "\x00asm\x01\x00\x00\x00"

// withManifests lets commands read manifests as the real binary does.
func withManifests(deps Deps) Deps {
	deps.ModulePath = func(name string, text []byte) (string, error) {
		m, err := manifest.Parse(name, text)
		if err != nil {
			return "", err
		}
		return m.Module, nil
	}
	return deps
}

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDeployForeign deploys a folder with the project file of another system, unless there is a manifest beside it.
func TestDeployForeign(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "words", "app.yml"), "words:\n  f: {rpc: }\n")
	write(t, filepath.Join(dir, "words", "app.wasm"), wasm+"words")
	var got admin.DeployRequest
	deps := daemon(t, &admintest.Service{
		DeployFunc: func(_ context.Context, req admin.DeployRequest, _ func(admin.Progress)) (admin.DeployResult, error) {
			got = req
			return admin.DeployResult{App: "words", Version: "1"}, nil
		},
	})
	var asked []string
	deps.Convert = func(name, folder string, _ []byte, modules []string) ([]byte, string, []string, error) {
		asked = append([]string{filepath.Base(name), folder}, modules...)
		return []byte("the manifest"), "app.wasm", []string{"a note"}, nil
	}
	for _, path := range []string{"words", "words/app.yml"} {
		r := run(t, deps, "deploy", filepath.Join(dir, path))
		if r.code != 0 || !strings.Contains(r.errOut, "app.yml: a note") {
			t.Errorf("%s: code %d, stderr %q", path, r.code, r.errOut)
		}
		if want := "app.yml words app.wasm"; strings.Join(asked, " ") != want {
			t.Errorf("%s: converted %q, want %q", path, asked, want)
		}
		if string(got.Manifest) != "the manifest" || string(got.Module) != wasm+"words" || got.Dir != filepath.Join(dir, "words") {
			t.Errorf("%s: request %+v", path, got)
		}
	}
	deps = withManifests(deps)
	write(t, filepath.Join(dir, "words", "edged.yaml"), "version: 1\napp: words\nmodule: app.wasm\n")
	asked = nil
	if r := run(t, deps, "deploy", filepath.Join(dir, "words")); r.code != 0 || asked != nil {
		t.Errorf("with a manifest beside it: code %d, stderr %q, converted %q", r.code, r.errOut, asked)
	}
	deps.Convert = func(string, string, []byte, []string) ([]byte, string, []string, error) {
		return nil, "", nil, errors.New("app.yml:1:1: not so")
	}
	if r := run(t, deps, "deploy", filepath.Join(dir, "words", "app.yml")); r.code == 0 || !strings.Contains(r.errOut, "app.yml:1:1: not so") {
		t.Errorf("a bad file: code %d, stderr %q", r.code, r.errOut)
	}
}

func TestDeployFindsTheApp(t *testing.T) {
	dir := t.TempDir()
	text := "version: 1\napp: shop\nmodule: out/app.wasm\n"
	write(t, filepath.Join(dir, "edged.yaml"), text)
	write(t, filepath.Join(dir, "out", "app.wasm"), wasm+"shop")
	write(t, filepath.Join(dir, "bare.wasm"), wasm+"bare")
	t.Chdir(dir)
	var got admin.DeployRequest
	deps := withManifests(daemon(t, &admintest.Service{
		DeployFunc: func(_ context.Context, req admin.DeployRequest, _ func(admin.Progress)) (admin.DeployResult, error) {
			got = req
			return admin.DeployResult{App: "shop", Version: "1"}, nil
		},
	}))
	cases := []struct {
		args                           string
		name, manifest, module, folder string
	}{
		{"deploy", "", text, "app.wasm", dir},
		{"deploy .", "", text, "app.wasm", dir},
		{"deploy " + dir, "", text, "app.wasm", dir},
		{"deploy edged.yaml --name other", "other", text, "app.wasm", dir},
		{"deploy bare.wasm --name b", "b", "", "bare.wasm", ""},
	}
	for _, tc := range cases {
		t.Run(tc.args, func(t *testing.T) {
			r := run(t, deps, strings.Fields(tc.args)...)
			if r.code != 0 || string(got.Name) != tc.name || string(got.Manifest) != tc.manifest || got.ModuleName != tc.module || got.Dir != tc.folder {
				t.Errorf("%+v, request %+v", r, got)
			}
			if !strings.HasPrefix(string(got.Module), wasm) {
				t.Errorf("module %q", got.Module)
			}
		})
	}
}

func TestDeployRefusesBeforeTheUpload(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "bad", "edged.yaml"), "version: 1\napp: a\nmodul: x\n")
	write(t, filepath.Join(dir, "unbuilt", "edged.yaml"), "version: 1\napp: a\nmodule: app.wasm\n")
	write(t, filepath.Join(dir, "empty", "x.txt"), "")
	write(t, filepath.Join(dir, "elf.wasm"), "\x7fELF")
	big, err := os.Create(filepath.Join(dir, "big.wasm"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(big.Truncate(admin.DefaultMaxModule+1), big.Close()); err != nil {
		t.Fatal(err)
	}
	deps := withManifests(Deps{AdminPath: filepath.Join(dir, "no daemon is needed to see these")})
	for path, want := range map[string]string{
		"bad":      `:3:1: unknown key "modul"; did you mean "module"?`,
		"unbuilt":  "run 'edged build' first",
		"empty":    "'edged init NAME' makes a project",
		"elf.wasm": "is no WebAssembly file",
		"big.wasm": "above the limit of 64.0 MiB",
		"nothing":  "no such file or directory",
	} {
		t.Run(path, func(t *testing.T) {
			if r := run(t, deps, "deploy", filepath.Join(dir, path)); r.code != 1 || !strings.Contains(r.errOut, want) {
				t.Errorf("%+v, want %q", r, want)
			}
		})
	}
}

func TestDeployShowsProgressAndResult(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hello.wasm")
	write(t, file, wasm)
	deps := daemon(t, &admintest.Service{
		DeployFunc: func(_ context.Context, _ admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
			for done := range int64(3) {
				progress(admin.Progress{Stage: "compile", Done: done, Total: 2})
			}
			progress(admin.Progress{Stage: "activate", Message: "evil \x1b[2J"})
			return admin.DeployResult{
				App: "hello", Version: "1", Optimising: true, Warnings: []string{"slow"},
				Functions: []admin.FunctionRoute{{Name: "hi", URL: "http://127.0.0.1:8080/hello/hi"}, {Name: "u", Route: "/hello/u", UDS: "/run/e.sock"}},
				Imports:   []admin.Import{{Module: "edged", Name: "log", Status: "provided"}, {Module: "edged", Name: "fetch", Type: "() -> ()", Status: "denied"}},
			}, nil
		},
	})
	r := run(t, deps, "deploy", file)
	if r.errOut != strings.ReplaceAll("F: push\nF: compile\nF: activate\n", "F", file) {
		t.Errorf("progress in a pipe: %q", r.errOut)
	}
	for _, want := range []string{"deployed hello version 1\n", "hi  curl http://127.0.0.1:8080/hello/hi\n", "u  curl --unix-socket /run/e.sock http://localhost/hello/u\n", "denied: edged.fetch", "warning: slow", "background"} {
		if !strings.Contains(r.out, want) {
			t.Errorf("no %q in %q", want, r.out)
		}
	}
	if strings.Contains(r.out, "edged.log") {
		t.Errorf("imports that are provided are no news: %q", r.out)
	}
	if r := run(t, deps, "deploy", file, "--json"); r.errOut != "" || !strings.Contains(r.out, `"version": "1"`) {
		t.Errorf("json: %+v", r)
	}
	deps.StderrTerminal = true
	if r := run(t, deps, "deploy", file); !strings.Contains(r.errOut, "compile") || !strings.Contains(r.errOut, " 50%") || strings.Contains(r.errOut, "\x1b[2J") {
		t.Errorf("progress on a terminal: %q", r.errOut)
	}
}

func TestDeployCancelled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hello.wasm")
	write(t, file, wasm)
	inside, ended := make(chan struct{}), make(chan struct{})
	deps := daemon(t, &admintest.Service{
		DeployFunc: func(ctx context.Context, _ admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
			progress(admin.Progress{Stage: "compile"})
			close(inside)
			<-ctx.Done()
			close(ended)
			return admin.DeployResult{}, ctx.Err()
		},
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-inside
		cancel()
	}()
	if r := runContext(ctx, deps, "deploy", file); r.code != 1 || !strings.Contains(r.errOut, "edged: interrupted\n") {
		t.Errorf("%+v", r)
	}
	<-ended
}

func TestDeployErrorKeepsItsLines(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hello.wasm")
	write(t, file, wasm)
	deps := daemon(t, &admintest.Service{
		DeployFunc: func(_ context.Context, _ admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
			progress(admin.Progress{Stage: "check"})
			return admin.DeployResult{}, &admin.Error{Kind: admin.ErrInvalid, Detail: "edged.yaml:3:1: unknown key\n    3 | x\n      | ^\n", Remedy: "remove it"}
		},
	})
	r := run(t, deps, "deploy", file)
	if want := "edged: edged.yaml:3:1: unknown key\n    3 | x\n      | ^\n  remove it\n"; r.code != 1 || !strings.HasSuffix(r.errOut, want) {
		t.Errorf("%+v, want %q", r, want)
	}
}

func TestMeterIsSafeForManyGoroutines(t *testing.T) {
	var out strings.Builder
	m := &meter{w: &out, terminal: true}
	done := make(chan struct{})
	for g := range 4 {
		go func() {
			for i := range int64(50) {
				m.show(admin.Progress{Stage: fmt.Sprint("stage ", g), Done: i, Total: 50})
			}
			done <- struct{}{}
		}()
	}
	for range 4 {
		<-done
	}
	m.close()
	m.close()
}

func TestDeployWarnsOfNewerSources(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "edged.yaml"), "version: 1\napp: a\nmodule: app.wasm\n")
	write(t, filepath.Join(dir, "app.wasm"), wasm)
	write(t, filepath.Join(dir, "main.c"), "")
	built := time.Now()
	deps := withManifests(daemon(t, &admintest.Service{
		DeployFunc: func(context.Context, admin.DeployRequest, func(admin.Progress)) (admin.DeployResult, error) {
			return admin.DeployResult{App: "a", Version: "1", Functions: []admin.FunctionRoute{{Name: "f", URL: "http://h/f", Methods: []string{"POST"}}}}, nil
		},
	}))
	for age, want := range map[time.Duration]bool{-time.Hour: false, time.Hour: true} {
		err := errors.Join(os.Chtimes(filepath.Join(dir, "app.wasm"), built, built), os.Chtimes(filepath.Join(dir, "main.c"), built, built.Add(age)))
		if err != nil {
			t.Fatal(err)
		}
		r := run(t, deps, "deploy", dir)
		if r.code != 0 || strings.Contains(r.errOut, "main.c is newer than") != want || !strings.Contains(r.out, "f  curl -X POST http://h/f\n") {
			t.Errorf("a source %v newer than the module: %+v", age, r)
		}
	}
}
