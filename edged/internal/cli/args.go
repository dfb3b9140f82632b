package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// order puts arguments into the one order that the flag parser takes: commands, options, "--", the rest. People type
// options before and after everything else ("edged ls --json", "edged deploy . --name x", "edged --json ls"), and the
// parser would take those behind the first plain argument for plain arguments. Unknown commands and options are refused
// here, with the nearest known one.
func order(commands []*cli.Command, args []string) ([]string, error) {
	o := &ordering{commands: commands, takesValue: flagTable(commands)}
	for i := 0; i < len(args); i++ {
		used, err := o.take(args[i:])
		if err != nil {
			return nil, err
		}
		i += used
	}
	return o.result()
}

// wantsJSON reports whether arguments have the option --json, also those that order refuses: whoever asked for JSON reads
// the refusal by a program.
func wantsJSON(commands []*cli.Command, args []string) bool {
	o := &ordering{commands: commands, takesValue: flagTable(commands)}
	for i := 0; i < len(args); i++ {
		used, _ := o.take(args[i:]) // what is wrong with it does not matter here
		i += used
	}
	return slices.ContainsFunc(o.options, func(opt option) bool {
		return opt.name == "json" && !strings.HasSuffix(opt.tokens[0], "=false")
	})
}

// ordering is the state of order.
type ordering struct {
	commands   []*cli.Command // those that may come next; nil below a command without subcommands
	takesValue map[string]bool
	command    *cli.Command // the one found so far
	path       []string
	options    []option
	plain      []string
	ended      bool // "--" was seen
	help       bool
}

type option struct {
	name   string // without dashes
	tokens []string
}

// take handles the first of rest and returns how many more of them it used up.
func (o *ordering) take(rest []string) (int, error) {
	arg := rest[0]
	switch {
	case o.ended || !isOption(arg):
		return 0, o.takePlain(arg)
	case arg == "--":
		o.ended = true
		return 0, nil
	case arg == "-h" || arg == "--help" || arg == "-help":
		o.help = true
		return 0, nil
	case (arg == "--version" || arg == "-v") && o.command == nil:
		return 0, o.takePlain("version")
	}
	name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	found := option{name: name, tokens: []string{arg}}
	used := 0
	if o.takesValue[name] && !hasValue {
		if len(rest) < 2 {
			return 0, usagef("option %s needs a value", arg)
		}
		found.tokens = append(found.tokens, rest[1])
		used = 1
	}
	o.options = append(o.options, found)
	return used, nil
}

// isOption tells options from plain arguments: "-" means standard input and "-5" is a number.
func isOption(arg string) bool {
	return len(arg) > 1 && arg[0] == '-' && (arg[1] < '0' || arg[1] > '9')
}

// takePlain handles a command's name or a plain argument.
func (o *ordering) takePlain(arg string) error {
	if o.commands == nil {
		o.plain = append(o.plain, arg)
		return nil
	}
	if arg == "help" {
		o.help = true
		return nil
	}
	var names []string
	for _, command := range o.commands {
		if command.HasName(arg) {
			o.command, o.commands = command, command.Subcommands
			o.path = append(o.path, command.Name)
			return nil
		}
		if !command.Hidden {
			names = append(names, command.Name)
		}
	}
	text := fmt.Sprintf("unknown command %q", strings.Join(append(o.path, arg), " "))
	return &usageError{text: text, remedy: didYouMean(arg, names, strings.Join(append([]string{"edged"}, o.path...), " "))}
}

// result checks the options against the command that was found and joins everything.
func (o *ordering) result() ([]string, error) {
	if o.help {
		return append(o.path, "--help"), nil
	}
	if o.commands != nil {
		name := strings.Join(append([]string{"edged"}, o.path...), " ")
		commands := make([]string, 0, len(o.commands))
		for _, command := range o.commands {
			if !command.Hidden {
				commands = append(commands, command.Name)
			}
		}
		return nil, &usageError{
			text:   "a command is missing; there are " + strings.Join(commands, " "),
			remedy: fmt.Sprintf("see '%s --help'", name),
		}
	}
	ordered := o.path
	for _, opt := range o.options {
		if !hasOption(o.command, opt.name) {
			return nil, o.unknownOption(opt)
		}
		ordered = append(ordered, opt.tokens...)
	}
	return append(append(ordered, "--"), o.plain...), nil
}

func (o *ordering) unknownOption(opt option) error {
	var names []string
	for _, f := range o.command.Flags {
		for _, name := range f.Names() {
			names = append(names, dashed(name))
		}
	}
	command := "edged " + strings.Join(o.path, " ")
	return &usageError{
		text:   fmt.Sprintf("%s has no option %s", command, dashed(opt.name)),
		remedy: didYouMean(dashed(opt.name), names, command),
	}
}

func dashed(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + name
}

func hasOption(command *cli.Command, name string) bool {
	for _, f := range command.Flags {
		if slices.Contains(f.Names(), name) {
			return true
		}
	}
	return false
}

// flagTable tells for every option of every command whether it takes a value. One table is enough, and lets an option
// come before its command, because no two commands disagree (a test holds that).
func flagTable(commands []*cli.Command) map[string]bool {
	table := make(map[string]bool)
	for _, command := range commands {
		for _, f := range command.Flags {
			_, isBool := f.(*cli.BoolFlag)
			for _, name := range f.Names() {
				table[name] = !isBool
			}
		}
		maps.Copy(table, flagTable(command.Subcommands))
	}
	return table
}

// didYouMean names the nearest of the known words, or where to look when none is near.
func didYouMean(word string, known []string, command string) string {
	best, bestDistance := "", len(word)/3+2 // one typo in a short word, more in a long one
	for _, candidate := range known {
		if d := distance(word, candidate); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	if best == "" {
		return fmt.Sprintf("see '%s --help'", command)
	}
	return fmt.Sprintf("did you mean %q? See '%s --help'", best, command)
}

// distance is how many letters must be put in, taken out, replaced or swapped with their neighbour to get from a to b.
func distance(a, b string) int {
	rows := [3][]int{make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)}
	for j := range rows[1] {
		rows[1][j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row := rows[0], rows[1], rows[2]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		rows[0], rows[1], rows[2] = above, row, before
	}
	return rows[1][len(b)]
}

// wantArgs checks the number of plain arguments and returns them. max -1 means any number.
func wantArgs(c *cli.Context, least, most int) ([]string, error) {
	args := c.Args().Slice()
	name := c.Command.HelpName
	switch {
	case len(args) < least:
		return nil, &usageError{text: fmt.Sprintf("%s needs %s", name, c.Command.ArgsUsage), remedy: fmt.Sprintf("see '%s --help'", name)}
	case most >= 0 && len(args) > most:
		return nil, &usageError{text: fmt.Sprintf("%s does not take %q", name, args[most]), remedy: fmt.Sprintf("see '%s --help'", name)}
	}
	return args, nil
}
