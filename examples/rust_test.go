package examples_test

import (
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// rustc puts this machine's compiler and its name of the target into a build command, which says rustc and wasm32-wasip1. The
// test is skipped where there is none.
func rustc(t *testing.T, command []string) []string {
	t.Helper()
	var compiler, target string
	testutil.Require(t, "a rustc with its library for wasm32-wasi (scripts/install-rust.sh)", func() error {
		out, err := exec.CommandContext(t.Context(), "../scripts/install-rust.sh", "--print").Output()
		compiler, target, _ = strings.Cut(strings.TrimSpace(string(out)), " ")
		return err
	})
	for i, word := range command {
		switch word {
		case "rustc":
			command[i] = compiler
		case "wasm32-wasip1":
			command[i] = target
		}
	}
	return command
}

// TestCounterRust adds from many clients at once, as TestCounter does.
func TestCounterRust(t *testing.T) {
	const clients, adds = 8, 25
	path := compile(t, "counter-rust", rustc(t, buildCommand(t, "counter-rust")))
	d := theDaemon(t)
	d.run(t, "deploy", path)
	var group sync.WaitGroup
	for _, tr := range d.transports(t) {
		for range clients / 2 {
			group.Go(func() {
				for range adds {
					got, err := tr.call(t.Context(), "POST", "/counter-rust/add?by=3", nil)
					if err != nil || got.status != 200 {
						t.Errorf("add over %s: status %d, body %q, %v", tr.name, got.status, got.body, err)
						return
					}
				}
			})
		}
	}
	group.Wait()
	check(t, d, []exchange{
		{"sum", "GET", "/counter-rust/value", "", 200, strconv.Itoa(clients*adds*3) + "\n"},
		{"another name", "GET", "/counter-rust/value?name=other", "", 200, "0\n"},
		{"not a number", "POST", "/counter-rust/add?by=many", "", 400, "by is not a whole number\n"},
	})
}

// TestRustPanic checks that the message of a panic reaches the caller, and that no two calls have the same random numbers.
func TestRustPanic(t *testing.T) {
	command := "rustc --edition 2021 --target wasm32-wasip1 -O --crate-type cdylib -C strip=symbols -o probe-rust.wasm main.rs"
	d := theDaemon(t)
	d.run(t, "deploy", compile(t, "../sdk/testdata/probe-rust", rustc(t, strings.Fields(command))))
	seen := make(map[string]bool)
	for _, tr := range d.transports(t) {
		if got := tr.must(t, "GET", "/probe-rust/panics", nil); got.status != 500 || !strings.Contains(string(got.body), "as it must, 43") {
			t.Errorf("%s: status %d, body %q; want 500 with the panic's text", tr.name, got.status, got.body)
		}
		for range 20 {
			got := tr.must(t, "GET", "/probe-rust/draw", nil)
			for word := range strings.SplitSeq(strings.TrimSpace(string(got.body)), " [") {
				if got.status != 200 || seen[word] {
					t.Fatalf("%s: status %d, %q was drawn before", tr.name, got.status, fmt.Sprint(word))
				}
				seen[word] = true
			}
		}
	}
}
