package engines

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"

	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/gate"
)

// edged is the engine of this process with one guest loaded into it.
type edged struct {
	engine  *wasmedge.Engine
	gated   *gate.Module
	module  *wasmedge.Module
	globals []string
}

// openEdged opens the engine with these host functions and loads the guest, as the daemon does it.
func openEdged(setup Setup, functions []wasmedge.HostFunc) (*edged, error) {
	// As in the daemon: a host function never waits for a processor that a guest in compiled code holds.
	runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 4)
	text, err := os.ReadFile(setup.Wasm)
	if err != nil {
		return nil, fmt.Errorf("load the guest: %w", err)
	}
	e := &edged{}
	if e.gated, err = gate.Check(text, gate.Limits{}); err != nil {
		return nil, err
	}
	for _, global := range e.gated.MutableGlobals {
		e.globals = append(e.globals, global.Export)
	}
	e.engine, err = wasmedge.Open(wasmedge.Options{Keeper: setup.Keeper, HostFuncs: functions, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return nil, err
	}
	options := wasmedge.ModuleOptions{MemoryExport: e.gated.MemoryExport, Start: e.gated.StartExport}
	for _, imported := range e.gated.Imports {
		if !slices.Contains(options.Imports, imported.Module) {
			options.Imports = append(options.Imports, imported.Module)
		}
	}
	for _, segment := range e.gated.Data {
		options.Data = append(options.Data, wasmedge.Segment(segment))
	}
	e.module, err = e.engine.Load(setup.Artifact, options)
	return e, err
}

// on runs f on a guest thread and waits for it.
func (e *edged) on(f func(t *wasmedge.Thread) error) error {
	result := make(chan error, 1)
	if err := e.engine.Go(func(t *wasmedge.Thread) { result <- f(t) }); err != nil {
		return err
	}
	return <-result
}

// template starts one instance up and captures it. value goes to the host functions of the start-up.
func (e *edged) template(t *wasmedge.Thread, startUp func(instance *wasmedge.Instance) error) (*wasmedge.Template, error) {
	instance, err := t.Instantiate(e.module)
	if err != nil {
		return nil, err
	}
	defer instance.Close()
	if err := startUp(instance); err != nil {
		return nil, fmt.Errorf("start the guest: %w", err)
	}
	return instance.Capture(e.globals)
}

func noStartUp(*wasmedge.Instance) error { return nil }

// exchangeFuncs are the two host functions of testdata/echo.
func exchangeFuncs() []wasmedge.HostFunc {
	i32, two := []wasmedge.ValType{wasmedge.I32}, []wasmedge.ValType{wasmedge.I32, wasmedge.I32}
	outside := errors.New("outside of the guest's memory")
	return []wasmedge.HostFunc{
		{Module: "bench", Name: "input", Type: wasmedge.FuncType{Params: two, Results: i32}, Call: func(c *wasmedge.Caller, stack []uint64) error {
			to, ok := c.Bytes(uint32(stack[0]), uint32(stack[1]))
			if !ok {
				return outside
			}
			stack[0] = uint64(c.Value().(*exchange).give(to)) //nolint:forcetypeassert // no other value is given to a call
			return nil
		}},
		{Module: "bench", Name: "output", Type: wasmedge.FuncType{Params: two}, Call: func(c *wasmedge.Caller, stack []uint64) error {
			from, ok := c.Bytes(uint32(stack[0]), uint32(stack[1]))
			if !ok {
				return outside
			}
			c.Value().(*exchange).take(from) //nolint:forcetypeassert // no other value is given to a call
			return nil
		}},
	}
}

var handleType = wasmedge.FuncType{Results: []wasmedge.ValType{wasmedge.I32}} //nolint:gochecknoglobals // a constant that Go cannot write as one

// edgedReset puts one instance back to its template after every request.
func edgedReset(setup Setup, serve func(contest.Perform) error) error {
	e, err := openEdged(setup, exchangeFuncs())
	if err != nil {
		return err
	}
	return e.on(func(t *wasmedge.Thread) error {
		template, err := e.template(t, noStartUp)
		if err != nil {
			return err
		}
		instance, err := t.InstantiateFrom(template)
		if err != nil {
			return err
		}
		handle, err := instance.Func("handle", handleType)
		if err != nil {
			return err
		}
		x := newExchange()
		stack := make([]uint64, 1)
		return serve(x.fresh(func() error {
			if err := t.Call(instance, handle, x, stack); err != nil {
				return err
			}
			return instance.Reset()
		}))
	})
}

// edgedNew makes an instance from the template for every request and closes it: what a request costs that finds no idle one.
func edgedNew(setup Setup, serve func(contest.Perform) error) error {
	e, err := openEdged(setup, exchangeFuncs())
	if err != nil {
		return err
	}
	return e.on(func(t *wasmedge.Thread) error {
		template, err := e.template(t, noStartUp)
		if err != nil {
			return err
		}
		x := newExchange()
		stack := make([]uint64, 1)
		return serve(x.fresh(func() error {
			instance, err := t.InstantiateFrom(template)
			if err != nil {
				return err
			}
			defer instance.Close()
			handle, err := instance.Func("handle", handleType)
			if err != nil {
				return err
			}
			return t.Call(instance, handle, x, stack)
		}))
	})
}

// body is a request that has nothing but a body.
type body struct{ bytes []byte }

func (body) Meta(string) (string, bool)            { return "", false }
func (body) Headers(func(name, value string) bool) {}
func (b body) Body() []byte                        { return b.bytes }

var _ hostfn.Request = body{}

// edgedGo runs the stock Go guest of testdata/gohello as a reactor, with the host functions of the daemon, put back to its
// template after every request.
func edgedGo(setup Setup, serve func(contest.Perform) error) error {
	e, err := openEdged(setup, hostfn.All())
	if err != nil {
		return err
	}
	app, err := hostfn.NewApp(hostfn.AppOptions{Name: "bench"})
	if err != nil {
		return err
	}
	defer func() { _ = app.Close() }() // it grants no directories
	env := app.NewEnv()
	return e.on(func(t *wasmedge.Thread) error {
		enter := func(instance *wasmedge.Instance, name string, typ wasmedge.FuncType, request hostfn.Request) (hostfn.Output, error) {
			fn, err := instance.Func(name, typ)
			if err != nil {
				return hostfn.Output{}, err
			}
			var stack [1]uint64
			env.Begin(context.Background(), request)
			out := env.Finish(t.Call(instance, fn, env, stack[:]))
			return out, out.Err
		}
		template, err := e.template(t, func(instance *wasmedge.Instance) error {
			_, err := enter(instance, "_initialize", wasmedge.FuncType{}, nil)
			return err
		})
		if err != nil {
			return err
		}
		instance, err := t.InstantiateFrom(template)
		if err != nil {
			return err
		}
		hello := newGreeting()
		return serve(hello.fresh(func() error {
			if _, err := enter(instance, "edged_restore", wasmedge.FuncType{}, nil); err != nil {
				return err
			}
			out, err := enter(instance, "hello", handleType, body{hello.request})
			hello.answer = append(hello.answer[:0], out.Body...)
			return errors.Join(err, instance.Reset())
		}))
	})
}
