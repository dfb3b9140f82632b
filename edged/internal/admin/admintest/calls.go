package admintest

import (
	"context"

	"edged.dev/edge/edged/internal/admin"
)

// Calls calls CallsFunc.
func (s *Service) Calls(ctx context.Context) ([]admin.CallSummary, error) {
	if s.CallsFunc == nil {
		return nil, admin.ErrUnsupported
	}
	return s.CallsFunc(ctx)
}

// Call calls CallFunc.
func (s *Service) Call(ctx context.Context, id string) (admin.CallDetail, error) {
	if s.CallFunc == nil {
		return admin.CallDetail{}, admin.ErrUnsupported
	}
	return s.CallFunc(ctx, id)
}

// CancelCall calls CancelCallFunc.
func (s *Service) CancelCall(ctx context.Context, id string) error {
	if s.CancelCallFunc == nil {
		return admin.ErrUnsupported
	}
	return s.CancelCallFunc(ctx, id)
}
