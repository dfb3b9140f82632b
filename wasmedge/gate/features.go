package gate

// feature is a WebAssembly proposal that edged does not run: its name, and how to build without it.
type feature struct{ name, remedy string }

var (
	featureExceptions = feature{
		"exception handling",
		"build with -fno-exceptions (C++), -sSUPPORT_LONGJMP=0 (C), or panic=abort (Rust)",
	}
	featureThreads = feature{
		"threads and atomics",
		"build for one thread: without -pthread, -matomics and --shared-memory",
	}
	featureTailCalls   = feature{"tail calls", "build with -mno-tail-call"}
	featureMultiMemory = feature{"more than one memory", "link into one memory: without -mmultimemory"}
	featureMemory64    = feature{"64-bit memory or tables", "build for wasm32 instead of wasm64"}
	featureGC          = feature{
		"garbage collection",
		"choose a compiler target that keeps its heap in linear memory instead of WasmGC",
	}
	featureFunctionRefs  = feature{"typed function references", "build without -mgc and typed function references"}
	featureStackSwitch   = feature{"stack switching", "build without stack switching"}
	featureRelaxedSIMD   = feature{"relaxed SIMD", "build with -mno-relaxed-simd; -msimd128 alone is fine"}
	featureHalfPrecision = feature{"half-precision floats", "build with -mno-fp16"}
	featureWide          = feature{"wide arithmetic", "build with -mno-wide-arithmetic"}
	featureExtendedConst = feature{
		"extended constant expressions",
		"build with -mno-extended-const, and without -fPIC",
	}
	featurePageSizes = feature{"a custom page size", "link without --page-size"}
	featureImports   = feature{
		"an import that is not a function",
		"link a complete module with its own memory, tables and globals: without --import-memory, --import-table, " +
			"-fPIC and -shared; an object file (.o) must be linked first",
	}
)

// refusedOpcode returns the feature that an opcode without a prefix, or a prefix, belongs to when edged does not run it.
func refusedOpcode(op byte) (feature, bool) {
	switch op {
	case 0x06, 0x07, 0x08, 0x09, 0x0a, 0x18, 0x19, 0x1f:
		return featureExceptions, true
	case 0x12, 0x13:
		return featureTailCalls, true
	case 0x14, 0x15, 0xd4, 0xd5, 0xd6:
		return featureFunctionRefs, true
	case 0xd3, 0xfb:
		return featureGC, true
	case 0xe0, 0xe1, 0xe2, 0xe3, 0xe4, 0xe5, 0xe6:
		return featureStackSwitch, true
	case 0xfe:
		return featureThreads, true
	default:
		return feature{}, false
	}
}

// refusedType returns the feature that a byte in the place of a value type belongs to when edged does not run it.
func refusedType(b byte) (feature, bool) {
	switch b {
	case 0x63, 0x64: // (ref null ht) and (ref ht)
		return featureFunctionRefs, true
	case 0x65, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x71, 0x72, 0x73, 0x77, 0x78:
		return featureGC, true
	case 0x69, 0x74:
		return featureExceptions, true
	case 0x68, 0x75:
		return featureStackSwitch, true
	default:
		return feature{}, false
	}
}

// refusedForm returns the feature that the first byte of a type section's entry belongs to.
func refusedForm(b byte) (feature, bool) {
	switch b {
	case 0x4d, 0x4c, 0x4e, 0x4f, 0x50, 0x5e, 0x5f:
		return featureGC, true
	case 0x5d:
		return featureStackSwitch, true
	default:
		return feature{}, false
	}
}

// refusedConst returns the feature that lets an opcode stand in a constant expression.
func refusedConst(op byte) (feature, bool) {
	switch op {
	case opGlobalGet, 0x6a, 0x6b, 0x6c, 0x7c, 0x7d, 0x7e:
		return featureExtendedConst, true
	case 0xfb:
		return featureGC, true
	default:
		return feature{}, false
	}
}
