package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

// manifestName is the file that makes a folder an app.
const manifestName = "edged.yaml"

func (p *program) deployCommand() *cli.Command {
	return &cli.Command{
		Name:      "deploy",
		Usage:     "deploy an app, or a new version of it",
		ArgsUsage: "[PATH]",
		Description: "PATH is a folder with " + manifestName + " (default: this one), that file itself, or a bare .wasm file.\n" +
			"A folder without it may be a project of waverless, with its app.yml and its module.\n" +
			"The app is checked and compiled first; when anything is wrong, what was deployed before serves on.\n\n" +
			examples("edged deploy", "edged deploy ./shop", "edged deploy hello.wasm --name hello", "edged deploy --json | jq .version"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "name", Usage: "deploy it as `APP`, whatever the manifest or the file is called"},
			adminFlag(), jsonFlag(),
		},
		Action: p.deploy,
	}
}

func (p *program) deploy(c *cli.Context) error {
	args, err := wantArgs(c, 0, 1)
	if err != nil {
		return err
	}
	path := "."
	if len(args) == 1 {
		path = args[0]
	}
	req, err := p.readApp(path)
	if err != nil {
		return err
	}
	req.Name = invoke.AppName(c.String("name"))
	subject := path
	if req.Dir != "" {
		subject = filepath.Base(req.Dir)
	}
	progress := p.newMeter(c.Bool("json"), subject)
	defer progress.close()
	result, err := p.client(c).Deploy(c.Context, req, progress.show)
	progress.close()
	if err != nil {
		return err
	}
	return p.printDeployed(c, result)
}

// readApp reads what there is at path: a folder, a manifest or a bare module.
func (p *program) readApp(path string) (admin.DeployRequest, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return admin.DeployRequest{}, withRemedy(fmt.Errorf("deploy: %w", err),
			"name a folder with %s, that file, or a .wasm file", manifestName)
	}
	if stat.IsDir() {
		if file := foreignFile(path); file != "" {
			return p.readForeign(file)
		}
		path = filepath.Join(path, manifestName)
	}
	if isForeign(path) {
		return p.readForeign(path)
	}
	if !stat.IsDir() && strings.EqualFold(filepath.Ext(path), ".wasm") {
		module, err := readModule(path)
		return admin.DeployRequest{ModuleName: filepath.Base(path), Module: module}, err
	}
	return p.readManifest(path)
}

// readManifest reads a manifest and the module it names.
func (p *program) readManifest(path string) (admin.DeployRequest, error) {
	var req admin.DeployRequest
	manifest, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return req, withRemedy(fmt.Errorf("deploy: there is no %s", path),
			"'edged init NAME' makes a project; 'edged deploy FILE.wasm' needs no manifest")
	}
	if err != nil {
		return req, fmt.Errorf("deploy: %w", err)
	}
	if p.ModulePath == nil {
		return req, missing("read manifests")
	}
	modulePath, err := p.ModulePath(path, manifest)
	if err != nil {
		return req, err
	}
	if !filepath.IsAbs(modulePath) {
		modulePath = filepath.Join(filepath.Dir(path), modulePath)
	}
	req.ManifestName, req.Manifest, req.ModuleName = path, manifest, filepath.Base(modulePath)
	if req.Dir, err = filepath.Abs(filepath.Dir(path)); err != nil {
		return req, fmt.Errorf("deploy: %w", err)
	}
	req.Module, err = readModule(modulePath)
	if source := newerSource(filepath.Dir(path), modulePath); err == nil && source != "" {
		_, _ = fmt.Fprintf(p.Stderr, "%s %s is newer than %s; 'edged build' builds it\n", p.errStyle().paint(yellow, "warning:"), source, modulePath)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return req, withRemedy(fmt.Errorf("deploy: %s names the module %s, which does not exist", path, modulePath), "run 'edged build' first")
	}
	return req, err
}

// readModule reads a Wasm file up to the size that a daemon takes by default.
func readModule(path string) ([]byte, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if stat.Size() > admin.DefaultMaxModule {
		return nil, withRemedy(fmt.Errorf("read module: %s is %s large, above the limit of %s", path, sizeText(stat.Size()), sizeText(admin.DefaultMaxModule)),
			"strip it, with 'wasm-opt -Oz --strip-debug' for instance")
	}
	module, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if !strings.HasPrefix(string(module), "\x00asm") {
		return nil, fmt.Errorf("read module: %s is no WebAssembly file: it does not begin with \\0asm", path)
	}
	return module, nil
}

// printDeployed prints a version that is active now, and how to call it.
func (p *program) printDeployed(c *cli.Context, result admin.DeployResult) error {
	if c.Bool("json") {
		return p.printJSON(result)
	}
	p.printf("%s %s version %s\n", p.outStyle().paint(green, "deployed"), result.App, result.Version)
	p.printRoutes(result)
	return nil
}

// printRoutes prints how to call a version that is active now, and what is worth knowing of it.
func (p *program) printRoutes(result admin.DeployResult) {
	s := p.outStyle()
	for _, f := range result.Functions {
		p.printf("  %s\n", p.safe(functionLine(f), p.StdoutTerminal))
	}
	for _, i := range result.Imports {
		if i.Status != "provided" {
			p.printf("  %s %s.%s %s %s\n", s.paint(yellow, i.Status+":"), p.safe(i.Module, p.StdoutTerminal), p.safe(i.Name, p.StdoutTerminal), i.Type, i.Detail)
		}
	}
	for _, warning := range result.Warnings {
		p.printf("  %s %s\n", s.paint(yellow, "warning:"), p.safe(warning, p.StdoutTerminal))
	}
	if result.Optimising {
		p.printf("  a faster build is being made in the background and takes over by itself\n")
	}
}

// functionLine shows a function with the shortest thing to type to call it.
func functionLine(f admin.FunctionRoute) string {
	switch {
	case f.URL != "":
		return string(f.Name) + "  curl " + method(f) + f.URL
	case f.UDS != "":
		return fmt.Sprintf("%s  curl %s--unix-socket %s http://localhost%s", f.Name, method(f), f.UDS, f.Route)
	case f.Route != "":
		return string(f.Name) + "  " + f.Route
	default:
		return string(f.Name)
	}
}

// method is the option by which curl calls a function that does not take GET.
func method(f admin.FunctionRoute) string {
	if len(f.Methods) == 0 || slices.Contains(f.Methods, "GET") {
		return ""
	}
	return "-X " + f.Methods[0] + " "
}

// newerSource returns a source beside the manifest that was changed after the module was built, or "".
func newerSource(dir, module string) string {
	built, err := os.Stat(module)
	if err != nil {
		return ""
	}
	for _, pattern := range []string{"*.go", "*.c", "*.h", "go.mod"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			continue // a folder whose name is no pattern: this is only a warning
		}
		for _, file := range files {
			if stat, err := os.Stat(file); err == nil && stat.ModTime().After(built.ModTime()) && !strings.HasSuffix(file, "_test.go") {
				return file
			}
		}
	}
	return ""
}
