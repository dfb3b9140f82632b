//go:build cgo

package wasmedge

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// isolationPages is the memory of the guest under test, in pages of 64 KiB.
const isolationPages = 7

// Numbers of the guest's imports and globals.
const (
	importTouch = iota
	importFill
	importForget
	importRandom
	importExit
)

var isolationGlobals = []string{"int", "long", "float", "double"}

// noise is a file that the kernel copies into guest memory from: random bytes, none of them the guest's own.
var noise = sync.OnceValues(func() (int, error) {
	fd, err := unix.MemfdCreate("noise", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, err
	}
	random := rand.NewChaCha8([32]byte{1})
	content := make([]byte, isolationPages<<16)
	_, _ = random.Read(content)
	_, err = unix.Write(fd, content)
	return fd, err
})

// isolationFuncs are host functions that write into guest memory in their own ways.
func isolationFuncs() []HostFunc {
	i32 := []ValType{I32}
	read := func(c *Caller, stack []uint64, prepare func([]byte) []byte) error {
		part, ok := c.Bytes(uint32(stack[0]), uint32(stack[1]))
		fd, err := noise()
		if !ok || err != nil {
			return errors.Join(err, errTest)
		}
		n, err := unix.Pread(fd, prepare(part), 0)
		if errors.Is(err, unix.EFAULT) {
			n = -1
		} else if err != nil {
			return err
		}
		stack[0] = uint64(uint32(int32(n)))
		return nil
	}
	return []HostFunc{
		{"test", "fill", FuncType{[]ValType{I32, I32}, i32}, func(c *Caller, stack []uint64) error { return read(c, stack, c.Writable) }},
		{"test", "forget", FuncType{[]ValType{I32, I32}, i32}, func(c *Caller, stack []uint64) error {
			return read(c, stack, func(part []byte) []byte { return part })
		}},
		{"wasi_snapshot_preview1", "random_get", FuncType{[]ValType{I32, I32}, i32}, func(*Caller, []uint64) error {
			return errTest // it has a native implementation
		}},
	}
}

// isolation builds a guest that can write everywhere a guest can.
func isolation(tb testing.TB) *guest {
	tb.Helper()
	i32 := []ValType{I32}
	types := []FuncType{
		{Params: []ValType{I32, I32}},
		{Params: []ValType{I32, I32}, Results: i32},
		{Params: []ValType{I32, I32, I32}},
		{Params: i32},
		{},
		{Params: []ValType{I32, I64}},
		{Params: i32, Results: i32},
		{Params: []ValType{I64}},
		{Params: []ValType{F32}},
		{Params: []ValType{F64}},
	}
	two := []byte{0, opLocalGet, 0, opLocalGet, 1}
	three := append(slices.Clone(two), opLocalGet, 2)
	all := func(parts ...[]byte) []byte { return append(join(parts...), opEnd) }
	call := func(n byte) []byte { return []byte{opCall, n} }
	set := func(n byte) []byte { return []byte{0, opLocalGet, 0, 0x24, n} }
	a := &assembled{
		types: types, pages: isolationPages,
		imports: []assembledFunc{
			{name: "touch", typ: 1},
			{name: "fill", typ: 1},
			{name: "forget", typ: 1},
			{name: "wasi_snapshot_preview1.random_get", typ: 1},
			{name: "exit", typ: 3},
		},
		globals: []assembledGlobal{
			{"int", []byte{byte(I32), 1, opI32Const, 0x11}},
			{"long", []byte{byte(I64), 1, 0x42, 0x12}},
			{"float", []byte{byte(F32), 1, 0x43, 1, 2, 3, 4}},
			{"double", []byte{byte(F64), 1, 0x44, 1, 2, 3, 4, 5, 6, 0xf0, 0x7f}}, // a signalling NaN
		},
		funcs: []assembledFunc{
			{name: "store8", typ: 0, body: all(two, []byte{0x3a, 0, 0})},
			{name: "store64", typ: 5, body: all(two, []byte{0x37, 0, 0})},
			{name: "store128", typ: 0, body: all(two, []byte{opVector, 0x0f, opVector, vectorSave, 0, 0})},
			{name: "memory_fill", typ: 2, body: all(three, []byte{0xfc, 0x0b, 0})},
			{name: "memory_copy", typ: 2, body: all(three, []byte{0xfc, 0x0a, 0, 0})},
			{name: "host_go", typ: 1, body: all(two, call(importTouch))},
			{name: "host_kernel", typ: 1, body: all(two, call(importFill))},
			{name: "host_forgets", typ: 1, body: all(two, call(importForget))},
			{name: "host_native", typ: 1, body: all(two, call(importRandom))},
			{name: "host_exit", typ: 3, body: []byte{0, opLocalGet, 0, opCall, importExit, opEnd}},
			{name: "grow", typ: 6, body: []byte{0, opLocalGet, 0, 0x40, 0, opEnd}},
			{name: "trap", typ: 4, body: []byte{0, 0x00, opEnd}},
			// spin stores at one place after the other, for ever: local 1 = (local 1 + 4099) & 0x3ffff
			{name: "spin", typ: 3, body: []byte{
				1, 1, byte(I32), 0x03, 0x40, opLocalGet, 1, opLocalGet, 0, 0x3a, 0, 0,
				opLocalGet, 1, opI32Const, 0x83, 0x20, 0x6a, opI32Const, 0xff, 0xff, 0x0f, 0x71, opLocalSet, 1, 0x0c, 0, opEnd, opEnd,
			}},
			{name: "set_int", typ: 3, body: append(set(0), opEnd)},
			{name: "set_long", typ: 7, body: append(set(1), opEnd)},
			{name: "set_float", typ: 8, body: append(set(2), opEnd)},
			{name: "set_double", typ: 9, body: append(set(3), opEnd)},
		},
	}
	return a.load(tb, 2)
}

// content is all the state that an instance has in the engine, but for tables.
type content struct {
	memory  []byte
	globals [4]uint64
}

func contentOf(i *Instance) (content, error) {
	c := content{memory: bytes.Clone(i.view())}
	for n, name := range isolationGlobals {
		value, err := i.Global(name)
		if err != nil {
			return c, err
		}
		c.globals[n] = value
	}
	return c, nil
}

// same says where an instance differs from what it should be, nil when nowhere.
func (c content) same(i *Instance) error {
	now := i.view()
	for n, name := range isolationGlobals {
		if value, err := i.Global(name); err != nil || value != c.globals[n] {
			return fmt.Errorf("global %s is %#x, %w; want %#x", name, value, errors.Join(err, errTest), c.globals[n])
		}
	}
	if bytes.Equal(now, c.memory) {
		return nil
	}
	if len(now) != len(c.memory) {
		return fmt.Errorf("the memory has %d bytes, want %d: %w", len(now), len(c.memory), errTest)
	}
	for n := range now {
		if now[n] != c.memory[n] {
			return fmt.Errorf("byte %#x is %#x, want %#x: %w", n, now[n], c.memory[n], errTest)
		}
	}
	return nil
}

// isolated is one guest thread's part of a test: a template, what its instances must look like, and one of them.
type isolated struct {
	g        *guest
	thread   *Thread
	template *Template
	clean    content
	instance *Instance
	random   *rand.Rand
	home     []uint64 // where most calls write
	resets   int
	fast     int // of them, those of a guarded instance whose call wrote nothing cold
	made     int
	trace    []string // what the last call was made of
}

// place picks where to write n bytes: mostly at home, else anywhere, and often across the boundary of a page.
func (s *isolated) place(n uint64, wander int) uint64 {
	last := uint64(len(s.clean.memory)) - n
	if s.random.IntN(100) >= wander {
		return min(s.home[s.random.IntN(len(s.home))], last)
	}
	switch s.random.IntN(4) {
	case 0:
		page := s.random.Uint64N(isolationPages << 4)
		return min(max(page<<12, n/2)-n/2, last)
	case 1:
		return []uint64{0, last}[s.random.IntN(2)]
	default:
		return s.random.Uint64N(last + 1)
	}
}

// write makes one call that writes somewhere; wander is how many of a hundred go elsewhere than home.
func (s *isolated) write(wander int) error {
	sizes := []uint64{1, 8, 100, 4096, 4097, 20_000, 150_000}
	size := sizes[s.random.IntN(3+min(4, wander/10))]
	call := func(name string, args ...uint64) error {
		s.trace = append(s.trace, fmt.Sprintf("%s%#x", name, args))
		got, err := s.g.callOn(s.thread, s.instance, name, args...)
		if err == nil && name == "host_kernel" && got[0] != size {
			return fmt.Errorf("%s(%#x): the kernel wrote %d bytes of %d", name, args, int32(got[0]), size)
		}
		return err
	}
	v := s.random.Uint64() | 1
	switch s.random.IntN(12) {
	case 0:
		return call("store8", s.place(1, wander), v&0xff)
	case 1:
		return call("store64", s.place(8, wander), v)
	case 2:
		return call("store128", s.place(16, wander), v&0xffffffff)
	case 3:
		return call("memory_fill", s.place(size, wander), v&0xff, size)
	case 4:
		return call("memory_copy", s.place(size, wander), s.random.Uint64N(uint64(len(s.clean.memory))-size), size)
	case 5:
		return call("host_go", s.place(size, wander), size)
	case 6:
		return call("host_kernel", s.place(size, wander), size)
	case 7:
		return call("host_native", s.place(size, wander), size)
	case 8:
		s.trace = append(s.trace, "SetGlobal")
		return s.instance.SetGlobal(isolationGlobals[s.random.IntN(4)], v)
	case 9:
		names := []string{"set_int", "set_long", "set_float", "set_double"}
		return call(names[s.random.IntN(4)], v)
	case 10:
		if wander < 5 {
			return nil
		}
		s.trace = append(s.trace, "Memory")
		copy(s.instance.Memory()[s.place(size, wander):], make([]byte, size))
		return nil
	default:
		err := call("host_exit", 3)
		if errors.Is(err, &ExitError{Code: 3}) {
			return nil
		}
		return fmt.Errorf("exit: %w", err)
	}
}

// round makes a request: some writes, and then the end of the instance or its reset. The next request must see none of it.
func (s *isolated) round(wander int) error {
	s.trace = s.trace[:0]
	for range 1 + s.random.IntN(6) {
		if err := s.write(wander); err != nil {
			return err
		}
	}
	windows := s.instance.windows()
	switch s.random.IntN(40) {
	case 0:
		if _, err := s.g.callOn(s.thread, s.instance, "trap"); err == nil {
			return errors.New("unreachable was reached")
		}
		return s.renew()
	case 1:
		ticket := s.thread.Next()
		go s.thread.Kill(ticket, errTest)
		if _, err := s.g.callOn(s.thread, s.instance, "spin", 7); !errors.Is(err, errTest) {
			return fmt.Errorf("killed: %w", err)
		}
		return s.renew()
	case 2:
		if _, err := s.g.callOn(s.thread, s.instance, "grow", 1); err != nil {
			return err
		}
		if err := s.instance.Reset(); !errors.Is(err, ErrGrown) {
			return fmt.Errorf("reset of grown memory: %w", err)
		}
		return s.renew()
	}
	s.resets++
	if windows == 0 {
		s.fast++
	}
	if err := s.instance.Reset(); err != nil {
		return err
	}
	return s.clean.same(s.instance)
}

// renew replaces the instance, as after a trap, and looks that the new one is clean.
func (s *isolated) renew() error {
	s.instance.Close()
	var err error
	if s.instance, err = s.thread.InstantiateFrom(s.template); err != nil {
		return err
	}
	s.made++
	return s.clean.same(s.instance)
}

// isolate prepares an instance made from a template and runs f with it.
func isolate(tb testing.TB, g *guest, seed uint64, f func(s *isolated)) {
	tb.Helper()
	on(tb, func(thread *Thread) {
		original, err := thread.Instantiate(g.Module)
		if err != nil {
			tb.Error(err)
			return
		}
		defer original.Close()
		memory := original.Memory()
		for n := range memory {
			memory[n] = byte(n*7 + n>>12)
		}
		clear(memory[3<<16 : 4<<16]) // holes in the image
		clean, err := contentOf(original)
		if err != nil {
			tb.Error(err)
			return
		}
		template, err := original.Capture(isolationGlobals)
		if err != nil {
			tb.Error(err)
			return
		}
		defer template.Close()
		s := &isolated{g: g, thread: thread, template: template, clean: clean, random: rand.New(rand.NewPCG(seed, 1))}
		s.home = []uint64{100, 8000, 4096*20 - 4, 4096 * 21, 4096*80 + 17}
		if s.instance, err = thread.InstantiateFrom(template); err != nil {
			tb.Error(err)
			return
		}
		defer func() { s.instance.Close() }()
		if err := clean.same(s.instance); err != nil {
			tb.Error("after making it:", err)
			return
		}
		f(s)
	})
}

// TestIsolation makes random requests that write everywhere a guest can write, in every way that something can be written,
// and compares all state, byte by byte, with that of an instance that was made anew, after every one of them.
func TestIsolation(t *testing.T) {
	g := isolation(t)
	for _, test := range []struct {
		name   string
		wander int // per cent of writes elsewhere than where most are
		force  string
	}{
		{"learning, at home", 0, ""},
		{"learning, sometimes elsewhere", 1, ""},
		{"learning, anywhere", 80, ""},
		{"guarded, anywhere", 60, "guarded"},
		{"guarded, sometimes elsewhere", 10, "guarded"},
		{"without guard", 60, "open"},
	} {
		t.Run(test.name, func(t *testing.T) {
			isolate(t, g, uint64(test.wander), func(s *isolated) {
				for round := range 400 {
					if test.force != "" && round > 30 && round%20 == 0 {
						s.template.force(test.force == "guarded")
					}
					if err := s.round(test.wander); err != nil {
						t.Errorf("round %d, guarded %v: %v\n%s", round, s.template.Guarded(), err, strings.Join(s.trace, "\n"))
						return
					}
				}
				t.Logf("%d resets, %d of them without anything cold to restore; %d instances made; %d bytes hot", s.resets, s.fast, s.made, s.template.HotBytes())
				emulated := os.Getenv("EDGED_TEST_EMULATOR") != "" // it does not show what was written
				if test.wander <= 1 && test.force == "" && s.fast < s.resets/3 && !emulated {
					t.Errorf("only %d of %d resets had nothing cold to restore", s.fast, s.resets)
				}
			})
		})
	}
}

// TestIsolationIsProven: the test above fails when a reset leaves out any of its steps.
func TestIsolationIsProven(t *testing.T) {
	g := isolation(t)
	for name, step := range map[string]spoiling{"copy": spoilCopy, "drop": spoilDrop, "globals": spoilGlobals} {
		t.Run(name, func(t *testing.T) {
			isolate(t, g, 11, func(s *isolated) {
				for round := range 400 {
					if round == 30 {
						s.template.force(true)
						s.template.spoil(step)
					}
					err := s.round(10)
					if err != nil && round >= 30 {
						t.Logf("caught in round %d: %v", round, err)
						return
					}
					if err != nil {
						t.Errorf("before anything was spoiled: %v", err)
						return
					}
				}
				t.Error("400 rounds did not notice")
			})
		})
	}
}

// TestIsolationOnThreads shares one template among threads: instances made before and after learning, reset at once.
func TestIsolationOnThreads(t *testing.T) {
	g := isolation(t)
	isolate(t, g, 1, func(first *isolated) {
		var threads sync.WaitGroup
		for n := range 3 {
			threads.Add(1)
			err := engine.Go(func(thread *Thread) {
				defer threads.Done()
				s := *first
				s.thread, s.random, s.trace = thread, rand.New(rand.NewPCG(uint64(n), 9)), nil
				var err error
				if s.instance, err = thread.InstantiateFrom(s.template); err != nil {
					t.Error(err)
					return
				}
				defer func() { s.instance.Close() }()
				for round := range 300 {
					if err := s.round(4 * n * n); err != nil {
						t.Errorf("thread %d, round %d: %v\n%s", n, round, err, strings.Join(s.trace, "\n"))
						return
					}
				}
			})
			if err != nil {
				threads.Done()
				t.Error(err)
			}
		}
		threads.Wait()
	})
}

// TestKernelNeedsToldWhere: a system call into guest memory of which nobody said so fails, it does not write half of it.
func TestKernelNeedsToldWhere(t *testing.T) {
	g := isolation(t)
	isolate(t, g, 1, func(s *isolated) {
		s.template.force(true)
		if err := s.instance.Reset(); err != nil {
			t.Error(err)
		}
		got, err := s.g.callOn(s.thread, s.instance, "host_forgets", 4096, 8192)
		if err != nil || int32(got[0]) != -1 {
			t.Errorf("read = %d, %v; want EFAULT", int32(got[0]), err)
		}
		got, err = s.g.callOn(s.thread, s.instance, "host_kernel", 4096, 8192)
		if err != nil || got[0] != 8192 {
			t.Errorf("read = %d, %v", int32(got[0]), err)
		}
		if err := s.instance.Reset(); err != nil {
			t.Error(err)
		}
		if err := s.clean.same(s.instance); err != nil {
			t.Error(err)
		}
	})
}

// TestGuardLeavesFaultsAlone: beside guarded pages a guest's own faults are traps, and Go's are panics.
func TestGuardLeavesFaultsAlone(t *testing.T) {
	g := isolation(t)
	isolate(t, g, 1, func(s *isolated) {
		s.template.force(true)
		end := uint64(isolationPages << 16)
		for _, at := range []uint64{end - 7, end, end + 4096, 0xfffffff0} {
			if err := s.renew(); err != nil {
				t.Error(err)
			}
			_, err := s.g.callOn(s.thread, s.instance, "store64", at, 1)
			var trap *Trap
			if !errors.As(err, &trap) || trap.Kind != TrapOutOfBounds {
				t.Errorf("store at %#x: %v", at, err)
			}
			if !nilRecovered() {
				t.Error("a nil dereference in Go is no longer recovered")
			}
		}
	})
}

// TestGuardKeepsMappingsFew: however an instance is written, its memory stays a few mappings of the kernel's.
func TestGuardKeepsMappingsFew(t *testing.T) {
	if os.Getenv("EDGED_TEST_EMULATOR") != "" {
		t.Skip("the emulator shows its own mappings")
	}
	g := isolation(t)
	isolate(t, g, 5, func(s *isolated) {
		most := 0
		for round := range 300 {
			if round >= 30 && round%10 == 0 {
				s.template.force(true)
			}
			if err := s.round(50); err != nil {
				t.Error(err)
				return
			}
			most = max(most, mappings(t, s.instance.view()))
		}
		if most > 49 || most < 2 {
			t.Errorf("%d mappings", most)
		}
		t.Logf("at most %d mappings", most)
	})
}

// mappings counts the kernel's mappings in a memory.
func mappings(tb testing.TB, memory []byte) int {
	tb.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		tb.Error(err)
	}
	low := uint64(reflect.ValueOf(memory).Pointer())
	high := low + uint64(len(memory))
	n := 0
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		if _, err := fmt.Sscanf(line, "%x-%x", &from, &to); err == nil && from < high && to > low {
			n++
		}
	}
	return n
}

// TestTablesAreMadeAnew: an instance's tables go with it. A module that can change them has no template.
func TestTablesAreMadeAnew(t *testing.T) {
	answer := FuncType{Params: []ValType{I32}, Results: []ValType{I32}}
	set := FuncType{Params: []ValType{I32}}
	number := func(n byte) []byte { return []byte{0, opI32Const, n, opEnd} }
	a := &assembled{
		types: []FuncType{answer, set, {Results: []ValType{I32}}}, pages: -1,
		funcs: []assembledFunc{
			{name: "one", typ: 2, body: number(1)},
			{name: "two", typ: 2, body: number(2)},
			{name: "ask", typ: 0, body: []byte{0, opLocalGet, 0, 0x11, 2, 0, opEnd}},
			{name: "change", typ: 1, body: []byte{0, opLocalGet, 0, 0xd2, 1, 0x26, 0, opEnd}}, // table.set(i, ref.func two)
		},
		tables: [][]byte{{0x70, 0, 2}},
		elems:  [][]byte{{0, opI32Const, 0, opEnd, 2, 0, 0}, {3, 0, 1, 1}}, // both slots "one"; "two" may be referred to
	}
	g := a.load(t, 2)
	on(t, func(thread *Thread) {
		for round := range 3 {
			instance, err := thread.Instantiate(g.Module)
			if err != nil {
				t.Error(err)
				return
			}
			g.wantAt(t, thread, instance, "ask", 1, 1)
			if _, err := g.callOn(thread, instance, "change", 1); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
			g.wantAt(t, thread, instance, "ask", 1, 2)
			g.wantAt(t, thread, instance, "ask", 0, 1)
			instance.Close()
		}
	})
}

// wantAt calls an export with one argument and compares its result.
func (g *guest) wantAt(tb testing.TB, t *Thread, i *Instance, name string, arg, want uint64) {
	tb.Helper()
	got, err := g.callOn(t, i, name, arg)
	if err != nil || got[0] != want {
		tb.Errorf("%s(%d) = %v, %v; want %d", name, arg, got, err, want)
	}
}
