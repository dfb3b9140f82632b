package daemon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/manifest"
	"edged.dev/edge/edged/internal/trigger/crontrigger"
	"edged.dev/edge/kvstore"
)

const (
	// ownPrefix begins the names of spaces that are the daemon's. No app can have one: their names have no dot.
	ownPrefix = "edged."
	// timerSpace is where the state of timers is kept.
	timerSpace = ownPrefix + "timers"
)

// openTimers makes the timers of all apps that serve; they begin to run in Run.
func (d *Daemon) openTimers(Options) error {
	timers, err := crontrigger.New(crontrigger.Options{
		Store: timerStore{d.store}, Start: d.startTimer, Built: builtAt(), Logger: d.logger,
	})
	if err != nil {
		return err
	}
	d.timers = timers
	for name, one := range d.deployed() {
		timers.Set(name, timersOf(one.version.Manifest))
	}
	d.closing(func() error { timers.Close(); return nil })
	return nil
}

// builtAt returns a time before which this daemon cannot run: when its source was committed, or written when that is not known.
func builtAt() time.Time {
	written := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return written
	}
	for _, setting := range info.Settings {
		if setting.Key != "vcs.time" {
			continue
		}
		if at, err := time.Parse(time.RFC3339, setting.Value); err == nil && at.After(written) {
			return at
		}
	}
	return written
}

// timersOf returns the timers that a manifest asks for.
func timersOf(m *manifest.Manifest) []crontrigger.Timer {
	var timers []crontrigger.Timer
	for name, function := range m.Functions {
		for i := range function.On {
			on := &function.On[i]
			timer := crontrigger.Timer{ID: crontrigger.ID{App: m.App, Function: name, Index: i}, Missed: crontrigger.MissedOnce}
			switch {
			case on.Every > 0:
				timer.Every, timer.Text = on.Every, "every "+on.Every.String()
			case on.Cron != "":
				schedule, err := on.Schedule()
				if err != nil {
					continue // a manifest that is kept has been read, and its schedules with it
				}
				timer.Schedule, timer.Missed = schedule, crontrigger.Missed(on.Missed)
				timer.Text = strings.TrimSpace("cron " + on.Cron + " " + on.TZ)
			default:
				continue
			}
			timers = append(timers, timer)
		}
	}
	return timers
}

// triggersOf names the kinds of triggers of a function, for the list of functions.
func triggersOf(on []manifest.Trigger) []string {
	kinds := []string{string(invoke.SourceHTTP), string(invoke.SourceUDS)}
	for i := range on {
		kind := string(invoke.SourceKV)
		if on[i].Cron != "" || on[i].Every > 0 {
			kind = string(invoke.SourceCron)
		}
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
	}
	return kinds
}

// startTimer begins a run of a timer: an invocation of its function without a body.
func (d *Daemon) startTimer(run crontrigger.Run, done func(error)) error {
	one, err := d.find(run.Timer.App)
	if err != nil {
		return err
	}
	name := run.Timer.Function
	fn := one.app.Function(name)
	if fn == nil {
		return &admin.Error{Kind: admin.ErrNotFound, Detail: fmt.Sprintf("app %s has no function %q any more", run.Timer.App, name)}
	}
	method := "POST"
	if takes := one.version.Manifest.Functions[name].HTTP.Methods; len(takes) > 0 {
		if method, err = d.invokeMethod(admin.InvokeRequest{}, takes); err != nil {
			return err
		}
	}
	route := basePath(one.version.Manifest.Route(name))
	inv := &invoke.Invocation{
		ID: d.ids.Add(1), App: run.Timer.App, Function: name, Source: invoke.SourceCron, Target: fn,
		Request: invoke.Request{Method: method, Path: route, Proto: "HTTP/1.1", Host: "localhost", Remote: "@", Route: route},
		Event:   &invoke.Event{ID: run.EventID, Key: run.Moment.Format(time.RFC3339Nano), Kind: "timer", Attempt: 1},
		Stamps:  invoke.Stamps{Arrived: time.Now()},
		Done: func(inv *invoke.Invocation, result invoke.Result) {
			done(d.timerEnded(inv, result))
		},
	}
	if err := (*submitter)(d).Submit(inv); err != nil {
		return err
	}
	if !run.Missed {
		d.metrics.TriggerLag.Observe(max(time.Since(run.Moment), 0).Seconds())
	}
	return nil
}

// timerEnded counts a run and says what was wrong with it.
func (d *Daemon) timerEnded(inv *invoke.Invocation, result invoke.Result) error {
	answer, err := d.answered(inv, result)
	if err == nil && answer.Status >= 500 {
		err = fmt.Errorf("the function answered %d", answer.Status)
	}
	return err
}

// timerStore implements crontrigger.Store over a space of its own, which is made with the first timer.
type timerStore struct{ store *kvstore.Store }

// Load implements crontrigger.Store.
func (s timerStore) Load() (map[string][]byte, error) {
	kept := make(map[string][]byte)
	space, err := s.store.Lookup(timerSpace)
	if errors.Is(err, kvstore.ErrSpaceNotFound) {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	var after []byte
	for {
		err := space.Scan(nil, after, func(key, value []byte) bool {
			kept[string(key)] = bytes.Clone(value)
			return true
		})
		// What is damaged is left out, and its timer begins anew: that must not keep the daemon from starting.
		var damaged *kvstore.CorruptError
		if !errors.As(err, &damaged) || damaged.Key == nil {
			return kept, err
		}
		after = damaged.Key
	}
}

// Save implements crontrigger.Store.
func (s timerStore) Save(changes map[string][]byte) error {
	space, err := s.store.Space(timerSpace, kvstore.Sync)
	if err != nil {
		return err
	}
	ops := make([]kvstore.Op, 0, len(changes))
	for key, value := range changes {
		op := kvstore.Op{Kind: kvstore.OpSet, Key: []byte(key), Value: value}
		if value == nil {
			op.Kind = kvstore.OpDelete
		}
		ops = append(ops, op)
	}
	_, err = space.Apply(context.Background(), ops)
	return err
}

// notOwn refuses to let an operator change what the daemon keeps for itself.
func notOwn(space string) error {
	if !strings.HasPrefix(space, ownPrefix) {
		return nil
	}
	return &admin.Error{
		Kind: admin.ErrInvalid, Detail: fmt.Sprintf("space %s is the daemon's own and can only be read", space),
		Remedy: fmt.Sprintf("use a name that does not begin with %q", ownPrefix),
	}
}
