package daemon

import (
	"fmt"
	"path/filepath"

	"edged.dev/edge/edged/internal/calls"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/scheduler"
)

// freeThreads is the part of a core's threads that invocations which wait for others leave free, so that these can run.
const freeThreads = 8

func (d *Daemon) openCalls(Options) error {
	opened, err := calls.Open(calls.Options{
		Functions: d.callee, Submit: func(inv *invoke.Invocation) error { return d.scheduler.Submit(inv) }, Ended: d.sent, IDs: &d.ids, Dir: filepath.Join(d.config.Data, "objects"),
		Logger: d.logger, Waiters: d.config.Cores * (scheduler.DefaultMaxThreads - scheduler.DefaultMaxThreads/freeThreads),
	})
	if err != nil {
		return err
	}
	d.calls = opened
	d.closing(opened.Close)
	return nil
}

// callee finds a function for a call.
func (d *Daemon) callee(app invoke.AppName, fn invoke.FunctionName) (calls.Function, error) {
	d.mu.Lock()
	one := d.apps[app]
	d.mu.Unlock()
	if one == nil {
		return calls.Function{}, &invoke.Error{Kind: invoke.ErrNotFound, Detail: fmt.Sprintf("no app %s is deployed", app)}
	}
	callee, found := one.callees[fn]
	if !found {
		return calls.Function{}, &invoke.Error{Kind: invoke.ErrNotFound, Detail: fmt.Sprintf("app %s has no function %q", app, fn)}
	}
	return callee, nil
}

// callees are the functions of a version as they are called by others.
func callees(app *pool.App, m *manifest.Manifest) map[invoke.FunctionName]calls.Function {
	all := make(map[invoke.FunctionName]calls.Function, len(m.Functions))
	for name, function := range m.Functions {
		all[name] = calls.Function{Target: app.Function(name).Called(), Callers: function.Callers, Then: m.Chain(name)}
	}
	return all
}
