// Command wazero runs a module on wazero: in a fresh instance for every request, or, with -reuse, in instances that keep
// what earlier requests left in them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"edged.dev/edge/bench/front"
	"edged.dev/edge/bench/hostabi"
)

func main() { os.Exit(front.Main(serve)) } //nolint:forbidigo // the entry of the program

type callKey struct{} // of the request's *hostabi.Call in a context

type host struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	config  wazero.ModuleConfig
	command bool
	idle    chan api.Module // of -reuse; nil without
}

func serve(ctx context.Context) error {
	module := flag.String("module", "", "run the WebAssembly module in `FILE`")
	command := flag.Bool("command", false, "the module is a WASI program")
	reuse := flag.Bool("reuse", false, "keep instances from request to request")
	kind := flag.String("front", front.Loop, "serve by gnet's loop or by net/http: `KIND`")
	flag.Parse()
	wasm, err := os.ReadFile(*module)
	if err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	h := &host{runtime: wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler()), command: *command}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, h.runtime); err != nil {
		return fmt.Errorf("make WASI: %w", err)
	}
	if err := imports(ctx, h.runtime); err != nil {
		return err
	}
	if h.module, err = h.runtime.CompileModule(ctx, wasm); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	h.config = wazero.NewModuleConfig().WithName("").WithStartFunctions("_initialize")
	if h.command {
		h.config = wazero.NewModuleConfig().WithName("").WithStartFunctions("_start")
	}
	if *reuse {
		h.idle = make(chan api.Module, 64)
	}
	return front.Serve(ctx, *kind, h.run)
}

// run answers a request.
func (h *host) run(call *hostabi.Call) error {
	ctx := context.WithValue(context.Background(), callKey{}, call)
	instance, err := h.instance(ctx)
	if err != nil {
		return err
	}
	if h.command {
		return instance.Close(ctx)
	}
	function := instance.ExportedFunction(string(call.Entry))
	if function == nil {
		return fmt.Errorf("%w: no export %s", os.ErrNotExist, call.Entry)
	}
	result, err := function.Call(ctx)
	if err == nil && result[0] != 0 && call.Failed == nil {
		call.Fail([]byte("the guest has failed"))
	}
	if h.idle != nil && err == nil {
		select {
		case h.idle <- instance:
			return nil
		default:
		}
	}
	if err != nil {
		_ = instance.Close(ctx)
		return fmt.Errorf("run: %w", err)
	}
	return instance.Close(ctx)
}

// instance returns one that has started up; a command has ended with that.
func (h *host) instance(ctx context.Context) (api.Module, error) {
	select {
	case instance := <-h.idle:
		return instance, nil
	default:
	}
	instance, err := h.runtime.InstantiateModule(ctx, h.module, h.config)
	if exit := (*sys.ExitError)(nil); h.command && errors.As(err, &exit) && exit.ExitCode() == 0 {
		return closed{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("instantiate: %w", err)
	}
	return instance, nil
}
