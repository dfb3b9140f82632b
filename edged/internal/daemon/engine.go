package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"edged.dev/edge/edged/internal/config"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
	"edged.dev/edge/wasmedge/aot"
	"edged.dev/edge/wasmedge/gate"
)

// engineOptions say how to open the engine of this process.
type engineOptions struct {
	dir      string // of artifacts
	child    []string
	compile  config.Compile
	memories int
	logger   *slog.Logger
}

// compileChild starts this binary as a compiler: "edged compile" without arguments.
func compileChild() []string { return []string{"/proc/self/exe", "compile"} }

// openEngine opens the artifact cache and, over it, the one engine of the process. The caller closes the cache.
func openEngine(o engineOptions) (*wasmedge.Engine, *aot.Cache, error) {
	if o.child == nil {
		o.child = compileChild()
	}
	cache, err := aot.Open(aot.Options{
		Dir: o.dir, Self: o.child, Logger: o.logger,
		Limits: aot.ChildLimits{MemoryBytes: int64(o.compile.Memory), CPU: o.compile.CPU, Wall: o.compile.Wall},
	})
	if err != nil {
		return nil, nil, err
	}
	engine, err := startEngine(cache, o)
	if err != nil {
		closeCache(cache)
		return nil, nil, err
	}
	return engine, cache, nil
}

func startEngine(cache *aot.Cache, o engineOptions) (*wasmedge.Engine, error) {
	keeper, err := cache.Get(context.Background(), wasmedge.KeeperModule(), nil)
	if err != nil {
		return nil, fmt.Errorf("compile the engine's own module: %w", err)
	}
	return wasmedge.Open(wasmedge.Options{
		Keeper: keeper.Path, HostFuncs: hostfn.All(), Memories: o.memories, Logger: o.logger,
	})
}

// closeCache gives the cache up within a short time.
func closeCache(cache *aot.Cache) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_ = cache.Close(ctx) // it only failed to wait; the children die with this process
}

// provided lists what guests may import, for gate.Bind. granted says whether the app has a key-value space; without one its
// functions are denied.
func provided(functions []wasmedge.HostFunc) []gate.Provided {
	list := make([]gate.Provided, len(functions))
	for i, f := range functions {
		list[i] = gate.Provided{Module: f.Module, Name: f.Name, Type: f.Type}
	}
	return list
}

// load loads an artifact of a checked module.
func load(engine *wasmedge.Engine, module *gate.Module, artifact *aot.Artifact) (*wasmedge.Module, error) {
	options := wasmedge.ModuleOptions{MemoryExport: module.MemoryExport, Start: module.StartExport}
	seen := make(map[string]bool)
	for _, i := range module.Imports {
		if !seen[i.Module] {
			seen[i.Module] = true
			options.Imports = append(options.Imports, i.Module)
		}
	}
	options.Data = make([]wasmedge.Segment, len(module.Data))
	for i, segment := range module.Data {
		options.Data[i] = wasmedge.Segment(segment)
	}
	return engine.Load(artifact.Path, options)
}

// functionExports returns the names and the types of a module's exported functions, the guest's own.
func functionExports(module *gate.Module) (names []string, types map[string]wasmedge.FuncType) {
	types = make(map[string]wasmedge.FuncType)
	for _, export := range module.Exports {
		if export.Kind == gate.KindFunction {
			names = append(names, export.Name)
			types[export.Name] = export.Type
		}
	}
	return names, types
}

// functionImports returns what a module imports.
func functionImports(module *gate.Module) []hostfn.Import {
	var imports []hostfn.Import
	for _, i := range module.Imports {
		imports = append(imports, hostfn.Import{Module: i.Module, Name: i.Name})
	}
	return imports
}

// startUp returns the exports to call in a fresh instance: the module's start function, then its initialiser.
func startUp(module *gate.Module, names []string, abi hostfn.ABI) []string {
	var calls []string
	if module.StartExport != "" {
		calls = append(calls, module.StartExport)
	}
	return append(calls, hostfn.StartUp(names, abi)...)
}
