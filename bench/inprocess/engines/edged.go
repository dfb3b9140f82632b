package engines

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"

	"edged.dev/edge/bench/inprocess/contest"
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
	text, err := readGuest(setup)
	if err != nil {
		return nil, err
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

// readGuest returns the module.
func readGuest(setup Setup) ([]byte, error) {
	text, err := os.ReadFile(setup.Wasm)
	if err != nil {
		return nil, fmt.Errorf("load the guest: %w", err)
	}
	return text, nil
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
