package aot

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"os"
	"runtime"
	"slices"
	"strings"
)

// formatVersion is part of every key: raise it when artifacts of older versions of this package must not be used, for
// instance after a change of the proposals that are on.
const formatVersion = 1

// Level is how much the compiler optimises. The zero value means the default, [O3].
type Level int

// The levels, worst code first.
const (
	levelDefault Level = iota
	O0                 // none: compiles fastest
	O2                 // what most build tools use
	O3                 // all
)

// String returns the level as it appears in file names.
func (l Level) String() string {
	switch l {
	case levelDefault:
		return "default"
	case O0:
		return "O0"
	case O2:
		return "O2"
	case O3:
		return "O3"
	default:
		return fmt.Sprintf("level(%d)", int(l))
	}
}

// parseLevel is the reverse of String for the levels that can be compiled.
func parseLevel(text string) (Level, error) {
	for _, level := range []Level{O0, O2, O3} {
		if text == level.String() {
			return level, nil
		}
	}
	return levelDefault, fmt.Errorf("unknown optimisation level %q", text)
}

// Key identifies what an artifact was made from and for: the code, the engine's version, this package's format, the
// architecture and the CPU's instruction sets. The optimisation level is not part of it: the O0 artifact of a module and
// its better successor have the same key. Equal keys mean interchangeable artifacts.
type Key [sha256.Size]byte

// String returns the key in hexadecimal, as it appears in file names.
func (k Key) String() string { return hex.EncodeToString(k[:]) }

// ParseKey is the reverse of [Key.String].
func ParseKey(text string) (Key, error) {
	var key Key
	if len(text) != hex.EncodedLen(len(key)) || strings.ToLower(text) != text {
		return key, fmt.Errorf("parse artifact key %.80q: want %d lower-case hexadecimal digits", text, hex.EncodedLen(len(key)))
	}
	if _, err := hex.Decode(key[:], []byte(text)); err != nil {
		return key, fmt.Errorf("parse artifact key %.80q: %w", text, err)
	}
	return key, nil
}

// target is what native code depends on besides the module.
type target struct {
	engine string // version of libwasmedge
	arch   string // GOARCH
	cpu    string // see cpuLevel
}

// hostTarget describes this machine and the engine in this process.
func hostTarget() (target, error) {
	engine := engineVersion()
	if engine == "" {
		return target{}, fmt.Errorf("%w: this binary was built without cgo, so it has no engine to compile with", ErrNotSupported)
	}
	info, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return target{}, fmt.Errorf("read the CPU's features: %w", err)
	}
	auxv, err := os.ReadFile("/proc/self/auxv")
	if err != nil {
		return target{}, fmt.Errorf("read the CPU's features: %w", err)
	}
	return target{engine: engine, arch: runtime.GOARCH, cpu: cpuLevel(runtime.GOARCH, string(info), auxv)}, nil
}

// keyOf returns the key of the code for this target.
func (t target) keyOf(code []byte) Key {
	content := sha256.Sum256(code)
	sum := sha256.New()
	writeField(sum, []byte("edged aot"))
	writeField(sum, binary.LittleEndian.AppendUint32(nil, formatVersion))
	writeField(sum, content[:])
	for _, field := range []string{t.engine, t.arch, t.cpu} {
		writeField(sum, []byte(field))
	}
	return Key(sum.Sum(nil))
}

// writeField hashes the field with its length, so that no two lists of fields are alike.
func writeField(sum hash.Hash, field []byte) {
	sum.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(field))))
	sum.Write(field)
}

// x86Families are the beginnings of the names in /proc/cpuinfo that stand for instructions a compiler may choose. The
// rest of the list (mitigations, power, virtualisation) changes with the kernel and does not matter to code.
var x86Families = []string{
	"abm", "adx", "aes", "amx", "avx", "bmi", "clflushopt", "clwb", "cmov", "cx16", "cx8", "erms", "f16c", "fma", "fsgsbase", "fsrm", "fxsr",
	"gfni", "lahf_lm", "lzcnt", "mmx", "movbe", "movdir", "pclmulqdq", "popcnt", "prefetchw", "3dnowprefetch", "rdpid", "rdrand", "rdseed",
	"serialize", "sha", "sse", "ssse3", "pni", "tbm", "vaes", "vpclmulqdq", "waitpkg", "xop", "xsave",
}

// x86Identity are the fields by which LLVM chooses a CPU model, which decides features too.
var x86Identity = []string{"vendor_id", "cpu family", "model"}

// cpuLevel describes the instruction sets of a CPU in one short text; equal texts mean that code compiled for one runs
// on the other. amd64 is read from /proc/cpuinfo; other architectures from the auxiliary vector, where the kernel tells
// HWCAP and HWCAP2, because their cpuinfo shows another machine's under emulation.
func cpuLevel(arch, cpuinfo string, auxv []byte) string {
	var features []string
	if arch == "amd64" {
		features = x86Features(cpuinfo)
	} else {
		features = auxvFeatures(auxv)
	}
	slices.Sort(features)
	sum := sha256.Sum256([]byte(strings.Join(slices.Compact(features), "\n")))
	return fmt.Sprintf("%s-%x", arch, sum[:8])
}

// x86Features returns the relevant entries of the first processor of a /proc/cpuinfo.
func x86Features(cpuinfo string) []string {
	first, _, _ := strings.Cut(cpuinfo, "\n\n")
	var features []string
	for line := range strings.Lines(first) {
		name, value, _ := strings.Cut(line, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if slices.Contains(x86Identity, name) {
			features = append(features, name+"="+value)
		}
		if name != "flags" {
			continue
		}
		for flag := range strings.FieldsSeq(value) {
			if slices.ContainsFunc(x86Families, func(family string) bool { return strings.HasPrefix(flag, family) }) {
				features = append(features, flag)
			}
		}
	}
	return features
}

// Tags of the auxiliary vector (getauxval(3)).
const (
	atHWCAP  = 16
	atHWCAP2 = 26
)

// auxvFeatures returns the hardware capabilities of an auxiliary vector of 64-bit words in this machine's byte order.
func auxvFeatures(auxv []byte) []string {
	var features []string
	for len(auxv) >= 16 {
		tag, value := binary.NativeEndian.Uint64(auxv), binary.NativeEndian.Uint64(auxv[8:])
		if tag == atHWCAP || tag == atHWCAP2 {
			features = append(features, fmt.Sprintf("hwcap%d=%x", tag, value))
		}
		auxv = auxv[16:]
	}
	return features
}
