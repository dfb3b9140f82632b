//go:build cgo

package wasmedge

import (
	"errors"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"testing"

	"edged.dev/edge/internal/testutil"
)

// stateGlobals are the mutable globals of testdata/state.c: the stack pointer, exported by the linker's own option.
var stateGlobals = []string{"__stack_pointer"}

var stateTypes = map[string]FuncType{
	"_initialize": {}, "noop": {}, "hash": {nil, []ValType{I32}}, "starts": {nil, []ValType{I32}}, "calls": {nil, []ValType{I32}},
	"bytes": {nil, []ValType{I32}}, "grow": {[]ValType{I32}, []ValType{I32}},
	"write": {[]ValType{I32, I32}, []ValType{I32}}, "scribble": {[]ValType{I32, I32}, []ValType{I32}},
}

// state builds and loads testdata/state.c.
func state(tb testing.TB) *guest {
	tb.Helper()
	flags := append(testutil.Freestanding(), "-O2", "-mmutable-globals", "-Wl,--max-memory=16777216",
		"-Wl,--export=__stack_pointer")
	wasm := testutil.Read(tb, testutil.BuildCFile(tb, "testdata/state.c", flags...))
	path := filepath.Join(tb.TempDir(), "state.so")
	if err := compile(wasm, path, 2); err != nil {
		tb.Fatal(err)
	}
	module, err := engine.Load(path, ModuleOptions{MemoryExport: "memory"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(module.Close)
	return &guest{Module: module, types: stateTypes}
}

// started makes an instance and starts it up, the long way.
func (g *guest) started(tb testing.TB, t *Thread) *Instance {
	tb.Helper()
	instance, err := t.Instantiate(g.Module)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := g.callOn(t, instance, "_initialize"); err != nil {
		tb.Fatal(err)
	}
	return instance
}

// want calls an export and compares its result.
func (g *guest) want(tb testing.TB, t *Thread, i *Instance, want uint64, name string) {
	tb.Helper()
	got, err := g.callOn(t, i, name)
	if err != nil || got[0] != want {
		tb.Fatalf("%s() = %v, %v; want %d", name, got, err, want)
	}
}

func TestTemplateStartsInstances(t *testing.T) {
	g := state(t)
	on(t, func(thread *Thread) {
		original := g.started(t, thread)
		defer original.Close()
		template, err := original.Capture(stateGlobals)
		if err != nil {
			t.Fatal(err)
		}
		defer template.Close()
		whole, err := g.callOn(thread, original, "hash")
		if err != nil {
			t.Fatal(err)
		}
		instance, err := thread.InstantiateFrom(template)
		if err != nil {
			t.Fatal(err)
		}
		defer instance.Close()
		g.want(t, thread, instance, 1, "starts")
		g.want(t, thread, instance, whole[0], "hash")
		g.want(t, thread, instance, 1, "calls")
		g.want(t, thread, original, 1, "calls") // the two share nothing
	})
}

// TestResetForgetsEverything writes at random places of the memory and of the globals, at random amounts, and looks that
// the whole state is the template's again after every reset, before and after the hot pages are learnt.
func TestResetForgetsEverything(t *testing.T) {
	g := state(t)
	on(t, func(thread *Thread) {
		original := g.started(t, thread)
		defer original.Close()
		template, err := original.Capture(stateGlobals)
		if err != nil {
			t.Fatal(err)
		}
		defer template.Close()
		clean, err := g.callOn(thread, original, "hash")
		if err != nil {
			t.Fatal(err)
		}
		pointer, err := original.Global(stateGlobals[0])
		if err != nil {
			t.Fatal(err)
		}
		instance, err := thread.InstantiateFrom(template)
		if err != nil {
			t.Fatal(err)
		}
		defer instance.Close()
		random := rand.New(rand.NewPCG(3, 5))
		for round := range 200 {
			writes := []uint64{0, 1, 10, 1000, 100_000}[random.IntN(5)]
			if _, err := g.callOn(thread, instance, "scribble", uint64(random.Uint32()), writes); err != nil {
				t.Fatal(err)
			}
			if _, err := g.callOn(thread, instance, "write", 299_000+uint64(random.IntN(1000)), 9); err != nil {
				t.Fatal(err)
			}
			if err := instance.SetGlobal(stateGlobals[0], uint64(random.Uint32())); err != nil {
				t.Fatal(err)
			}
			if err := instance.Reset(); err != nil {
				t.Fatal(err)
			}
			if got, err := instance.Global(stateGlobals[0]); err != nil || got != pointer {
				t.Fatalf("round %d: the global is %d, %v; want %d", round, got, err, pointer)
			}
			g.want(t, thread, instance, clean[0], "hash")
			if err := instance.Reset(); err != nil {
				t.Fatal(err)
			}
		}
		if hot := template.HotBytes(); hot == 0 || hot > template.Bytes() {
			t.Errorf("%d hot bytes were learnt", hot)
		}
	})
}

func TestResetRefusesGrownMemory(t *testing.T) {
	g := state(t)
	on(t, func(thread *Thread) {
		original := g.started(t, thread)
		defer original.Close()
		template, err := original.Capture(stateGlobals)
		if err != nil {
			t.Fatal(err)
		}
		defer template.Close()
		instance, err := thread.InstantiateFrom(template)
		if err != nil {
			t.Fatal(err)
		}
		defer instance.Close()
		if _, err := g.callOn(thread, instance, "grow", 1); err != nil {
			t.Fatal(err)
		}
		if err := instance.Reset(); !errors.Is(err, ErrGrown) {
			t.Errorf("reset: %v", err)
		}
	})
}

// TestTemplateOfGrownMemory: start-up may have grown the memory; instances from the template have that size at once.
func TestTemplateOfGrownMemory(t *testing.T) {
	g := state(t)
	on(t, func(thread *Thread) {
		original := g.started(t, thread)
		defer original.Close()
		if _, err := g.callOn(thread, original, "grow", 3); err != nil {
			t.Fatal(err)
		}
		want := uint64(len(original.Memory()))
		template, err := original.Capture(stateGlobals)
		if err != nil {
			t.Fatal(err)
		}
		defer template.Close()
		instance, err := thread.InstantiateFrom(template)
		if err != nil {
			t.Fatal(err)
		}
		defer instance.Close()
		g.want(t, thread, instance, want, "bytes")
		if _, err := g.callOn(thread, instance, "write", want-1, 1); err != nil {
			t.Error(err)
		}
		if err := instance.Reset(); err != nil {
			t.Error(err)
		}
	})
}

// TestHammerTemplate resets instances of one template on many threads at once.
func TestHammerTemplate(t *testing.T) {
	g := state(t)
	var template *Template
	var clean uint64
	on(t, func(thread *Thread) {
		original := g.started(t, thread)
		defer original.Close()
		var err error
		if template, err = original.Capture(stateGlobals); err != nil {
			t.Error(err)
			return
		}
		got, err := g.callOn(thread, original, "hash")
		if err != nil {
			t.Error(err)
			return
		}
		clean = got[0]
	})
	if t.Failed() {
		return
	}
	defer template.Close()
	var threads sync.WaitGroup
	for n := range 8 {
		threads.Add(1)
		if err := engine.Go(func(thread *Thread) {
			defer threads.Done()
			instance, err := thread.InstantiateFrom(template)
			if err != nil {
				t.Error(err)
				return
			}
			defer instance.Close()
			for round := range 50 {
				_, err := g.callOn(thread, instance, "scribble", uint64(n*1000+round), 500)
				if err == nil {
					err = instance.Reset()
				}
				got, herr := g.callOn(thread, instance, "hash")
				if err != nil || herr != nil || got[0] != clean {
					t.Errorf("thread %d, round %d: %v %v, hash %v, want %d", n, round, err, herr, got, clean)
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
	}
	threads.Wait()
}

// BenchmarkReset calls a function that does nothing, or writes a little, and resets its instance.
func BenchmarkReset(b *testing.B) {
	g := state(b)
	for _, test := range []struct {
		name string
		call string
		args []uint64
	}{{"noop", "noop", nil}, {"calls", "calls", nil}, {"scribble16", "scribble", []uint64{7, 16}}} {
		b.Run(test.name, func(b *testing.B) {
			on(b, func(thread *Thread) {
				original := g.started(b, thread)
				defer original.Close()
				template, err := original.Capture(stateGlobals)
				if err != nil {
					b.Fatal(err)
				}
				defer template.Close()
				instance, err := thread.InstantiateFrom(template)
				if err != nil {
					b.Fatal(err)
				}
				defer instance.Close()
				for b.Loop() {
					if _, err := g.callOn(thread, instance, test.call, test.args...); err != nil {
						b.Fatal(err)
					}
					if err := instance.Reset(); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}
