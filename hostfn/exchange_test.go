package hostfn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"edged.dev/edge/wasmedge"
)

func TestInput(t *testing.T) {
	g := newGuest(t, AppOptions{})
	g.begin(request{body: "0123456789"})
	wantEq(t, "len", g.edged("input_len"), 10)
	for _, row := range []struct {
		off, size int
		want      string
	}{{0, 10, "0123456789"}, {0, 4, "0123"}, {8, 4, "89??"}, {10, 4, "????"}, {1 << 31, 4, "????"}, {3, 0, ""}} {
		buf := g.room(row.size)
		n := g.edged("input_read", uint32(row.off), buf, row.size)
		wantEq(t, fmt.Sprint("copied ", row), int(n), len(strings.TrimRight(row.want, "?")))
		wantEq(t, fmt.Sprint("bytes ", row), g.get(buf, row.size), row.want)
		g.guarded(buf, row.size)
	}
	g.begin(nil)
	wantEq(t, "len without a request", g.edged("input_len"), 0)
}

func TestOutput(t *testing.T) {
	g := newGuest(t, AppOptions{Limits: Limits{OutputBytes: 8, Headers: 2, HeaderBytes: 64}})
	header := func(name, value string) int32 {
		p, n := g.text(name)
		q, m := g.text(value)
		return g.edged("output_header", p, n, q, m)
	}
	write := func(s string) int32 {
		p, n := g.text(s)
		return g.edged("output_write", p, n)
	}
	g.begin(request{})
	for name, row := range map[string]struct{ got, want int32 }{
		"no name":           {header("", "v"), -2},
		"space in name":     {header("a b", "v"), -2},
		"colon in name":     {header("a:b", "v"), -2},
		"newline in name":   {header("a\n", "v"), -2},
		"not ASCII":         {header("ä", "v"), -2},
		"CR in value":       {header("a", "v\rX: y"), -2},
		"LF in value":       {header("a", "v\nX: y"), -2},
		"CRLF in value":     {header("a", "v\r\nX: y"), -2},
		"NUL in value":      {header("a", "v\x00"), -2},
		"DEL in value":      {header("a", "v\x7f"), -2},
		"content length":    {header("content-length", "5"), -3},
		"transfer encoding": {header("Transfer-Encoding", "chunked"), -3},
		"connection":        {header("Connection", "close"), -3},
		"too long":          {header("a", strings.Repeat("v", 64)), -8},
		"status 199":        {g.edged("output_status", 199), -2},
		"status 600":        {g.edged("output_status", 600), -2},
		"status -1":         {g.edged("output_status", uint32(1<<32-1)), -2},
		"status 201":        {g.edged("output_status", 201), 0},
	} {
		wantEq(t, name, row.got, row.want)
	}
	wantEq(t, "header", header("Set-Cookie", "a=1"), 0)
	wantEq(t, "same header", header("Set-Cookie", "b=\t2 ü"), 0)
	wantEq(t, "third header", header("X", "y"), -8)
	wantEq(t, "write", write("abcde"), 5)
	wantEq(t, "write too much", write("fghi"), -4)
	wantEq(t, "write what fits", write("fgh"), 3)
	wantEq(t, "write nothing", write(""), 0)
	out := g.env.Finish(nil)
	wantEq(t, "status", out.Status, 201)
	wantEq(t, "body", string(out.Body), "abcdefgh")
	if want := []Header{{"Set-Cookie", "a=1"}, {"Set-Cookie", "b=\t2 ü"}}; !slices.Equal(out.Headers, want) {
		t.Errorf("headers %v", out.Headers)
	}
	wantEq(t, "error", out.Err, nil)
	g.begin(request{})
	out = g.env.Finish(nil)
	if out.Status != 200 || len(out.Headers)+len(out.Body) != 0 || out.Err != nil || out.GuestError != "" {
		t.Errorf("the next invocation begins with %+v", out)
	}
}

func TestReportedError(t *testing.T) {
	g := newGuest(t, AppOptions{Limits: Limits{ErrorBytes: 16}})
	p, n := g.text("no such\xff fruit in the shop")
	g.edged("error", p, n)
	out := g.env.Finish(nil)
	wantEq(t, "text", out.GuestError, "no such\uFFFD fruit i")
	if !errors.Is(out.Err, ErrReported) {
		t.Errorf("error %v", out.Err)
	}
	g.begin(nil)
	g.edged("error", 0, 0)
	if out := g.env.Finish(nil); !errors.Is(out.Err, ErrReported) || out.GuestError == "" {
		t.Errorf("empty text: %+v", out)
	}
}

func TestOutcome(t *testing.T) {
	trap := &wasmedge.Trap{Kind: wasmedge.TrapUnreachable}
	for name, row := range map[string]struct {
		err, want error
	}{
		"returned": {nil, nil},
		"exit 0":   {&wasmedge.ExitError{}, nil},
		"exit 3":   {&wasmedge.ExitError{Code: 3}, &wasmedge.ExitError{Code: 3}},
		"trap":     {trap, trap},
		"deadline": {&wasmedge.Trap{Kind: wasmedge.TrapKilled, Cause: context.DeadlineExceeded}, context.DeadlineExceeded},
	} {
		for _, abi := range []ABI{ABIEdged, ABIStdio} {
			g := newGuest(t, AppOptions{ABI: abi})
			if got := g.env.Finish(row.err).Err; !errors.Is(got, row.want) {
				t.Errorf("%s as %v: %v", name, abi, got)
			}
		}
	}
}

func TestStartUpIsNoResponse(t *testing.T) {
	g := newGuest(t, AppOptions{ABI: ABICGI})
	g.begin(nil)
	wantEq(t, "a command's start-up without output", g.env.Finish(nil).Err, nil)
}

func TestFinishTwice(t *testing.T) {
	g := newGuest(t, AppOptions{})
	g.begin(request{})
	p, n := g.text("body")
	g.edged("output_write", p, n)
	wantEq(t, "body", len(g.env.Finish(nil).Body), 4)
	failed := errors.New("no instance")
	out := g.env.Finish(failed)
	if len(out.Body) != 0 || !errors.Is(out.Err, failed) {
		t.Errorf("an invocation that never began: %+v", out)
	}
}

func TestStreaming(t *testing.T) {
	g := newGuest(t, AppOptions{Limits: Limits{StreamBytes: 10, OutputBytes: 100}})
	g.begin(request{})
	var parts []string
	g.env.OnOutput(func(status int, headers []Header, part []byte) error {
		wantEq(t, "status", status, 206)
		wantEq(t, "headers", len(headers), 1)
		parts = append(parts, string(part))
		return nil
	})
	write := func(n int) int32 {
		p, n := g.text(strings.Repeat("x", n))
		return g.edged("output_write", p, n)
	}
	p, n := g.text("X-A")
	g.edged("output_status", 206)
	g.edged("output_header", p, n, p, n)
	wantEq(t, "write", write(9), 9)
	wantEq(t, "parts", len(parts), 0)
	wantEq(t, "write", write(25), 25)
	wantEq(t, "parts", len(parts), 3)
	wantEq(t, "status is fixed", g.edged("output_status", 200), -5)
	wantEq(t, "headers are fixed", g.edged("output_header", p, n, p, n), -5)
	wantEq(t, "limit counts parts", write(67), -4)
	out := g.env.Finish(nil)
	wantEq(t, "rest", string(out.Body), "xxxx")
	wantEq(t, "streamed", out.Streamed, true)

	g.begin(request{})
	gone := errors.New("client has gone")
	g.env.OnOutput(func(int, []Header, []byte) error { return gone })
	wantEq(t, "write to nobody", write(10), -11)
	wantEq(t, "and again", write(1), -11)
	if out := g.env.Finish(nil); !errors.Is(out.Err, gone) || !out.Streamed {
		t.Errorf("outcome %+v", out)
	}
	g.begin(request{})
	wantEq(t, "the hook is forgotten", write(20), 20)
	wantEq(t, "body", len(g.env.Finish(nil).Body), 20)
}

func TestMetaConfigSecret(t *testing.T) {
	g := newGuest(t, AppOptions{
		Name: "shop", Node: "box1", Config: map[string]string{"colour": "green", "empty": ""},
		Secrets: map[string]string{"token": "s3cret"},
	})
	g.begin(request{meta: map[string]string{"method": "PUT", "param:id": "7"}, headers: []Header{{"Accept", "*/*"}}})
	for _, row := range []struct {
		fn, key string
		want    int32
		text    string
	}{
		{"meta_get", "method", 3, "PUT?????"},
		{"meta_get", "method", 3, "PUT?????"},
		{"meta_get", "param:id", 1, "7???????"},
		{"meta_get", "header:accept", 3, "*/*?????"},
		{"meta_get", "header:host", -1, "????????"},
		{"meta_get", "app", 4, "shop????"},
		{"meta_get", "node", 4, "box1????"},
		{"meta_get", "nonsense", -1, "????????"},
		{"meta_get", "", -1, "????????"},
		{"meta_get", strings.Repeat("k", maxName+1), -1, "????????"},
		{"config_get", "colour", 5, "green???"},
		{"config_get", "empty", 0, "????????"},
		{"config_get", "token", -1, "????????"},
		{"secret_get", "token", 6, "s3cret??"},
		{"secret_get", "colour", -1, "????????"},
	} {
		g.rewind()
		p, n := g.text(row.key)
		buf := g.room(8)
		wantEq(t, row.fn+" "+row.key, g.edged(row.fn, p, n, buf, 8), row.want)
		wantEq(t, row.fn+" "+row.key, g.get(buf, 8), row.text)
		g.guarded(buf, 8)
		buf = g.room(2)
		wantEq(t, row.fn+" sizes "+row.key, g.edged(row.fn, p, n, buf, 2), row.want)
		if row.want > 2 {
			wantEq(t, "nothing is copied of what does not fit", g.get(buf, 2), "??")
		}
	}
}

func TestLog(t *testing.T) {
	s := &sink{}
	g := newGuest(t, AppOptions{Log: s, Limits: Limits{LogLineBytes: 10, LogBytes: 400}})
	g.begin(request{meta: map[string]string{"function": "f"}})
	log := func(level uint32, text string) {
		p, n := g.text(text)
		g.edged("log", level, p, n)
	}
	log(0, "plain")
	log(3, "two\nlines\n")
	log(99, "0123456789abc")
	log(1, "bad\xff")
	log(2, "")
	g.write(2, "half")
	g.write(2, " line\r\nnext\n\nlonger than ten\nend")
	out := []string{"plain", "two", "lines", "0123456789", "abc", "bad\uFFFD", "", "half line", "next", "", "longer tha", "n ten"}
	if got := s.texts(); !slices.Equal(got, out) {
		t.Errorf("lines %q", got)
	}
	g.env.Finish(nil)
	if got := s.texts(); got[len(got)-1] != "end" {
		t.Errorf("the last line without an end: %q", got)
	}
	first := s.lines[0]
	if first.App != "shop" || first.Function != "f" || first.Level != LevelDebug || first.Stream != "log" || first.Time.IsZero() {
		t.Errorf("line %+v", first)
	}
	wantEq(t, "level", s.lines[3].Level, LevelError)
	wantEq(t, "stderr", s.lines[7].Stream, "stderr")

	g.begin(request{})
	s.lines = nil
	for range 1000 {
		g.rewind()
		log(1, "again")
		g.write(2, "and\n")
	}
	got := s.texts()
	if n := len(got); n > 22 || !strings.HasPrefix(got[n-1], "log cut here") {
		t.Errorf("%d lines, the last %q", n, got[n-1])
	}
}
