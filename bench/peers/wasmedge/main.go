// Command wasmedge runs a module on WasmEdge as its Go binding is meant to be used: compiled ahead of time, in a fresh instance
// for every request, without templates, keeper thread or reset.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sync"

	"github.com/second-state/WasmEdge-go/wasmedge"

	"edged.dev/edge/bench/front"
	"edged.dev/edge/bench/hostabi"
)

func main() { os.Exit(front.Main(serve)) } //nolint:forbidigo // the entry of the program

func serve(ctx context.Context) error {
	module := flag.String("module", "", "run the module in `FILE`")
	compile := flag.String("compile", "", "compile the module ahead of time into `FILE` and end")
	kind := flag.String("front", front.Loop, "serve by gnet's loop or by net/http: `KIND`")
	flag.Parse()
	wasmedge.SetLogErrorLevel()
	if *compile != "" {
		// In a process of its own: the compiler would stay in the server's memory.
		conf := wasmedge.NewConfigure()
		conf.SetCompilerOptimizationLevel(wasmedge.CompilerOptLevel_O3)
		conf.SetCompilerOutputFormat(wasmedge.CompilerOutputFormat_Native)
		if err := wasmedge.NewCompilerWithConfig(conf).Compile(*module, *compile); err != nil {
			return fmt.Errorf("compile: %w", err)
		}
		return nil
	}
	h := new(host)
	ast, err := wasmedge.NewLoader().LoadFile(*module)
	if err != nil {
		return fmt.Errorf("load the module: %w", err)
	}
	if err := wasmedge.NewValidator().Validate(ast); err != nil {
		return fmt.Errorf("validate the module: %w", err)
	}
	h.ast = ast
	return front.Serve(ctx, *kind, h.run)
}

// host is the module. Workers are kept for ever: their host modules cost more to make than an instance.
type host struct {
	ast *wasmedge.AST

	mu   sync.Mutex
	idle []*worker // guarded by mu
}

// worker has what one request at a time needs.
type worker struct {
	executor *wasmedge.Executor
	store    *wasmedge.Store
	call     *hostabi.Call // of the request that runs
}

func (h *host) worker() (*worker, error) {
	h.mu.Lock()
	if n := len(h.idle); n > 0 {
		w := h.idle[n-1]
		h.idle = h.idle[:n-1]
		h.mu.Unlock()
		return w, nil
	}
	h.mu.Unlock()
	w := &worker{executor: wasmedge.NewExecutor(), store: wasmedge.NewStore()}
	for _, module := range []*wasmedge.Module{wasmedge.NewWasiModule(nil, nil, nil), w.imports()} {
		if err := w.executor.RegisterImport(w.store, module); err != nil {
			return nil, fmt.Errorf("register imports: %w", err)
		}
	}
	return w, nil
}

// run answers a request.
func (h *host) run(call *hostabi.Call) error {
	w, err := h.worker()
	if err != nil {
		return err
	}
	w.call = call
	err = w.run(h.ast, string(call.Entry))
	h.mu.Lock()
	h.idle = append(h.idle, w)
	h.mu.Unlock()
	return err
}

func (w *worker) run(ast *wasmedge.AST, entry string) error {
	instance, err := w.executor.Instantiate(w.store, ast)
	if err != nil {
		return fmt.Errorf("instantiate: %w", err)
	}
	defer instance.Release()
	if start := instance.FindFunction("_initialize"); start != nil {
		if _, err := w.executor.Invoke(start); err != nil {
			return fmt.Errorf("start up: %w", err)
		}
	}
	function := instance.FindFunction(entry)
	if function == nil {
		return fmt.Errorf("%w: no export %s", os.ErrNotExist, entry)
	}
	result, err := w.executor.Invoke(function)
	if err != nil {
		return fmt.Errorf("run: %w", err)
	}
	if len(result) > 0 && result[0] != int32(0) && w.call.Failed == nil {
		w.call.Fail([]byte("the guest has failed"))
	}
	return nil
}

// imports makes module "edged".
func (w *worker) imports() *wasmedge.Module {
	type function func(m *wasmedge.Memory, p []uint) int32
	rows := []struct {
		name            string
		params, results int
		call            function
	}{
		{"input_len", 0, 1, func(*wasmedge.Memory, []uint) int32 { return int32(len(w.call.Body)) }},
		{"input_read", 3, 1, func(m *wasmedge.Memory, p []uint) int32 { return w.call.Read(uint32(p[0]), view(m, p[1], p[2])) }},
		{"output_write", 2, 1, func(m *wasmedge.Memory, p []uint) int32 { return w.call.Write(view(m, p[0], p[1])) }},
		{"output_header", 4, 1, func(m *wasmedge.Memory, p []uint) int32 {
			return w.call.Header(view(m, p[0], p[1]), view(m, p[2], p[3]))
		}},
		{"meta_get", 4, 1, func(m *wasmedge.Memory, p []uint) int32 { return w.call.Meta(view(m, p[0], p[1]), view(m, p[2], p[3])) }},
		{"error", 2, 0, func(m *wasmedge.Memory, p []uint) int32 { w.call.Fail(view(m, p[0], p[1])); return 0 }},
	}
	module := wasmedge.NewModule("edged")
	for _, row := range rows {
		params, results := make([]*wasmedge.ValType, row.params), make([]*wasmedge.ValType, row.results)
		for i := range params {
			params[i] = wasmedge.NewValTypeI32()
		}
		for i := range results {
			results[i] = wasmedge.NewValTypeI32()
		}
		call, returns := row.call, row.results == 1
		body := func(_ any, frame *wasmedge.CallingFrame, args []any) ([]any, wasmedge.Result) {
			var p [4]uint
			for i, arg := range args {
				if n, ok := arg.(int32); ok {
					p[i] = uint(uint32(n))
				}
			}
			result := call(frame.GetMemoryByIndex(0), p[:])
			if !returns {
				return nil, wasmedge.Result_Success
			}
			return []any{result}, wasmedge.Result_Success
		}
		module.AddFunction(row.name, wasmedge.NewFunction(wasmedge.NewFunctionType(params, results), body, nil, 0))
	}
	return module
}

// view returns a range of the guest's memory; outside of it, nothing.
func view(m *wasmedge.Memory, ptr, length uint) []byte {
	data, err := m.GetData(ptr, length)
	if err != nil {
		return nil
	}
	return data
}
