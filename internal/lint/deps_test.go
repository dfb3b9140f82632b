package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
)

// linterConfig is the part of .golangci.yml that says who may import whom. The rule here reads the same file, so that
// there is one truth, and needs no linter installed.
type linterConfig struct {
	Linters struct {
		Settings struct {
			Depguard struct {
				Rules map[string]importRule `yaml:"rules"`
			} `yaml:"depguard"`
		} `yaml:"settings"`
	} `yaml:"linters"`
}

// importRule forbids imports to the files that it is for.
type importRule struct {
	Files []string `yaml:"files"` // "**/NAME/**", "!**/NAME/**" or "$all"
	Deny  []struct {
		Pkg  string `yaml:"pkg"` // an import path with all below it, or with a $ behind it exactly that
		Desc string `yaml:"desc"`
	} `yaml:"deny"`
}

// sdkRule keeps the SDKs usable outside of this repository: they are compiled into guests.
func sdkRule(f *file, imported string) bool {
	return f.in("sdk") && !f.isTest() && strings.HasPrefix(imported, modulePath+"/") && !strings.HasPrefix(imported, modulePath+"/sdk/")
}

func imports(t *tree) []finding {
	config := t.find(".golangci.yml")
	if config == nil {
		return []finding{{".golangci.yml", 0, "the file is missing"}}
	}
	var parsed linterConfig
	if err := yaml.Unmarshal(config.text, &parsed); err != nil {
		return []finding{{config.path, 0, err.Error()}}
	}
	rules := parsed.Linters.Settings.Depguard.Rules
	if len(rules) == 0 {
		return []finding{{config.path, 0, "no import rules (depguard) are in it"}}
	}
	var list []finding
	for _, f := range t.files {
		if f.ast == nil {
			continue
		}
		for _, spec := range f.ast.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil || imported == "unsafe" { // unsafe has a rule of its own, which knows guests
				continue
			}
			for name, r := range rules {
				if r.forbids(f.path, imported) {
					list = append(list, f.at(spec, fmt.Sprintf("imports %s, against the rule %q of .golangci.yml", imported, name)))
				}
			}
			if sdkRule(f, imported) {
				list = append(list, f.at(spec, "an SDK imports "+imported+", which guests do not have"))
			}
		}
	}
	return list
}

// forbids reports whether the rule is for the file and denies the import.
func (r importRule) forbids(name, imported string) bool {
	return slices.ContainsFunc(r.Files, func(pattern string) bool { return applies(pattern, name) }) &&
		slices.ContainsFunc(r.Deny, func(d struct {
			Pkg  string `yaml:"pkg"`
			Desc string `yaml:"desc"`
		},
		) bool {
			if exact, ok := strings.CutSuffix(d.Pkg, "$"); ok {
				return imported == exact
			}
			return imported == d.Pkg || strings.HasPrefix(imported, d.Pkg+"/")
		})
}

// applies reports whether a pattern of the linter's configuration is for a file. NAME stands for a folder at the root: the
// linter matches it anywhere, which means the same as long as no other folder has such a name.
func applies(pattern, name string) bool {
	if pattern == "$all" {
		return true
	}
	negative := strings.HasPrefix(pattern, "!")
	folder := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(pattern, "!"), "**/"), "**")
	return strings.HasPrefix(name, folder) != negative
}

func testPackages(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || f.in("internal", "sdk") || strings.HasSuffix(path.Dir(f.path), "test") {
			continue
		}
		for _, spec := range f.ast.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if imported == "testing" || strings.HasPrefix(imported, modulePath+"/internal/") {
				list = append(list, f.at(spec, "imports "+imported+", which is for tests"))
			}
		}
	}
	return list
}

// modules returns the modules that go.mod requires, direct or not.
func modules(goMod []byte) []string {
	requirement := regexp.MustCompile(`(?m)^(?:require )?\s*(\S+\.\S+/?\S*) v[0-9]`)
	var list []string
	for _, match := range requirement.FindAllSubmatch(goMod, -1) {
		list = append(list, string(match[1]))
	}
	return list
}

// dependencies asks of every module that our own code imports that docs/DEPENDENCIES.md names it. It goes by the imports
// and not by the "// indirect" comments, which are only right after go mod tidy.
func dependencies(t *tree) []finding {
	const document = "docs/DEPENDENCIES.md"
	goMod, reasons := t.find("go.mod"), t.find(document)
	if goMod == nil || reasons == nil {
		return []finding{{document, 0, "the file is missing"}}
	}
	known := modules(goMod.text)
	used := make(map[string]*file)
	for _, f := range t.files {
		if f.ast == nil || f.in("bench") {
			continue
		}
		for _, spec := range f.ast.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			for _, module := range known {
				if (imported == module || strings.HasPrefix(imported, module+"/")) && used[module] == nil {
					used[module] = f
				}
			}
		}
	}
	var list []finding
	for module, f := range used {
		if !bytes.Contains(reasons.text, []byte(module)) {
			list = append(list, finding{f.path, 0, "imports " + module + ", which docs/DEPENDENCIES.md does not name"})
		}
	}
	slices.SortFunc(list, func(a, b finding) int { return strings.Compare(a.text, b.text) })
	return list
}

// hostFunctionTypes are the element types of the tables in hostfn that declare what guests may import; the first field of
// an element is the function's name.
func hostFunctionTypes() []string { return []string{"native", "preview1"} }

func hostFunctions(t *tree) []finding {
	const document = "docs/ABI.md"
	var list []finding
	count := 0
	abi := t.find(document)
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || path.Dir(f.path) != "hostfn" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			name, literal := declaredHostFunction(n)
			for i := range name {
				count++
				word := regexp.MustCompile(`\b` + regexp.QuoteMeta(name[i]) + `\b`)
				if abi != nil && !word.Match(abi.text) {
					list = append(list, f.at(literal[i], fmt.Sprintf("the host function %q is not in %s", name[i], document)))
				}
			}
			return true
		})
	}
	switch {
	case count == 0:
		return []finding{{"hostfn", 0, "no table of host functions was found; tell hostFunctionTypes what its elements are"}}
	case abi == nil:
		return []finding{{document, 0, "the file is missing"}}
	}
	return list
}

// declaredHostFunction returns the names in a table of host functions and where they stand; nothing for other nodes.
func declaredHostFunction(n ast.Node) (names []string, places []ast.Node) {
	table, ok := n.(*ast.CompositeLit)
	if !ok {
		return nil, nil
	}
	array, ok := table.Type.(*ast.ArrayType)
	if !ok {
		return nil, nil
	}
	if id, ok := array.Elt.(*ast.Ident); !ok || !slices.Contains(hostFunctionTypes(), id.Name) {
		return nil, nil
	}
	for _, element := range table.Elts {
		row, ok := element.(*ast.CompositeLit)
		if !ok || len(row.Elts) == 0 {
			continue
		}
		field := row.Elts[0]
		if pair, ok := field.(*ast.KeyValueExpr); ok {
			field = pair.Value
		}
		if literal, ok := field.(*ast.BasicLit); ok {
			if name, err := strconv.Unquote(literal.Value); err == nil {
				names, places = append(names, name), append(places, literal)
			}
		}
	}
	return names, places
}
