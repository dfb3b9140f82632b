package daemon

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/asynccall"
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
		Store: d.store, Logger: d.logger, Waiters: d.config.Cores * (scheduler.DefaultMaxThreads - scheduler.DefaultMaxThreads/freeThreads),
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
		all[name] = calls.Function{Target: app.Function(name).Called(), Callers: function.Callers, Then: m.Chain(name), Actor: function.Actor}
	}
	return all
}

func (d *Daemon) openAsync(Options) error {
	opened, err := asynccall.Open(asynccall.Options{
		Store: d.store, Keep: d.config.Timeouts.Results, IDs: &d.ids, Logger: d.logger, Ended: d.sent,
		Route: func(inv *invoke.Invocation) error {
			_, err := d.router.Route(inv)
			return err
		},
		Submit: func(inv *invoke.Invocation) error { return (*submitter)(d).admit(inv, d.scheduler.Submit) },
	})
	if err != nil {
		return err
	}
	d.async = opened
	d.closing(opened.Close)
	return nil
}

// Calls implements admin.Calls.
func (d *Daemon) Calls(context.Context) ([]admin.CallSummary, error) {
	var list []admin.CallSummary
	for _, info := range d.async.List() {
		list = append(list, callSummary(&info))
	}
	return list, nil
}

// Call implements admin.Calls.
func (d *Daemon) Call(_ context.Context, id string) (admin.CallDetail, error) {
	info, result, err := d.async.Show(id)
	if err != nil {
		return admin.CallDetail{}, asyncError(err)
	}
	detail := admin.CallDetail{CallSummary: callSummary(&info), Headers: result.Headers, Body: result.Body}
	if result.Err != nil {
		detail.Error = result.Err.Error()
	}
	return detail, nil
}

// CancelCall implements admin.Calls.
func (d *Daemon) CancelCall(_ context.Context, id string) error {
	return asyncError(d.async.Cancel(id))
}

func callSummary(info *asynccall.Summary) admin.CallSummary {
	return admin.CallSummary{
		ID: info.ID, App: info.App, Function: info.Function, State: string(info.State), Created: info.Created, Finished: info.Finished,
		Status: info.Status, Bytes: info.Bytes,
	}
}

// asyncError gives an error of asynchronous calls the kind that the API answers with.
func asyncError(err error) error {
	if errors.Is(err, asynccall.ErrNotFound) {
		return &admin.Error{Kind: admin.ErrNotFound, Detail: err.Error(), Cause: err, Remedy: "'edged calls ls' lists what there is"}
	}
	return err
}

// actorHeader names the actor that a request is for.
const actorHeader = "X-Edged-Actor"

// tell sends a request to an actor.
func (d *Daemon) tell(inv *invoke.Invocation) error {
	key, found := inv.Request.Header(actorHeader)
	if !found {
		return &invoke.Error{Kind: invoke.ErrNotFound, Detail: fmt.Sprintf(
			"%s is a class of actors: name one of them with the header %s", inv.Function, actorHeader)}
	}
	return d.calls.Tell(inv, key)
}
