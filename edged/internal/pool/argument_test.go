//go:build cgo

package pool_test

import (
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/internal/testutil"
)

// TestArgument calls entries of type (ptr, len), for which the guest makes room itself, or says that it has.
func TestArgument(t *testing.T) {
	load := loader(t, testutil.BuildCFile(t, filepath.Join("testdata", "argument.c"), testutil.Freestanding()...))
	app := newApp(t, func(s *pool.Spec) {
		guest, err := hostfn.NewApp(hostfn.AppOptions{Name: "app", ABI: hostfn.ABIWaverless})
		if err != nil {
			t.Fatal(err)
		}
		s.Guest, s.Load, s.Functions = guest, load, nil
		for _, name := range []invoke.FunctionName{"echo", "refuse", "plain"} {
			s.Functions = append(s.Functions, pool.FunctionSpec{Name: name, Entry: string(name)})
		}
	})
	ask := func(fn invoke.FunctionName, body string, event *invoke.Event) invoke.Result {
		results, err := submit(app, fn, func(inv *invoke.Invocation) { inv.Request.Body, inv.Event = []byte(body), event })
		if err != nil {
			t.Fatal(err)
		}
		return receive(t, results)
	}
	large := strings.Repeat("x", 1<<16)
	for range 3 { // made the long way, made from the template, reset
		want(t, ask("echo", "", nil), "0", nil)
		want(t, ask("echo", "argument", nil), "1argument", nil)
		want(t, ask("echo", large, nil), "1"+large, nil)
		want(t, ask("echo", "not this", &invoke.Event{Key: "slice_12"}), "1slice_12", nil)
		want(t, ask("plain", "not looked at", nil), "plain", nil)
		want(t, ask("refuse", "", nil), "", nil)
	}
	for body, detail := range map[string]string{
		"null": "allocate(4) returned 0x0", "far away": "", "wrong": "allocate(5) returned 0xfffffff0", "at end": "allocate(6) returned",
		"trapped": "unreachable", "x": "the function returned an error: 1",
	} {
		fn := invoke.FunctionName("echo")
		if body == "x" {
			fn = "refuse"
		}
		got := ask(fn, body, nil)
		if detail == "" {
			want(t, got, "1"+body, nil)
			continue
		}
		want(t, got, "", invoke.ErrGuest)
		if got.Err == nil || !strings.Contains(got.Err.Error(), detail) {
			t.Errorf("%q: the error is %v, want %q in it", body, got.Err, detail)
		}
	}
}
