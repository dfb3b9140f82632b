package gate

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
)

const goCommand = `package main

import (
	"fmt"
	"os"
	"sort"
)

func main() {
	words := map[string]int{}
	for _, a := range os.Args {
		words[a]++
	}
	keys := make([]string, 0, len(words))
	for k := range words {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	defer func() { fmt.Println(recover()) }()
	fmt.Printf("%v %d\n", keys, len(keys))
}
`

const goReactor = `package main

import "fmt"

//go:wasmimport edged input_len
func inputLen() int32

//go:wasmexport hello
func hello() int32 { fmt.Println("hello", inputLen()); return 0 }

func main() {}
`

const cLibc = `#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
int main(int argc, char **argv) {
	qsort(argv, argc, sizeof *argv, compare);
	char *copy = malloc(argc * 100 + 1);
	memset(copy, 'x', argc * 100);
	for (int i = 0; i < argc; i++) printf("%s %g\n", argv[i], i / 3.0);
	return copy[0] != 'x';
}
`

const cBare = `typedef float vec __attribute__((vector_size(16)));
static vec sums[4];
static int counter = 7;
__attribute__((import_module("env"), import_name("tick"))) int tick(int);
__attribute__((export_name("add"))) int add(int a, int b) { counter += tick(a); return a + b + counter; }
__attribute__((export_name("scale"))) float scale(float f) {
	for (int i = 0; i < 4; i++) sums[i] = sums[i] * f + (vec){1, 2, 3, 4};
	return sums[3][1] + sums[0][0];
}
__attribute__((export_name("switches"))) int switches(int n, char *to, char *from) {
	__builtin_memcpy(to, from, n);
	switch (n) { case 1: return 4; case 2: return tick(9); case 3: return 1; case 4: return tick(2); case 5: return 7; }
	return (int)(signed char)n;
}
`

// errLoad is the engine's refusal of a module's structure, which is the gate's business; that of its types is not.
var errLoad = errors.New("load")

// guest is a program to compile: its source and the command, to which "-o FILE SOURCE" is added.
type guest struct {
	name, file, source string
	command            []string
	wasi               bool // needs wasi-libc
}

func guests() []guest {
	golang := []string{"go", "build"}
	clang := []string{"clang", "--target=wasm32-wasi"}
	with := func(command []string, more ...string) []string {
		return append(command[:len(command):len(command)], more...)
	}
	bare := with(clang, "-nostdlib", "-Wl,--no-entry,--allow-undefined", "-O2")
	return []guest{
		{"go command", "main.go", goCommand, golang, false},
		{"go reactor", "main.go", goReactor, with(golang, "-buildmode=c-shared"), false},
		{"c command", "main.c", cLibc, with(clang, "-O2"), true},
		{"c debug", "main.c", cLibc, with(clang, "-g", "-O0"), true},
		{"c reactor", "main.c", cLibc, with(clang, "-O2", "-mexec-model=reactor", "-Wl,--export=__main_argc_argv,--export-table"), true},
		{"c bare", "main.c", cBare, bare, false},
		{
			"c bare, simd and bulk memory", "main.c", cBare,
			with(bare, "-msimd128", "-mbulk-memory", "-msign-ext", "-mnontrapping-fptoint", "-mmultivalue"), false,
		},
		{"c bare, position in code", "main.c", cBare, with(bare, "-Wl,--emit-relocs"), false},
	}
}

// build compiles a guest and skips the test where its compiler is not installed.
func (g guest) build(tb testing.TB) []byte {
	tb.Helper()
	if _, err := exec.LookPath(g.command[0]); err != nil {
		tb.Skipf("no compiler: %v", err)
	}
	if g.wasi {
		if _, err := os.Stat("/usr/include/wasm32-wasi/stdio.h"); err != nil {
			tb.Skipf("no wasi-libc: %v", err)
		}
	}
	dir := tb.TempDir()
	if err := os.WriteFile(filepath.Join(dir, g.file), []byte(g.source), 0o600); err != nil {
		tb.Fatal(err)
	}
	args := slices.Concat(g.command[1:], []string{"-o", "guest.wasm", g.file})
	cmd := exec.CommandContext(tb.Context(), g.command[0], args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		tb.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	src, err := os.ReadFile(filepath.Join(dir, "guest.wasm"))
	if err != nil {
		tb.Fatal(err)
	}
	return src
}

// forEachGuest runs f on every guest that can be compiled here.
func forEachGuest(t *testing.T, f func(t *testing.T, src []byte)) {
	t.Helper()
	for _, g := range guests() {
		t.Run(g.name, func(t *testing.T) { f(t, g.build(t)) })
	}
}

func TestGuests(t *testing.T) {
	forEachGuest(t, func(t *testing.T, src []byte) {
		checkRewriting(t, src)
		checkFixedPoint(t, src, Limits{})
		m := mustCheck(t, src, Limits{})
		if !m.HasMemory || len(m.MutableGlobals) == 0 || len(m.Data) == 0 || len(m.Imports) == 0 {
			t.Errorf("not what the compiler is known to emit: %d globals, %d segments, %d imports",
				len(m.MutableGlobals), len(m.Data), len(m.Imports))
		}
		t.Logf("%d bytes in, %d bytes of code and %d segments out", len(src), len(m.Code), len(m.Data))
	})
}

// checkFixedPoint checks that Recheck of the code that Check wrote gives the same module to the byte.
func checkFixedPoint(t *testing.T, src []byte, limits Limits) {
	t.Helper()
	m := mustCheck(t, src, limits)
	again, err := Recheck(m.Code, limits)
	if err != nil {
		t.Fatalf("Recheck: %v", err)
	}
	want := *m
	want.Data, want.Name = nil, ""
	if !reflect.DeepEqual(*again, want) {
		t.Error("Recheck gives another module")
	}
}

// TestSameEngineSameKey: programs that differ in their data and their debug information share one key.
func TestSameEngineSameKey(t *testing.T) {
	one := guests()[5]
	other := one
	other.source = string(bytes.Replace([]byte(one.source), []byte("counter = 7"), []byte("counter = 8"), 1))
	other.command = slices.Concat(one.command, []string{"-g"})
	first, second := mustCheck(t, one.build(t), Limits{}), mustCheck(t, other.build(t), Limits{})
	if first.Key() != second.Key() {
		t.Error("other keys")
	}
	if reflect.DeepEqual(first.Data, second.Data) {
		t.Error("the same data: nothing was tested")
	}
}

// TestDamagedGuests flips, drops and doubles bytes of real programs. Whatever still passes, the engine must load without
// harm and the gate must write in its own form.
func TestDamagedGuests(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, g := range guests()[5:7] {
		t.Run(g.name, func(t *testing.T) {
			src := g.build(t)
			passed := 0
			for range 4000 {
				damaged := damage(random, src)
				m, err := Check(damaged, Limits{})
				if err != nil {
					continue
				}
				passed++
				checkFixedPoint(t, damaged, Limits{})
				if err := loadAndValidate(m.Code); errors.Is(err, errLoad) {
					t.Fatalf("the engine cannot load what the gate wrote: %v\n%x", err, damaged)
				}
			}
			if passed == 0 || passed == 4000 {
				t.Errorf("%d of 4000 damaged modules pass", passed)
			}
		})
	}
}

func damage(random *rand.Rand, src []byte) []byte {
	out := bytes.Clone(src)
	for range 1 + random.IntN(3) {
		at := preambleBytes + random.IntN(len(out)-preambleBytes)
		switch random.IntN(4) {
		case 0:
			out[at] ^= 1 << random.IntN(8)
		case 1:
			out[at] = byte(random.Uint32())
		case 2:
			out = append(out[:at], out[at+1:]...)
		default:
			out = append(out[:at], append([]byte{out[at]}, out[at:]...)...)
		}
	}
	return out
}

func BenchmarkCheck(b *testing.B) {
	src := guests()[0].build(b)
	b.SetBytes(int64(len(src)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Check(src, Limits{}); err != nil {
			b.Fatal(err)
		}
	}
}
