package engines

import (
	"errors"
	"fmt"
	"strconv"

	"github.com/second-state/WasmEdge-go/wasmedge"

	"edged.dev/edge/bench/inprocess/contest"
)

// CompilePlain compiles a module the way WasmEdge-go's users do. LLVM leaves signal handlers behind, so the process must be one
// that does nothing else.
func CompilePlain(module, artifact string, level int) error {
	conf := wasmedge.NewConfigure()
	defer conf.Release()
	conf.SetCompilerOptimizationLevel(wasmedge.CompilerOptimizationLevel(level))
	conf.SetCompilerOutputFormat(wasmedge.CompilerOutputFormat_Native)
	compiler := wasmedge.NewCompilerWithConfig(conf)
	defer compiler.Release()
	if err := compiler.Compile(module, artifact); err != nil {
		return fmt.Errorf("compile %s: %w", module, err)
	}
	return nil
}

// wasmedgeNew makes an instance for every request with nothing but WasmEdge-go: the store, the executor and the host functions
// are kept.
func wasmedgeNew(setup Setup, serve func(contest.Perform) error) error {
	wasmedge.SetLogErrorLevel()
	loader := wasmedge.NewLoader()
	defer loader.Release()
	ast, err := loader.LoadFile(setup.Artifact)
	if err != nil {
		return err
	}
	defer ast.Release()
	validator := wasmedge.NewValidator()
	defer validator.Release()
	if err := validator.Validate(ast); err != nil {
		return err
	}
	executor, store := wasmedge.NewExecutor(), wasmedge.NewStore()
	defer executor.Release()
	defer store.Release()
	x := newExchange()
	host := wasmedgeExchange(x)
	defer host.Release()
	if err := executor.RegisterImport(store, host); err != nil {
		return err
	}
	return serve(x.fresh(func() error {
		instance, err := executor.Instantiate(store, ast)
		if err != nil {
			return err
		}
		defer instance.Release()
		handle := instance.FindFunction("handle")
		if handle == nil {
			return fmt.Errorf("%w export %s", ErrUnknown, strconv.Quote("handle"))
		}
		_, err = executor.Invoke(handle)
		return err
	}))
}

// wasmedgeExchange returns the host module of testdata/echo.
func wasmedgeExchange(x *exchange) *wasmedge.Module {
	bytesAt := func(frame *wasmedge.CallingFrame, params []any) ([]byte, error) {
		memory := frame.GetMemoryByIndex(0)
		if memory == nil {
			return nil, errors.New("the guest has no memory")
		}
		return memory.GetData(uint(uint32(params[0].(int32))), uint(uint32(params[1].(int32)))) //nolint:forcetypeassert // the type of the function
	}
	input := func(_ any, frame *wasmedge.CallingFrame, params []any) ([]any, wasmedge.Result) {
		to, err := bytesAt(frame, params)
		if err != nil {
			return nil, wasmedge.Result_Fail
		}
		return []any{int32(x.give(to))}, wasmedge.Result_Success
	}
	output := func(_ any, frame *wasmedge.CallingFrame, params []any) ([]any, wasmedge.Result) {
		from, err := bytesAt(frame, params)
		if err != nil {
			return nil, wasmedge.Result_Fail
		}
		x.take(from)
		return nil, wasmedge.Result_Success
	}
	two := []*wasmedge.ValType{wasmedge.NewValTypeI32(), wasmedge.NewValTypeI32()}
	module := wasmedge.NewModule("bench")
	module.AddFunction("input", wasmedge.NewFunction(wasmedge.NewFunctionType(two, []*wasmedge.ValType{wasmedge.NewValTypeI32()}), input, nil, 0))
	module.AddFunction("output", wasmedge.NewFunction(wasmedge.NewFunctionType(two, nil), output, nil, 0))
	return module
}
