package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// modulePath is this repository's module; import paths below it are its own packages.
const modulePath = "edged.dev/edge"

// file is one file of the repository.
type file struct {
	path  string // from the repository's root, with slashes
	text  []byte
	lower []byte // text in lower case, once it was asked for
	fset  *token.FileSet
	ast   *ast.File // of Go files; nil for others
}

// finding is one place that breaks a rule.
type finding struct {
	path string
	line int // 0 for the file as a whole
	text string
}

// tree is the repository as the rules see it.
type tree struct{ files []*file }

// skippedFolders are not looked into: none of them is part of the repository.
func skippedFolders() []string { return []string{".git", ".cache", "bin", "data", "node_modules"} }

// readTree reads all text files below root.
func readTree(t *testing.T, root string) *tree {
	t.Helper()
	contents := make(map[string][]byte)
	err := filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if slices.Contains(skippedFolders(), rel) {
				return filepath.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || rel == ".git" { // in a linked work tree that is a file with a path of this machine
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil && !bytes.ContainsRune(text, 0) { // the rest is binary: modules, pictures
			contents[filepath.ToSlash(rel)] = text
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return newTree(t, contents)
}

// newTree makes a tree of files given by path.
func newTree(t *testing.T, contents map[string][]byte) *tree {
	t.Helper()
	fset := token.NewFileSet()
	result := &tree{}
	for name, text := range contents {
		f := &file{path: name, text: text, fset: fset}
		// Templates are not Go yet, and what is in testdata may be wrong on purpose.
		if strings.HasSuffix(name, ".go") && !f.under("testdata", "templates") {
			parsed, err := parser.ParseFile(fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			f.ast = parsed
		}
		result.files = append(result.files, f)
	}
	slices.SortFunc(result.files, func(a, b *file) int { return strings.Compare(a.path, b.path) })
	return result
}

// find returns the file at a path, or nil.
func (t *tree) find(name string) *file {
	for _, f := range t.files {
		if f.path == name {
			return f
		}
	}
	return nil
}

// under reports whether one of the file's folders has one of the names.
func (f *file) under(names ...string) bool {
	folders := strings.Split(path.Dir(f.path), "/")
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(folders, name) })
}

// in reports whether the file is in one of the folders, given from the root, or below.
func (f *file) in(folders ...string) bool {
	return slices.ContainsFunc(folders, func(folder string) bool { return strings.HasPrefix(f.path, folder+"/") })
}

func (f *file) isTest() bool { return strings.HasSuffix(f.path, "_test.go") }

// isGuest reports whether the file runs inside a guest or shows how one is built: there the standard library is the
// guest's, and the daemon's rules on packages, environment and unsafe do not apply.
func (f *file) isGuest() bool { return f.in("sdk", "examples") || f.under("testdata", "templates") }

// isProduct reports whether the file is Go code of the daemon itself, tests aside.
func (f *file) isProduct() bool { return f.ast != nil && !f.isTest() && !f.isGuest() }

func (f *file) isGenerated() bool { return f.ast != nil && ast.IsGenerated(f.ast) }

func (f *file) line(pos token.Pos) int { return f.fset.Position(pos).Line }

// at returns a finding at a node of the file.
func (f *file) at(node ast.Node, text string) finding {
	return finding{f.path, f.line(node.Pos()), text}
}

// calls returns every call of pkg.name for which match is true; pkg is an import path.
func (f *file) calls(pkg string, match func(name string) bool) []finding {
	local := f.importName(pkg)
	if local == "" {
		return nil
	}
	var list []finding
	ast.Inspect(f.ast, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		if id, ok := selector.X.(*ast.Ident); ok && id.Name == local && match(selector.Sel.Name) {
			list = append(list, f.at(selector, local+"."+selector.Sel.Name))
		}
		return true
	})
	return list
}

// importName returns the name under which the file uses an import, or "" when it does not.
func (f *file) importName(pkg string) string {
	for _, spec := range f.ast.Imports {
		if strings.Trim(spec.Path.Value, `"`) != pkg {
			continue
		}
		if spec.Name != nil {
			return spec.Name.Name
		}
		return path.Base(pkg)
	}
	return ""
}
