package manifest

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"edged.dev/edge/edged/internal/invoke"
)

// CommandFunction is the name of the function that a command gets when the manifest names none. It answers on the app's
// own path, so the name shows only in metrics, logs and edged inspect.
const CommandFunction invoke.FunctionName = "main"

// FromModule returns the manifest of a module that was deployed without one. name is the module's file name; the app is
// named after it. abi is the interface that the module speaks, or auto. exports are the exported functions that can be entries, in any order: each
// becomes a function, unless it is _start, which makes the module a command. The error says why nothing came of it.
func FromModule(name string, abi ABI, exports []string) (*Manifest, error) {
	m := Default()
	m.ABI = abi
	base := filepath.Base(name)
	m.App = invoke.AppName(toName(strings.TrimSuffix(base, filepath.Ext(base))))
	if m.App == "" {
		return nil, fmt.Errorf("no app name can be made of the file name %q; name the app with --name", base)
	}
	m.Module = name
	if err := m.AddExports(exports); err != nil {
		return nil, err
	}
	m.complete()
	if err := m.Validate(); err != nil {
		return nil, err
	}
	return m, nil
}

// AddExports gives a manifest that lists no functions those of its module; see [FromModule] for exports. One that lists
// some stays as it is.
func (m *Manifest) AddExports(exports []string) error {
	if len(m.Functions) > 0 {
		return nil
	}
	functions := make(map[invoke.FunctionName]Function)
	if slices.Contains(exports, CommandEntry) {
		m.Functions = map[invoke.FunctionName]Function{CommandFunction: {Entry: CommandEntry}}
		return nil
	}
	sorted := slices.Clone(exports)
	slices.Sort(sorted) // so that the same module always gives the same names
	for _, export := range sorted {
		if internalExport(export) {
			continue
		}
		functions[freeName(toName(export), functions)] = Function{Entry: export}
	}
	delete(functions, "")
	if len(functions) == 0 {
		return fmt.Errorf("the module %s exports no function of type () -> () or () -> i32 and no %s, so nothing can be called; "+
			"export one, or list the functions in %s", m.Module, CommandEntry, FileName)
	}
	m.Functions = functions
	return nil
}

// internalExport reports whether an export belongs to the toolchain or to the host and not to callers: start-up
// functions, hooks, and names that begin with two underscores as linkers give them.
func internalExport(name string) bool {
	return name == "_initialize" || name == "edged_restore" || name == "edged_save" || name == "edged_load" || strings.HasPrefix(name, "__")
}

// freeName returns name, or name with a number when it is taken; "" stays.
func freeName(name string, taken map[invoke.FunctionName]Function) invoke.FunctionName {
	free := name
	for n := 2; name != ""; n++ {
		if _, there := taken[invoke.FunctionName(free)]; !there {
			break
		}
		suffix := fmt.Sprintf("-%d", n)
		free = name[:min(len(name), maxName-len(suffix))] + suffix
	}
	return invoke.FunctionName(free)
}

// Command returns the function that is entered at _start and answers on the app's own path, and whether there is one.
func (m *Manifest) Command() (invoke.FunctionName, bool) {
	for name, function := range m.Functions {
		if function.Entry == CommandEntry {
			return name, true
		}
	}
	return "", false
}

// Route returns the pattern at which a function answers: its own, /APP/* for the command, else /APP/FUNCTION/*. The /*
// stands for everything below, and nothing, too; a pattern of its own without it is matched whole.
func (m *Manifest) Route(name invoke.FunctionName) string {
	function := m.Functions[name]
	switch {
	case function.HTTP.Path != "":
		return function.HTTP.Path
	case function.Entry == CommandEntry:
		return "/" + string(m.App) + "/*"
	default:
		return "/" + string(m.App) + "/" + string(name) + "/*"
	}
}

// Rename gives the app another name, and with it what followed from the old one: the space of that name and the paths
// below it. Validate it afterwards: the name is taken as it is.
func (m *Manifest) Rename(app invoke.AppName) {
	old := "/" + string(m.App)
	if m.KV.Space == string(m.App) {
		m.KV.Space = string(app)
	}
	for name, function := range m.Functions {
		if rest, ok := strings.CutPrefix(function.HTTP.Path, old); ok && (rest == "" || rest[0] == '/') {
			function.HTTP.Path = "/" + string(app) + rest
			m.Functions[name] = function
		}
	}
	m.App = app
}

// Name makes a name of any text: lower case, everything else a dash; "" when nothing is left.
func Name(text string) string { return toName(text) }
