//go:build cgo

package wasmedge

import "testing"

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
