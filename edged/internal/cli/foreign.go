package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"edged.dev/edge/edged/internal/admin"
)

// foreignNames are what the project files of other systems are called.
func foreignNames() []string { return []string{"app.yaml", "app.yml"} }

// foreignFile returns the project file of another system in a folder without a manifest, or "".
func foreignFile(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, manifestName)); !errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	for _, name := range foreignNames() {
		path := filepath.Join(dir, name)
		if stat, err := os.Stat(path); err == nil && stat.Mode().IsRegular() {
			return path
		}
	}
	return ""
}

// isForeign reports whether path names a project file of another system.
func isForeign(path string) bool { return slices.Contains(foreignNames(), filepath.Base(path)) }

// maxForeignBytes is above what is ever read of a project file.
const maxForeignBytes = 2 << 20

// readForeign reads the project of another system, makes a manifest of it, and says on stderr what it understood.
func (p *program) readForeign(path string) (admin.DeployRequest, error) {
	var req admin.DeployRequest
	if p.Convert == nil {
		return req, missing("read projects of other systems")
	}
	stat, err := os.Stat(path)
	if err == nil && stat.Size() > maxForeignBytes {
		return req, fmt.Errorf("deploy: %s is %s large, which no project file is", path, sizeText(stat.Size()))
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return req, fmt.Errorf("deploy: %w", err)
	}
	if req.Dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return req, fmt.Errorf("deploy: %w", err)
	}
	entries, err := os.ReadDir(req.Dir)
	if err != nil {
		return req, fmt.Errorf("deploy: %w", err)
	}
	var modules []string
	for _, entry := range entries {
		if filepath.Ext(entry.Name()) == ".wasm" && !entry.IsDir() {
			modules = append(modules, entry.Name())
		}
	}
	manifest, module, notes, err := p.Convert(path, filepath.Base(req.Dir), text, modules)
	if err != nil {
		return req, fmt.Errorf("deploy: %w", err)
	}
	for _, note := range notes {
		_, _ = fmt.Fprintf(p.Stderr, "%s: %s\n", path, p.safe(note, p.StderrTerminal))
	}
	req.ManifestName, req.Manifest, req.ModuleName = path+" (as a manifest)", manifest, module
	req.Module, err = readModule(filepath.Join(req.Dir, module))
	return req, err
}
