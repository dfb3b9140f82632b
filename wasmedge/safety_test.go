//go:build cgo

package wasmedge

import (
	"errors"
	"fmt"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"edged.dev/edge/wasmedge/preempt"
)

// hugeFrame returns a function that keeps vectors alive across a call of itself, some in locals and some on its operand
// stack, so that its frame has at least 16 bytes for each.
func hugeFrame(name string, self uint64, locals, operands int) assembledFunc {
	body := append(append(leb(1), leb(uint64(locals))...), 0x7b)
	load := func(n int) {
		body = append(body, opLocalGet, 0, opVector, vectorLoad, 0)
		body = append(body, leb(uint64(16*(n%4000)))...)
	}
	for n := range locals {
		load(n)
		body = append(append(body, opLocalSet), leb(uint64(n+1))...)
	}
	for n := range operands {
		load(n)
	}
	body = append(append(body, opLocalGet, 0, opCall), leb(self)...)
	for range operands {
		body = append(body, opVector, vectorMix)
	}
	for n := range locals {
		body = append(append(body, opLocalGet), leb(uint64(n+1))...)
		body = append(body, opVector, vectorMix)
	}
	return assembledFunc{name: name, body: append(body, opEnd)}
}

// TestHugeFrames recurses with frames far larger than any ordinary guard, and than the host's reserve: whatever a frame
// skips, the first access below the stack must still find the guard.
func TestHugeFrames(t *testing.T) {
	for _, test := range []struct{ locals, operands, level int }{
		{4095, 16, 0},
		{4095, 16, 2},
		{0, 1_000, 3},
		{0, 20_000, 0}, // 320 KB a frame at least: more than the reserve
	} {
		t.Run(fmt.Sprintf("locals=%d/operands=%d/O%d", test.locals, test.operands, test.level), func(t *testing.T) {
			vector := FuncType{Params: []ValType{I32}, Results: []ValType{0x7b}}
			huge := hugeFrame("huge", 0, test.locals, test.operands)
			// deep calls huge after so many small frames: the stack's end is met at every distance from a page's.
			deep := assembledFunc{"deep", 1, join([]byte{0, opI32Const, 0}, []byte{opLocalGet, 0, opCall, 0, opVector, vectorSave, 0, 0, opLocalGet, 0, opEnd})}
			a := &assembled{types: []FuncType{vector, {[]ValType{I32}, []ValType{I32}}}, funcs: []assembledFunc{huge, deep}, pages: 1}
			g := a.load(t, test.level)
			on(t, func(thread *Thread) {
				for range 10 {
					_, err := g.call(thread, "deep", 0)
					var trap *Trap
					if !errors.As(err, &trap) || trap.Kind != TrapStackOverflow {
						t.Errorf("%v; want a stack overflow", err)
					}
				}
			})
			if !nilRecovered() {
				t.Error("a nil dereference in Go is no longer recovered")
			}
		})
	}
}

// TestFuncChecksTypes shows that a function is found by its exact type only.
func TestFuncChecksTypes(t *testing.T) {
	g := misbehave(t)
	i32 := []ValType{I32}
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer instance.Close()
		for name, typ := range map[string]FuncType{
			"no result":       {[]ValType{I32, I32}, nil},
			"more results":    {[]ValType{I32, I32}, []ValType{I32, I32}},
			"another result":  {[]ValType{I32, I32}, []ValType{I64}},
			"no parameters":   {nil, i32},
			"more parameters": {[]ValType{I32, I32, I32}, i32},
			"another kind":    {[]ValType{I32, F32}, i32},
			"no such type":    {[]ValType{I32, 0x42}, i32},
		} {
			if _, err := instance.Func("add", typ); !errors.Is(err, ErrNoEntry) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := instance.Func("add", g.types["add"]); err != nil {
			t.Error(err)
		}
		if _, err := instance.Func("add", FuncType{}); !errors.Is(err, ErrNoEntry) {
			t.Errorf("another type of a function that was found before: %v", err)
		}
		if _, err := instance.Func("memory", FuncType{}); !errors.Is(err, ErrNoEntry) {
			t.Errorf("a memory as a function: %v", err)
		}
	})
}

// TestBitsPass sends signalling NaNs through a guest and a host function.
func TestBitsPass(t *testing.T) {
	through := func(name string, typ, index int) assembledFunc {
		return assembledFunc{name, typ, []byte{0, opLocalGet, 0, opCall, byte(index), opEnd}}
	}
	single, double := FuncType{[]ValType{F32}, []ValType{F32}}, FuncType{[]ValType{F64}, []ValType{F64}}
	a := &assembled{
		types:   []FuncType{single, double, {nil, []ValType{I64}}},
		imports: []assembledFunc{{name: "single"}, {name: "double", typ: 1}, {name: "silent", typ: 2}},
		funcs:   []assembledFunc{through("f32", 0, 0), through("f64", 1, 1), {"silent", 2, []byte{0, opCall, 2, opEnd}}},
		pages:   -1,
	}
	g := a.load(t, 2)
	on(t, func(thread *Thread) {
		for _, test := range []struct {
			name string
			bits uint64
		}{
			{"f32", 0x7fa00001},
			{"f32", 0xffbfffff},
			{"f64", 0x7ff4000000000001},
			{"f64", 0xfff0000000000001},
		} {
			if got, err := g.call(thread, test.name, test.bits); err != nil || got[0] != test.bits {
				t.Errorf("%s(%#x) = %#x, %v", test.name, test.bits, got, err)
			}
		}
		// Deep first, so that the stack below is full of old values.
		if got, err := g.call(thread, "silent"); err != nil || got[0] != 0 {
			t.Errorf("a result that the host function left out is %#x, %v; want 0", got, err)
		}
	})
}

// TestGlobals reads and writes globals of every kind.
func TestGlobals(t *testing.T) {
	zero128 := append([]byte{opVector, 12}, make([]byte, 16)...)
	a := &assembled{types: []FuncType{{}}, funcs: []assembledFunc{{"noop", 0, []byte{0, opEnd}}}, pages: -1, globals: []assembledGlobal{
		{"int", []byte{byte(I32), 1, opI32Const, 0x7f}},
		{"const", []byte{byte(I32), 0, opI32Const, 7}},
		{"double", append([]byte{byte(F64), 1, 0x44}, 1, 0, 0, 0, 0, 0, 0xf0, 0x7f)},
		{"func", []byte{0x70, 1, opRefNull, 0x70}},
		{"extern", []byte{0x6f, 1, opRefNull, 0x6f}},
		{"vector", append([]byte{0x7b, 1}, zero128...)},
	}}
	g := a.load(t, 2)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		for _, test := range []struct {
			name     string
			value    uint64
			readable bool
			writable bool
		}{
			{"int", 0xffffffff, true, true},
			{"const", 7, true, false},
			{"double", 0x7ff0000000000001, true, true},
			{"func", 0, false, false},
			{"extern", 0, false, false},
			{"vector", 0, false, false},
			{"noop", 0, false, false},
			{"none", 0, false, false},
		} {
			value, err := instance.Global(test.name)
			if (err == nil) != test.readable || value != test.value {
				t.Errorf("Global(%s) = %#x, %v", test.name, value, err)
			}
			if err := instance.SetGlobal(test.name, 5); (err == nil) != test.writable {
				t.Errorf("SetGlobal(%s): %v", test.name, err)
			}
			if value, _ := instance.Global(test.name); test.writable && value != 5 {
				t.Errorf("%s is %d after it was set to 5", test.name, value)
			}
		}
		if memory := instance.Memory(); memory != nil {
			t.Errorf("a module without memory has %d bytes", len(memory))
		}
		instance.Close()
		if _, err := instance.Global("int"); !errors.Is(err, ErrClosed) {
			t.Errorf("Global after Close: %v", err)
		}
		if err := instance.SetGlobal("int", 1); !errors.Is(err, ErrClosed) {
			t.Errorf("SetGlobal after Close: %v", err)
		}
		if _, err := instance.Func("noop", FuncType{}); !errors.Is(err, ErrClosed) {
			t.Errorf("Func after Close: %v", err)
		}
	})
}

// TestMemoryWithoutPages: it has no bytes, and every access of the guest to it is out of bounds.
func TestMemoryWithoutPages(t *testing.T) {
	a := &assembled{
		types: []FuncType{{[]ValType{I32}, []ValType{I32}}}, pages: 0,
		funcs: []assembledFunc{{"load", 0, []byte{0, opLocalGet, 0, 0x28, 2, 0, opEnd}}},
	}
	g := a.load(t, 2)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer instance.Close()
		if n := len(instance.Memory()); n != 0 {
			t.Errorf("%d bytes", n)
		}
		for _, at := range []uint64{0, 0x400000, 0xfffffffc} {
			_, err := g.callOn(thread, instance, "load", at)
			var trap *Trap
			if !errors.As(err, &trap) || trap.Kind != TrapOutOfBounds {
				t.Errorf("load(%#x): %v", at, err)
			}
		}
	})
}

// TestCallFromOutside: only the thread's own function may call, and not while the thread runs a guest.
func TestCallFromOutside(t *testing.T) {
	a := &assembled{
		types:   []FuncType{{}},
		imports: []assembledFunc{{name: "reenter"}},
		funcs:   []assembledFunc{{"noop", 0, []byte{0, opEnd}}, {"reenter", 0, []byte{0, opCall, 0, opEnd}}},
		pages:   -1,
	}
	g := a.load(t, 2)
	on(t, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer instance.Close()
		noop, err := instance.Func("noop", FuncType{})
		if err != nil {
			t.Error(err)
			return
		}
		elsewhere := make(chan error)
		go func() { elsewhere <- thread.Call(instance, noop, nil, nil) }()
		if err := <-elsewhere; !errors.Is(err, ErrBusy) {
			t.Errorf("a call on another goroutine: %v", err)
		}
		fn, err := instance.Func("reenter", FuncType{})
		if err != nil {
			t.Error(err)
			return
		}
		var nested error
		if err := thread.Call(instance, fn, func() { nested = thread.Call(instance, noop, nil, nil) }, nil); err != nil {
			t.Errorf("the outer call: %v", err)
		}
		if !errors.Is(nested, ErrBusy) {
			t.Errorf("a call from a host function: %v", nested)
		}
		other, err := thread.Instantiate(g.Module)
		if err != nil {
			t.Error(err)
			return
		}
		defer other.Close()
		if err := thread.Call(other, noop, nil, nil); !errors.Is(err, ErrNoEntry) {
			t.Errorf("a function of another instance: %v", err)
		}
	})
}

// TestTickets shows what a kill does to a call that has not begun, and that it does not reach the one after it.
func TestTickets(t *testing.T) {
	g := misbehave(t)
	on(t, func(thread *Thread) {
		given := thread.Next()
		if !thread.Kill(given, errTest) {
			t.Error("the next call could not be killed")
		}
		if thread.Kill(given, errTest) {
			t.Error("the next call could be killed twice")
		}
		if _, err := g.call(thread, "noop"); !errors.Is(err, errTest) {
			t.Errorf("a call killed before it began: %v", err)
		}
		if _, err := g.call(thread, "fib", 20); err != nil {
			t.Errorf("the call after it: %v", err)
		}
		unused := thread.Next()
		if !thread.Kill(unused, errTest) {
			t.Error("the next call could not be killed")
		}
		next := thread.Next()
		if next == unused {
			t.Error("a ticket was given out twice")
		}
		if _, err := g.call(thread, "fib", 20); err != nil {
			t.Errorf("a call after a killed one that never began: %v", err)
		}
		for _, old := range []Ticket{0, given, unused, next, next + 2} {
			if thread.Kill(old, nil) {
				t.Errorf("ticket %d of a call that is not to come could be killed", old)
			}
		}
	})
}

// TestKillAfterThreadEnd: the thread is gone, the ticket stays harmless.
func TestKillAfterThreadEnd(t *testing.T) {
	var ended *Thread
	var next Ticket
	on(t, func(thread *Thread) { ended, next = thread, thread.Next() })
	for ended.Kill(next, nil) {
		runtime.Gosched() // `on` returns a moment before the thread has gone
	}
}

// TestInterruptSignalIsOpened starts a thread whose mask has the interrupt signal blocked, as every thread's is in a process
// that was started so.
func TestInterruptSignalIsOpened(t *testing.T) {
	g := misbehave(t)
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread with this mask ends with the goroutine
		var set unix.Sigset_t
		number := uint(preempt.Signal()) - 1
		set.Val[number/64] |= 1 << (number % 64)
		if err := unix.PthreadSigmask(unix.SIG_BLOCK, &set, nil); err != nil {
			done <- err
			return
		}
		err := engine.Go(func(thread *Thread) {
			ticket := thread.Next()
			go thread.Kill(ticket, errTest)
			_, err := g.call(thread, "spin")
			done <- err
		})
		if err != nil {
			done <- err
		}
	}()
	if err := <-done; !errors.Is(err, errTest) {
		t.Errorf("spin: %v", err)
	}
}
