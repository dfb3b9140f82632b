package lint

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// The limits on length; see CONTRIBUTING.md.
const (
	maxFileLines     = 800
	maxFunctionLines = 80
)

func packageDoc(t *tree) []finding {
	docs := make(map[string][]string) // by folder: the files with a doc
	first := make(map[string]string)
	for _, f := range t.files {
		if f.ast == nil || f.isTest() {
			continue
		}
		dir := path.Dir(f.path)
		if first[dir] == "" {
			first[dir] = f.path
		}
		if f.ast.Doc != nil && strings.TrimSpace(f.ast.Doc.Text()) != "" {
			docs[dir] = append(docs[dir], path.Base(f.path))
		}
	}
	var list []finding
	for dir, name := range first {
		if n := len(docs[dir]); n != 1 {
			list = append(list, finding{name, 0, fmt.Sprintf("the package in %s has %d package comments %v", dir, n, docs[dir])})
		}
	}
	slices.SortFunc(list, func(a, b finding) int { return strings.Compare(a.path, b.path) })
	return list
}

func exportedDoc(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || f.isGenerated() || f.ast.Name.Name == "main" {
			continue
		}
		for _, decl := range f.ast.Decls {
			switch d := decl.(type) {
			case *ast.FuncDecl:
				if d.Doc == nil && d.Name.IsExported() && exportedReceiver(d) {
					list = append(list, f.at(d, d.Name.Name+" has no comment"))
				}
			case *ast.GenDecl:
				list = append(list, undocumented(f, d)...)
			}
		}
	}
	return list
}

// exportedReceiver reports whether a function is one, or a method of an exported type.
func exportedReceiver(d *ast.FuncDecl) bool {
	if d.Recv == nil {
		return true
	}
	typ := d.Recv.List[0].Type
	for {
		switch t := typ.(type) {
		case *ast.StarExpr:
			typ = t.X
		case *ast.IndexExpr:
			typ = t.X
		case *ast.IndexListExpr:
			typ = t.X
		case *ast.Ident:
			return t.IsExported()
		default:
			return false
		}
	}
}

// undocumented finds exported names of a declaration that neither it nor their own line comments on.
func undocumented(f *file, d *ast.GenDecl) []finding {
	var list []finding
	for _, spec := range d.Specs {
		switch s := spec.(type) {
		case *ast.TypeSpec:
			if s.Name.IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				list = append(list, f.at(s, s.Name.Name+" has no comment"))
			}
		case *ast.ValueSpec:
			if s.Names[0].IsExported() && d.Doc == nil && s.Doc == nil && s.Comment == nil {
				list = append(list, f.at(s, s.Names[0].Name+" has no comment"))
			}
		}
	}
	return list
}

// emptyNames say nothing about what is inside; emptyTypes are last words of type names that do the same.
func emptyNames() []string {
	return []string{"util", "utils", "common", "helper", "helpers", "types", "misc", "pkg", "shared", "stuff"}
}

func emptyTypes() []string {
	return []string{"Manager", "Processor", "Helper", "Data", "Info", "Base", "Util", "Utils"}
}

func names(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.under("testdata") {
			continue
		}
		for part := range strings.SplitSeq(strings.TrimSuffix(f.path, path.Ext(f.path)), "/") {
			if slices.Contains(emptyNames(), strings.ToLower(part)) {
				list = append(list, finding{f.path, 0, fmt.Sprintf("the name %q says nothing", part)})
			}
		}
		if f.ast == nil {
			continue
		}
		for _, decl := range f.ast.Decls {
			list = append(list, declNames(f, decl)...)
		}
	}
	return list
}

func declNames(f *file, decl ast.Decl) []finding {
	var list []finding
	switch d := decl.(type) {
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			if s, ok := spec.(*ast.TypeSpec); ok && slices.Contains(emptyTypes(), lastWord(s.Name.Name)) {
				list = append(list, f.at(s, fmt.Sprintf("the type name %s ends in a word that says nothing", s.Name.Name)))
			}
		}
	case *ast.FuncDecl:
		rest, ok := strings.CutPrefix(d.Name.Name, "Get")
		if ok && rest != "" && unicode.IsUpper(rune(rest[0])) && !f.isTest() {
			list = append(list, f.at(d, d.Name.Name+" begins with Get"))
		}
	}
	return list
}

// lastWord returns the last word of a name in camel case, with a capital.
func lastWord(name string) string {
	start := strings.LastIndexFunc(name, unicode.IsUpper)
	word := name[max(0, start):]
	return strings.ToUpper(word[:1]) + word[1:]
}

func fileLength(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.under("testdata") || f.isGenerated() || !slices.Contains([]string{".go", ".c", ".h", ".s", ".S", ".sh", ".js", ".css", ".py"}, path.Ext(f.path)) {
			continue
		}
		if n := bytes.Count(f.text, []byte("\n")); n > maxFileLines {
			list = append(list, finding{f.path, 0, fmt.Sprintf("%d lines", n)})
		}
	}
	return list
}

func functionLength(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || f.isGenerated() {
			continue
		}
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if !ok || d.Body == nil {
				continue
			}
			lines := f.line(d.Body.End()) - f.line(d.Body.Pos()) + 1 - commentLines(f, d)
			if lines > maxFunctionLines {
				list = append(list, f.at(d, fmt.Sprintf("%s has %d lines", d.Name.Name, lines)))
			}
		}
	}
	return list
}

// commentLines counts the lines within a function that hold nothing but a comment: explaining must not cost length.
func commentLines(f *file, d *ast.FuncDecl) int {
	lines := bytes.Split(f.text, []byte("\n"))
	count := 0
	for n := f.line(d.Body.Pos()); n < f.line(d.Body.End()); n++ {
		if bytes.HasPrefix(bytes.TrimSpace(lines[n-1]), []byte("//")) {
			count++
		}
	}
	return count
}

func noInit(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isGenerated() {
			continue
		}
		for _, decl := range f.ast.Decls {
			if d, ok := decl.(*ast.FuncDecl); ok && d.Recv == nil && d.Name.Name == "init" {
				list = append(list, f.at(d, "init runs whether wanted or not"))
			}
		}
	}
	return list
}

// unsafeImports returns the imports of a file that leave the language's guarantees.
func unsafeImports(f *file) []*ast.ImportSpec {
	return slices.DeleteFunc(slices.Clone(f.ast.Imports), func(s *ast.ImportSpec) bool {
		return s.Path.Value != `"C"` && s.Path.Value != `"unsafe"`
	})
}

// unsafePlace keeps cgo in wasmedge/, and in bench/ where another engine is called that edged is measured beside.
func unsafePlace(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || f.isGuest() {
			continue
		}
		for _, spec := range unsafeImports(f) {
			name := strings.TrimSuffix(path.Base(f.path), ".go")
			if !f.in("wasmedge", "bench/wasmtime") || (!strings.Contains(name+"_", "_cgo_") && !strings.Contains(name+"_", "_unsafe_")) {
				list = append(list, f.at(spec, "imports "+spec.Path.Value))
			}
		}
	}
	return list
}

func unsafeReason(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || f.under("testdata", "templates") {
			continue
		}
		for _, spec := range unsafeImports(f) {
			if spec.Path.Value == `"unsafe"` && !bytes.Contains(f.text, []byte("SAFETY:")) {
				list = append(list, f.at(spec, "uses unsafe without saying why it is safe"))
			}
		}
	}
	return list
}

func typedAtomics(t *tree) []finding {
	raw := regexp.MustCompile(`^(Add|And|Or|Load|Store|Swap|CompareAndSwap)(Int32|Int64|Uint32|Uint64|Uintptr|Pointer)$`)
	var list []finding
	for _, f := range t.files {
		if f.ast != nil {
			list = append(list, f.calls("sync/atomic", raw.MatchString)...)
		}
	}
	return list
}

// panicsAllowed lists the files that may panic, and why. No panic is ever for what a guest, a client or an operator gives.
func panicsAllowed() map[string]string {
	return map[string]string{
		"edged/internal/strictyaml/decode.go": "the caller's struct has a field of a type that cannot be decoded: found by the first test",
		"sdk/go/rand.go":                      "inside the guest: io.Reader of crypto/rand must not fail, and a guest without random numbers must not go on",
	}
}

func panics(t *tree) []finding {
	allowed := panicsAllowed()
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || f.isTest() || f.under("testdata") || allowed[f.path] != "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			if call, ok := n.(*ast.CallExpr); ok {
				if id, ok := call.Fun.(*ast.Ident); ok && id.Name == "panic" {
					list = append(list, f.at(call, "panics"))
				}
			}
			return true
		})
	}
	return list
}

// environmentAllowed lists the files outside of the configuration that may read the environment, and why.
func environmentAllowed() map[string]string {
	return map[string]string{
		"edged/main.go":                 "the entry of the program",
		"internal/testutil/testutil.go": "tests have no configuration",
		"internal/testutil/guest.go":    "hands the environment on to compilers",
	}
}

func environment(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if !f.isProduct() || f.in("edged/internal/config") || environmentAllowed()[f.path] != "" {
			continue
		}
		reads := func(name string) bool {
			return slices.Contains([]string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}, name)
		}
		list = append(list, f.calls("os", reads)...)
		list = append(list, f.calls("syscall", reads)...)
	}
	return list
}

func output(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if !f.isProduct() || f.path == "edged/main.go" || f.in("bench", "scripts") {
			continue
		}
		list = append(list, f.calls("fmt", func(name string) bool { return strings.HasPrefix(name, "Print") })...)
		list = append(list, f.calls("os", func(name string) bool { return name == "Exit" })...)
	}
	return list
}

func testSleep(t *tree) []finding {
	var list []finding
	for _, f := range t.files {
		if f.ast != nil && (f.isTest() || f.in("internal/testutil")) && !f.under("testdata") {
			list = append(list, f.calls("time", func(name string) bool { return name == "Sleep" })...)
		}
	}
	return list
}

// portsAllowed lists test files with addresses that nobody listens on or calls, and why they are there.
func portsAllowed() map[string]string {
	return map[string]string{
		"edged/internal/cli/cli_test.go": "a line of a daemon's output, to be read",
		"hostfn/engine_test.go":          "the Host header of a request, to be handed on",
	}
}

func testPort(t *tree) []finding {
	fixed := regexp.MustCompile(`^(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1?\])?:([0-9]{4,5})$`)
	var list []finding
	for _, f := range t.files {
		if f.ast == nil || !f.isTest() || f.in("internal/lint") || portsAllowed()[f.path] != "" {
			continue
		}
		ast.Inspect(f.ast, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(literal.Value)
			match := fixed.FindStringSubmatch(text)
			if err != nil || match == nil {
				return true
			}
			if port, err := strconv.Atoi(match[2]); err == nil && port <= 65535 {
				list = append(list, f.at(literal, "the port in "+literal.Value+" may be taken"))
			}
			return true
		})
	}
	return list
}

// parsersAllowed lists functions that are named like parsers and need no fuzz target, as folder.function, and why.
func parsersAllowed() map[string]string {
	return map[string]string{}
}

// parserName matches names of functions that read bytes of others.
func parserName(name string) bool {
	for _, verb := range []string{"Parse", "Decode", "Read", "Unmarshal", "parse", "decode"} {
		rest, ok := strings.CutPrefix(name, verb)
		if ok && (rest == "" || !unicode.IsLower(rune(rest[0]))) {
			return true
		}
	}
	return false
}

func parserFuzz(t *tree) []finding {
	fuzzed := make(map[string]bool)
	for _, f := range t.files {
		if f.isTest() && bytes.Contains(f.text, []byte("\nfunc Fuzz")) {
			fuzzed[path.Dir(f.path)] = true
		}
	}
	var list []finding
	for _, f := range t.files {
		dir := path.Dir(f.path)
		if !f.isProduct() || f.in("internal") || fuzzed[dir] {
			continue
		}
		for _, decl := range f.ast.Decls {
			d, ok := decl.(*ast.FuncDecl)
			if ok && d.Recv == nil && parserName(d.Name.Name) && takesBytes(d) && parsersAllowed()[dir+"."+d.Name.Name] == "" {
				list = append(list, f.at(d, fmt.Sprintf("%s reads what others wrote, and no Fuzz target is in %s", d.Name.Name, dir)))
			}
		}
	}
	return list
}

// takesBytes reports whether a function has a parameter that carries input: bytes, text or a reader.
func takesBytes(d *ast.FuncDecl) bool {
	for _, field := range d.Type.Params.List {
		switch typ := field.Type.(type) {
		case *ast.ArrayType:
			if id, ok := typ.Elt.(*ast.Ident); ok && id.Name == "byte" {
				return true
			}
		case *ast.Ident:
			if typ.Name == "string" && !strings.HasPrefix(d.Name.Name, "Read") { // a Read of a string takes a path
				return true
			}
		case *ast.SelectorExpr:
			if typ.Sel.Name == "Reader" {
				return true
			}
		case *ast.StarExpr:
			if selector, ok := typ.X.(*ast.SelectorExpr); ok && selector.Sel.Name == "Reader" {
				return true
			}
		}
	}
	return false
}
