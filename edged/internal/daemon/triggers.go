package daemon

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/trigger/kvtrigger"
	"edged.dev/edge/kvstore"
)

// Triggers implements admin.Triggers.
func (d *Daemon) Triggers(context.Context) ([]admin.TriggerSummary, error) {
	waiting := make(map[string]kvstore.RuleStat)
	for _, st := range d.store.Outbox().Stats() {
		waiting[st.Rule] = st
	}
	list := []admin.TriggerSummary{}
	for _, st := range d.events.Stats() {
		w := waiting[st.ID]
		delete(waiting, st.ID)
		list = append(list, admin.TriggerSummary{
			App: st.App, Function: st.Function, Kind: "kv", On: st.Pattern.String(), Space: st.Space, Events: st.Kinds.String(),
			Pending: w.Pending, InFlight: st.InFlight, Lag: st.Oldest, Dead: w.Dead,
		})
	}
	for id, w := range waiting {
		app, fn := kvtrigger.SplitID(id)
		list = append(list, admin.TriggerSummary{App: app, Function: fn, Kind: "gone", Pending: w.Pending, InFlight: w.Loaded, Dead: w.Dead})
	}
	for _, st := range d.timers.List() {
		one := admin.TriggerSummary{App: st.ID.App, Function: st.ID.Function, Kind: "cron", On: st.Text, Pending: int64(st.Waiting), Next: st.Next}
		one.Timer = &admin.TimerSummary{
			Last: st.Last, Runs: st.Runs, Failed: st.Failed, Skipped: st.Skipped, Missed: st.Missed, Error: st.Error,
		}
		if st.Schedule != nil {
			one.Timer.Policy = string(st.Timer.Missed)
		}
		if st.Running {
			one.InFlight = 1
		}
		list = append(list, one)
	}
	slices.SortStableFunc(list, func(a, b admin.TriggerSummary) int {
		return strings.Compare(string(a.App)+"/"+string(a.Function)+"/"+a.On, string(b.App)+"/"+string(b.Function)+"/"+b.On)
	})
	return list, nil
}

// DeadEvents implements admin.Triggers.
func (d *Daemon) DeadEvents(_ context.Context, after string, limit int) ([]admin.DeadEvent, error) {
	var from *kvstore.DeadLetter
	if after != "" {
		letter, err := d.deadLetter(after)
		if err != nil {
			return nil, err
		}
		from = letter
	}
	letters, err := d.store.Outbox().DeadLetters(from, limit)
	if err != nil {
		return nil, storeError(err)
	}
	list := make([]admin.DeadEvent, len(letters))
	for i, letter := range letters {
		list[i] = deadEvent(letter)
	}
	return list, nil
}

// DeadEvent implements admin.Triggers.
func (d *Daemon) DeadEvent(_ context.Context, id string) (admin.DeadEvent, error) {
	letter, err := d.deadLetter(id)
	if err != nil {
		return admin.DeadEvent{}, err
	}
	return deadEvent(letter), nil
}

// ReplayEvent implements admin.Triggers.
func (d *Daemon) ReplayEvent(ctx context.Context, id string) error {
	letter, err := d.deadLetter(id)
	if err != nil {
		return err
	}
	err = d.store.Outbox().Replay(ctx, letter.ID)
	switch {
	case errors.Is(err, kvstore.ErrNoRule):
		return &admin.Error{
			Kind: admin.ErrConflict, Detail: fmt.Sprintf("nothing takes events of %s now", letter.Rule), Cause: err,
			Remedy: "deploy its app with that trigger again, or drop the event",
		}
	case errors.Is(err, kvstore.ErrLostEvent):
		return &admin.Error{
			Kind: admin.ErrConflict, Detail: "the record of event " + id + " was damaged: which key has changed is not known", Cause: err,
			Remedy: "drop the event",
		}
	case errors.Is(err, kvstore.ErrNoDelivery):
		return noDeadEvent(id, err)
	}
	return storeError(err)
}

// DropEvent implements admin.Triggers.
func (d *Daemon) DropEvent(ctx context.Context, id string) error {
	number, ok := kvtrigger.ParseEventID(id)
	if !ok {
		return noDeadEvent(id, nil)
	}
	err := d.store.Outbox().DropDead(ctx, number) // also one that cannot be read
	if errors.Is(err, kvstore.ErrNoDelivery) {
		return noDeadEvent(id, err)
	}
	return storeError(err)
}

func (d *Daemon) deadLetter(text string) (*kvstore.DeadLetter, error) {
	id, ok := kvtrigger.ParseEventID(text)
	if !ok {
		return nil, noDeadEvent(text, nil)
	}
	letter, err := d.store.Outbox().DeadLetter(id)
	if errors.Is(err, kvstore.ErrNoDelivery) {
		return nil, noDeadEvent(text, err)
	}
	return letter, storeError(err)
}

func noDeadEvent(id string, cause error) error {
	return &admin.Error{
		Kind: admin.ErrNotFound, Detail: fmt.Sprintf("no event %q was given up", id), Cause: cause, Remedy: "'edged trigger dead ls' lists them",
	}
}

func deadEvent(letter *kvstore.DeadLetter) admin.DeadEvent {
	app, fn := kvtrigger.SplitID(letter.Rule)
	return admin.DeadEvent{
		ID: kvtrigger.EventID(letter.ID), App: app, Function: fn, Space: letter.Space, Key: letter.Key, Kind: letter.Kind.String(),
		Attempts: letter.Attempts, Changed: letter.Time, Died: letter.Died, Error: letter.Reason, Depth: letter.Cause.Depth, Trail: letter.Cause.Trail,
	}
}
