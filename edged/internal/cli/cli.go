// Package cli is the command line: it reads arguments, asks the daemon through package admin, and prints.
//
// What needs the engine or the daemon inside this process (serve, run, compile) comes in as functions of [Deps], so this
// package builds and tests without cgo. Nothing here reads the environment, handles a signal or exits; main does.
//
// Exit codes are part of the interface: 0 done, 1 failed, 2 wrong usage, 3 cannot reach the daemon.
package cli

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

// Exit codes of [Run].
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitUnreachable = 3
)

// Deps is everything the command line takes from outside. A nil function means that this build cannot do it, which the
// command then says.
type Deps struct {
	Version string // of this binary
	Engine  string // name and version of the engine, or why there is none

	// AdminPath is where the daemon's admin socket is looked for without --admin (EDGED_ADMIN, else the standard path).
	AdminPath string

	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	// StdoutTerminal and StderrTerminal tell whether progress bars make sense and control characters do harm.
	StdoutTerminal, StderrTerminal bool
	// NoColor keeps colours off a terminal too (NO_COLOR).
	NoColor bool

	// Serve runs the daemon until ctx ends and it has drained; it calls options.Ready once.
	Serve func(ctx context.Context, options ServeOptions) error
	// RunModule runs a module once, with its WASI arguments and the process's streams, and returns the guest's exit code.
	RunModule func(ctx context.Context, options RunOptions) (code int, err error)
	// Compile checks and compiles a module without deploying it.
	Compile func(ctx context.Context, options CompileOptions) (CompileResult, error)
	// CompileChild is the daemon's own child process ("edged compile" without arguments): it reads its orders from stdin
	// and returns the exit code. It takes the process over, so nothing runs before or after it.
	CompileChild func(args []string, stdin io.Reader, stdout, stderr io.Writer) int
	// ManifestSchema returns the JSON Schema of edged.yaml.
	ManifestSchema func() ([]byte, error)
	// ModulePath returns the path of the module a manifest names, relative to the manifest. Its error has file and line.
	ModulePath func(name string, manifest []byte) (string, error)
	// Convert makes a manifest of a project file of another system, in a folder of that name where the modules are, and says what it
	// understood and what has no meaning here. Its error has file and line.
	Convert func(name, folder string, text []byte, modules []string) (manifest []byte, module string, notes []string, err error)
	// LocalChecks looks at this machine without a daemon; doctor uses it when none answers.
	LocalChecks func(ctx context.Context) []admin.Check
	// SDK holds the guest libraries that init writes into a project: go/ and c/.
	SDK fs.FS
}

// ServeOptions are what serve was given.
type ServeOptions struct {
	ConfigFile string            // empty: not given
	Flags      map[string]string // only those given, by configuration key: "http", "log.level"
	Stderr     io.Writer         // for the log
	Ready      func(Ready) error // to be called once, when every listener accepts
}

// Ready is what serve prints when it accepts requests.
type Ready struct {
	HTTP  string `json:"http"`
	UDS   string `json:"uds"`
	Admin string `json:"admin"`
}

// RunOptions are what run was given.
type RunOptions struct {
	File    string // as given, for messages
	Module  []byte
	Args    []string // of the guest, without its name
	Dirs    []RunDir // folders it may see and change
	Env     []string // NAME=VALUE
	Stdin   io.Reader
	Stdout  io.Writer
	Stderr  io.Writer
	Timeout time.Duration // 0: none
}

// RunDir is a folder that run shows to a program, and the clean absolute path under which the program finds it. Relative
// paths of the program begin at /.
type RunDir struct{ Host, Guest string }

// CompileOptions are what compile was given.
type CompileOptions struct {
	File     string // as given, for messages
	Module   []byte
	Output   string // where the native code goes; empty: nowhere, only check
	Optimise bool   // however large the module is and however long it takes
	Progress func(admin.Progress)
}

// CompileResult is what compile found.
type CompileResult struct {
	Bytes     int64          `json:"bytes"` // of the native code
	Optimised bool           `json:"optimised"`
	Exports   []string       `json:"exports"`
	Imports   []admin.Import `json:"imports"`
	Warnings  []string       `json:"warnings,omitempty"`
}

// Run runs one command and returns the process's exit code. args are without the program's name. It ends early when ctx
// does.
func Run(ctx context.Context, args []string, deps Deps) int {
	if len(args) == 1 && args[0] == "compile" && deps.CompileChild != nil {
		return deps.CompileChild(nil, deps.Stdin, deps.Stdout, deps.Stderr)
	}
	p := &program{Deps: deps}
	app := p.app()
	p.jsonErrors = wantsJSON(app.Commands, args)
	ordered, err := order(app.Commands, args)
	if err == nil {
		err = app.RunContext(ctx, append([]string{app.Name}, ordered...))
	}
	if err == nil {
		return exitDone
	}
	var usage *usageError
	if errors.As(err, &usage) && usage.remedy == "" {
		usage.remedy = fmt.Sprintf("see '%s --help'", commandName(app.Commands, ordered))
	}
	p.report(ctx, err)
	return exitCode(err)
}

// commandName returns the command that ordered arguments begin with, such as "edged kv ls".
func commandName(commands []*cli.Command, ordered []string) string {
	name := "edged"
	for _, word := range ordered {
		at := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.Name == word })
		if at < 0 {
			return name
		}
		name, commands = name+" "+word, commands[at].Subcommands
	}
	return name
}

// exitCode is the one table from error to exit code.
func exitCode(err error) int {
	switch {
	case errors.Is(err, ErrUsage):
		return exitUsage
	case errors.Is(err, admin.ErrUnreachable):
		return exitUnreachable
	default:
		return exitFailed
	}
}

// report prints an error: what happened, and below it what to do; or for programs, one line of JSON.
func (p *program) report(ctx context.Context, err error) {
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		err = errInterrupted
	}
	var withRemedy interface{ Remedy() string }
	var known *admin.Error
	remedy := ""
	switch {
	case errors.As(err, &known):
		remedy = known.Remedy
	case errors.As(err, &withRemedy):
		remedy = withRemedy.Remedy()
	}
	message := strings.TrimRight(err.Error(), "\n")
	if p.jsonErrors {
		p.reportJSON(failure{Kind: kindName(err), Message: message, Remedy: remedy})
		return
	}
	style := p.errStyle()
	_, _ = fmt.Fprintf(p.Stderr, "%s %s\n", style.paint(red, "edged:"), p.safe(message, p.StderrTerminal))
	if remedy != "" {
		_, _ = fmt.Fprintf(p.Stderr, "  %s\n", p.safe(remedy, p.StderrTerminal))
	}
}

// failure is an error as --json prints it. Its fields and the names of kinds are part of the interface.
type failure struct {
	Kind    string `json:"kind"`
	Message string `json:"message"`
	Remedy  string `json:"remedy,omitempty"`
}

// kindName is the one table from error to the kind that --json prints.
func kindName(err error) string {
	switch {
	case errors.Is(err, ErrUsage):
		return "usage"
	case errors.Is(err, errInterrupted):
		return "interrupted"
	}
	return cmp.Or(admin.KindName(err), "failed")
}

// reportJSON prints an error for programs. When standard error is gone there is nobody to tell.
func (p *program) reportJSON(f failure) {
	encoder := json.NewEncoder(p.Stderr)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(map[string]failure{"error": f})
}

// program is one run of the command line.
type program struct {
	Deps
	jsonErrors bool // errors are printed for programs, too
}

// client returns a client of the daemon that the command names.
func (p *program) client(c *cli.Context) *admin.Client {
	path := c.String("admin")
	if path == "" {
		path = p.AdminPath
	}
	return admin.NewClient(path)
}

// app is the tree of commands.
func (p *program) app() *cli.App {
	app := &cli.App{
		Name:            "edged",
		HelpName:        "edged",
		Usage:           "run WebAssembly functions on this machine",
		UsageText:       "edged COMMAND [ARGUMENTS] [OPTIONS]",
		HideVersion:     true,
		HideHelpCommand: true,
		Reader:          p.Stdin,
		Writer:          p.Stdout,
		ErrWriter:       p.Stderr,
		// A comma in a header's value is part of it.
		DisableSliceFlagSeparator: true,
		// Errors are returned to Run, which prints them and picks the exit code.
		ExitErrHandler: func(*cli.Context, error) {},
		OnUsageError:   func(_ *cli.Context, err error, _ bool) error { return usagef("%v", err) },
		Commands: []*cli.Command{
			p.serveCommand(), p.deployCommand(), p.listCommand(), p.inspectCommand(), p.invokeCommand(), p.logsCommand(),
			p.rollbackCommand(), p.removeCommand(), p.kvCommand(), p.callsCommand(), p.triggerCommand(), p.statusCommand(), p.topCommand(), p.doctorCommand(),
			p.initCommand(), p.buildCommand(), p.runCommand(), p.compileCommand(),
			p.schemaCommand(), p.completionCommand(), p.namesCommand(), p.versionCommand(),
		},
		Description: "Examples:\n" +
			"  edged serve --data ./data\n" +
			"  edged init hello && cd hello && edged build && edged deploy\n" +
			"  edged invoke hello --data world\n\n" +
			"'edged COMMAND --help' explains a command.",
	}
	for _, command := range app.Commands {
		finish(command, "edged", app.OnUsageError)
	}
	return app
}

// finish sets what every command has in common. A group of commands called without one of them is wrong usage.
func finish(command *cli.Command, parent string, onUsageError cli.OnUsageErrorFunc) {
	name := parent + " " + command.Name
	rest := command.ArgsUsage
	if len(command.Subcommands) > 0 {
		rest = "COMMAND"
	}
	command.UsageText = strings.TrimSpace(name + " [OPTIONS] " + rest)
	for _, f := range command.Flags {
		if flag, ok := f.(*cli.BoolFlag); ok {
			flag.DisableDefaultText = true // what is not given is off
		}
	}
	command.HideHelpCommand = true
	command.OnUsageError = onUsageError
	for _, sub := range command.Subcommands {
		finish(sub, name, onUsageError)
	}
}

// adminFlag and jsonFlag are common to many commands.
func adminFlag() cli.Flag {
	return &cli.StringFlag{Name: "admin", Usage: "the daemon's admin socket is at `PATH` (default: EDGED_ADMIN, else the standard path)"}
}

func jsonFlag() cli.Flag { return &cli.BoolFlag{Name: "json", Usage: "print JSON"} }

// examples formats the examples of a command's help.
func examples(lines ...string) string { return "Examples:\n  " + strings.Join(lines, "\n  ") }
