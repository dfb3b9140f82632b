package examples_test

import (
	"bytes"
	"net/http"
	"strings"
	"testing"
)

// TestSDK deploys the guests that ask the host for everything the SDKs offer. What they find wrong is in the answer.
func TestSDK(t *testing.T) {
	guests := []struct {
		name, command string
	}{
		{"probe-c", "clang --target=wasm32-wasi -O2 -msimd128 -mexec-model=reactor -Wall -Wextra -Werror -Wl,-s -o probe-c.wasm probe.c"},
		{"probe-go", "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags=-s -o probe-go.wasm ."},
		{"probe-rust", "rustc --edition 2021 --target wasm32-wasip1 -O --crate-type cdylib -C strip=symbols -o probe-rust.wasm main.rs"},
		{"probe-as", probeAS},
	}
	body := bytes.Repeat([]byte("0123456789"), 10_000)
	for _, guest := range guests {
		t.Run(guest.name, func(t *testing.T) {
			command := strings.Fields(guest.command)
			switch command[0] {
			case "rustc":
				command = rustc(t, command)
			case "asc":
				command = asc(t, command)
			}
			path := compile(t, "../sdk/testdata/"+guest.name, command)
			d := theDaemon(t)
			d.run(t, "deploy", path)
			for _, tr := range d.transports(t) {
				got, err := tr.send(t.Context(), http.MethodPost, "/"+guest.name+"/probe?a=1+2", body, http.Header{"X-Probe": {"yes"}})
				if err != nil || got.status != 202 || string(got.body) != "ok\n" {
					t.Errorf("%s: status %d, body %q, %v; want 202, ok", tr.name, got.status, got.body, err)
				}
				if values := got.header.Values("X-Probe"); len(values) != 2 {
					t.Errorf("%s: X-Probe is %q, want both values", tr.name, values)
				}
			}
		})
	}
}

// TestSDKFailure checks that the text a function fails with reaches the caller.
func TestSDKFailure(t *testing.T) {
	command := "clang --target=wasm32-wasi -O2 -mexec-model=reactor -Wl,-s -o probe-c.wasm probe.c"
	d := theDaemon(t)
	d.run(t, "deploy", compile(t, "../sdk/testdata/probe-c", strings.Fields(command)))
	for _, tr := range d.transports(t) {
		got := tr.must(t, http.MethodGet, "/probe-c/fails", nil)
		if got.status != 500 || !bytes.Contains(got.body, []byte("as it should, 42")) ||
			got.header.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: status %d, headers %v, body %q; want 500 with the function's text", tr.name, got.status, got.header, got.body)
		}
	}
}

// TestSDKRandom checks that no two calls draw the same number, although they start from the same state.
func TestSDKRandom(t *testing.T) {
	command := "GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags=-s -o probe-go.wasm ."
	d := theDaemon(t)
	d.run(t, "deploy", compile(t, "../sdk/testdata/probe-go", strings.Fields(command)))
	seen := map[string]bool{}
	for range 20 {
		for _, tr := range d.transports(t) {
			got := tr.must(t, http.MethodGet, "/probe-go/draw", nil)
			if got.status != 200 || seen[string(got.body)] {
				t.Fatalf("%s: status %d, %q was drawn before", tr.name, got.status, got.body)
			}
			seen[string(got.body)] = true
		}
	}
}
