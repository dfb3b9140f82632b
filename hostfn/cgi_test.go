package hostfn

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"edged.dev/edge/wasmedge"
)

func cgiGuest(t *testing.T, r request) *guest {
	t.Helper()
	g := newGuest(t, AppOptions{ABI: ABICGI, Software: "edged/1"})
	g.begin(r)
	return g
}

// strings2 reads what args_get or environ_get wrote.
func (g *guest) stringsOf(sizes, get string) []string {
	g.t.Helper()
	count, size := g.room(4), g.room(4)
	wantEq(g.t, sizes, g.wasi(sizes, count, size), success)
	n, bytes := int(g.u32(count)), int(g.u32(size))
	pointers, text := g.room(4*n), g.room(bytes)
	wantEq(g.t, get, g.wasi(get, pointers, text), success)
	g.guarded(pointers, 4*n)
	g.guarded(text, bytes)
	var list []string
	for i := range n {
		at := int(g.u32(pointers + 4*i))
		end := strings.IndexByte(string(g.mem[at:]), 0)
		list = append(list, g.get(at, end))
	}
	return list
}

func TestCGIEnvironment(t *testing.T) {
	g := cgiGuest(t, request{
		meta: map[string]string{
			"method": "POST", "path": "/shop/a%20b/c", "query": "x=1&y=%20", "route": "/shop", "path_info": "/a%20b/c",
			"proto": "HTTP/1.1", "host": "edge.local:8080", "remote": "10.0.0.7:5555",
		},
		headers: []Header{
			{"Host", "edge.local:8080"},
			{"Content-Type", "text/csv"},
			{"Content-Length", "4"},
			{"Proxy", "http://evil"},
			{"Accept", "a"},
			{"accept", "b"},
			{"Cookie", "c=1"},
			{"Cookie", "d=2"},
			{"X_Forwarded_For", "forged"},
			{"X-Nul", "a\x00b"},
			{"X-Forwarded-For", "1.2.3.4"},
			{"Authorization", "Basic eA=="},
		},
		body: "1,2\n",
	})
	want := []string{
		"REQUEST_METHOD=POST", "SERVER_PROTOCOL=HTTP/1.1", "SERVER_NAME=edge.local", "SERVER_PORT=8080",
		"SERVER_SOFTWARE=edged/1", "GATEWAY_INTERFACE=CGI/1.1", "SCRIPT_NAME=/shop", "PATH_INFO=/a b/c",
		"PATH_TRANSLATED=/a b/c", "QUERY_STRING=x=1&y=%20", "REQUEST_URI=/shop/a%20b/c?x=1&y=%20", "CONTENT_TYPE=text/csv",
		"CONTENT_LENGTH=4", "REMOTE_ADDR=10.0.0.7", "REMOTE_HOST=10.0.0.7", "REMOTE_USER=", "AUTH_TYPE=",
		"X_MATCHED_ROUTE=/shop", "X_RAW_PATH_INFO=/a%20b/c", "X_FULL_URL=http://edge.local:8080/shop/a%20b/c?x=1&y=%20",
		"REDIRECT_STATUS=200", "HTTP_HOST=edge.local:8080", "HTTP_ACCEPT=a, b", "HTTP_COOKIE=c=1; d=2",
		"HTTP_X_FORWARDED_FOR=1.2.3.4", "HTTP_AUTHORIZATION=Basic eA==",
	}
	got := g.stringsOf("environ_sizes_get", "environ_get")
	if !slices.Equal(got, want) {
		t.Errorf("environment\n%q\nwant\n%q", got, want)
	}
	if args := g.stringsOf("args_sizes_get", "args_get"); !slices.Equal(args, []string{"/shop", "x=1", "y=%20"}) {
		t.Errorf("arguments %q", args)
	}
	g.begin(request{meta: map[string]string{"route": "/r", "query": "two+w%6Frds+%00", "remote": "@"}})
	if args := g.stringsOf("args_sizes_get", "args_get"); !slices.Equal(args, []string{"/r", "two", "words"}) {
		t.Errorf("arguments of a search %q", args)
	}
	env := g.stringsOf("environ_sizes_get", "environ_get")
	for _, v := range []string{"CONTENT_LENGTH=", "REMOTE_ADDR=", "SERVER_NAME=localhost", "SERVER_PORT=80"} {
		if !slices.Contains(env, v) {
			t.Errorf("no %q in %q", v, env)
		}
	}
}

func TestNothingOfTheDaemonIsVisible(t *testing.T) {
	t.Setenv("EDGED_TEST_SECRET", "x")
	for _, abi := range []ABI{ABIStdio, ABIEdged} {
		g := newGuest(t, AppOptions{ABI: abi})
		g.begin(request{})
		if env := g.stringsOf("environ_sizes_get", "environ_get"); len(env) != 0 {
			t.Errorf("%v: environment %q", abi, env)
		}
		if args := g.stringsOf("args_sizes_get", "args_get"); !slices.Equal(args, []string{"shop"}) {
			t.Errorf("%v: arguments %q", abi, args)
		}
	}
}

func TestCGIResponse(t *testing.T) {
	rows := []struct {
		name, stdout string
		status       int
		headers      []Header
		body, fault  string // part of the explanation
	}{
		{"LF", "Content-Type: text/plain\n\nHello", 200, []Header{{"Content-Type", "text/plain"}}, "Hello", ""},
		{"CRLF", "Content-Type:text/plain\r\n\r\nHello", 200, []Header{{"Content-Type", "text/plain"}}, "Hello", ""},
		{"mixed", "Content-Type: a/b\r\nX: y\n\r\n\nbody", 200, []Header{{"Content-Type", "a/b"}, {"X", "y"}}, "\nbody", ""},
		{"status", "Status: 404 Not Found\nContent-Type: a/b\n\n", 404, []Header{{"Content-Type", "a/b"}}, "", ""},
		{"location", "Location: /there\n\n", 302, []Header{{"Location", "/there"}}, "", ""},
		{"location and status", "Status: 301\nLocation: http://x/\n\n", 301, []Header{{"Location", "http://x/"}}, "", ""},
		{"status after location", "Location: http://x/\nStatus: 307 T\n\n", 307, []Header{{"Location", "http://x/"}}, "", ""},
		{"no content", "Status: 204 No Content\n\n", 204, nil, "", ""},
		{"framing is left out", "Content-Type: a/b\nContent-Length: 99\nConnection: close\n\nx", 200, []Header{{"Content-Type", "a/b"}}, "x", ""},
		{"nothing", "", 0, nil, "", "there is none"},
		{"no blank line", "Content-Type: a/b\n", 0, nil, "", "before the blank line"},
		{"no type", "X: y\n\nbody", 0, nil, "", "neither Content-Type nor Location"},
		{"no fields", "\nbody", 0, nil, "", "neither Content-Type nor Location"},
		{"plain text", "Hello, world\n\n", 0, nil, "", `"Hello, world" is no header field`},
		{"bad name", "Content Type: a/b\n\n", 0, nil, "", "is no header field"},
		{"folded", "Content-Type: a/b\n X\n\n", 0, nil, "", "is no header field"},
		{"control character", "Content-Type: a/b\x01\n\n", 0, nil, "", "not a valid header field"},
		{"CR inside", "Content-Type: a/b\rX: y\n\n", 0, nil, "", "not a valid header field"},
		{"status text", "Status: fine\nContent-Type: a/b\n\n", 0, nil, "", "three digits"},
		{"status 100", "Status: 100\nContent-Type: a/b\n\n", 0, nil, "", "three digits"},
		{"endless head", strings.Repeat("X-Filler: y\n", 7000), 0, nil, "", "no blank line"},
	}
	for _, row := range rows {
		for _, step := range []int{1, 7, 1 << 20} {
			g := cgiGuest(t, request{})
			for rest := row.stdout; rest != ""; {
				n := min(step*len(row.stdout)/40+1, len(rest))
				g.rewind()
				if _, code := g.write(1, rest[:n]); code != success {
					t.Fatalf("%s: write: %d", row.name, code)
				}
				rest = rest[n:]
			}
			out := g.env.Finish(nil)
			if row.fault != "" {
				if !errors.Is(out.Err, ErrNotCGI) || !strings.Contains(out.GuestError, row.fault) {
					t.Errorf("%s: %v, %q", row.name, out.Err, out.GuestError)
				}
				continue
			}
			if out.Err != nil || out.Status != row.status || string(out.Body) != row.body || !slices.Equal(out.Headers, row.headers) {
				t.Errorf("%s: %+v", row.name, out)
			}
		}
	}
}

func TestCGILargeFirstWrite(t *testing.T) {
	g := cgiGuest(t, request{})
	body := strings.Repeat("b", 70<<10)
	_, code := g.write(1, "Content-Type: a/b\n\n"+body)
	wantEq(t, "write", code, success)
	out := g.env.Finish(nil)
	wantEq(t, "error", out.Err, nil)
	wantEq(t, "body", string(out.Body) == body, true)
	g.begin(request{})
	g.rewind()
	g.write(1, body)
	wantEq(t, "kept of a head without end", len(g.env.response.head0), 64<<10+1)
}

func TestCGIOutcomes(t *testing.T) {
	g := cgiGuest(t, request{})
	g.write(1, "Content-Type: a/b\n\nx")
	if out := g.env.Finish(&wasmedge.ExitError{Code: 2}); out.Err == nil || errors.Is(out.Err, ErrNotCGI) {
		t.Errorf("exit 2: %v", out.Err)
	}
	g.begin(request{})
	p, n := g.text("answered through the module")
	g.edged("output_write", p, n)
	if out := g.env.Finish(&wasmedge.ExitError{}); out.Err != nil || len(out.Body) != n {
		t.Errorf("a command that uses edged: %+v", out)
	}
	g = newGuest(t, AppOptions{ABI: ABIStdio, Limits: Limits{OutputBytes: 4}})
	g.begin(request{body: "in"})
	in, code := g.read(0, 10)
	wantEq(t, "stdin", in, "in")
	wantEq(t, "read", code, success)
	in, code = g.read(0, 10)
	wantEq(t, "end of stdin", in, "")
	wantEq(t, "read", code, success)
	_, code = g.write(1, "outs")
	wantEq(t, "write", code, success)
	_, code = g.write(1, "x")
	wantEq(t, "write too much", code, eFbig)
	if out := g.env.Finish(nil); !errors.Is(out.Err, ErrOutputLimit) {
		t.Errorf("too much: %v", out.Err)
	}
	_, code = g.write(0, "x")
	wantEq(t, "write to stdin", code, eBadf)
}

func FuzzCGIHead(f *testing.F) {
	f.Add([]byte("Content-Type: text/plain\r\nStatus: 200 OK\r\n\r\nbody"))
	f.Add([]byte("Location: /x\n\n"))
	f.Fuzz(func(t *testing.T, stdout []byte) {
		app, err := NewApp(AppOptions{Name: "a", ABI: ABICGI})
		if err != nil {
			t.Fatal(err)
		}
		whole, split := app.NewEnv(), app.NewEnv()
		_ = whole.stdout(stdout)
		for i := range stdout {
			_ = split.stdout(stdout[i : i+1])
		}
		a, b := whole.Finish(nil), split.Finish(nil)
		if a.Status != b.Status || string(a.Body) != string(b.Body) || !slices.Equal(a.Headers, b.Headers) || (a.Err == nil) != (b.Err == nil) {
			t.Fatalf("at once %+v, byte by byte %+v", a, b)
		}
		for _, h := range a.Headers {
			if strings.ContainsAny(h.Name+h.Value, "\r\n\x00") || h.Name == "" {
				t.Fatalf("header %q", h)
			}
		}
	})
}
