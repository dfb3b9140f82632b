package cli

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"edged.dev/edge/edged/internal/admin"
)

// shells are those that completion knows, with what writes their script.
var shells = []struct {
	name  string
	write func(io.Writer, []completion)
}{
	{"bash", writeBash},
	{"zsh", writeZsh},
	{"fish", writeFish},
}

func (p *program) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print a script that completes commands, options, and the names of apps, functions and spaces",
		ArgsUsage: "bash|zsh|fish",
		Description: examples("source <(edged completion bash)", "edged completion zsh > \"${fpath[1]}/_edged\"",
			"edged completion fish > ~/.config/fish/completions/edged.fish"),
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, 1, 1)
			if err != nil {
				return err
			}
			var names []string
			for _, shell := range shells {
				if shell.name == args[0] {
					shell.write(p.Stdout, completions(c.App.Commands, nil))
					return nil
				}
				names = append(names, shell.name)
			}
			return &usageError{
				text:   fmt.Sprintf("no completion for the shell %q; there is %s", args[0], strings.Join(names, ", ")),
				remedy: didYouMean(args[0], names, "edged completion"),
			}
		},
	}
}

// completion is a place on the command line and what may follow there.
type completion struct {
	path     []string // commands so far
	commands []word
	options  []word
	names    string // what "edged names" lists for the arguments; empty: files
}

// namedArgs are the commands whose arguments have names that the daemon knows.
var namedArgs = map[string]string{
	"inspect": "apps", "logs": "apps", "rollback": "apps", "rm": "apps", "invoke": "functions",
	"kv get": "spaces", "kv set": "spaces", "kv rm": "spaces", "kv ls": "spaces", "kv export": "spaces", "kv import": "spaces",
}

// namesPatience is how long a shell waits for names before it goes on without.
const namesPatience = time.Second

// namesCommand is what completion scripts call.
func (p *program) namesCommand() *cli.Command {
	return &cli.Command{
		Name: "names", Hidden: true,
		Usage:       "list names for the completion of arguments",
		ArgsUsage:   "apps|functions|spaces",
		Description: examples("edged names functions"),
		Flags:       []cli.Flag{adminFlag()},
		Action: func(c *cli.Context) error {
			args, err := wantArgs(c, 1, 1)
			if err != nil {
				return err
			}
			names, err := listNames(c.Context, p.client(c), args[0])
			for _, name := range names {
				p.printf("%s\n", name)
			}
			return err
		},
	}
}

// listNames asks the daemon for names of a kind. A function is listed under its own name and its app's, by which invoke
// finds the only one.
func listNames(ctx context.Context, client *admin.Client, kind string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, namesPatience)
	defer cancel()
	var names []string
	switch kind {
	case "apps":
		apps, err := client.Apps(ctx)
		for i := range apps {
			names = append(names, string(apps[i].Name))
		}
		return names, err
	case "functions":
		top, err := client.Top(ctx)
		for i := range top.Functions {
			f := &top.Functions[i]
			names = append(names, string(f.App), string(f.App)+"/"+string(f.Function))
		}
		slices.Sort(names)
		return slices.Compact(names), err
	case "spaces":
		spaces, err := client.KVSpaces(ctx)
		for i := range spaces {
			names = append(names, spaces[i].Name)
		}
		return names, err
	}
	return nil, usagef("there are no names of %q", kind)
}

type word struct{ text, usage string }

// completions flattens the tree of commands, the root first.
func completions(commands []*cli.Command, path []string) []completion {
	here := completion{path: path}
	var below []completion
	for _, command := range commands {
		if command.Hidden {
			continue
		}
		here.commands = append(here.commands, word{command.Name, command.Usage})
		next := append(append([]string{}, path...), command.Name)
		if len(command.Subcommands) > 0 {
			below = append(below, completions(command.Subcommands, next)...)
			continue
		}
		leaf := completion{path: next, names: namedArgs[strings.Join(next, " ")], options: []word{{"--help", "explain the command"}}}
		for _, f := range command.Flags {
			usage := ""
			if documented, ok := f.(cli.DocGenerationFlag); ok {
				usage = strings.ReplaceAll(documented.GetUsage(), "`", "")
			}
			for _, name := range f.Names() {
				if name != "help" && name != "h" {
					leaf.options = append(leaf.options, word{dashed(name), usage})
				}
			}
		}
		below = append(below, leaf)
	}
	return append([]completion{here}, below...)
}

func texts(words []word) string {
	out := make([]string, len(words))
	for i, w := range words {
		out[i] = w.text
	}
	return strings.Join(out, " ")
}

func writeBash(w io.Writer, all []completion) {
	_, _ = fmt.Fprint(w, `_edged() {
	local current="${COMP_WORDS[COMP_CWORD]}" path="" word i
	for ((i = 1; i < COMP_CWORD; i++)); do
		word="${COMP_WORDS[i]}"
		[[ "$word" == -* ]] || path="$path $word"
	done
	local words=""
	case "$path " in
`)
	for _, place := range slices.Backward(all) { // the longest paths first
		pattern := strings.Join(append([]string{""}, place.path...), " ")
		rest := "*"
		if len(place.commands) > 0 {
			rest = ""
		}
		names := ""
		if place.names != "" {
			names = fmt.Sprintf(`; [[ "$current" == -* ]] || words="$words $(edged names %s 2>/dev/null)"`, place.names)
		}
		_, _ = fmt.Fprintf(w, "	%q%s) words=%q%s ;;\n", pattern+" ", rest, strings.TrimSpace(texts(place.commands)+" "+texts(place.options)), names)
	}
	_, _ = fmt.Fprint(w, `	esac
	COMPREPLY=($(compgen -W "$words" -- "$current"))
	[[ ${#COMPREPLY[@]} -gt 0 || "$current" == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -o filenames -F _edged edged
`)
}

func writeZsh(w io.Writer, all []completion) {
	_, _ = fmt.Fprint(w, "#compdef edged\n_edged() {\n\tlocal path=\"\" word\n\tlocal -a commands options names\n"+
		"\tfor word in ${words[2,CURRENT-1]}; do [[ $word == -* ]] || path=\"$path $word\"; done\n\tcase \"$path \" in\n")
	for _, place := range slices.Backward(all) {
		pattern := strings.Join(append([]string{""}, place.path...), " ")
		if len(place.commands) > 0 {
			_, _ = fmt.Fprintf(w, "\t%q) commands=(%s); _describe command commands; return ;;\n", pattern+" ", zshWords(place.commands))
			continue
		}
		names := ""
		if place.names != "" {
			names = fmt.Sprintf(` names=(${(f)"$(edged names %s 2>/dev/null)"})`, place.names)
		}
		_, _ = fmt.Fprintf(w, "\t%q*) options=(%s)%s ;;\n", pattern+" ", zshWords(place.options), names)
	}
	_, _ = fmt.Fprint(w, "\tesac\n\t_describe -o option options\n\tcompadd -a names\n\t_files\n}\ncompdef _edged edged\n")
}

// zshWords writes word:description pairs, quoted for zsh.
func zshWords(words []word) string {
	out := make([]string, len(words))
	for i, w := range words {
		pair := strings.ReplaceAll(w.text, ":", `\:`) + ":" + w.usage
		out[i] = "'" + strings.ReplaceAll(pair, "'", `'\''`) + "'"
	}
	return strings.Join(out, " ")
}

func writeFish(w io.Writer, all []completion) {
	quote := func(text string) string {
		return "'" + strings.ReplaceAll(strings.ReplaceAll(text, `\`, `\\`), "'", `\'`) + "'"
	}
	_, _ = fmt.Fprint(w, "function __edged_at\n\tset -l path\n\tfor word in (commandline -opc)[2..-1]\n"+
		"\t\tstring match -q -- '-*' $word; or set -a path $word\n\tend\n\ttest \"$path\" = \"$argv\"\nend\n"+
		"function __edged_below\n\tset -l path\n\tfor word in (commandline -opc)[2..-1]\n"+
		"\t\tstring match -q -- '-*' $word; or set -a path $word\n\tend\n\tstring match -q -- \"$argv*\" \"$path\"\nend\n")
	for _, place := range all {
		path := strings.Join(place.path, " ")
		for _, c := range place.commands {
			_, _ = fmt.Fprintf(w, "complete -c edged -f -n %s -a %s -d %s\n", quote("__edged_at "+path), c.text, quote(c.usage))
		}
		if place.names != "" {
			_, _ = fmt.Fprintf(w, "complete -c edged -f -n %s -a %s\n", quote("__edged_below "+path), quote("(edged names "+place.names+" 2>/dev/null)"))
		}
		for _, o := range place.options {
			kind, name := "-l", strings.TrimLeft(o.text, "-")
			if len(name) == 1 {
				kind = "-s"
			}
			_, _ = fmt.Fprintf(w, "complete -c edged -n %s %s %s -d %s\n", quote("__edged_below "+path), kind, name, quote(o.usage))
		}
	}
}
