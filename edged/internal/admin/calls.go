package admin

import (
	"context"
	"net/http"
	"net/url"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Calls is what the API does with asynchronous calls.
type Calls interface {
	// Calls lists those that wait, run, or have an answer that is kept, oldest first.
	Calls(ctx context.Context) ([]CallSummary, error)
	// Call returns one with its answer. The error is of kind ErrNotFound when there is none of that ID.
	Call(ctx context.Context, id string) (CallDetail, error)
	// CancelCall ends one that has no answer yet, or removes the answer of another. Errors as Call's.
	CancelCall(ctx context.Context, id string) error
}

// CallSummary is an asynchronous call.
type CallSummary struct {
	ID       string              `json:"id"`
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function"`
	State    string              `json:"state"` // "waiting", "running", "done" or "failed"
	Created  time.Time           `json:"created"`
	Finished time.Time           `json:"finished,omitzero"`
	Status   int                 `json:"status,omitempty"` // HTTP status of the answer
	Bytes    int64               `json:"bytes"`            // of the request's body, or of the answer's
}

// CallDetail is an asynchronous call with its answer.
type CallDetail struct {
	CallSummary
	Headers []invoke.Header `json:"headers,omitempty"`
	Body    []byte          `json:"body,omitempty"`
	Error   string          `json:"error,omitempty"`
}

func (s *Server) calls(w http.ResponseWriter, r *http.Request) error {
	list, err := s.options.Service.Calls(r.Context())
	if err != nil {
		return err
	}
	return answer(w, orEmpty(list))
}

func (s *Server) call(w http.ResponseWriter, r *http.Request) error {
	detail, err := s.options.Service.Call(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, detail)
}

func (s *Server) callCancel(w http.ResponseWriter, r *http.Request) error {
	if err := s.options.Service.CancelCall(r.Context(), r.PathValue("id")); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func callPath(id string) string { return "/v1/calls/" + url.PathEscape(id) }

// Calls returns the asynchronous calls, oldest first.
func (c *Client) Calls(ctx context.Context) ([]CallSummary, error) {
	return ask[[]CallSummary](ctx, c, http.MethodGet, "/v1/calls", nil)
}

// Call returns an asynchronous call with its answer.
func (c *Client) Call(ctx context.Context, id string) (CallDetail, error) {
	return ask[CallDetail](ctx, c, http.MethodGet, callPath(id), nil)
}

// CancelCall ends an asynchronous call, or removes its answer.
func (c *Client) CancelCall(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, callPath(id), nil)
}
