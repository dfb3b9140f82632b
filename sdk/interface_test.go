package sdk_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// spelled is how one language writes the imports of module edged.
type spelled struct {
	file string
	// declaration finds them: the import's name, its parameters, its result.
	declaration *regexp.Regexp
	// parameter and result turn their spelling into i (i32) and I (i64).
	parameter, result func(string) string
}

// languages are the SDKs, as their sources declare the imports: no compiler is needed to compare them.
func languages() map[string]spelled {
	return map[string]spelled{
		"C": {
			file:        "c/edge.h",
			declaration: regexp.MustCompile(`EDGED_IMPORT\((\w+)\)\s*(\w+) edged_\w+\(([^)]*)\);`),
			parameter: func(text string) string {
				if strings.Contains(text, "int64_t") && !strings.Contains(text, "*") {
					return "I"
				}
				return "i"
			},
			result: func(text string) string { return map[string]string{"int32_t": "i", "int64_t": "I", "void": ""}[text] },
		},
		"Go": {
			file:        "go/internal/abi/imports_wasip1.go",
			declaration: regexp.MustCompile(`//go:wasmimport edged (\w+)\nfunc \w+()\(([^)]*)\)( int32| int64)?`),
			parameter: func(text string) string {
				switch {
				case strings.HasSuffix(text, " string"):
					return "ii"
				case strings.HasSuffix(text, " int64") && !strings.Contains(text, "*"):
					return "I"
				}
				return "i"
			},
			result: func(text string) string { return map[string]string{" int32": "i", " int64": "I", "": ""}[text] },
		},
		"AssemblyScript": {
			file:        "assemblyscript/edged.ts",
			declaration: regexp.MustCompile(`@external\("edged", "(\w+)"\) declare function \w+()\(([^)]*)\): (\w+);`),
			parameter: func(text string) string {
				if strings.HasSuffix(text, ": i64") {
					return "I"
				}
				return "i"
			},
			result: func(text string) string { return map[string]string{"i32": "i", "i64": "I", "void": ""}[text] },
		},
		"Rust": {
			file:        "rust/edged.rs",
			declaration: regexp.MustCompile(`\n        fn (\w+)()\(([^)]*)\)(?: -> (\w+))?;`),
			parameter: func(text string) string {
				if strings.HasSuffix(text, ": i64") {
					return "I"
				}
				return "i"
			},
			result: func(text string) string { return map[string]string{"i32": "i", "i64": "I", "": ""}[text] },
		},
	}
}

// TestImports compares what every SDK imports with what the host registers, by name and type: an SDK that lacks a function, or has
// one that is none, is found here and not by whoever deploys a guest.
func TestImports(t *testing.T) {
	want := make(map[string]string)
	for _, f := range hostfn.All() {
		if f.Module == "edged" {
			want[f.Name] = kinds(f.Type.Params) + ">" + kinds(f.Type.Results)
		}
	}
	for name, language := range languages() {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.FromSlash(language.file))
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]string)
			for _, found := range language.declaration.FindAllStringSubmatch(string(text), -1) {
				got[found[1]] = language.typeOf(found)
			}
			for function, typ := range want {
				if got[function] != typ {
					t.Errorf("%s is %q in %s, the host has %q", function, got[function], language.file, typ)
				}
			}
			for function := range got {
				if _, known := want[function]; !known {
					t.Errorf("%s is in %s, and the host has no such function", function, language.file)
				}
			}
		})
	}
}

// typeOf returns the type of a declaration: the groups of its expression are name, result in front, parameters, result behind.
func (s *spelled) typeOf(found []string) string {
	result := found[2]
	if len(found) > 4 && result == "" {
		result = found[4]
	}
	var params strings.Builder
	if text := strings.TrimSpace(found[3]); text != "" && text != "void" {
		list := strings.Split(strings.TrimSuffix(text, ","), ",")
		for i, parameter := range list {
			parameter = strings.TrimSpace(parameter)
			// In Go a type may be written once for several names; it is the same as that of the next one that has any.
			for next := i + 1; !strings.ContainsAny(parameter, " :") && next < len(list); next++ {
				if fields := strings.Fields(list[next]); len(fields) > 1 {
					parameter += " " + fields[1]
				}
			}
			params.WriteString(s.parameter(parameter))
		}
	}
	return params.String() + ">" + s.result(result)
}

func kinds(types []wasmedge.ValType) string {
	var text strings.Builder
	for _, t := range types {
		switch t {
		case wasmedge.I32:
			text.WriteByte('i')
		case wasmedge.I64:
			text.WriteByte('I')
		case wasmedge.F32, wasmedge.F64:
			text.WriteByte('?')
		}
	}
	return text.String()
}
