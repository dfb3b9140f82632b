package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"edged.dev/edge/edged/internal/invoke"
)

// maxChain bounds how many functions follow on one, those that follow on these included.
const maxChain = invoke.MaxDepth

// Chain returns the functions that the result of a function goes through, in order, those that follow on these included. Only a
// valid manifest has chains that end.
func (m *Manifest) Chain(name invoke.FunctionName) []invoke.FunctionName {
	chain, _ := m.chain(name, nil)
	return chain
}

// chain is Chain below path; a cycle is what is wrong with it, with the whole path.
func (m *Manifest) chain(name invoke.FunctionName, path []invoke.FunctionName) (chain []invoke.FunctionName, problem string) {
	if slices.Contains(path, name) {
		return nil, "the chain comes back to where it was: " + joinNames(append(path, name))
	}
	path = append(slices.Clone(path), name)
	for _, next := range m.Functions[name].Then {
		more, problem := m.chain(next, path)
		if problem != "" {
			return nil, problem
		}
		if chain = append(append(chain, next), more...); len(chain) > maxChain {
			return nil, fmt.Sprintf("more than %d functions follow", maxChain)
		}
	}
	return chain, ""
}

func joinNames(names []invoke.FunctionName) string {
	texts := make([]string, len(names))
	for i, name := range names {
		texts[i] = string(name)
	}
	return strings.Join(texts, " -> ")
}

// calls checks what functions may call each other, and what follows on them.
func (c *checker) calls(m *Manifest) {
	for i, grant := range m.Grants.Calls {
		at := fmt.Sprintf("grants.calls[%d]", i)
		app, fn, ok := strings.Cut(grant, "/")
		c.require(ok && ValidName(app) && (fn == "*" || ValidName(fn)), at, fmt.Sprintf("%q is not a function of an app", grant),
			"write app/function, or app/* for all of its functions")
	}
	c.unique("grants.calls", m.Grants.Calls)
	for _, name := range slices.Sorted(maps.Keys(m.Functions)) {
		at := "functions." + string(name)
		for i, caller := range m.Functions[name].Callers {
			c.require(caller == "*" || ValidName(caller), fmt.Sprintf("%s.callers[%d]", at, i), fmt.Sprintf("%q is not an app", caller),
				`name an app, or write "*" for all`)
		}
		c.unique(at+".callers", m.Functions[name].Callers)
		c.then(m, name, at+".then")
		c.actor(m, name, at+".actor")
	}
}

// actor checks a class of actors: what keeps its state by itself cannot be used by others between two messages.
func (c *checker) actor(m *Manifest, name invoke.FunctionName, at string) {
	function := m.Functions[name]
	if !function.Actor {
		return
	}
	c.require(!m.Reuse, at, "the instances of an actor are its own: reuse is for functions that share them", "leave reuse out")
	c.require(function.Entry != CommandEntry, at, "a command is no actor: _start runs a program from its beginning to its end", "export functions from a reactor")
	c.require(len(function.Then) == 0, at, "what an actor answers is the answer: nothing follows on it", "leave then out")
	c.require(len(function.On) == 0, at, "an actor works on messages: neither a timer nor a change of a key is one",
		"leave on out, and have another function send the message")
}

// then checks what follows on one function.
func (c *checker) then(m *Manifest, name invoke.FunctionName, at string) {
	for i, next := range m.Functions[name].Then {
		_, found := m.Functions[next]
		c.require(found, fmt.Sprintf("%s[%d]", at, i), fmt.Sprintf("the app has no function %q", next), "list functions of this app")
	}
	_, problem := m.chain(name, nil)
	c.require(problem == "", at, problem, "let the chain end")
}
