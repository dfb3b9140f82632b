// Package admintest has a service for tests of what is before the daemon: the management API and the command line.
package admintest

import (
	"context"
	"io"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

// Service is an admin.Service of functions. A nil function answers admin.ErrUnsupported.
type Service struct {
	DeployFunc      func(context.Context, admin.DeployRequest, func(admin.Progress)) (admin.DeployResult, error)
	AppsFunc        func(context.Context) ([]admin.AppSummary, error)
	InspectFunc     func(context.Context, invoke.AppName) (admin.AppDetail, error)
	RollbackFunc    func(context.Context, invoke.AppName, string) (admin.DeployResult, error)
	RemoveFunc      func(context.Context, invoke.AppName) error
	InvokeFunc      func(context.Context, admin.InvokeRequest) (admin.InvokeResponse, error)
	LogsFunc        func(context.Context, admin.LogsRequest, func(admin.LogEntry) error) error
	SpacesFunc      func(context.Context) ([]admin.SpaceSummary, error)
	KVGetFunc       func(context.Context, string, []byte) ([]byte, error)
	KVSetFunc       func(context.Context, string, []byte, []byte) error
	KVDeleteFunc    func(context.Context, string, []byte) (bool, error)
	KVListFunc      func(context.Context, string, admin.ListRequest) (admin.ListPage, error)
	KVExportFunc    func(context.Context, string, io.Writer) error
	KVImportFunc    func(context.Context, string, io.Reader) (int64, error)
	CallsFunc       func(context.Context) ([]admin.CallSummary, error)
	CallFunc        func(context.Context, string) (admin.CallDetail, error)
	CancelCallFunc  func(context.Context, string) error
	TriggersFunc    func(context.Context) ([]admin.TriggerSummary, error)
	DeadEventsFunc  func(context.Context, string, int) ([]admin.DeadEvent, error)
	DeadEventFunc   func(context.Context, string) (admin.DeadEvent, error)
	ReplayEventFunc func(context.Context, string) error
	DropEventFunc   func(context.Context, string) error
	StatusFunc      func(context.Context) (admin.Status, error)
	DoctorFunc      func(context.Context) ([]admin.Check, error)
	TopFunc         func(context.Context) (admin.Top, error)
}

var _ admin.Service = (*Service)(nil)

// Deploy calls DeployFunc.
func (s *Service) Deploy(ctx context.Context, req admin.DeployRequest, progress func(admin.Progress)) (admin.DeployResult, error) {
	if s.DeployFunc == nil {
		return admin.DeployResult{}, admin.ErrUnsupported
	}
	return s.DeployFunc(ctx, req, progress)
}

// Apps calls AppsFunc.
func (s *Service) Apps(ctx context.Context) ([]admin.AppSummary, error) {
	if s.AppsFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.AppsFunc(ctx)
}

// Inspect calls InspectFunc.
func (s *Service) Inspect(ctx context.Context, app invoke.AppName) (admin.AppDetail, error) {
	if s.InspectFunc == nil {
		return admin.AppDetail{}, admin.ErrUnsupported
	}
	return s.InspectFunc(ctx, app)
}

// Rollback calls RollbackFunc.
func (s *Service) Rollback(ctx context.Context, app invoke.AppName, version string) (admin.DeployResult, error) {
	if s.RollbackFunc == nil {
		return admin.DeployResult{}, admin.ErrUnsupported
	}
	return s.RollbackFunc(ctx, app, version)
}

// Remove calls RemoveFunc.
func (s *Service) Remove(ctx context.Context, app invoke.AppName) error {
	if s.RemoveFunc == nil {
		return admin.ErrUnsupported
	}
	return s.RemoveFunc(ctx, app)
}

// Invoke calls InvokeFunc.
func (s *Service) Invoke(ctx context.Context, req admin.InvokeRequest) (admin.InvokeResponse, error) {
	if s.InvokeFunc == nil {
		return admin.InvokeResponse{}, admin.ErrUnsupported
	}
	return s.InvokeFunc(ctx, req)
}

// Logs calls LogsFunc.
func (s *Service) Logs(ctx context.Context, req admin.LogsRequest, yield func(admin.LogEntry) error) error {
	if s.LogsFunc == nil {
		return admin.ErrUnsupported
	}
	return s.LogsFunc(ctx, req, yield)
}

// KVSpaces calls SpacesFunc.
func (s *Service) KVSpaces(ctx context.Context) ([]admin.SpaceSummary, error) {
	if s.SpacesFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.SpacesFunc(ctx)
}

// KVGet calls KVGetFunc.
func (s *Service) KVGet(ctx context.Context, space string, key []byte) ([]byte, error) {
	if s.KVGetFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.KVGetFunc(ctx, space, key)
}

// KVSet calls KVSetFunc.
func (s *Service) KVSet(ctx context.Context, space string, key, value []byte) error {
	if s.KVSetFunc == nil {
		return admin.ErrUnsupported
	}
	return s.KVSetFunc(ctx, space, key, value)
}

// KVDelete calls KVDeleteFunc.
func (s *Service) KVDelete(ctx context.Context, space string, key []byte) (bool, error) {
	if s.KVDeleteFunc == nil {
		return false, admin.ErrUnsupported
	}
	return s.KVDeleteFunc(ctx, space, key)
}

// KVList calls KVListFunc.
func (s *Service) KVList(ctx context.Context, space string, req admin.ListRequest) (admin.ListPage, error) {
	if s.KVListFunc == nil {
		return admin.ListPage{}, admin.ErrUnsupported
	}
	return s.KVListFunc(ctx, space, req)
}

// KVExport calls KVExportFunc.
func (s *Service) KVExport(ctx context.Context, space string, w io.Writer) error {
	if s.KVExportFunc == nil {
		return admin.ErrUnsupported
	}
	return s.KVExportFunc(ctx, space, w)
}

// KVImport calls KVImportFunc.
func (s *Service) KVImport(ctx context.Context, space string, r io.Reader) (int64, error) {
	if s.KVImportFunc == nil {
		return 0, admin.ErrUnsupported
	}
	return s.KVImportFunc(ctx, space, r)
}

// Triggers calls TriggersFunc.
func (s *Service) Triggers(ctx context.Context) ([]admin.TriggerSummary, error) {
	if s.TriggersFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.TriggersFunc(ctx)
}

// DeadEvents calls DeadEventsFunc.
func (s *Service) DeadEvents(ctx context.Context, after string, limit int) ([]admin.DeadEvent, error) {
	if s.DeadEventsFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.DeadEventsFunc(ctx, after, limit)
}

// DeadEvent calls DeadEventFunc.
func (s *Service) DeadEvent(ctx context.Context, id string) (admin.DeadEvent, error) {
	if s.DeadEventFunc == nil {
		return admin.DeadEvent{}, admin.ErrUnsupported
	}
	return s.DeadEventFunc(ctx, id)
}

// ReplayEvent calls ReplayEventFunc.
func (s *Service) ReplayEvent(ctx context.Context, id string) error {
	if s.ReplayEventFunc == nil {
		return admin.ErrUnsupported
	}
	return s.ReplayEventFunc(ctx, id)
}

// DropEvent calls DropEventFunc.
func (s *Service) DropEvent(ctx context.Context, id string) error {
	if s.DropEventFunc == nil {
		return admin.ErrUnsupported
	}
	return s.DropEventFunc(ctx, id)
}

// Status calls StatusFunc.
func (s *Service) Status(ctx context.Context) (admin.Status, error) {
	if s.StatusFunc == nil {
		return admin.Status{}, admin.ErrUnsupported
	}
	return s.StatusFunc(ctx)
}

// Doctor calls DoctorFunc.
func (s *Service) Doctor(ctx context.Context) ([]admin.Check, error) {
	if s.DoctorFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.DoctorFunc(ctx)
}

// Top calls TopFunc.
func (s *Service) Top(ctx context.Context) (admin.Top, error) {
	if s.TopFunc == nil {
		return admin.Top{}, admin.ErrUnsupported
	}
	return s.TopFunc(ctx)
}
