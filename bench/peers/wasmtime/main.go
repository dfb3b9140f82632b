// Command wasmtime runs a module on wasmtime, in a fresh instance for every request.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"edged.dev/edge/bench/front"
	"edged.dev/edge/bench/wasmtime"
)

func main() { os.Exit(front.Main(serve)) } //nolint:forbidigo // the entry of the program

func serve(ctx context.Context) error {
	module := flag.String("module", "", "run the WebAssembly module in `FILE`")
	var options wasmtime.Options
	flag.BoolVar(&options.Command, "command", false, "the module is a WASI program")
	flag.BoolVar(&options.OnDemand, "on-demand", false, "map a memory for each instance instead of taking it from a pool")
	flag.IntVar(&options.Resident, "resident", 1<<20, "keep `BYTES` of a pooled memory resident")
	kind := flag.String("front", front.Loop, "serve by gnet's loop or by net/http: `KIND`")
	flag.Parse()
	wasm, err := os.ReadFile(*module)
	if err != nil {
		return fmt.Errorf("read the module: %w", err)
	}
	host, err := wasmtime.New(wasm, options)
	if err != nil {
		return err
	}
	return front.Serve(ctx, *kind, host.Run)
}
