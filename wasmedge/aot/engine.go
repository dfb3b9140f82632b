//go:build cgo

package aot

import (
	"fmt"

	engine "github.com/second-state/WasmEdge-go/wasmedge"
)

// proposalsOn are the extensions of WebAssembly 1.0 that today's compilers emit by default.
var proposalsOn = []engine.Proposal{
	engine.IMPORT_EXPORT_MUT_GLOBALS,
	engine.NON_TRAP_FLOAT_TO_INT_CONVERSIONS,
	engine.SIGN_EXTENSION_OPERATORS,
	engine.MULTI_VALUE,
	engine.BULK_MEMORY_OPERATIONS,
	engine.REFERENCE_TYPES,
	engine.SIMD,
}

// proposalsOff are all others the engine knows; they are switched off by name so that another default in another
// version of the library changes nothing.
var proposalsOff = []engine.Proposal{
	engine.TAIL_CALL,
	engine.EXTENDED_CONST,
	engine.FUNCTION_REFERENCES,
	engine.GC,
	engine.MULTI_MEMORIES,
	engine.THREADS,
	engine.RELAXED_SIMD,
	engine.ANNOTATIONS,
	engine.MEMORY64,
	engine.EXCEPTION_HANDLING,
	engine.COMPONENT_MODEL,
}

// engineVersion returns the version of the libwasmedge in this process, "" in a build without it.
func engineVersion() string { return engine.GetVersion() }

// compileModule compiles the module for this machine's CPU into a shared object at path. The engine logs its progress
// on file descriptor 1; note is called when a step begins that it does not log. An error means that the module is
// refused, not that the compiler had too little of something: that ends the process.
func compileModule(code []byte, level Level, path string, note func(stage string)) error {
	config := engine.NewConfigure()
	if config == nil {
		return fmt.Errorf("create the engine's configuration: %w", ErrMemory)
	}
	defer config.Release()
	for _, proposal := range proposalsOn {
		config.AddConfig(proposal)
	}
	for _, proposal := range proposalsOff {
		config.RemoveConfig(proposal)
	}
	optimisation, err := engineLevel(level)
	if err != nil {
		return err
	}
	config.SetCompilerOptimizationLevel(optimisation)
	config.SetCompilerOutputFormat(engine.CompilerOutputFormat_Native)
	config.SetCompilerGenericBinary(false)

	note(StageValidate)
	if err := validateModule(config, code); err != nil {
		return err
	}
	compiler := engine.NewCompilerWithConfig(config)
	if compiler == nil {
		return fmt.Errorf("create the compiler: %w", ErrMemory)
	}
	defer compiler.Release()
	if err := compiler.CompileBuffer(code, path); err != nil {
		return fmt.Errorf("compile: %w", err)
	}
	return nil
}

// validateModule parses and validates the module apart from its compilation, so that what is wrong with the module is
// told from what goes wrong in the compiler.
func validateModule(config *engine.Configure, code []byte) error {
	loader := engine.NewLoaderWithConfig(config)
	if loader == nil {
		return fmt.Errorf("create the loader: %w", ErrMemory)
	}
	defer loader.Release()
	module, err := loader.LoadBuffer(code)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	defer module.Release()
	validator := engine.NewValidatorWithConfig(config)
	if validator == nil {
		return fmt.Errorf("create the validator: %w", ErrMemory)
	}
	defer validator.Release()
	if err := validator.Validate(module); err != nil {
		return fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return nil
}

func engineLevel(level Level) (engine.CompilerOptimizationLevel, error) {
	switch level {
	case O0:
		return engine.CompilerOptLevel_O0, nil
	case O2:
		return engine.CompilerOptLevel_O2, nil
	case O3:
		return engine.CompilerOptLevel_O3, nil
	case levelDefault:
		return 0, fmt.Errorf("no optimisation level given")
	default:
		return 0, fmt.Errorf("unknown optimisation level %d", int(level))
	}
}
