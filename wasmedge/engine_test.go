//go:build cgo

package wasmedge

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	compiler "github.com/second-state/WasmEdge-go/wasmedge"

	"edged.dev/edge/internal/testutil"
)

// engine is the one engine of the test process.
var engine *Engine

// hostLog collects what the engine logs about host functions that panicked.
var hostLog bytes.Buffer

// compileArgument makes the test binary compile one module instead of testing: LLVM puts signal handlers of its own into
// the process that it works in.
const compileArgument = "compile-artifact"

func TestMain(m *testing.M) {
	if len(os.Args) == 5 && os.Args[1] == compileArgument {
		if err := compileHere(os.Args[2], os.Args[3], os.Args[4]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if len(os.Args) == 4 && os.Args[1] == exhaustArgument {
		if err := exhaust(os.Args[2], os.Args[3]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "edged-engine")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	keeper := filepath.Join(dir, "keeper.so")
	if err := compile(KeeperModule(), keeper, 2); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	engine, err = Open(Options{Keeper: keeper, HostFuncs: testFuncs(), Logger: slog.New(slog.NewTextHandler(&hostLog, nil))})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// itself is the command that starts this binary. The kernel cannot start one of another architecture: scripts/arm64.sh
// says by which emulator it is run.
func itself() ([]string, error) {
	path, err := os.Executable()
	return append(strings.Fields(os.Getenv("EDGED_TEST_EMULATOR")), path), err
}

// compile makes an artifact in a child process.
func compile(module []byte, path string, level int) error {
	source := path + ".wasm"
	if err := os.WriteFile(source, module, 0o600); err != nil {
		return err
	}
	self, err := itself()
	if err != nil {
		return err
	}
	output, err := exec.Command(self[0], append(self[1:], compileArgument, source, path, strconv.Itoa(level))...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("compile: %w: %s", err, output)
	}
	return nil
}

func compileHere(source, path, level string) error {
	number, err := strconv.Atoi(level)
	if err != nil {
		return err
	}
	conf := compiler.NewConfigure()
	defer conf.Release()
	conf.SetCompilerOptimizationLevel(compiler.CompilerOptimizationLevel(number))
	conf.SetCompilerOutputFormat(compiler.CompilerOutputFormat_Native)
	c := compiler.NewCompilerWithConfig(conf)
	defer c.Release()
	return c.Compile(source, path)
}

var errTest = errors.New("a host function's own error")

// blocked is how many calls of the block function wait now; unblock ends the wait of one.
var (
	blocked atomic.Int64
	unblock = make(chan struct{})
)

func testFuncs() []HostFunc {
	i32 := []ValType{I32}
	return append(append(isolationFuncs(), benchFuncs()...), []HostFunc{
		{"test", "echo", FuncType{i32, i32}, func(_ *Caller, _ []uint64) error { return nil }},
		{"test", "touch", FuncType{[]ValType{I32, I32}, i32}, func(c *Caller, stack []uint64) error {
			b, ok := c.Bytes(uint32(stack[0]), uint32(stack[1]))
			if !ok {
				return fmt.Errorf("test.touch: [%#x, +%d) is outside the guest's memory", stack[0], stack[1])
			}
			for i := range b {
				b[i]++
			}
			stack[0] = uint64(len(b))
			return nil
		}},
		{"test", "enlarge", FuncType{i32, i32}, func(c *Caller, stack []uint64) error {
			before := len(c.Memory())
			if !c.Grow(uint32(stack[0])) {
				stack[0] = 0
				return nil
			}
			c.Memory()[len(c.Memory())-1] = 7
			stack[0] = uint64(before)
			return nil
		}},
		{"test", "fail", FuncType{nil, i32}, func(*Caller, []uint64) error { return errTest }},
		{"test", "panic", FuncType{nil, i32}, func(*Caller, []uint64) error {
			var nothing *Trap
			_ = nothing.Message //nolint:govet // the nil dereference is the test
			return nil
		}},
		{"test", "exit", FuncType{i32, nil}, func(_ *Caller, stack []uint64) error {
			return &ExitError{Code: uint32(stack[0])}
		}},
		{"test", "mixed", FuncType{[]ValType{I32, I64, F32, F64}, []ValType{F64}}, func(_ *Caller, stack []uint64) error {
			stack[0] = stack[3]
			return nil
		}},
		{"test", "single", FuncType{[]ValType{F32}, []ValType{F32}}, func(*Caller, []uint64) error { return nil }},
		{"test", "double", FuncType{[]ValType{F64}, []ValType{F64}}, func(*Caller, []uint64) error { return nil }},
		{"test", "silent", FuncType{nil, []ValType{I64}}, func(*Caller, []uint64) error { return nil }},
		{"test", "reenter", FuncType{}, func(c *Caller, _ []uint64) error { c.Value().(func())(); return nil }},
		{"test", "verdict", FuncType{}, func(c *Caller, _ []uint64) error { return c.Value().(func() error)() }},
		{"test", "block", FuncType{nil, i32}, func(*Caller, []uint64) error {
			blocked.Add(1)
			<-unblock
			blocked.Add(-1)
			return nil
		}},
	}...)
}

// guest is a module under test with the types of its exports.
type guest struct {
	*Module
	types map[string]FuncType
}

// misbehave builds and loads testdata/misbehave.c.
func misbehave(tb testing.TB) *guest {
	tb.Helper()
	return loadC(tb, "testdata/misbehave.c", 2)
}

func loadC(tb testing.TB, file string, level int) *guest {
	tb.Helper()
	return loadImporting(tb, file, level, misbehaveTypes, "test")
}

// loadImporting builds and loads a C file that imports from those modules.
func loadImporting(tb testing.TB, file string, level int, types map[string]FuncType, imports ...string) *guest {
	tb.Helper()
	flags := append(testutil.Freestanding(), "-O2", "-mbulk-memory", "-Wl,--max-memory=16777216")
	wasm := testutil.Read(tb, testutil.BuildCFile(tb, file, flags...))
	path := filepath.Join(tb.TempDir(), "guest.so")
	if err := compile(wasm, path, level); err != nil {
		tb.Fatal(err)
	}
	module, err := engine.Load(path, ModuleOptions{Imports: imports, MemoryExport: "memory"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(module.Close)
	return &guest{Module: module, types: types}
}

var misbehaveTypes = func() map[string]FuncType {
	i32 := []ValType{I32}
	two := []ValType{I32, I32}
	types := map[string]FuncType{
		"noop": {}, "trap": {}, "exit": {i32, nil}, "add": {two, i32}, "fill": {two, i32}, "touch": {two, i32},
		"mixed": {[]ValType{I32, I64, F32, F64}, []ValType{F64}}, "convert": {[]ValType{F64}, i32},
	}
	for _, name := range []string{
		"fib", "recurse", "recurse_wide", "recurse_shadow", "recurse_host", "recurse_grow", "depth", "load", "store", "divide",
		"divide_overflow", "grow", "enlarge", "exit_deep",
	} {
		types[name] = FuncType{i32, i32}
	}
	for _, name := range []string{"count", "spin", "spin_host", "spin_grow", "block", "indirect", "indirect_null", "fail", "panic"} {
		types[name] = FuncType{nil, i32}
	}
	return types
}()

// on runs f on a guest thread and waits for it.
func on(tb testing.TB, f func(t *Thread)) {
	tb.Helper()
	done := make(chan struct{})
	if err := engine.Go(func(t *Thread) { defer close(done); f(t) }); err != nil {
		tb.Fatal(err)
	}
	<-done
}

// call runs one export in a fresh instance on this thread.
func (g *guest) call(t *Thread, name string, args ...uint64) ([]uint64, error) {
	instance, err := t.Instantiate(g.Module)
	if err != nil {
		return nil, err
	}
	defer instance.Close()
	return g.callOn(t, instance, name, args...)
}

func (g *guest) callOn(t *Thread, instance *Instance, name string, args ...uint64) ([]uint64, error) {
	typ := g.types[name]
	fn, err := instance.Func(name, typ)
	if err != nil {
		return nil, err
	}
	stack := make([]uint64, max(len(typ.Params), len(typ.Results)))
	copy(stack, args)
	err = t.Call(instance, fn, nil, stack)
	return stack[:len(typ.Results)], err
}

// nilRecovered reports whether a nil dereference in Go is still a panic that can be recovered.
func nilRecovered() (ok bool) {
	defer func() { ok = recover() != nil }()
	var nothing *Trap
	return nothing.Message == "" && false //nolint:govet // the nil dereference is the test
}

func TestResults(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		for _, test := range []struct {
			name string
			args []uint64
			want uint64
		}{
			{"add", []uint64{2, 3}, 5},
			{"add", []uint64{0xffffffff, 1}, 0},
			{"fib", []uint64{20}, 6765},
			{"mixed", []uint64{1, 2, 3, 0x4045000000000000}, 0x4045000000000000},
			{"divide", []uint64{2}, 3},
			{"depth", []uint64{0}, 0},
			{"touch", []uint64{1024, 64}, 64},
		} {
			got, err := g.call(thread, test.name, test.args...)
			if err != nil || got[0] != test.want {
				t.Errorf("%s(%v) = %v, %v; want %d", test.name, test.args, got, err, test.want)
			}
		}
	})
}

// TestTraps has a row for each way a guest can end itself; after each the daemon's own faults still work.
func TestTraps(t *testing.T) {
	for _, level := range []int{0, 2, 3} { // 1 crashes the compiler
		t.Run(fmt.Sprintf("O%d", level), func(t *testing.T) { testTraps(t, loadC(t, "testdata/misbehave.c", level)) })
	}
	if !bytes.Contains(hostLog.Bytes(), []byte("host function panicked")) {
		t.Error("a host function's panic was not logged")
	}
}

func testTraps(t *testing.T, g *guest) {
	on(t, func(thread *Thread) {
		for _, test := range []struct {
			name string
			args []uint64
			want TrapKind
		}{
			{"recurse", []uint64{0}, TrapStackOverflow},
			{"recurse_wide", []uint64{0}, TrapStackOverflow},
			{"recurse_shadow", []uint64{0}, TrapOutOfBounds},
			{"recurse_host", []uint64{0}, TrapStackOverflow},
			{"recurse_grow", []uint64{0}, TrapStackOverflow},
			{"load", []uint64{0xfffffff0}, TrapOutOfBounds},
			{"load", []uint64{0xffffffff}, TrapOutOfBounds},
			{"store", []uint64{0x7fffffff}, TrapOutOfBounds},
			{"fill", []uint64{0xfffffff0, 0xffffffff}, TrapOutOfBounds},
			{"divide", []uint64{0}, TrapDivideByZero},
			{"divide_overflow", []uint64{0xffffffff}, TrapOverflow},
			{"convert", []uint64{0x7ff8000000000000}, TrapOverflow},
			{"trap", nil, TrapUnreachable},
			{"indirect", nil, TrapIndirectCall},
			{"indirect_null", nil, TrapIndirectCall},
			{"touch", []uint64{0xffffffff, 1}, TrapHost},
			{"touch", []uint64{0xffffffff, 0xffffffff}, TrapHost},
			{"fail", nil, TrapHost},
			{"panic", nil, TrapHost},
		} {
			_, err := g.call(thread, test.name, test.args...)
			var trap *Trap
			if !errors.As(err, &trap) || trap.Kind != test.want {
				t.Errorf("%s(%#x): %v; want a trap of kind %q", test.name, test.args, err, test.want)
			}
			if !nilRecovered() {
				t.Errorf("%s: a nil dereference in Go is no longer recovered", test.name)
			}
		}
		if _, err := g.call(thread, "fail"); !errors.Is(err, errTest) {
			t.Errorf("fail: %v does not wrap the host function's error", err)
		}
	})
}

func TestExit(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		for _, code := range []uint64{0, 1, 255} {
			_, err := g.call(thread, "exit", code)
			if !errors.Is(err, &ExitError{Code: uint32(code)}) {
				t.Errorf("exit(%d): %v", code, err)
			}
		}
		if _, err := g.call(thread, "exit_deep", 1000); !errors.Is(err, &ExitError{Code: 3}) {
			t.Errorf("exit_deep: %v", err)
		}
	})
}

func TestGrowEndsAtTheMaximum(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer instance.Close()
		before := len(instance.Memory())
		if _, err := g.callOn(thread, instance, "grow", 1); err != nil {
			t.Errorf("grow: %v", err)
		}
		if got, want := len(instance.Memory()), 16<<20; got != want || before >= want {
			t.Errorf("memory is %d bytes after growing from %d, want the maximum %d", got, before, want)
		}
	})
}

// TestHostGrowsMemory: what a host function adds is the guest's like what it adds itself, up to the maximum.
func TestHostGrowsMemory(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer instance.Close()
		pages := uint64(16<<20-len(instance.Memory())) >> 16
		if got, err := g.callOn(thread, instance, "enlarge", 3); err != nil || got[0] != pages/3*3 {
			t.Errorf("%v pages were added by threes, %v; want %d", got, err, pages/3*3)
		}
	})
}

// TestStateStaysInItsInstance shows that instances of one module share nothing.
func TestStateStaysInItsInstance(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		a, errA := thread.Instantiate(g.Module)
		b, errB := thread.Instantiate(g.Module)
		if errA != nil || errB != nil {
			t.Error(errA, errB)
			return
		}
		defer a.Close()
		defer b.Close()
		for want := uint64(1); want <= 3; want++ {
			if got, err := g.callOn(thread, a, "count"); err != nil || got[0] != want {
				t.Errorf("count in a: %v, %v; want %d", got, err, want)
			}
		}
		if got, err := g.callOn(thread, b, "count"); err != nil || got[0] != 1 {
			t.Errorf("count in b: %v, %v; want 1", got, err)
		}
	})
}

// TestKill ends guests that never end by themselves, wherever they spend their time.
func TestKill(t *testing.T) {
	g := misbehave(t)
	for _, name := range []string{"spin", "spin_host", "spin_grow"} {
		t.Run(name, func(t *testing.T) {
			on(t, func(thread *Thread) {
				for range 50 {
					ticket := thread.Next()
					go thread.Kill(ticket, context.DeadlineExceeded)
					_, err := g.call(thread, name)
					var trap *Trap
					if !errors.As(err, &trap) || trap.Kind != TrapKilled || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("killed: %v", err) // not Fatal: runtime.Goexit cannot leave this thread
						return
					}
				}
			})
		})
	}
}

// TestKillIsAimedAtACall shows that a kill for an earlier call does nothing to a later one.
func TestKillIsAimedAtACall(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		first := thread.Next()
		if _, err := g.call(thread, "noop"); err != nil {
			t.Error(err)
		}
		stop := make(chan struct{})
		go func() {
			defer close(stop)
			for range 1000 {
				if thread.Kill(first, nil) {
					t.Error("a call that has ended was killed")
				}
			}
		}()
		if _, err := g.call(thread, "fib", 25); err != nil {
			t.Errorf("fib: %v", err)
		}
		<-stop
	})
}

// TestKillWhileInHostFunction kills a guest that waits in a host function: it ends when that returns, not before.
func TestKillWhileInHostFunction(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		ticket := thread.Next()
		go func() {
			for blocked.Load() == 0 {
				runtime.Gosched()
			}
			if !thread.Kill(ticket, nil) {
				t.Error("the call was not running")
			}
			unblock <- struct{}{}
		}()
		if _, err := g.call(thread, "block"); !errors.Is(err, ErrKilled) {
			t.Errorf("block: %v", err)
		}
	})
}

func TestMemoriesAreCapped(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		var instances []*Instance
		defer func() {
			for _, instance := range instances {
				instance.Close()
			}
		}()
		for range DefaultMemories + 1 {
			instance, err := thread.Instantiate(g.Module)
			if err != nil {
				if !errors.Is(err, ErrTooManyMemories) || len(instances) != DefaultMemories {
					t.Errorf("instance %d: %v", len(instances), err)
				}
				return
			}
			instances = append(instances, instance)
		}
		t.Errorf("%d instances were made", len(instances))
	})
	if live := engine.LiveMemories(); live != 0 {
		t.Errorf("%d live memories are left", live)
	}
}

func TestLoadRefuses(t *testing.T) {
	for name, content := range map[string][]byte{
		"empty": nil, "text": []byte("hello"), "elf": []byte("\x7fELF\x02\x01\x01garbage"),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "x.so")
			if err := os.WriteFile(path, content, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := engine.Load(path, ModuleOptions{}); err == nil {
				t.Error("loaded")
			}
		})
	}
	if _, err := engine.Load(filepath.Join(t.TempDir(), "none.so"), ModuleOptions{}); err == nil {
		t.Error("loaded a file that is not there")
	}
	if _, err := engine.Load("x", ModuleOptions{Imports: []string{"nobody"}}); err == nil {
		t.Error("loaded with a host module that is not there")
	}
}

func TestOpenTwice(t *testing.T) {
	if _, err := Open(Options{}); !errors.Is(err, ErrOpen) {
		t.Errorf("second Open: %v", err)
	}
}

func TestUseAfterClose(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		fn, err := instance.Func("noop", FuncType{})
		if err != nil {
			t.Error(err)
			return
		}
		g.Close() // the instance keeps the code
		if err := thread.Call(instance, fn, nil, nil); err != nil {
			t.Errorf("call after the module's Close: %v", err)
		}
		instance.Close()
		instance.Close()
		if err := thread.Call(instance, fn, nil, nil); !errors.Is(err, ErrClosed) {
			t.Errorf("call after the instance's Close: %v", err)
		}
		if _, err := thread.Instantiate(g.Module); !errors.Is(err, ErrClosed) {
			t.Errorf("instantiate after Close: %v", err)
		}
	})
}
