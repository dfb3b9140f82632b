package polybench_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tetratelabs/wazero"

	"edged.dev/edge/bench/polybench"
	"edged.dev/edge/internal/testutil"
)

// TestChecks compiles the kernels natively and to WebAssembly, with and without vector instructions, and compares what they
// compute to the bit.
func TestChecks(t *testing.T) {
	native := nativeChecks(t)
	for name, flags := range map[string][]string{"scalar": nil, "SIMD": {"-msimd128"}} {
		t.Run(name, func(t *testing.T) {
			for kernel, got := range wasmChecks(t, flags...) {
				if got != native[kernel] {
					t.Errorf("%s: %s as WebAssembly, %s natively", kernel, got, native[kernel])
				}
			}
		})
	}
}

// files returns the sources relative to this folder.
func files() []string {
	sources := polybench.Sources()
	for i, name := range sources {
		sources[i] = strings.TrimPrefix(name, "polybench/")
	}
	return sources
}

// nativeChecks runs every kernel twice in the native program: both times the arrays must have been filled anew.
func nativeChecks(t *testing.T) map[string]string {
	t.Helper()
	testutil.RequireCommand(t, "gcc")
	program := filepath.Join(t.TempDir(), "kernels")
	arguments := append(files(), strings.TrimPrefix(polybench.NativeMain(), "polybench/"), "-O3", "-Wall", "-Wextra", "-Werror", "-o", program)
	if out, err := exec.CommandContext(t.Context(), "gcc", append(arguments, polybench.Flags()...)...).CombinedOutput(); err != nil {
		t.Fatalf("gcc: %v\n%s", err, out)
	}
	var commands strings.Builder
	for _, kernel := range polybench.Kernels() {
		fmt.Fprintf(&commands, "run %s 1\nrun %s 1\n", kernel, kernel)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Stdin = strings.NewReader(commands.String() + "run nothing 1\n")
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	answers := bytes.Split(bytes.TrimSpace(out), []byte("\n"))
	if len(answers) != 2*len(polybench.Kernels())+1 || !bytes.Contains(answers[len(answers)-1], []byte("no such kernel")) {
		t.Fatalf("the program answered:\n%s", out)
	}
	checks := make(map[string]string)
	for i, kernel := range polybench.Kernels() {
		first, second := answer(t, answers[2*i]), answer(t, answers[2*i+1])
		if first != second {
			t.Errorf("%s: %s, then %s: it does not fill its arrays anew", kernel, first, second)
		}
		if strings.Trim(first, "0") == "" {
			t.Errorf("%s computes something that is not a number", kernel)
		}
		checks[kernel] = first
	}
	return checks
}

func answer(t *testing.T, line []byte) string {
	t.Helper()
	var round struct {
		Ops       int
		Wall, CPU int64
		Check     string
	}
	if err := json.Unmarshal(line, &round); err != nil || round.Ops != 1 || round.Wall <= 0 || round.CPU <= 0 {
		t.Fatalf("answer %s: %v", line, err)
	}
	return round.Check
}

func wasmChecks(t *testing.T, flags ...string) map[string]string {
	t.Helper()
	sources := files()
	flags = append(append(testutil.Freestanding(), "-O3", "-mbulk-memory"), append(flags, polybench.Flags()...)...)
	module := testutil.Read(t, testutil.BuildCFile(t, sources[0], append(flags, sources[1:]...)...))
	ctx := context.Background()
	runtime := wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfigCompiler())
	defer runtime.Close(ctx)
	instance, err := runtime.Instantiate(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	checks := make(map[string]string)
	for _, kernel := range polybench.Kernels() {
		for _, step := range []string{"_init", "_run", "_check"} {
			results, err := instance.ExportedFunction(kernel + step).Call(ctx)
			if err != nil {
				t.Fatalf("%s%s: %v", kernel, step, err)
			}
			if len(results) == 1 {
				checks[kernel] = fmt.Sprintf("%016x", results[0])
			}
		}
	}
	return checks
}
