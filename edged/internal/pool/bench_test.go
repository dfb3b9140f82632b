//go:build cgo

package pool_test

import (
	"path/filepath"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/internal/testutil"
)

// BenchmarkHello is a worker's part of a request to examples/hello: from the moment it has picked the invocation to the moment
// it could pick the next, without queue and without HTTP. The allocations that are left belong to the answer, which
// outlives the call.
func BenchmarkHello(b *testing.B) { benchmark(b, helloPath(b), "hello") }

func helloPath(b *testing.B) string {
	b.Helper()
	return testutil.BuildCFile(b, filepath.Join("..", "..", "..", "examples", "hello", "hello.c"),
		append(testutil.Reactor(), "-I", filepath.Join("..", "..", "..", "sdk", "c"))...)
}

// BenchmarkEmpty is the same with a guest that only writes one byte.
func BenchmarkEmpty(b *testing.B) {
	benchmark(b, testutil.BuildCFile(b, filepath.Join("testdata", "guest.c"), append(testutil.Freestanding(), "-DANSWER=1")...), "version")
}

// BenchmarkScheduled is BenchmarkHello through the scheduler: submitted, run by one of its workers, answered. Few are under way
// at once, so that workers do not fall asleep between them.
func BenchmarkScheduled(b *testing.B) {
	app := benchApp(b, helloPath(b), "hello")
	defer app.Retire()
	const underWay = 16
	free := make(chan *invoke.Invocation, underWay)
	for range underWay {
		inv := newInvocation(app.Function("hello"))
		inv.Done = func(inv *invoke.Invocation, r invoke.Result) {
			if r.Err != nil {
				b.Error(r.Err)
			}
			free <- inv
		}
		free <- inv
	}
	b.ReportAllocs()
	for b.Loop() {
		inv := <-free
		inv.Stamps = invoke.Stamps{Arrived: time.Now()}
		if err := world.scheduler.Submit(inv); err != nil {
			b.Fatal(err)
		}
	}
	for range underWay {
		<-free
	}
}

func benchApp(b *testing.B, path string, fn invoke.FunctionName) *pool.App {
	b.Helper()
	guest, err := hostfn.NewApp(hostfn.AppOptions{Name: "app"})
	if err != nil {
		b.Fatal(err)
	}
	return pool.NewApp(pool.Spec{
		App: "app", Guest: guest, Timeout: hang, Concurrency: 100, Load: loader(b, path),
		Functions: []pool.FunctionSpec{{Name: fn, Entry: string(fn)}},
	})
}

func benchmark(b *testing.B, path string, fn invoke.FunctionName) {
	b.Helper()
	app := benchApp(b, path, fn)
	ran := make(chan error, 1)
	err := world.pool.Go(func(r scheduler.Runner) { ran <- loop(b, r, app.Function(fn)) })
	if err == nil {
		err = <-ran
	}
	if err != nil {
		b.Error(err)
	}
	app.Retire()
}

// loop is what a worker does, without a queue.
func loop(b *testing.B, r scheduler.Runner, target *pool.Function) error {
	b.Helper()
	inv := newInvocation(target)
	once := func() error {
		if err := target.Acquire(); err != nil {
			return err
		}
		result := r.Run(inv, nil)
		target.Release()
		r.Recycle()
		return result.Err
	}
	for range 100 { // the template, an instance of it, and what the reset has to learn
		if err := once(); err != nil {
			return err
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := once(); err != nil {
			return err
		}
	}
	return nil
}

func newInvocation(target *pool.Function) *invoke.Invocation {
	return &invoke.Invocation{
		App: "app", Function: "hello", Source: invoke.SourceHTTP, Target: target, Stamps: invoke.Stamps{Arrived: time.Now()},
		Request: invoke.Request{
			Method: "GET", Path: "/hello", RawQuery: "name=you", Proto: "HTTP/1.1", Host: "localhost", Remote: "@",
			Route: "/hello", Headers: []invoke.Header{{Name: "Host", Value: "localhost"}, {Name: "Accept", Value: "*/*"}},
		},
	}
}
