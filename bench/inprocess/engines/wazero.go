package engines

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"edged.dev/edge/bench/inprocess/contest"
)

// openWazero compiles the guest with wazero's compiler.
func openWazero(ctx context.Context, setup Setup) (wazero.Runtime, wazero.CompiledModule, error) {
	text, err := readGuest(setup)
	if err != nil {
		return nil, nil, err
	}
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler().WithCloseOnContextDone(setup.Interruptible))
	compiled, err := runtime.CompileModule(ctx, text)
	return runtime, compiled, err
}

// wazeroExchange gives the guest of testdata/echo its two host functions, in the form that wazero's documentation names for
// those who need performance.
func wazeroExchange(ctx context.Context, runtime wazero.Runtime, x *exchange) error {
	i32, two := []api.ValueType{api.ValueTypeI32}, []api.ValueType{api.ValueTypeI32, api.ValueTypeI32}
	input := func(_ context.Context, module api.Module, stack []uint64) {
		to, ok := module.Memory().Read(uint32(stack[0]), uint32(stack[1]))
		if !ok {
			to = nil // the answer will be wrong, which is reported
		}
		stack[0] = uint64(x.give(to))
	}
	output := func(_ context.Context, module api.Module, stack []uint64) {
		from, ok := module.Memory().Read(uint32(stack[0]), uint32(stack[1]))
		if ok {
			x.take(from)
		}
	}
	builder := runtime.NewHostModuleBuilder("bench")
	builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(input), two, i32).Export("input")
	builder.NewFunctionBuilder().WithGoModuleFunction(api.GoModuleFunc(output), two, nil).Export("output")
	_, err := builder.Instantiate(ctx)
	return err
}

// wazeroNew makes an instance for every request.
func wazeroNew(setup Setup, serve func(contest.Perform) error) error {
	ctx := context.Background()
	runtime, compiled, err := openWazero(ctx, setup)
	if err != nil {
		return err
	}
	x := newExchange()
	if err := wazeroExchange(ctx, runtime, x); err != nil {
		return err
	}
	config := wazero.NewModuleConfig().WithName("")
	stack := make([]uint64, 1)
	return serve(x.fresh(func() error {
		instance, err := runtime.InstantiateModule(ctx, compiled, config)
		if err != nil {
			return err
		}
		if err := instance.ExportedFunction("handle").CallWithStack(ctx, stack); err != nil {
			return err
		}
		return instance.Close(ctx)
	}))
}

// wazeroReused uses one instance for all requests, with whatever the ones before have left in it.
func wazeroReused(setup Setup, serve func(contest.Perform) error) error {
	ctx := context.Background()
	runtime, compiled, err := openWazero(ctx, setup)
	if err != nil {
		return err
	}
	x := newExchange()
	if err := wazeroExchange(ctx, runtime, x); err != nil {
		return err
	}
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return err
	}
	handle := instance.ExportedFunction("handle")
	stack := make([]uint64, 1)
	calls := 0
	return serve(func(_ string, count int) (contest.Round, error) {
		meter, err := contest.NewMeter(count)
		if err != nil {
			return contest.Round{}, err
		}
		for i := range count {
			calls++
			x.expect(calls)
			x.answered = 0
			if err := handle.CallWithStack(ctx, stack); err != nil {
				return contest.Round{}, err
			}
			if err := x.check(); err != nil {
				return contest.Round{}, fmt.Errorf("request %d: %w", i, err)
			}
			meter.Lap()
		}
		return meter.Round()
	})
}

// wazeroCommand runs a WASI command for every request.
func wazeroCommand(setup Setup, serve func(contest.Perform) error) error {
	ctx := context.Background()
	runtime, compiled, err := openWazero(ctx, setup)
	if err != nil {
		return err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, runtime); err != nil {
		return err
	}
	hello := newGreeting()
	return serve(hello.fresh(func() error {
		var out bytes.Buffer
		config := wazero.NewModuleConfig().WithName("").WithArgs("guest").WithStdin(bytes.NewReader(hello.request)).WithStdout(&out)
		instance, err := runtime.InstantiateModule(ctx, compiled, config) // runs _start
		if err != nil {
			return err
		}
		hello.answer = out.Bytes()
		return instance.Close(ctx)
	}))
}

// wazeroKernels runs the kernels in one instance.
func wazeroKernels(setup Setup, serve func(contest.Perform) error) error {
	ctx := context.Background()
	runtime, compiled, err := openWazero(ctx, setup)
	if err != nil {
		return err
	}
	instance, err := runtime.InstantiateModule(ctx, compiled, wazero.NewModuleConfig().WithName(""))
	if err != nil {
		return err
	}
	return serve(kernels(func(export string, result bool) (uint64, error) {
		fn := instance.ExportedFunction(export)
		if fn == nil {
			return 0, fmt.Errorf("%w export %q", ErrUnknown, export)
		}
		values, err := fn.Call(ctx)
		if err != nil || !result {
			return 0, err
		}
		return values[0], nil
	}, nil))
}
