// Package polybench has small compute kernels in C, in the manner of PolyBench and written anew: linear algebra, stencils,
// graphs, statistics. Each takes some 50 to 150 ms natively. The same sources are compiled natively and to WebAssembly and
// must give the same bits.
package polybench

import "slices"

// Kernels returns the names of the kernels. For each there are three functions without parameters: NAME_init, NAME_run, and
// NAME_check, which returns a hash of the results in 64 bits.
func Kernels() []string {
	return []string{"gemm", "mm2", "jacobi2d", "lu", "seidel2d", "floyd", "durbin", "correlation"}
}

// Sources returns the C files of the kernels, as paths in the module bench.
func Sources() []string {
	sources := slices.Clone(Kernels())
	for i, name := range sources {
		sources[i] = "polybench/kernels/" + name + ".c"
	}
	return sources
}

// NativeMain returns the C file that makes a program of the kernels; it speaks the protocol of package contest.
func NativeMain() string { return "polybench/kernels/native.c" }

// Flags returns what both compilers are told besides -O3: nothing may be fused or depend on errno, so that all give the same
// bits.
func Flags() []string { return []string{"-ffp-contract=off", "-fno-math-errno"} }
