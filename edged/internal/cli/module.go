package cli

import (
	"fmt"
	"path"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a WASI program once, without a daemon",
		ArgsUsage: "FILE.wasm [ARGUMENT...]",
		Description: "The program gets this command's standard input, output and error. Standard input is read to its end\n" +
			"first, unless it is a terminal. The program sees no file unless --dir names a folder: DIR under that name,\n" +
			"HOST:GUEST under the path GUEST; its relative paths begin at /. Options of the program itself go behind --.\n" +
			"Ends with 1 when the program does not end with 0.\n\n" +
			examples("edged run hello.wasm", "edged run convert.wasm --dir ./data -- --verbose data/in.csv",
				"edged run convert.wasm --dir ../2026:/in --timeout 10s -- /in/a.csv"),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "dir", Usage: "let it see and change the folder `DIR[:GUEST]`; may be given several times"},
			&cli.StringSliceFlag{Name: "env", Usage: "set `NAME=VALUE` for it; may be given several times"},
			&cli.DurationFlag{Name: "timeout", Usage: "end it after `T`, such as 10s", DefaultText: "never"},
		},
		Action: p.run,
	}
}

func (p *program) run(c *cli.Context) error {
	args, err := wantArgs(c, 1, -1)
	if err != nil {
		return err
	}
	if p.RunModule == nil {
		return missing("run modules")
	}
	var dirs []RunDir
	for _, text := range c.StringSlice("dir") {
		dir, err := parseDir(text)
		if err != nil {
			return err
		}
		dirs = append(dirs, dir)
	}
	module, err := readModule(args[0])
	if err != nil {
		return err
	}
	code, err := p.RunModule(c.Context, RunOptions{
		File: args[0], Module: module, Args: args[1:],
		Dirs: dirs, Env: c.StringSlice("env"), Timeout: c.Duration("timeout"),
		Stdin: p.Stdin, Stdout: p.Stdout, Stderr: p.Stderr,
	})
	if err != nil {
		return err
	}
	if code != 0 {
		return fmt.Errorf("%s ended with code %d", args[0], code)
	}
	return nil
}

// parseDir reads DIR or HOST:GUEST, split at the last colon. A guest's path that is relative begins at /, where the
// program's own relative paths do.
func parseDir(text string) (RunDir, error) {
	host, guest := text, text
	if i := strings.LastIndexByte(text, ':'); i >= 0 {
		host, guest = text[:i], text[i+1:]
	}
	switch clean := path.Clean(guest); {
	case host == "" || guest == "":
		return RunDir{}, usagef("--dir %q is not of the form DIR or HOST:GUEST", text)
	case clean == ".." || strings.HasPrefix(clean, "../"):
		return RunDir{}, &usageError{
			text:   fmt.Sprintf("--dir %q: the program cannot see a path above its own folder", text),
			remedy: fmt.Sprintf("say how the program shall call it: --dir %s:/%s", host, path.Base(path.Join("/", guest))),
		}
	}
	return RunDir{Host: host, Guest: path.Join("/", guest)}, nil
}

func (p *program) compileCommand() *cli.Command {
	return &cli.Command{
		Name:      "compile",
		Usage:     "check and compile a module without deploying it",
		ArgsUsage: "FILE.wasm",
		Description: "Lists what the module exports and imports and whether this build provides it. A large module gets code that\n" +
			"is made fast, as by a deploy: seconds for a Go program of 2 MB. With --optimise it gets the code that a daemon\n" +
			"makes in the background: minutes for that program. (Without an argument this is the daemon's own child process.)\n\n" +
			examples("edged compile app.wasm", "edged compile app.wasm --json", "edged compile app.wasm -O -o app.so"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the native code to `FILE`"},
			&cli.BoolFlag{Name: "optimise", Aliases: []string{"O"}, Usage: "optimise a large module too, however long it takes"},
			jsonFlag(),
		},
		Action: p.compile,
	}
}

func (p *program) compile(c *cli.Context) error {
	args, err := wantArgs(c, 1, 1)
	if err != nil {
		return err
	}
	if p.Compile == nil {
		return missing("compile modules")
	}
	module, err := readModule(args[0])
	if err != nil {
		return err
	}
	progress := p.newMeter(c.Bool("json"), args[0])
	defer progress.close()
	result, err := p.Compile(c.Context, CompileOptions{
		File: args[0], Module: module, Output: c.String("output"), Optimise: c.Bool("optimise"), Progress: progress.show,
	})
	progress.close()
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return p.printJSON(result)
	}
	p.printCompiled(args[0], result)
	return nil
}

func (p *program) printCompiled(file string, result CompileResult) {
	s := p.outStyle()
	level := "optimised"
	if !result.Optimised {
		level = "made fast; --optimise makes the faster one"
	}
	p.printf("%s %s: %s of native code, %s\n", s.paint(green, "compiled"), file, sizeText(result.Bytes), level)
	exports := table{head: []string{"EXPORT"}}
	for _, name := range result.Exports {
		exports.row(name)
	}
	imports := table{head: []string{"IMPORT", "TYPE", "STATUS", ""}}
	for _, i := range result.Imports {
		imports.row(i.Module+"."+i.Name, i.Type, i.Status, i.Detail)
	}
	for _, t := range []table{exports, imports} {
		if len(t.rows) > 0 {
			t.write(p.Stdout, s)
		}
	}
	for _, warning := range result.Warnings {
		p.printf("%s %s\n", s.paint(yellow, "warning:"), p.safe(warning, p.StdoutTerminal))
	}
}
