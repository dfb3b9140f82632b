package engines

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bytecodealliance/wasmtime-go/v37"

	"edged.dev/edge/bench/inprocess/contest"
)

// openWasmtime compiles the guest with wasmtime's optimising compiler.
func openWasmtime(setup Setup) (*wasmtime.Engine, *wasmtime.Module, error) {
	config := wasmtime.NewConfig()
	config.SetCraneliftOptLevel(wasmtime.OptLevelSpeed)
	config.SetEpochInterruption(setup.Interruptible)
	engine := wasmtime.NewEngineWithConfig(config)
	module, err := wasmtime.NewModuleFromFile(engine, setup.Wasm)
	return engine, module, err
}

// wasmtimeNew makes a store and an instance for every request, allocated on demand: what wasmtime-go offers.
func wasmtimeNew(setup Setup, serve func(contest.Perform) error) error {
	engine, module, err := openWasmtime(setup)
	if err != nil {
		return err
	}
	x := newExchange()
	linker := wasmtime.NewLinker(engine)
	i32 := wasmtime.NewValType(wasmtime.KindI32)
	two := []*wasmtime.ValType{i32, i32}
	memory := func(c *wasmtime.Caller, address, length int32) ([]byte, *wasmtime.Trap) {
		all := c.GetExport("memory").Memory().UnsafeData(c)
		begin, end := uint64(uint32(address)), uint64(uint32(address))+uint64(uint32(length))
		if end > uint64(len(all)) {
			return nil, wasmtime.NewTrap("outside of the guest's memory")
		}
		return all[begin:end], nil
	}
	input := func(c *wasmtime.Caller, args []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
		to, trap := memory(c, args[0].I32(), args[1].I32())
		return []wasmtime.Val{wasmtime.ValI32(int32(x.give(to)))}, trap
	}
	output := func(c *wasmtime.Caller, args []wasmtime.Val) ([]wasmtime.Val, *wasmtime.Trap) {
		from, trap := memory(c, args[0].I32(), args[1].I32())
		x.take(from)
		return nil, trap
	}
	if err := linker.FuncNew("bench", "input", wasmtime.NewFuncType(two, []*wasmtime.ValType{i32}), input); err != nil {
		return err
	}
	if err := linker.FuncNew("bench", "output", wasmtime.NewFuncType(two, nil), output); err != nil {
		return err
	}
	return serve(x.fresh(func() error {
		store := wasmtime.NewStore(engine)
		defer store.Close()
		instance, err := linker.Instantiate(store, module)
		if err != nil {
			return err
		}
		_, err = instance.GetFunc(store, "handle").Call(store)
		return err
	}))
}

// wasmtimeCommand runs a WASI command for every request. wasmtime's C interface gives a guest files as stdin and stdout, so both
// are files in memory.
func wasmtimeCommand(setup Setup, serve func(contest.Perform) error) error {
	engine, module, err := openWasmtime(setup)
	if err != nil {
		return err
	}
	linker := wasmtime.NewLinker(engine)
	if err := linker.DefineWasi(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp(memoryFolder(), "bench")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // it is in memory or among temporary files
	stdin, stdout := filepath.Join(dir, "request"), filepath.Join(dir, "answer")
	hello := newGreeting()
	return serve(hello.fresh(func() error {
		if err := os.WriteFile(stdin, hello.request, 0o600); err != nil {
			return err
		}
		if err := runWasmtimeCommand(engine, linker, module, stdin, stdout); err != nil {
			return err
		}
		var err error
		hello.answer, err = os.ReadFile(stdout)
		return err
	}))
}

// memoryFolder returns a folder that is not on a disk where there is one, else the folder for temporary files.
func memoryFolder() string {
	const shared = "/dev/shm"
	if _, err := os.Stat(shared); err == nil {
		return shared
	}
	return ""
}

func runWasmtimeCommand(engine *wasmtime.Engine, linker *wasmtime.Linker, module *wasmtime.Module, stdin, stdout string) error {
	store := wasmtime.NewStore(engine)
	defer store.Close()
	wasi := wasmtime.NewWasiConfig()
	wasi.SetArgv([]string{"guest"})
	if err := wasi.SetStdinFile(stdin); err != nil {
		return err
	}
	if err := wasi.SetStdoutFile(stdout); err != nil {
		return err
	}
	store.SetWasi(wasi)
	instance, err := linker.Instantiate(store, module)
	if err != nil {
		return err
	}
	_, err = instance.GetFunc(store, "_start").Call(store)
	if exit, ok := err.(*wasmtime.Error); ok { //nolint:errorlint // what wasmtime-go returns is not wrapped
		if status, ended := exit.ExitStatus(); ended && status == 0 {
			return nil
		}
	}
	return err
}

// wasmtimeKernels runs the kernels in one instance. An interruptible one has code that looks at the epoch, which advances
// every millisecond, as it must for slices of one.
func wasmtimeKernels(setup Setup, serve func(contest.Perform) error) error {
	engine, module, err := openWasmtime(setup)
	if err != nil {
		return err
	}
	store := wasmtime.NewStore(engine)
	if setup.Interruptible {
		store.SetEpochDeadline(1 << 40)
		ticker := time.NewTicker(time.Millisecond)
		defer ticker.Stop()
		go func() {
			for range ticker.C {
				engine.IncrementEpoch()
			}
		}()
	}
	instance, err := wasmtime.NewInstance(store, module, nil)
	if err != nil {
		return err
	}
	return serve(kernels(func(export string, result bool) (uint64, error) {
		fn := instance.GetFunc(store, export)
		if fn == nil {
			return 0, fmt.Errorf("%w export %q", ErrUnknown, export)
		}
		value, err := fn.Call(store)
		if number, ok := value.(int64); ok && result {
			return uint64(number), err
		}
		return 0, err
	}, nil))
}
