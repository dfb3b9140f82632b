//go:build cgo

package gate

import (
	"bytes"
	"testing"

	"github.com/second-state/WasmEdge-go/wasmedge"
)

// cPure needs nothing from outside and keeps its state in data, in zeroed memory, in a table and behind a start function.
const cPure = `static int history[64], calls = 3;
static const char *words[] = {"edge", "daemon", "function", 0};
static int twice(int x) { return 2 * x; }
static int square(int x) { return x * x; }
static int (*volatile operations[])(int) = {twice, square};
__attribute__((export_name("begin"))) void begin(void) { calls = 40; }
__attribute__((export_name("step"))) int step(int n) {
	int length = 0;
	for (const char **w = words; *w; w++) for (const char *c = *w; *c; c++) length += *c;
	history[calls & 63] = operations[n & 1](n) + length;
	int sum = 0;
	for (int i = 0; i < 64; i++) sum = sum * 31 + history[i];
	calls++;
	return sum ^ calls;
}
`

// instance is a module as the engine runs it, interpreted.
type instance struct {
	executor *wasmedge.Executor
	module   *wasmedge.Module
}

func instantiate(t *testing.T, code []byte) instance {
	t.Helper()
	config := engineConfig()
	loader, validator := wasmedge.NewLoaderWithConfig(config), wasmedge.NewValidatorWithConfig(config)
	executor, store := wasmedge.NewExecutorWithConfig(config), wasmedge.NewStore()
	ast, err := loader.LoadBuffer(code)
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	if err := validator.Validate(ast); err != nil {
		t.Fatalf("validate: %v", err)
	}
	module, err := executor.Instantiate(store, ast)
	if err != nil {
		t.Fatalf("instantiate: %v", err)
	}
	t.Cleanup(func() {
		module.Release()
		store.Release()
		executor.Release()
		ast.Release()
		validator.Release()
		loader.Release()
		config.Release()
	})
	return instance{executor, module}
}

func (i instance) call(t *testing.T, name string, params ...any) []any {
	t.Helper()
	function := i.module.FindFunction(name)
	if function == nil {
		t.Fatalf("no export %q", name)
	}
	results, err := i.executor.Invoke(function, params...)
	if err != nil {
		t.Fatalf("call %q: %v", name, err)
	}
	return results
}

// TestRewrittenModuleRunsTheSame runs a program as it was uploaded, and as the gate wrote it with its data put back and
// its start function called, side by side.
func TestRewrittenModuleRunsTheSame(t *testing.T) {
	g := guests()[5]
	g.source = cPure
	src := withStart(t, g.build(t), "begin")
	m := mustCheck(t, src, Limits{MemoryPages: 16})
	if len(m.Data) == 0 || m.StartExport == "" {
		t.Fatalf("%d segments, start %q: nothing is tested", len(m.Data), m.StartExport)
	}
	uploaded, written := instantiate(t, src), instantiate(t, m.Code)
	memory := written.module.FindMemory(m.MemoryExport)
	if memory == nil || memory.GetPageSize() != uint(m.MemoryMin) {
		t.Fatal("no memory under its reserved name, or of another size")
	}
	for _, s := range m.Data {
		if err := memory.SetData(s.Bytes, uint(s.Offset), uint(len(s.Bytes))); err != nil {
			t.Fatalf("write data: %v", err)
		}
	}
	written.call(t, m.StartExport)
	for n := range int32(100) {
		want, got := uploaded.call(t, "step", n), written.call(t, "step", n)
		if want[0] != got[0] {
			t.Fatalf("call %d: %v, and %v as it was uploaded", n, got[0], want[0])
		}
	}
	for _, global := range m.MutableGlobals {
		if written.module.FindGlobal(global.Export) == nil {
			t.Errorf("no global %q", global.Export)
		}
	}
	size := (uint(m.MemoryMin) - headroomPages) * pageBytes
	own, err := memory.GetData(0, size)
	if err != nil {
		t.Fatal(err)
	}
	other, err := uploaded.module.FindMemory("memory").GetData(0, size)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(own, other) {
		t.Error("memories differ")
	}
	if err := memory.GrowPage(16 - uint(m.MemoryMin)); err != nil {
		t.Errorf("grow up to the limit: %v", err)
	}
	if memory.GrowPage(1) == nil {
		t.Error("memory grows beyond the limit")
	}
}

// withStart returns the module with a start section for the function that it exports as name.
func withStart(t *testing.T, src []byte, name string) []byte {
	t.Helper()
	d, refused := decode(src, DefaultLimits(), false)
	if refused != nil {
		t.Fatal(refused)
	}
	for _, e := range d.m.exports {
		if e.name == name {
			d.m.start = &e.index
			return encode(d.m)
		}
	}
	t.Fatalf("no export %q", name)
	return nil
}
