package gate

import (
	"bytes"
	"fmt"
)

const (
	magic       = "\x00asm"
	coreVersion = "\x01\x00\x00\x00"
	// componentVersion is version 13 of layer 1; a later version keeps the layer in its last two bytes.
	componentVersion = "\x0d\x00\x01\x00"
	preambleBytes    = len(magic) + len(coreVersion)
)

// lookalike is a kind of file that people hand in by mistake.
type lookalike struct{ prefix, what, remedy string }

// lookalikes is searched from the top, the first that fits counts.
var lookalikes = []lookalike{
	{"\x7fELF", "an ELF file, native code for a machine", "build for the wasm32-wasip1 target"},
	{"\xcf\xfa\xed\xfe", "a Mach-O file, native code for a machine", "build for the wasm32-wasip1 target"},
	{"MZ", "a Windows program, native code for a machine", "build for the wasm32-wasip1 target"},
	{"\x1f\x8b", "gzip-compressed", "unpack it first (gzip -d)"},
	{"\x28\xb5\x2f\xfd", "zstd-compressed", "unpack it first (zstd -d)"},
	{"PK\x03\x04", "a zip archive", "unpack it first and deploy the .wasm file in it"},
	{"!<arch>", "a static library", "link it into a module first"},
	{"BC\xc0\xde", "LLVM bitcode", "link it into a module first"},
	{"(", "WebAssembly text", "assemble it first (wat2wasm or wasm-tools parse)"},
	{";;", "WebAssembly text", "assemble it first (wat2wasm or wasm-tools parse)"},
	{"#!", "a script", "deploy the .wasm file that the build writes"},
	{"<", "HTML or XML", "check the address it was downloaded from"},
}

// checkPreamble checks the first eight bytes and says of anything but a core module what it is.
func checkPreamble(src []byte) *Error {
	refuse := func(kind error, reason, remedy string) *Error {
		return &Error{Kind: kind, Function: -1, Reason: reason, Remedy: remedy}
	}
	switch {
	case len(src) == 0:
		return refuse(ErrNotWasm, "the file is empty", "check that the build wrote it")
	case len(src) < len(magic) && bytes.HasPrefix([]byte(magic), src):
		return refuse(ErrMalformed, "the file is truncated after its first bytes", "build or copy it again")
	case !bytes.HasPrefix(src, []byte(magic)):
		return notWasm(src)
	case len(src) < preambleBytes:
		return refuse(ErrMalformed, "the file is truncated after its first bytes", "build or copy it again")
	}
	version := src[len(magic):preambleBytes]
	switch {
	case string(version) == coreVersion:
		return nil
	case string(version) == componentVersion || (version[2] == 1 && version[3] == 0):
		return refuse(ErrComponent, "the file is a WebAssembly component and edged runs core modules",
			"build for wasm32-wasip1 instead of wasm32-wasip2 (TinyGo: -target=wasip1; Rust: --target wasm32-wasip1), and "+
				"leave out `wasm-tools component new`; `wasm-tools component unbundle` gets the core module out of a component")
	default:
		return refuse(ErrMalformed, fmt.Sprintf("the file has WebAssembly version bytes %x and edged knows %x",
			version, coreVersion), "build with a current toolchain")
	}
}

func notWasm(src []byte) *Error {
	text := bytes.TrimLeft(src[:min(len(src), 4096)], " \t\r\n\ufeff")
	for _, l := range lookalikes {
		if bytes.HasPrefix(text, []byte(l.prefix)) {
			return &Error{
				Kind: ErrNotWasm, Function: -1, Reason: "the file is " + l.what + ", not a WebAssembly module", Remedy: l.remedy,
			}
		}
	}
	return &Error{
		Kind: ErrNotWasm, Function: -1,
		Reason: fmt.Sprintf("the file is not a WebAssembly module: it begins with %x instead of %x",
			src[:min(len(src), 4)], magic),
		Remedy: "deploy the .wasm file that the build writes",
	}
}
