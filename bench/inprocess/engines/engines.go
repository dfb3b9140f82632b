// Package engines has every contestant of the in-process benchmarks that is written in Go: edged's engine and its peers, each
// doing the same jobs. One process runs one of them.
package engines

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"edged.dev/edge/bench/inprocess/contest"
)

// ErrUnknown is returned when there is no contestant, or no job, of that name.
var ErrUnknown = errors.New("unknown")

// Setup says what a contestant's process is to be. It travels as one argument of its command line.
type Setup struct {
	// Kind is one of the names of [Kinds].
	Kind string `json:"kind"`
	// Wasm is the guest; Artifact its native code for the engines that do not compile by themselves.
	Wasm     string `json:"wasm,omitempty"`
	Artifact string `json:"artifact,omitempty"`
	// Keeper is the artifact that edged's engine needs.
	Keeper string `json:"keeper,omitempty"`
	// Program is what a process a request runs.
	Program string `json:"program,omitempty"`
	// CPUs are the cores that threads may be put on, where a contestant has several threads.
	CPUs []int `json:"cpus,omitempty"`
	// Slice, in microseconds, is how often a running guest is stopped; 0 for never.
	Slice int64 `json:"slice,omitempty"`
	// Interruptible asks a peer for code that can be stopped from outside.
	Interruptible bool `json:"interruptible,omitempty"`
}

// Argument returns the setup as an argument of a command line.
func (s Setup) Argument() (string, error) {
	text, err := json.Marshal(s)
	return string(text), err
}

// Serve is the life of a contestant's process: argument is what Setup.Argument returned.
func Serve(argument string, commands io.Reader, answers io.Writer) error {
	var setup Setup
	if err := json.Unmarshal([]byte(argument), &setup); err != nil {
		return fmt.Errorf("read the contestant's setup: %w", err)
	}
	serve := kinds()[setup.Kind]
	if serve == nil {
		return fmt.Errorf("%w contestant %q", ErrUnknown, setup.Kind)
	}
	return serve(setup, func(perform contest.Perform) error { return contest.Serve(commands, answers, perform) })
}

// kind prepares a contestant and hands what it can do to serve, once, on the thread that is to do it.
type kind func(setup Setup, serve func(contest.Perform) error) error

func kinds() map[string]kind {
	return map[string]kind{
		"edged-reset":      edgedReset,
		"edged-new":        edgedNew,
		"edged-daemon":     edgedDaemon,
		"edged-go":         edgedGo,
		"edged-kernels":    edgedKernels,
		"edged-turns":      edgedTurns,
		"edged-scale":      edgedScale,
		"wasmtime-new":     wasmtimeNew,
		"wasmtime-pooling": wasmtimePooling,
		"wasmtime-command": wasmtimeCommand,
		"wasmtime-kernels": wasmtimeKernels,
		"wazero-new":       wazeroNew,
		"wazero-reused":    wazeroReused,
		"wazero-command":   wazeroCommand,
		"wazero-kernels":   wazeroKernels,
		"wasmedge-new":     wasmedgeNew,
		"process":          processEach,
	}
}
