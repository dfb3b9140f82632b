package daemon

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/app"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/metric"
	"edged.dev/edge/edged/internal/pool"
	"edged.dev/edge/edged/internal/trigger/kvtrigger"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/kvstore"
	"edged.dev/edge/kvstore/keypattern"
)

// errNoTrigger is why events become dead letters whose trigger was removed.
var errNoTrigger = errors.New("its trigger is not there any more: the app was removed, or its manifest does not list it now")

// abandons is the work of giving up events whose trigger was removed, which goes on beside everything else.
type abandons struct {
	life context.Context //nolint:containedctx // the root context of that work, ended by end
	end  context.CancelFunc
	work sync.WaitGroup
}

// openEvents makes what starts functions when keys change. It has no triggers before the apps are there.
func (d *Daemon) openEvents(Options) error {
	d.abandons.life, d.abandons.end = context.WithCancel(context.Background()) //nolint:fatcontext // made once; nothing is nested
	d.events = kvtrigger.New(kvtrigger.Options{
		Retire: d.abandon,
		Outbox: d.store.Outbox(), Submitter: (*submitter)(d), Find: d.locate, IDs: &d.ids, Logger: d.logger,
		Observe: func(inv *invoke.Invocation, result invoke.Result) { d.sent(inv, statusOf(result)) },
		Lag:     func(lag time.Duration) { d.metrics.TriggerLag.Observe(lag.Seconds()) },
	})
	d.closing(d.stopEvents)
	return nil
}

// stopEvents stops starting functions by changes of keys; what waits goes on after the next start. Again it does nothing.
func (d *Daemon) stopEvents() error {
	d.abandons.end() // a large backlog takes many commits, and the next start goes on with it
	err := d.events.Close()
	d.abandons.work.Wait()
	return err
}

// statusOf is the HTTP status that a result would be answered with.
func statusOf(result invoke.Result) int {
	switch {
	case result.Err != nil:
		return invoke.Status(result.Err)
	case result.Status == 0:
		return 200
	}
	return result.Status
}

// locate sets the target of an invocation that names its function, as those do that come from no port.
func (d *Daemon) locate(inv *invoke.Invocation) error {
	d.mu.Lock()
	one := d.apps[inv.App]
	d.mu.Unlock()
	var fn *pool.Function
	if one != nil {
		fn = one.app.Function(inv.Function)
	}
	if fn == nil {
		return &invoke.Error{Kind: invoke.ErrNotFound, Detail: fmt.Sprintf("%s/%s is not deployed", inv.App, inv.Function)}
	}
	inv.Target = fn
	return nil
}

// again finds the target of an invocation anew, when the version that it was for has been retired.
func (d *Daemon) again(inv *invoke.Invocation) error {
	if inv.Source != invoke.SourceHTTP && inv.Source != invoke.SourceUDS {
		return d.locate(inv)
	}
	_, err := d.router.Route(inv)
	return err
}

// retrigger makes the triggers of all apps that serve hold. After an error those before hold on.
func (d *Daemon) retrigger() error {
	var list []kvtrigger.Trigger
	for _, one := range d.deployed() {
		triggers, err := kvTriggers(one.version.Manifest)
		if err != nil { // the manifest was checked
			d.logger.Error("triggers of an app do not hold", "app", one.version.App, "error", err)
		}
		list = append(list, triggers...)
	}
	return d.events.Set(list)
}

// kvTriggers are the triggers of a manifest.
func kvTriggers(m *manifest.Manifest) ([]kvtrigger.Trigger, error) {
	var list []kvtrigger.Trigger
	for _, name := range slices.Sorted(maps.Keys(m.Functions)) {
		on := m.Functions[name].On
		for i := range on {
			t := &on[i]
			if t.KV == "" {
				continue
			}
			pattern, err := keypattern.Parse(t.KV)
			if err != nil {
				return list, err
			}
			list = append(list, kvtrigger.Trigger{
				ID: kvtrigger.ID(m.App, name, m.SpaceOf(t), t.KV), App: m.App, Function: name, Space: m.SpaceOf(t), Pattern: pattern,
				Kinds: kindsOf(t.Events), Retries: t.Retries, Backoff: t.Backoff, Backlog: t.Backlog,
			})
		}
	}
	return list, nil
}

func kindsOf(events []manifest.Event) kvstore.Kinds {
	var kinds kvstore.Kinds
	for _, event := range events {
		switch event {
		case manifest.EventSet:
			kinds |= kvstore.OnSet
		case manifest.EventNew:
			kinds |= kvstore.OnNew
		case manifest.EventDelete:
			kinds |= kvstore.OnDelete
		}
	}
	return kinds
}

// abandon makes dead letters of what waits for a trigger that was removed.
func (d *Daemon) abandon(id string) {
	life := d.abandons.life
	if err := d.store.Outbox().Abandon(life, id, errNoTrigger); err != nil && life.Err() == nil {
		d.logger.Error("events of a removed trigger stay; the next start removes them", "trigger", id, "error", err)
	}
}

// abandonOrphans does so at a start, for what a crash has left. The events of an app that could not be put back into service wait for it.
func (d *Daemon) abandonOrphans() {
	for _, st := range d.store.Outbox().Stats() {
		name, _ := kvtrigger.SplitID(st.Rule)
		if one := d.deployed()[name]; one != nil {
			if _, err := kvTriggers(one.version.Manifest); err != nil {
				continue // it may be one of those
			}
		}
		if st.Active || st.Pending == 0 || slices.Contains(d.registry.Apps(), name) && d.deployed()[name] == nil {
			continue
		}
		if slices.ContainsFunc(d.registry.Damaged(), func(r app.Damage) bool { return r.App == name }) {
			continue
		}
		d.abandon(st.Rule)
	}
}

// permissions are what the functions of a manifest may do with keys; those that may do anything are not there.
func permissions(m *manifest.Manifest) (map[invoke.FunctionName]*hostfn.Permission, error) {
	all := make(map[invoke.FunctionName]*hostfn.Permission)
	for name, function := range m.Functions {
		if len(function.KVs) == 0 {
			continue
		}
		permission := &hostfn.Permission{}
		for text, ways := range function.KVs {
			pattern, err := keypattern.Parse(text)
			if err != nil {
				return nil, fmt.Errorf("functions.%s.kvs: %w", name, err)
			}
			for _, way := range ways {
				switch way {
				case manifest.AccessGet:
					permission.Get = append(permission.Get, pattern)
				case manifest.AccessSet:
					permission.Set = append(permission.Set, pattern)
				case manifest.AccessDelete:
					permission.Delete = append(permission.Delete, pattern)
				}
			}
		}
		all[name] = permission
	}
	return all, nil
}

// startUpPermission is what a guest may do with keys at start-up, whichever function it is for: what any of the functions may. Nil is
// everything: one of them may do that.
func startUpPermission(m *manifest.Manifest, permitted map[invoke.FunctionName]*hostfn.Permission) *hostfn.Permission {
	if len(permitted) == 0 || len(permitted) < len(m.Functions) {
		return nil
	}
	union := &hostfn.Permission{}
	for _, one := range permitted {
		union.Get = append(union.Get, one.Get...)
		union.Set = append(union.Set, one.Set...)
		union.Delete = append(union.Delete, one.Delete...)
	}
	return union
}

// spaceOf returns the space of an app as one of its invocations may use it, or a start-up: what it writes is known to be its doing, and
// its function's kvs are all that it can reach.
func spaceOf(space *kvstore.Space, m *manifest.Manifest) (func(origin any) hostfn.Space, error) {
	permitted, err := permissions(m)
	if err != nil {
		return nil, err
	}
	atStart := startUpPermission(m, permitted)
	return func(origin any) hostfn.Space {
		permission := atStart
		switch of := origin.(type) {
		case *invoke.Invocation:
			permission = permitted[of.Function]
		case invoke.StartUp:
			origin = of.For
		}
		writer := space.By(origin)
		if permission != nil {
			return hostfn.Restrict(writer, permission)
		}
		return writer
	}, nil
}

// triggerCounts are the triggers' numbers as metrics want them.
func (d *Daemon) triggerCounts() []metric.Trigger {
	type key struct {
		app invoke.AppName
		fn  invoke.FunctionName
	}
	sums := make(map[key]*metric.Trigger)
	of := func(app invoke.AppName, fn invoke.FunctionName) *metric.Trigger {
		sum := sums[key{app, fn}]
		if sum == nil {
			sum = &metric.Trigger{App: app, Function: fn}
			sums[key{app, fn}] = sum
		}
		return sum
	}
	for _, st := range d.events.Stats() {
		sum := of(st.App, st.Function)
		sum.Done += st.Counts[kvtrigger.Done]
		sum.Failed += st.Counts[kvtrigger.Failed]
		sum.Dead += st.Counts[kvtrigger.Dead]
	}
	for _, st := range d.store.Outbox().Stats() {
		app, fn := kvtrigger.SplitID(st.Rule)
		sum := of(app, fn)
		sum.Pending += st.Pending
		sum.Letters += st.Dead
	}
	list := make([]metric.Trigger, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	return list
}
