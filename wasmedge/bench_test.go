//go:build cgo

package wasmedge

import (
	"testing"
)

// BenchmarkFresh makes an instance, calls a function that does nothing, and closes the instance.
func BenchmarkFresh(b *testing.B) {
	g := misbehave(b)
	on(b, func(thread *Thread) {
		for b.Loop() {
			if _, err := g.call(thread, "noop"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkCall calls a function that does nothing in one instance.
func BenchmarkCall(b *testing.B) {
	g := misbehave(b)
	on(b, func(thread *Thread) {
		instance, err := thread.Instantiate(g.Module)
		if err != nil {
			b.Error(err)
			return
		}
		defer instance.Close()
		fn, err := instance.Func("noop", FuncType{})
		if err != nil {
			b.Error(err)
			return
		}
		b.ReportAllocs()
		for b.Loop() {
			if err := thread.Call(instance, fn, nil, nil); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// benchFuncs are what testdata/request.c imports: 1 KiB in and out.
func benchFuncs() []HostFunc {
	body := make([]byte, 1<<10)
	for i := range body {
		body[i] = byte('a' + i%26)
	}
	typ := FuncType{[]ValType{I32, I32}, []ValType{I32}}
	return []HostFunc{
		{"test", "take", typ, func(c *Caller, stack []uint64) error {
			part, ok := c.Bytes(uint32(stack[0]), uint32(stack[1]))
			if !ok {
				return errTest
			}
			stack[0] = uint64(copy(part, body))
			return nil
		}},
		{"test", "give", typ, func(c *Caller, stack []uint64) error {
			part, ok := c.Bytes(uint32(stack[0]), uint32(stack[1]))
			if !ok || len(part) > 0 && part[0] != 'A' {
				return errTest
			}
			copy(*c.Value().(*[]byte), part) //nolint:forcetypeassert // the benchmark's own
			stack[0] = 0
			return nil
		}},
	}
}

// BenchmarkRequest is one request to a fresh instance without HTTP: 1 KiB in, some work, 1 KiB out, and the reset after it.
// "dropped" is how a reset was done before cold pages were guarded, "guarded" with them always so, "learnt" what is chosen.
func BenchmarkRequest(b *testing.B) {
	g := loadC(b, "testdata/request.c", 2)
	one := FuncType{[]ValType{I32}, []ValType{I32}}
	for _, test := range []struct {
		name string
		call string
		typ  FuncType
		arg  func(round int) uint64
	}{
		{"1KiB", "answer", FuncType{Results: one.Results}, func(int) uint64 { return 0 }},
		{"16places", "roam", one, func(round int) uint64 { return uint64(uint32(round) * 2654435761) }},
		{"16places-rarely", "roam", one, nil},
		{"64KiB", "bulk", one, func(int) uint64 { return 64 << 10 }},
		{"4MiB", "bulk", one, func(int) uint64 { return 4 << 20 }},
	} {
		for _, mode := range []string{"dropped", "guarded", "learnt"} {
			b.Run(test.name+"/"+mode, func(b *testing.B) {
				on(b, func(thread *Thread) { benchRequest(b, g, thread, test.call, test.typ, test.arg, mode) })
			})
		}
	}
}

func benchRequest(b *testing.B, g *guest, thread *Thread, call string, typ FuncType, arg func(int) uint64, mode string) {
	b.Helper()
	template, instance, err := g.resettable(thread)
	if err != nil {
		b.Error(err)
		return
	}
	defer template.Close()
	defer instance.Close()
	fn, err := instance.Func(call, typ)
	answer, errAnswer := instance.Func("answer", FuncType{Results: typ.Results})
	if err != nil || errAnswer != nil {
		b.Error(err, errAnswer)
		return
	}
	out := make([]byte, 1<<10)
	var value any = &out
	var stack [1]uint64
	request := func(round int) {
		entry := fn
		switch {
		case arg != nil:
			stack[0] = arg(round)
		case round%100 == 99: // one in a hundred
			stack[0] = uint64(uint32(round) * 2654435761)
		default:
			entry = answer
		}
		if err := thread.Call(instance, entry, value, stack[:]); err != nil {
			b.Error(err)
		}
		if err := instance.Reset(); err != nil {
			b.Error(err)
		}
	}
	for round := range 1000 {
		if round == 20 && mode != "learnt" {
			template.force(mode == "guarded")
		}
		request(round)
	}
	b.ReportAllocs()
	for round := 0; b.Loop(); round++ {
		if mode == "guarded" && round%16 == 0 && !template.Guarded() {
			template.force(true)
		}
		request(round)
	}
	b.ReportMetric(float64(template.HotBytes()), "hotB")
}

// resettable makes a template of a fresh instance and an instance of it.
func (g *guest) resettable(thread *Thread) (*Template, *Instance, error) {
	original, err := thread.Instantiate(g.Module)
	if err != nil {
		return nil, nil, err
	}
	defer original.Close()
	template, err := original.Capture(nil)
	if err != nil {
		return nil, nil, err
	}
	instance, err := thread.InstantiateFrom(template)
	if err != nil {
		template.Close()
	}
	return template, instance, err
}
