// Package c_test tests edge.h: its conveniences natively against a host in memory, its imports in a compiled module.
package c_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestNative runs testdata/native.c under the sanitizers.
func TestNative(t *testing.T) {
	program := filepath.Join(t.TempDir(), "native")
	run(t, "gcc", "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g",
		"-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", program, "testdata/native.c")
	run(t, program)
}

// TestLanguages compiles the header in every language it promises, with all warnings as errors.
func TestLanguages(t *testing.T) {
	for _, language := range []string{"c99", "c11", "c17", "c++17"} {
		t.Run(language, func(t *testing.T) {
			kind := "c"
			if strings.HasPrefix(language, "c++") {
				kind = "c++"
			}
			object := filepath.Join(t.TempDir(), "all.o")
			run(t, "gcc", "-x", kind, "-std="+language, "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-c", "-o", object, "testdata/all.c")
		})
	}
}

// TestImports compiles a guest that uses every import and compares their names and types with the interface.
func TestImports(t *testing.T) {
	if exec.CommandContext(t.Context(), "../../scripts/install-guest-toolchain.sh", "--check").Run() != nil {
		t.Skip("clang for wasm32-wasi is not installed; run scripts/install-guest-toolchain.sh")
	}
	module := filepath.Join(t.TempDir(), "all.wasm")
	run(t, "clang", "--target=wasm32-wasi", "-O2", "-msimd128", "-mexec-model=reactor", "-Wall", "-Wextra", "-Werror",
		"-o", module, "testdata/all.c")
	binary, err := os.ReadFile(module)
	if err != nil {
		t.Fatal(err)
	}
	got, err := imports(binary)
	if err != nil {
		t.Fatal(err)
	}
	for name, kind := range got {
		if module, _, _ := strings.Cut(name, "."); module != "edged" && module != "wasi_snapshot_preview1" {
			t.Errorf("import %s %s from an unknown module", name, kind)
		}
	}
	for name, want := range interfaceTypes() {
		if kind := got["edged."+name]; kind != want {
			t.Errorf("import %s has type %q, want %q", name, kind, want)
		}
		delete(got, "edged."+name)
	}
	for name := range got {
		if strings.HasPrefix(name, "edged.") {
			t.Errorf("%s is not part of the interface", name)
		}
	}
}

// interfaceTypes is the interface as docs/ABI.md has it: i is i32, I is i64; parameters, then the result after ">".
func interfaceTypes() map[string]string {
	return map[string]string{
		"input_len": ">i", "input_read": "iii>i", "output_write": "ii>i", "output_status": "i>i", "output_header": "iiii>i",
		"error": "ii>", "meta_get": "iiii>i", "log": "iii>", "config_get": "iiii>i", "secret_get": "iiii>i",
		"kv_get": "iiii>i", "kv_set": "iiii>i", "kv_delete": "ii>i", "kv_cas": "iiiiii>i", "kv_scan": "iiiii>i",
		"kv_batch": "iiii>i", "kv_lock": "iii>I", "kv_unlock": "iiI>i",
		"call": "iiiiii>i", "result_read": "iii>i", "rcall": "iiii>I", "rput": "ii>I", "rget": "Iiii>i", "rlen": "I>i",
		"rwait": "iiiii>i", "rcancel": "I>i", "rdrop": "I>i", "actor_new": "iiii>I", "actor_call": "Iiiii>I",
	}
}

// run runs a command and fails the test with its output.
func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

var errModule = errors.New("not a module this reader understands")

// reader reads the parts of a module that hold types and imports (core specification, 5.5).
type reader struct{ *bytes.Reader }

// imports returns the function imports of a module as "module.name" with their types.
func imports(module []byte) (map[string]string, error) {
	if len(module) < 8 || string(module[:4]) != "\x00asm" {
		return nil, errModule
	}
	r := reader{bytes.NewReader(module[8:])}
	var types []string
	for {
		id, err := r.ReadByte()
		if err != nil {
			return nil, err
		}
		body := r.bytes(r.number())
		switch section := (reader{bytes.NewReader(body)}); id {
		case 1:
			types = section.types()
		case 2:
			return section.imports(types)
		}
	}
}

// number reads an unsigned LEB128 number; what is cut off reads as 0 and fails later.
func (r reader) number() int {
	n := 0
	for shift := 0; shift < 35; shift += 7 {
		b, _ := r.ReadByte()
		n |= int(b&0x7f) << shift
		if b < 0x80 {
			break
		}
	}
	return n
}

func (r reader) bytes(n int) []byte {
	b := make([]byte, min(n, r.Len()))
	_, _ = r.Read(b)
	return b
}

func (r reader) types() []string {
	types := make([]string, r.number())
	for i := range types {
		_, _ = r.ReadByte() // 0x60
		types[i] = r.values() + ">" + r.values()
	}
	return types
}

func (r reader) values() string {
	letters := map[byte]byte{0x7f: 'i', 0x7e: 'I', 0x7d: 'f', 0x7c: 'F'}
	values := r.bytes(r.number())
	for i, v := range values {
		values[i] = letters[v]
	}
	return string(values)
}

func (r reader) imports(types []string) (map[string]string, error) {
	found := map[string]string{}
	for range r.number() {
		module := string(r.bytes(r.number()))
		name := string(r.bytes(r.number()))
		if kind, _ := r.ReadByte(); kind != 0 {
			return nil, errModule // guests of this test import functions only
		}
		index := r.number()
		if index >= len(types) {
			return nil, errModule
		}
		found[module+"."+name] = types[index]
	}
	return found, nil
}
