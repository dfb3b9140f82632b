package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/app"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/wasmedge/gate"
)

// The states of an app in listings.
const (
	stateReady   = "ready"
	stateQuick   = "optimising" // serves with its quick build; the better one is being made
	stateDamaged = "failed"
)

// Apps implements admin.Apps.
func (d *Daemon) Apps(context.Context) ([]admin.AppSummary, error) {
	list := []admin.AppSummary{}
	for _, one := range d.deployed() {
		list = append(list, summary(one))
	}
	for _, damage := range d.registry.Damaged() {
		list = append(list, admin.AppSummary{Name: damage.App, State: stateDamaged})
	}
	slices.SortFunc(list, func(a, b admin.AppSummary) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return list, nil
}

func summary(one *deployed) admin.AppSummary {
	state := stateReady
	if one.quick.Load() {
		state = stateQuick
	}
	return admin.AppSummary{
		Name: one.version.App, Version: string(one.version.ID), State: state, Functions: len(one.version.Manifest.Functions),
		Instances: one.app.Instances(), Deployed: one.version.Staged,
	}
}

// find returns a deployed app.
func (d *Daemon) find(name invoke.AppName) (*deployed, error) {
	if one := d.deployed()[name]; one != nil {
		return one, nil
	}
	for _, damage := range d.registry.Damaged() {
		if damage.App == name {
			return nil, &admin.Error{Kind: admin.ErrUnavailable, Detail: damage.Err.Error(), Cause: damage.Err}
		}
	}
	return nil, &admin.Error{
		Kind: admin.ErrNotFound, Detail: fmt.Sprintf("no app %q is deployed", name),
		Remedy: "'edged ls' lists the apps",
	}
}

// Inspect implements admin.Apps.
func (d *Daemon) Inspect(_ context.Context, name invoke.AppName) (admin.AppDetail, error) {
	one, err := d.find(name)
	if err != nil {
		return admin.AppDetail{}, err
	}
	m := one.version.Manifest
	detail := admin.AppDetail{
		AppSummary: summary(one), ABI: one.abi.String(), ModuleSHA: string(one.version.Module), Space: m.KV.Space,
		Limits:      admin.Limits{MemoryBytes: int64(m.Limits.Memory), Timeout: d.timeout(m), Concurrency: m.Limits.Concurrency},
		FunctionSet: d.functionRoutes(one), Warnings: one.warnings, Grants: grants(m),
	}
	if err := d.inspectModule(one, &detail); err != nil {
		return admin.AppDetail{}, err
	}
	versions, err := d.registry.Versions(name)
	if err != nil && len(versions) == 0 {
		return admin.AppDetail{}, err
	}
	for _, v := range slices.Backward(versions) {
		detail.Versions = append(detail.Versions, admin.Version{Version: string(v.ID), Deployed: v.Staged, Active: v.Active})
	}
	return detail, nil
}

// grants lists what a manifest grants.
func grants(m *manifest.Manifest) admin.Grants {
	list := admin.Grants{Hosts: m.Grants.Hosts, Secrets: m.Grants.Secrets, Config: slices.Sorted(maps.Keys(m.Grants.Config))}
	for _, dir := range m.Grants.Dirs {
		text := dir.Guest + " -> " + dir.Host
		if dir.ReadOnly {
			text += " (read-only)"
		}
		list.Dirs = append(list.Dirs, text)
	}
	return list
}

// inspectModule reads the module for what the manifest does not say.
func (d *Daemon) inspectModule(one *deployed, detail *admin.AppDetail) error {
	module, err := one.version.ReadModule()
	if err != nil {
		return err
	}
	detail.ModuleBytes = int64(len(module))
	checked, err := gate.Check(module, gateLimits(one.version.Manifest))
	if err != nil {
		return err
	}
	table, err := gate.Bind(checked.Imports, provided(d.functions()))
	if err != nil {
		detail.Warnings = append(detail.Warnings, err.Error())
	}
	detail.Imports = ImportList(table)
	return nil
}

// ImportList turns the gate's import table into the API's.
func ImportList(table gate.Table) []admin.Import {
	var list []admin.Import
	for _, row := range table {
		list = append(list, admin.Import{
			Module: row.Module, Name: row.Name, Type: row.Found, Status: string(row.Status), Detail: row.Note,
		})
	}
	return list
}

// functionRoutes lists the functions of an app by name, and where each answers.
func (d *Daemon) functionRoutes(one *deployed) []admin.FunctionRoute {
	m := one.version.Manifest
	var list []admin.FunctionRoute
	for name, function := range m.Functions {
		route := m.Route(name)
		list = append(list, admin.FunctionRoute{
			Name: name, Route: route, Methods: function.HTTP.Methods, Entry: function.Entry, UDS: d.config.UDS,
			URL: "http://" + d.httpAddr() + strings.TrimSuffix(route, "/*"), Triggers: triggersOf(function.On),
		})
	}
	slices.SortFunc(list, func(a, b admin.FunctionRoute) int { return strings.Compare(string(a.Name), string(b.Name)) })
	return list
}

func (d *Daemon) httpAddr() string {
	if d.http == nil || d.http.Addr() == nil {
		return d.config.HTTP
	}
	return d.http.Addr().String()
}

// result describes an app that has just become active.
func (d *Daemon) result(one *deployed) admin.DeployResult {
	return admin.DeployResult{
		App: one.version.App, Version: string(one.version.ID), Functions: d.functionRoutes(one), Warnings: one.warnings,
	}
}

// Rollback implements admin.Apps. The earlier version starts one instance before anything is switched, like a new one.
func (d *Daemon) Rollback(ctx context.Context, name invoke.AppName, id string) (admin.DeployResult, error) {
	version, err := d.registry.Earlier(name, app.VersionID(id))
	if err != nil {
		return admin.DeployResult{}, registryError(err)
	}
	one, err := d.ready(version, version.Manifest, nil)
	if err != nil {
		return admin.DeployResult{}, invalid(err)
	}
	err = d.pool.Try(ctx, one.app)
	if err != nil {
		err = invalid(fmt.Errorf("version %s cannot be started: %w", version.ID, err))
	} else {
		err = d.switchTo(one)
	}
	if err != nil {
		one.app.Retire()
		return admin.DeployResult{}, err
	}
	return d.result(one), nil
}

// switchTo activates a kept version that has been started, and switches over to it.
func (d *Daemon) switchTo(one *deployed) error {
	d.deployMu.Lock()
	defer d.deployMu.Unlock()
	table, err := d.routes(one.version.App, one)
	if err != nil {
		return conflict(err)
	}
	if err := d.registry.Activate(one.version.App, one.version.ID); err != nil {
		return registryError(err)
	}
	d.serve(one.version.App, one, table)
	return nil
}

// Remove implements admin.Apps.
func (d *Daemon) Remove(_ context.Context, name invoke.AppName) error {
	d.deployMu.Lock()
	defer d.deployMu.Unlock()
	if err := d.registry.Remove(name); err != nil {
		return registryError(err)
	}
	table, err := d.routes(name, nil)
	if err != nil {
		return err
	}
	d.serve(name, nil, table)
	d.metrics.Remove(name)
	d.logs.Remove(name)
	d.logger.Info("removed", "app", name)
	return nil
}

// registryError gives an error of the registry the kind that the API answers with.
func registryError(err error) error {
	switch {
	case errors.Is(err, app.ErrNotFound), errors.Is(err, app.ErrNoVersion):
		return &admin.Error{Kind: admin.ErrNotFound, Detail: err.Error(), Cause: err, Remedy: "'edged ls' and 'edged inspect' list what there is"}
	case errors.Is(err, app.ErrNotActive):
		return &admin.Error{Kind: admin.ErrConflict, Detail: err.Error(), Cause: err}
	case errors.Is(err, os.ErrPermission):
		return &admin.Error{Kind: admin.ErrInternal, Detail: err.Error(), Cause: err}
	}
	return err
}
