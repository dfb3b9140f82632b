package hostfn

import (
	"context"
	"fmt"
	"reflect"
	"testing"

	"golang.org/x/sys/unix"

	"edged.dev/edge/wasmedge"
)

// keptFields are what an Env may keep from one invocation to the next, with the reason.
var keptFields = map[string]string{
	"Env.meta": "a key that a guest asked for, compared before it is used; no guest is told",
}

// TestBeginForgetsEverything: after Begin an Env that was used in every way looks like a new one. A field that the test
// does not dirty fails it, so that a new one cannot be forgotten.
func TestBeginForgetsEverything(t *testing.T) {
	app := freshApp(t)
	e, open := dirtyEnv(t, app)
	for _, path := range zeroFields("Env", reflect.ValueOf(e).Elem()) {
		t.Errorf("%s is not dirtied by this test: have dirtyEnv set it, and Begin reset it", path)
	}
	ctx, next := t.Context(), &bodyRequest{body: []byte("new")}
	e.Begin(ctx, next)
	unused := app.NewEnv()
	unused.Begin(ctx, next)
	for _, d := range differences("Env", reflect.ValueOf(e).Elem(), reflect.ValueOf(unused).Elem()) {
		t.Error(d)
	}
	if _, err := unix.FcntlInt(uintptr(open), unix.F_GETFD, 0); err == nil {
		t.Error("a file that the invocation before left open is still open")
	}
	e.Finish(nil)
	unused.Finish(nil)
}

// TestFinishLetsGo: what belongs to a request does not stay in memory with an Env that waits for the next one.
func TestFinishLetsGo(t *testing.T) {
	e, _ := dirtyEnv(t, freshApp(t))
	e.results, e.scratch = make([]byte, keepBytes+1), make([]byte, keepBytes+1)
	e.Finish(nil)
	if e.input != nil || e.req != nil || e.response.hook != nil || cap(e.results) > keepBytes || cap(e.scratch) > keepBytes {
		t.Errorf("kept: input %d bytes, request %v, results %d, scratch %d", len(e.input), e.req, cap(e.results), cap(e.scratch))
	}
}

func freshApp(t *testing.T) *App {
	t.Helper()
	app, err := NewApp(AppOptions{Name: "a", Dirs: []Dir{{Guest: "/d", Host: t.TempDir()}}})
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

// dirtyEnv returns an Env in the middle of an invocation that has used everything, and a descriptor it has open.
func dirtyEnv(t *testing.T, app *App) (*Env, int) {
	t.Helper()
	e := app.NewEnv()
	e.Begin(t.Context(), &bodyRequest{body: []byte("old")})
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	hook := func(int, []Header, []byte) error { return errFull }
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.ctx = ctx
	e.RunOn(new(countingCore))
	e.author, e.reach = "someone", newSpace()
	e.keepResult([][]byte{{1}})
	e.fn, e.mem, e.inputAt = "old", []byte("old"), 2
	e.caller = wasmedge.NewCaller(nil, nil)
	e.response = response{
		status: 500, headers: []Header{{"Old", "old"}}, headerBytes: 6, body: []byte("old"), total: 3, reported: "old", overflowed: true,
		streamed: true, gone: errFull, hook: hook, head0: []byte("old"), headAt: 1, headDone: true, headErr: errFull,
	}
	e.logs = logs{used: 1, full: true, stderr: []byte("old")}
	e.scans = scans{open: []*scan{{id: 1, check: 2, used: 3, prefix: []byte("old"), after: []byte("old")}}, last: 1, tick: 1}
	e.results, e.scratch, e.meta = []byte("old"), []byte("old"), "old"
	e.process = process{made: true, args: []string{"old"}, environ: []string{"OLD=old"}, cpuBase: 1}
	e.calling = calling{caller: new(fakeCalls), status: 500, last: []byte("old"), object: 1}
	e.iovs = [][]byte{[]byte("old")}
	e.files.table[0] = nil
	e.files.table = append(e.files.table, &descriptor{kind: kindFile, fd: fd, stream: -1})
	e.files.first[3].base, e.files.first[3].flags = 0, flagAppend
	return e, fd
}

// zeroFields returns the fields, those of structs inside included, that have their zero value.
func zeroFields(path string, v reflect.Value) []string {
	var zero []string
	for i := range v.NumField() {
		at, field := path+"."+v.Type().Field(i).Name, v.Field(i)
		switch {
		case field.Kind() == reflect.Struct:
			zero = append(zero, zeroFields(at, field)...)
		case field.IsZero():
			zero = append(zero, at)
		}
	}
	return zero
}

// differences returns where two values differ. A slice of no elements is like none: capacity is not state.
func differences(path string, a, b reflect.Value) []string {
	if keptFields[path] != "" {
		return nil
	}
	switch a.Kind() { //nolint:exhaustive // the rest is compared as it is
	case reflect.Struct:
		var all []string
		for i := range a.NumField() {
			all = append(all, differences(path+"."+a.Type().Field(i).Name, a.Field(i), b.Field(i))...)
		}
		return all
	case reflect.Slice:
		if a.Len() != b.Len() {
			return []string{fmt.Sprintf("%s has %d elements, want %d", path, a.Len(), b.Len())}
		}
		var all []string
		for i := range a.Len() {
			all = append(all, differences(fmt.Sprintf("%s[%d]", path, i), a.Index(i), b.Index(i))...)
		}
		return all
	case reflect.Pointer:
		if a.Pointer() == b.Pointer() {
			return nil
		}
		if a.IsNil() || b.IsNil() {
			return []string{fmt.Sprintf("%s: nil %v, want %v", path, a.IsNil(), b.IsNil())}
		}
		return differences(path, a.Elem(), b.Elem())
	case reflect.Interface:
		return differences(path, a.Elem(), b.Elem())
	case reflect.Func:
		if a.IsNil() != b.IsNil() {
			return []string{fmt.Sprintf("%s: nil %v, want %v", path, a.IsNil(), b.IsNil())}
		}
		return nil
	case reflect.Invalid:
		if b.IsValid() {
			return []string{path + " is nothing"}
		}
		return nil
	default:
		if !a.Equal(b) {
			return []string{fmt.Sprintf("%s is %v, want %v", path, a, b)}
		}
		return nil
	}
}

// bodyRequest is a request of nothing but a body.
type bodyRequest struct{ body []byte }

// Meta implements Request.
func (*bodyRequest) Meta(string) (string, bool) { return "", false }

// Headers implements Request.
func (*bodyRequest) Headers(func(name, value string) bool) {}

func (*bodyRequest) Origin() any { return nil }

// Body implements Request.
func (r *bodyRequest) Body() []byte { return r.body }
