package cli

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func (p *program) runCommand() *cli.Command {
	return &cli.Command{
		Name:      "run",
		Usage:     "run a WASI program once, without a daemon",
		ArgsUsage: "FILE.wasm [ARGUMENT...]",
		Description: "The program gets this command's standard input, output and error. It sees no file unless --dir names a\n" +
			"folder. Options of the program itself go behind --. Ends with 1 when the program does not end with 0.\n\n" +
			examples("edged run hello.wasm", "edged run convert.wasm --dir ./data -- --verbose data/in.csv"),
		Flags: []cli.Flag{
			&cli.StringSliceFlag{Name: "dir", Usage: "let it see the folder `DIR`; may be given several times"},
			&cli.StringSliceFlag{Name: "env", Usage: "set `NAME=VALUE` for it; may be given several times"},
			&cli.DurationFlag{Name: "timeout", Usage: "end it after `T`, such as 10s"},
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
	module, err := readModule(args[0])
	if err != nil {
		return err
	}
	code, err := p.RunModule(c.Context, RunOptions{
		File: args[0], Module: module, Args: args[1:],
		Dirs: c.StringSlice("dir"), Env: c.StringSlice("env"), Timeout: c.Duration("timeout"),
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

func (p *program) compileCommand() *cli.Command {
	return &cli.Command{
		Name:      "compile",
		Usage:     "check and compile a module without deploying it",
		ArgsUsage: "FILE.wasm",
		Description: "Lists what the module exports and imports and whether this build provides it. (Without an argument this\n" +
			"is the daemon's own child process.)\n\n" + examples("edged compile app.wasm", "edged compile app.wasm --json"),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "write the native code to `FILE`"},
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
	progress := p.newMeter(c.Bool("json"))
	defer progress.close()
	result, err := p.Compile(c.Context, CompileOptions{File: args[0], Module: module, Output: c.String("output"), Progress: progress.show})
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
	p.printf("%s %s: %s of native code\n", s.paint(green, "compiled"), file, sizeText(result.Bytes))
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
