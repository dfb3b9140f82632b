package hostfn

import (
	"context"
	"testing"

	"edged.dev/edge/wasmedge"
)

// benchCall measures one host function without the engine's part of the call.
func benchCall(b *testing.B, name string, prepare func(g *guest), args ...uint64) {
	b.Helper()
	space := newSpace()
	space.values["key"] = make([]byte, 100)
	g := newGuest(b, AppOptions{Space: space, Config: map[string]string{"key": "value"}})
	g.begin(request{body: "0123456789", meta: map[string]string{"key": "value"}})
	copy(g.mem[64:], "key")
	if prepare != nil {
		prepare(g)
	}
	f := g.funcs[name]
	c := wasmedge.NewCaller(g.mem, g.env)
	stack := make([]uint64, 9)
	b.ReportAllocs()
	for b.Loop() {
		copy(stack, args)
		if err := f.Call(c, stack); err != nil {
			b.Fatal(err)
		}
		g.env.response.total, g.env.response.body = 0, g.env.response.body[:0]
	}
}

func BenchmarkInputRead(b *testing.B)   { benchCall(b, "edged.input_read", nil, 0, 1024, 10) }
func BenchmarkOutputWrite(b *testing.B) { benchCall(b, "edged.output_write", nil, 64, 100) }
func BenchmarkMetaGet(b *testing.B)     { benchCall(b, "edged.meta_get", nil, 64, 3, 1024, 64) }
func BenchmarkConfigGet(b *testing.B)   { benchCall(b, "edged.config_get", nil, 64, 3, 1024, 64) }
func BenchmarkKVGet(b *testing.B)       { benchCall(b, "edged.kv_get", nil, 64, 3, 1024, 128) }
func BenchmarkFdWrite(b *testing.B) {
	benchCall(b, "wasi_snapshot_preview1.fd_write", func(g *guest) { copy(g.mem[128:], []byte{64, 0, 0, 0, 100, 0, 0, 0}) }, 1, 128, 1, 1024)
}

func BenchmarkBeginFinish(b *testing.B) {
	app, err := NewApp(AppOptions{Name: "app"})
	if err != nil {
		b.Fatal(err)
	}
	env, r := app.NewEnv(), Request(request{body: "x"})
	b.ReportAllocs()
	for b.Loop() {
		env.Begin(context.Background(), r)
		env.Finish(nil)
	}
}
