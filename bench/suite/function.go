package suite

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"edged.dev/edge/bench/load"
)

// function is fib(n) as a function of its own, so that edged can learn how long it takes and knows its deadline.
type function struct {
	name     string
	n        uint32
	deadline time.Duration // in the manifest; 0 for none
}

// class is a request to the function in an app.
func (f function) class(app string) load.Class {
	return load.Class{
		Request: load.Request(fmt.Sprintf("/%s/%s?%d", app, f.name, f.n), nil), Expect: fmt.Append(nil, number(f.n)), Deadline: f.deadline,
	}
}

// functions makes the folder of an app of the basic module that has just these functions; the folder has the app's name.
func (l *Lab) functions(app string, list []function) error {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 1\napp: %s\nmodule: basic.wasm\nlimits:\n  memory: 4MiB\n  timeout: 60s\nfunctions:\n", app)
	for _, f := range list {
		fmt.Fprintf(&b, "  %s:\n    entry: fib\n    http:\n      path: /%s/%s\n", f.name, app, f.name)
		if f.deadline > 0 {
			fmt.Fprintf(&b, "    deadline: %v\n", f.deadline.Round(time.Microsecond))
		}
	}
	module, err := os.ReadFile(l.path("basic", "basic.wasm"))
	if err != nil {
		return err
	}
	//nolint:gosec // below the lab's folder
	return errors.Join(os.MkdirAll(l.path(app), 0o750), os.WriteFile(l.path(app, "basic.wasm"), module, 0o600),
		writeText(l.path(app, "edged.yaml"), b.String()))
}
