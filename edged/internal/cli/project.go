package cli

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"

	"github.com/urfave/cli/v2"
)

//go:embed templates
var templates embed.FS

// language is a kind of project that init makes and build builds.
type language struct {
	name string
	// sdk selects what of the SDK's folder is copied into the project's folder edged/.
	sdk func(file string) bool
	// rename gives a template's file its place where the name it has in templates would not do there.
	rename map[string]string
	build  func(b *build, ctx context.Context) error
}

// languages are the kinds of project; the first is the default.
func languages() []language {
	return []language{
		{name: "go", sdk: isGoSource, rename: map[string]string{"sdk.mod": "edged/go.mod", "gitignore": ".gitignore"}, build: (*build).goModule},
		{name: "c", sdk: func(file string) bool { return path.Ext(file) == ".h" }, rename: map[string]string{"gitignore": ".gitignore"}, build: (*build).c},
		{name: "rust", sdk: func(file string) bool { return path.Ext(file) == ".rs" }, rename: map[string]string{"gitignore": ".gitignore"}, build: (*build).rust},
		{name: "assemblyscript", sdk: func(file string) bool { return path.Ext(file) == ".ts" }, rename: map[string]string{"gitignore": ".gitignore"}, build: (*build).assemblyScript},
	}
}

// isGoSource leaves out tests and what only tests read.
func isGoSource(file string) bool {
	return path.Ext(file) == ".go" && !strings.HasSuffix(file, "_test.go") && !strings.Contains("/"+file, "/testdata/")
}

// appName is what the manifest takes as an app's name.
var appName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

func (p *program) initCommand() *cli.Command {
	return &cli.Command{
		Name:        "init",
		Usage:       "make a new project in the folder NAME",
		ArgsUsage:   "NAME",
		Description: "The project has everything it needs to be built without a network, the SDK included.\n\n" + examples("edged init hello && cd hello && edged build && edged deploy", "edged init counter --lang c"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "lang", Usage: "make it in `LANG`: go, c, rust or assemblyscript", Value: "go"},
		},
		Action: p.init,
	}
}

func (p *program) init(c *cli.Context) error {
	args, err := wantArgs(c, 1, 1)
	if err != nil {
		return err
	}
	name := args[0]
	if !appName.MatchString(name) {
		return usagef("%q cannot be an app's name: it must be 1 to 63 of a-z, 0-9, - and _, and begin with a letter or a digit", name)
	}
	lang, err := languageNamed(c.String("lang"))
	if err != nil {
		return err
	}
	if p.SDK == nil {
		return missing("make projects")
	}
	files, err := p.projectFiles(name, lang)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if err := makeEmptyDir(name); err != nil {
		return err
	}
	for file, content := range files {
		if err := writeNew(filepath.Join(name, filepath.FromSlash(file)), content); err != nil {
			return err
		}
	}
	p.printf("made %s; next:\n  cd %s && edged build && edged deploy\nthe last one prints the line that calls it\n", name, name)
	return nil
}

func languageNamed(name string) (language, error) {
	var names []string
	for _, lang := range languages() {
		if lang.name == name {
			return lang, nil
		}
		names = append(names, lang.name)
	}
	return language{}, &usageError{
		text:   fmt.Sprintf("there is no template for the language %q, only for %s", name, strings.Join(names, ", ")),
		remedy: didYouMean(name, names, "edged init"),
	}
}

// projectFiles returns the content of every file of a new project by its path with slashes.
func (p *program) projectFiles(name string, lang language) (map[string][]byte, error) {
	files := make(map[string][]byte)
	root := path.Join("templates", lang.name)
	entries, err := templates.ReadDir(root)
	if err != nil {
		return nil, fmt.Errorf("templates: %w", err)
	}
	for _, entry := range entries {
		parsed, err := template.ParseFS(templates, path.Join(root, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		var content bytes.Buffer
		if err := parsed.Execute(&content, struct{ Name string }{name}); err != nil {
			return nil, fmt.Errorf("template: %w", err)
		}
		file := strings.TrimSuffix(entry.Name(), ".tmpl")
		if place, ok := lang.rename[file]; ok {
			file = place
		}
		files[file] = content.Bytes()
	}
	err = fs.WalkDir(p.SDK, lang.name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !lang.sdk(file) {
			return err
		}
		content, err := fs.ReadFile(p.SDK, file)
		files["edged/"+strings.TrimPrefix(file, lang.name+"/")] = content
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("copy the SDK: %w", err)
	}
	return files, nil
}

// makeEmptyDir makes a folder, or takes one that is there and empty.
func makeEmptyDir(dir string) error {
	err := os.Mkdir(dir, 0o755) //nolint:gosec // a project is for others to read
	if err == nil {
		return nil
	}
	if !errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("init: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	if len(entries) > 0 {
		return withRemedy(fmt.Errorf("init: the folder %s exists and is not empty", dir), "choose another name, or remove it")
	}
	return nil
}

// writeNew writes a file that must not be there yet, and the folders above it.
func writeNew(file string, content []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil { //nolint:gosec // a project is for others to read
		return fmt.Errorf("init: %w", err)
	}
	out, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644) //nolint:gosec // as above
	if err != nil {
		return fmt.Errorf("init: %w", err)
	}
	_, err = out.Write(content)
	if err := errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("init: %w", err)
	}
	return nil
}
