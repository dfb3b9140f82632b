package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/admin/admintest"
	"edged.dev/edge/edged/internal/invoke"
)

// start serves the service on a socket of its own until the test ends.
func start(t *testing.T, options admin.Options) (*admin.Server, *admin.Client) {
	t.Helper()
	if options.Path == "" {
		options.Path = filepath.Join(t.TempDir(), "admin.sock")
	}
	server := admin.New(options)
	if err := server.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return server, admin.NewClient(options.Path)
}

// raw sends a request over the socket and returns status and body.
func raw(t *testing.T, path, method, target, mediaType string, body io.Reader) (int, string) {
	t.Helper()
	client := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", path)
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), method, "http://edged"+target, body)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", mediaType)
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestDeployCarriesEverything(t *testing.T) {
	module := bytes.Repeat([]byte("\x00asm"), 1<<18) // 1 MiB: several chunks of push
	want := admin.DeployResult{
		App: "hello", Version: "v3", Optimising: true, Warnings: []string{"w"},
		Functions: []admin.FunctionRoute{{Name: "hi", Route: "/hello/hi", UDS: "/run/x.sock"}},
		Imports:   []admin.Import{{Module: "edged", Name: "log", Type: "(i32, i32, i32) -> ()", Status: "provided"}},
	}
	_, client := start(t, admin.Options{Service: &admintest.Service{
		DeployFunc: func(_ context.Context, req admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
			if req.Name != "other" || req.ManifestName != "edged.yaml" || req.ModuleName != "app.wasm" || string(req.Manifest) != "app: hello\n" || !bytes.Equal(req.Module, module) {
				return admin.DeployResult{}, fmt.Errorf("got %q %q %q, module of %d bytes", req.Name, req.Manifest, req.ModuleName, len(req.Module))
			}
			progress(admin.Progress{Stage: "compile", Done: 1, Total: 2})
			progress(admin.Progress{Stage: "activate", Message: "switched"})
			return want, nil
		},
	}})
	var stages []string
	var pushed int64
	got, err := client.Deploy(t.Context(), admin.DeployRequest{
		Name: "other", ManifestName: "edged.yaml", Manifest: []byte("app: hello\n"), ModuleName: "app.wasm", Module: module,
	}, func(p admin.Progress) {
		if p.Stage == "push" {
			pushed = p.Done
			return
		}
		stages = append(stages, p.Stage)
	})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("result %+v, want %+v", got, want)
	}
	if pushed != int64(len(module)) || strings.Join(stages, ",") != "compile,activate" {
		t.Errorf("pushed %d, stages %v", pushed, stages)
	}
}

func TestErrorsKeepKindTextAndRemedy(t *testing.T) {
	text := "edged.yaml:3:5: unknown key \"modul\"\n  3 | modul: a.wasm\n"
	cases := []struct {
		name   string
		err    error
		kind   error
		detail string
		remedy string
	}{
		{"with remedy", &admin.Error{Kind: admin.ErrInvalid, Detail: text, Remedy: "did you mean \"module\"?"}, admin.ErrInvalid, text, "did you mean \"module\"?"},
		{"wrapped sentinel", fmt.Errorf("inspect: %w", admin.ErrNotFound), admin.ErrNotFound, "inspect: not found", ""},
		{"invoke queue full", &invoke.Error{Kind: invoke.ErrQueueFull, Detail: "app busy"}, admin.ErrLimit, "too many requests at once: app busy", ""},
		{"guest", &invoke.Error{Kind: invoke.ErrGuest}, admin.ErrGuest, "the function failed", ""},
		{"deadline", context.DeadlineExceeded, admin.ErrTimeout, "context deadline exceeded", ""},
		{"unknown", errors.New("disk on fire"), admin.ErrInternal, "disk on fire", ""},
		{"own remedy", remedied{}, admin.ErrConflict, "busy", "wait"},
	}
	for _, early := range []bool{true, false} {
		for _, tc := range cases {
			t.Run(fmt.Sprintf("%s, before progress %t", tc.name, early), func(t *testing.T) {
				_, client := start(t, admin.Options{Service: &admintest.Service{
					DeployFunc: func(_ context.Context, _ admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
						if !early {
							progress(admin.Progress{Stage: "check"})
						}
						return admin.DeployResult{}, tc.err
					},
				}})
				_, err := client.Deploy(t.Context(), admin.DeployRequest{}, nil)
				var got *admin.Error
				if !errors.As(err, &got) || !errors.Is(err, tc.kind) || got.Detail != tc.detail || got.Remedy != tc.remedy {
					t.Errorf("got %#v, want kind %v, detail %q, remedy %q", err, tc.kind, tc.detail, tc.remedy)
				}
			})
		}
	}
}

// remedied is an error of another package that knows its remedy.
type remedied struct{}

func (remedied) Error() string  { return "busy" }
func (remedied) Unwrap() error  { return admin.ErrConflict }
func (remedied) Remedy() string { return "wait" }

func TestProblemDocument(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	start(t, admin.Options{Path: path, Service: &admintest.Service{}})
	cases := []struct {
		method, target, body string
		status               int
		kind                 string
	}{
		{"GET", "/v1/nothing", "", 404, "not_found"},
		{"PUT", "/v1/apps", "", 404, "not_found"},
		{"GET", "/v1/apps", "", 501, "unsupported"},
		{"GET", "/metrics", "", 404, "not_found"},
		{"POST", "/v1/invoke", "{", 400, "invalid"},
		{"POST", "/v1/invoke", "{} {}", 400, "invalid"},
		{"POST", "/v1/invoke", `{"ap":"x"}`, 400, "invalid"},
		{"POST", "/v1/apps/a/rollback", `{"version":"` + strings.Repeat("9", 70<<10) + `"}`, 413, "too_large"},
		{"GET", "/v1/logs?since=yesterday", "", 400, "invalid"},
		{"GET", "/v1/kv/s?limit=0", "", 400, "invalid"},
		{"GET", "/v1/kv/s?limit=10001", "", 400, "invalid"},
		{"PUT", "/v1/kv/s/value?key=k", strings.Repeat("x", 16<<20+1), 413, "too_large"},
		{"POST", "/v1/deploy", "x", 400, "invalid"},
	}
	for _, tc := range cases {
		t.Run(tc.method+" "+tc.target, func(t *testing.T) {
			status, body := raw(t, path, tc.method, tc.target, "application/json", strings.NewReader(tc.body))
			if status != tc.status || !strings.Contains(body, `"kind":"`+tc.kind+`"`) {
				t.Errorf("%d %s, want %d of kind %s", status, body, tc.status, tc.kind)
			}
		})
	}
}

func TestUploadLimits(t *testing.T) {
	called := false
	path := filepath.Join(t.TempDir(), "s")
	_, client := start(t, admin.Options{Path: path, MaxModuleBytes: 1000, Service: &admintest.Service{
		DeployFunc: func(context.Context, admin.DeployRequest, func(admin.Progress)) (admin.DeployResult, error) {
			called = true
			return admin.DeployResult{}, nil
		},
	}})
	cases := []struct {
		name             string
		manifest, module int
		kind             error
	}{
		{"at the limit", 1 << 20, 1000, nil},
		{"module one above", 0, 1001, admin.ErrTooLarge},
		{"module far above", 0, 64 << 20, admin.ErrTooLarge},
		{"manifest above", 1<<20 + 1, 10, admin.ErrTooLarge},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			called = false
			_, err := client.Deploy(t.Context(), admin.DeployRequest{Manifest: make([]byte, tc.manifest), Module: make([]byte, tc.module)}, nil)
			if !errors.Is(err, tc.kind) || (err == nil) != (tc.kind == nil) {
				t.Errorf("error %v, want %v", err, tc.kind)
			}
			if called != (tc.kind == nil) {
				t.Errorf("the service was called: %t", called)
			}
		})
	}
	t.Run("parts", func(t *testing.T) {
		for _, names := range [][]string{{"request"}, {"module"}, {"request", "module", "module"}, {"request", "module", "extra"}} {
			var body bytes.Buffer
			form := multipart.NewWriter(&body)
			for _, name := range names {
				if err := form.WriteField(name, "{}"); err != nil {
					t.Fatal(err)
				}
			}
			if err := form.Close(); err != nil {
				t.Fatal(err)
			}
			if status, text := raw(t, path, "POST", "/v1/deploy", form.FormDataContentType(), &body); status != 400 {
				t.Errorf("parts %v: %d %s", names, status, text)
			}
		}
	})
}

func TestCancelledDeployEndsTheService(t *testing.T) {
	ended := make(chan error, 1)
	_, client := start(t, admin.Options{Service: &admintest.Service{
		DeployFunc: func(ctx context.Context, _ admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
			progress(admin.Progress{Stage: "compile", Total: 100})
			<-ctx.Done()
			ended <- ctx.Err()
			return admin.DeployResult{}, ctx.Err()
		},
	}})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := client.Deploy(ctx, admin.DeployRequest{Module: make([]byte, 1<<20)}, func(p admin.Progress) {
		if p.Stage == "compile" {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("client's error %v, want %v", err, context.Canceled)
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("service's context ended with %v", err)
	}
}

func TestFollowEndsWithTheClient(t *testing.T) {
	ended := make(chan struct{})
	_, client := start(t, admin.Options{Service: &admintest.Service{
		LogsFunc: func(ctx context.Context, req admin.LogsRequest, yield func(admin.LogEntry) error) error {
			defer close(ended)
			if !req.Follow || req.App != "a" || !req.Since.Equal(time.Unix(5, 7)) {
				return fmt.Errorf("got %+v: %w", req, admin.ErrInvalid)
			}
			if err := yield(admin.LogEntry{App: "a", Text: "line", Lost: 3}); err != nil {
				return err
			}
			<-ctx.Done()
			return ctx.Err()
		},
	}})
	stop := errors.New("stop")
	err := client.Logs(t.Context(), admin.LogsRequest{App: "a", Follow: true, Since: time.Unix(5, 7)}, func(e admin.LogEntry) error {
		if e.Text != "line" || e.Lost != 3 {
			t.Errorf("entry %+v", e)
		}
		return stop
	})
	if !errors.Is(err, stop) {
		t.Errorf("error %v, want that of yield", err)
	}
	<-ended
}

func TestLogsEnd(t *testing.T) {
	_, client := start(t, admin.Options{Service: &admintest.Service{
		LogsFunc: func(_ context.Context, _ admin.LogsRequest, yield func(admin.LogEntry) error) error {
			return errors.Join(yield(admin.LogEntry{Text: "1"}), yield(admin.LogEntry{Text: "2"}))
		},
	}})
	var got string
	err := client.Logs(t.Context(), admin.LogsRequest{}, func(e admin.LogEntry) error { got += e.Text; return nil })
	if err != nil || got != "12" {
		t.Errorf("got %q, %v", got, err)
	}
}

func TestCloseEndsFollowersAndIsIdempotent(t *testing.T) {
	inside := make(chan struct{})
	ended := false
	server, client := start(t, admin.Options{Service: &admintest.Service{
		LogsFunc: func(ctx context.Context, _ admin.LogsRequest, _ func(admin.LogEntry) error) error {
			close(inside)
			<-ctx.Done()
			ended = true
			return ctx.Err()
		},
	}})
	result := make(chan error, 1)
	go func() {
		result <- client.Logs(context.Background(), admin.LogsRequest{Follow: true}, func(admin.LogEntry) error { return nil })
	}()
	<-inside
	if err := errors.Join(server.Close(), server.Close()); err != nil {
		t.Error(err)
	}
	if !ended {
		t.Error("Close returned while the service was in use")
	}
	if err := <-result; !errors.Is(err, admin.ErrProtocol) {
		t.Errorf("the follower got %v, want that the answer broke off", err)
	}
	if err := server.Start(t.Context()); !errors.Is(err, admin.ErrClosed) {
		t.Errorf("start after close: %v", err)
	}
	if _, err := client.Apps(t.Context()); !errors.Is(err, admin.ErrUnreachable) {
		t.Errorf("after close: %v", err)
	}
}

func TestKV(t *testing.T) {
	space := map[string][]byte{}
	key := []byte("a//b/../\x00\xff %2f?&=é")
	_, client := start(t, admin.Options{Service: &admintest.Service{
		KVSetFunc: func(_ context.Context, name string, k, v []byte) error { space[name+":"+string(k)] = v; return nil },
		KVGetFunc: func(_ context.Context, name string, k []byte) ([]byte, error) {
			v, ok := space[name+":"+string(k)]
			if !ok {
				return nil, admin.ErrNotFound
			}
			return v, nil
		},
		KVDeleteFunc: func(_ context.Context, name string, k []byte) (bool, error) {
			_, ok := space[name+":"+string(k)]
			delete(space, name+":"+string(k))
			return ok, nil
		},
		KVListFunc: func(_ context.Context, _ string, req admin.ListRequest) (admin.ListPage, error) {
			return admin.ListPage{Entries: []admin.KeyEntry{{Key: append(req.Prefix, req.After...), Bytes: int64(req.Limit)}}, More: true}, nil
		},
		KVExportFunc: func(_ context.Context, name string, w io.Writer) error {
			if name == "none" {
				return admin.ErrNotFound
			}
			if _, err := w.Write(bytes.Repeat([]byte("e"), 100_000)); err != nil || name == "whole" {
				return err
			}
			return fmt.Errorf("value 7 is damaged: %w", admin.ErrInternal)
		},
		KVImportFunc: func(_ context.Context, _ string, r io.Reader) (int64, error) { return io.Copy(io.Discard, r) },
		SpacesFunc:   func(context.Context) ([]admin.SpaceSummary, error) { return nil, nil },
	}})
	ctx := t.Context()
	for name, value := range map[string][]byte{"s": []byte("v\x00"), "with/slash and space": {}} {
		if err := client.KVSet(ctx, name, key, value); err != nil {
			t.Fatal(err)
		}
		if got, err := client.KVGet(ctx, name, key); err != nil || !bytes.Equal(got, value) {
			t.Errorf("space %q: got %q, %v", name, got, err)
		}
	}
	for _, want := range []bool{true, false} {
		if existed, err := client.KVDelete(ctx, "s", key); err != nil || existed != want {
			t.Errorf("delete: %t, %v, want %t", existed, err, want)
		}
	}
	if _, err := client.KVGet(ctx, "s", key); !errors.Is(err, admin.ErrNotFound) {
		t.Errorf("get of a deleted key: %v", err)
	}
	page, err := client.KVList(ctx, "s", admin.ListRequest{Prefix: key, After: []byte{0xfe}, Limit: 9})
	if err != nil || !page.More || string(page.Entries[0].Key) != string(key)+"\xfe" || page.Entries[0].Bytes != 9 {
		t.Errorf("list: %+v, %v", page, err)
	}
	if spaces, err := client.KVSpaces(ctx); err != nil || spaces == nil {
		t.Errorf("no spaces: %v, %v; want an empty list", spaces, err)
	}
	if n, err := client.KVImport(ctx, "s", strings.NewReader(strings.Repeat("i", 1<<20))); err != nil || n != 1<<20 {
		t.Errorf("import: %d, %v", n, err)
	}
	for name, kind := range map[string]error{"whole": nil, "broken": admin.ErrInternal, "none": admin.ErrNotFound} {
		var out bytes.Buffer
		if err := client.KVExport(ctx, name, &out); !errors.Is(err, kind) {
			t.Errorf("export of %s: %v after %d bytes, want %v", name, err, out.Len(), kind)
		}
	}
}

func TestInvokeCarriesBytes(t *testing.T) {
	_, client := start(t, admin.Options{Service: &admintest.Service{
		InvokeFunc: func(_ context.Context, req admin.InvokeRequest) (admin.InvokeResponse, error) {
			return admin.InvokeResponse{Status: 201, Headers: req.Headers, Body: append([]byte(req.Method+string(req.App)+string(req.Function)), req.Body...)}, nil
		},
	}})
	got, err := client.Invoke(t.Context(), admin.InvokeRequest{
		App: "a", Function: "f", Method: "PUT", Headers: []invoke.Header{{Name: "X", Value: "1"}, {Name: "X", Value: "2"}}, Body: []byte{0, 0xff},
	})
	if err != nil || got.Status != 201 || string(got.Body) != "PUTaf\x00\xff" || len(got.Headers) != 2 || got.Headers[1].Value != "2" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestTopCarriesEverything(t *testing.T) {
	when := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	want := admin.Top{
		Node: "edge-7", Version: "v1", PID: 42, Started: when, Time: when.Add(time.Hour), Uptime: time.Hour, Draining: true, Queued: 3,
		LiveInstances: 4, Connections: 5, MemoryBytes: 6, DeadlineMisses: 7, Rejected: map[string]uint64{"queue_full": 8},
		LatencyBounds: []time.Duration{1024, 1<<63 - 1},
		Cores: []admin.CoreLoad{{
			Core: 1, CPU: 3, Running: &admin.Running{App: "a", Function: "f", For: time.Second, Long: true}, Queued: 1, Parked: 2,
			Blocked: 3, Threads: 4, Busy: 5, Preemptions: 6, Resumes: 7, Steals: 1<<64 - 1,
		}},
		Functions: []admin.FunctionLoad{{
			App: "a", Function: "f", Answered: 1, Errors: 2, Refused: 3, ColdStarts: 4, Core: 5, InFlight: 6, LatencyFirst: 1, Latency: []uint64{9},
		}},
	}
	path := filepath.Join(t.TempDir(), "s")
	answer := want
	_, client := start(t, admin.Options{Path: path, Service: &admintest.Service{
		TopFunc: func(context.Context) (admin.Top, error) { return answer, nil },
	}})
	if got, err := client.Top(t.Context()); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	answer = admin.Top{}
	if status, body := raw(t, path, "GET", "/v1/top", "", nil); status != 200 || !strings.Contains(body, `"cores":[],"functions":[]`) {
		t.Errorf("an idle daemon: %d %s", status, body)
	}
}

func TestMetrics(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	start(t, admin.Options{Path: path, Service: &admintest.Service{}, Metrics: func(w io.Writer) error {
		_, err := io.WriteString(w, "edged_steals_total 0\n")
		return err
	}})
	if status, body := raw(t, path, "GET", "/metrics", "", nil); status != 200 || body != "edged_steals_total 0\n" {
		t.Errorf("%d %q", status, body)
	}
}

// TestStrangeServers points the client at servers that do not speak this API.
func TestStrangeServers(t *testing.T) {
	cases := []struct{ name, answer string }{
		{"no HTTP", "SSH-2.0-x\r\n"},
		{"nothing", ""},
		{"another web server", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"},
		{"no JSON", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n<htm>"},
		{"cut line", "HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n{\"progress\":"},
		{"stream without an end", "HTTP/1.1 200 OK\r\nContent-Length: 32\r\n\r\n{\"progress\":{\"stage\":\"check\"}}\n\n"},
		{"cut body", "HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n{\"progress\":{\"stage\":\"check\"}}\n"},
		{"endless line", "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 5<<20)},
		{"wrong type", "HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{\"result\":17}"},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "s")
			var config net.ListenConfig
			listener, err := config.Listen(t.Context(), "unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = listener.Close() }()
			go func() {
				for {
					conn, err := listener.Accept()
					if err != nil {
						return
					}
					_, _ = conn.Read(make([]byte, 64<<10))
					_, _ = io.WriteString(conn, tc.answer)
					_ = conn.(*net.UnixConn).CloseWrite()
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				}
			}()
			client := admin.NewClient(path)
			if _, err := client.Deploy(t.Context(), admin.DeployRequest{Module: []byte("x")}, nil); !errors.Is(err, admin.ErrProtocol) {
				t.Errorf("deploy: %v, want %v", err, admin.ErrProtocol)
			}
			if err := client.Logs(t.Context(), admin.LogsRequest{}, func(admin.LogEntry) error { return nil }); !errors.Is(err, admin.ErrProtocol) {
				t.Errorf("logs: %v, want %v", err, admin.ErrProtocol)
			}
		})
	}
}

func TestSocket(t *testing.T) {
	service := &admintest.Service{AppsFunc: func(context.Context) ([]admin.AppSummary, error) { return nil, nil }}
	t.Run("mode", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		start(t, admin.Options{Path: path, Service: service})
		stat, err := os.Stat(path)
		if err != nil || stat.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", stat.Mode(), err)
		}
	})
	t.Run("stale socket is replaced", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		listener.SetUnlinkOnClose(false)
		if err := listener.Close(); err != nil {
			t.Fatal(err)
		}
		_, client := start(t, admin.Options{Path: path, Service: service})
		if _, err := client.Apps(t.Context()); err != nil {
			t.Error(err)
		}
	})
	t.Run("served socket stays", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		_, client := start(t, admin.Options{Path: path, Service: service})
		if err := admin.New(admin.Options{Path: path, Service: service}).Start(t.Context()); !errors.Is(err, admin.ErrConflict) {
			t.Errorf("second daemon: %v", err)
		}
		if _, err := client.Apps(t.Context()); err != nil {
			t.Errorf("the first no longer answers: %v", err)
		}
	})
	t.Run("file stays", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := admin.New(admin.Options{Path: path, Service: service}).Start(t.Context()); !errors.Is(err, admin.ErrConflict) {
			t.Errorf("start: %v", err)
		}
		if text, _ := os.ReadFile(path); string(text) != "precious" {
			t.Errorf("the file holds %q now", text)
		}
	})
	t.Run("too long", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
		if err := admin.New(admin.Options{Path: path, Service: service}).Start(t.Context()); err == nil || !strings.Contains(err.Error(), "107") {
			t.Errorf("start: %v", err)
		}
	})
	t.Run("close without start", func(t *testing.T) {
		server := admin.New(admin.Options{Service: service})
		if err := errors.Join(server.Close(), server.Close()); err != nil {
			t.Error(err)
		}
	})
}

// strangerEnv makes this test binary a client of another user: see TestStrangerIsRefused.
const strangerEnv = "ADMIN_TEST_STRANGER"

// TestStrangerIsRefused opens the socket's mode, so that only the kernel's word on the peer stands in the way of a
// process of another user.
func TestStrangerIsRefused(t *testing.T) {
	if path := os.Getenv(strangerEnv); path != "" {
		if err := syscall.Setuid(65534); err != nil {
			t.Fatal(err)
		}
		_, err := admin.NewClient(path).Apps(t.Context())
		if !errors.Is(err, admin.ErrDenied) || !strings.Contains(err.Error(), "65534") {
			t.Fatalf("a stranger got %v", err)
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another user")
	}
	dir, err := os.MkdirTemp("", "adm") //nolint:usetesting // t.TempDir's parent is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := filepath.Join(dir, "s")
	called := false
	_, client := start(t, admin.Options{Path: path, Service: &admintest.Service{
		AppsFunc: func(context.Context) ([]admin.AppSummary, error) { called = true; return nil, nil },
	}})
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chmod(path, 0o666)); err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestStrangerIsRefused$", "-test.v")
	child.Env = append(os.Environ(), strangerEnv+"="+path)
	out, err := child.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestStrangerIsRefused") {
		t.Fatalf("child: %v\n%s", err, out)
	}
	if called {
		t.Error("the service was called for a stranger")
	}
	if _, err := client.Apps(t.Context()); err != nil || !called {
		t.Errorf("root itself: %v", err)
	}
}
