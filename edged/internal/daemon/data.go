package daemon

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/logring"
	"edged.dev/edge/kvstore"
)

// Logs implements admin.Logs.
func (d *Daemon) Logs(ctx context.Context, req admin.LogsRequest, yield func(admin.LogEntry) error) error {
	if req.App == "" {
		return d.allLogs(ctx, req, yield)
	}
	if _, err := d.find(req.App); err != nil {
		return err
	}
	ring := d.logs.Ring(req.App)
	records := ring.Tail(req.Since)
	if req.Follow {
		records = ring.Follow(ctx, req.Since)
	}
	for record := range records {
		if err := yield(logEntry(record)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// allLogs merges the logs of all apps that are deployed now.
func (d *Daemon) allLogs(ctx context.Context, req admin.LogsRequest, yield func(admin.LogEntry) error) error {
	if req.Follow {
		return d.followAll(ctx, req, yield)
	}
	var all []logring.Record
	for name := range d.deployed() {
		for record := range d.logs.Ring(name).Tail(req.Since) {
			all = append(all, record)
		}
	}
	slices.SortStableFunc(all, func(a, b logring.Record) int { return a.Time.Compare(b.Time) })
	for _, record := range all {
		if err := yield(logEntry(record)); err != nil {
			return err
		}
	}
	return nil
}

// followAll follows every app that is deployed when it begins; yield is called by one goroutine at a time.
func (d *Daemon) followAll(ctx context.Context, req admin.LogsRequest, yield func(admin.LogEntry) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	records := make(chan logring.Record) // closed by nobody: ctx ends it
	for name := range d.deployed() {
		go func() {
			for record := range d.logs.Ring(name).Follow(ctx, req.Since) {
				select {
				case records <- record:
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	for {
		select {
		case record := <-records:
			if err := yield(logEntry(record)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func logEntry(r logring.Record) admin.LogEntry {
	return admin.LogEntry{
		Time: r.Time, App: r.App, Function: r.Function, Invocation: r.Invocation, Level: r.Level.String(), Text: r.Text, Lost: r.Lost,
	}
}

// KVSpaces implements admin.KV.
func (d *Daemon) KVSpaces(context.Context) ([]admin.SpaceSummary, error) {
	stats, err := d.store.Spaces()
	if err != nil {
		return nil, storeError(err)
	}
	list := make([]admin.SpaceSummary, 0, len(stats))
	for _, s := range stats {
		list = append(list, admin.SpaceSummary{Name: s.Name, Durability: s.Durability.String(), Keys: int64(s.Keys), Bytes: s.Bytes})
	}
	return list, nil
}

// space returns an existing space.
func (d *Daemon) space(name string) (*kvstore.Space, error) {
	space, err := d.store.Lookup(name)
	if err != nil {
		return nil, storeError(err)
	}
	return space, nil
}

// KVGet implements admin.KV.
func (d *Daemon) KVGet(_ context.Context, space string, key []byte) ([]byte, error) {
	s, err := d.space(space)
	if err != nil {
		return nil, err
	}
	value, err := s.Get(key, nil)
	return value, storeError(err)
}

// KVSet implements admin.KV. A space that does not exist is made, as durable as can be.
func (d *Daemon) KVSet(ctx context.Context, space string, key, value []byte) error {
	if err := notOwn(space); err != nil {
		return err
	}
	s, err := d.store.Lookup(space)
	if errors.Is(err, kvstore.ErrSpaceNotFound) {
		s, err = d.store.Space(space, kvstore.Sync)
	}
	if err != nil {
		return storeError(err)
	}
	return storeError(s.Set(ctx, key, value))
}

// KVDelete implements admin.KV.
func (d *Daemon) KVDelete(ctx context.Context, space string, key []byte) (bool, error) {
	if err := notOwn(space); err != nil {
		return false, err
	}
	s, err := d.space(space)
	if err != nil {
		return false, err
	}
	existed, err := s.Delete(ctx, key)
	return existed, storeError(err)
}

// KVList implements admin.KV.
func (d *Daemon) KVList(_ context.Context, space string, req admin.ListRequest) (admin.ListPage, error) {
	page := admin.ListPage{Entries: []admin.KeyEntry{}}
	s, err := d.space(space)
	if err != nil {
		return page, err
	}
	err = s.Scan(req.Prefix, req.After, func(key, value []byte) bool {
		if len(page.Entries) == req.Limit {
			page.More = true
			return false
		}
		page.Entries = append(page.Entries, admin.KeyEntry{Key: slices.Clone(key), Bytes: int64(len(value))})
		return true
	})
	return page, storeError(err)
}

// KVExport implements admin.KV.
func (d *Daemon) KVExport(ctx context.Context, space string, w io.Writer) error {
	_, err := d.store.Export(ctx, w, space)
	return storeError(err)
}

// KVImport implements admin.KV.
func (d *Daemon) KVImport(ctx context.Context, space string, r io.Reader) (int64, error) {
	if err := notOwn(space); err != nil {
		return 0, err
	}
	moved, err := d.store.Import(ctx, r, space)
	return int64(moved.Keys), storeError(err)
}

// storeError gives an error of the store the kind that the API answers with.
func storeError(err error) error {
	if err == nil {
		return nil
	}
	for _, row := range []struct{ from, kind error }{
		{kvstore.ErrNotFound, admin.ErrNotFound},
		{kvstore.ErrSpaceNotFound, admin.ErrNotFound},
		{kvstore.ErrTooLarge, admin.ErrTooLarge},
		{kvstore.ErrEmptyKey, admin.ErrInvalid},
		{kvstore.ErrBadName, admin.ErrInvalid},
		{kvstore.ErrBadExport, admin.ErrInvalid},
		{kvstore.ErrFull, admin.ErrLimit},
		{kvstore.ErrBacklog, admin.ErrLimit},
		{kvstore.ErrConflict, admin.ErrConflict},
	} {
		if errors.Is(err, row.from) {
			return &admin.Error{Kind: row.kind, Detail: err.Error(), Cause: err}
		}
	}
	return fmt.Errorf("key-value store: %w", err)
}
