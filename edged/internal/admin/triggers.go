package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Triggers is what the API does with what starts functions beside requests, and with the events that were given up.
type Triggers interface {
	// Triggers lists what starts functions beside requests, and what waits for triggers that are not there, by app and function.
	Triggers(ctx context.Context) ([]TriggerSummary, error)
	// DeadEvents returns up to limit events that were given up, those behind the ID after, "" for the first.
	DeadEvents(ctx context.Context, after string, limit int) ([]DeadEvent, error)
	// DeadEvent returns one of them; the error is of kind ErrNotFound when there is none of that ID.
	DeadEvent(ctx context.Context, id string) (DeadEvent, error)
	// ReplayEvent makes one of them wait for its function again. Errors as DeadEvent's; ErrConflict when its trigger is not there.
	ReplayEvent(ctx context.Context, id string) error
	// DropEvent forgets one of them. Errors as DeadEvent's.
	DropEvent(ctx context.Context, id string) error
}

// TriggerSummary is one trigger.
type TriggerSummary struct {
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function"`
	Kind     string              `json:"kind"`            // "kv", "cron", or "gone" for one that is not there any more
	On       string              `json:"on"`              // the pattern of keys, or when a timer runs
	Space    string              `json:"space,omitempty"` // of the keys
	Events   string              `json:"events,omitempty"`
	Pending  int64               `json:"pending"`   // events that wait or run
	InFlight int                 `json:"in_flight"` // of these, with the scheduler
	Lag      time.Duration       `json:"lag_ns"`    // since the change of the oldest event in memory
	Dead     int64               `json:"dead"`      // events that were given up and are kept
	Next     time.Time           `json:"next,omitzero"`
	Timer    *TimerSummary       `json:"timer,omitempty"` // nil for what is no timer
}

// TimerSummary is what a timer did since the daemon started.
type TimerSummary struct {
	Last    time.Time `json:"last,omitzero"`    // when its last run began
	Policy  string    `json:"policy,omitempty"` // for missed moments; empty for a period
	Runs    uint64    `json:"runs"`             // that have ended, failed ones included
	Failed  uint64    `json:"failed"`
	Skipped uint64    `json:"skipped"`         // moments at which the run before had not ended
	Missed  uint64    `json:"missed"`          // moments without a run: the machine was off, asleep, or its clock was put forward
	Error   string    `json:"error,omitempty"` // of the last run
}

// DeadEvent is an event that was given up.
type DeadEvent struct {
	ID       string              `json:"id"`
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function"`
	Space    string              `json:"space"`
	Key      string              `json:"key"`
	Kind     string              `json:"kind"` // "set", "new" or "delete"
	Attempts int                 `json:"attempts"`
	Changed  time.Time           `json:"changed"` // when the key was changed
	Died     time.Time           `json:"died"`
	Error    string              `json:"error"`
	Depth    int                 `json:"depth"` // how many functions in a row led to the change
	Trail    []string            `json:"trail,omitempty"`
}

// maxDeadEvents bounds one page of the list.
const maxDeadEvents = 1000

func (s *Server) triggers(w http.ResponseWriter, r *http.Request) error {
	list, err := s.options.Service.Triggers(r.Context())
	if err != nil {
		return err
	}
	return answer(w, orEmpty(list))
}

func (s *Server) deadEvents(w http.ResponseWriter, r *http.Request) error {
	limit := maxDeadEvents
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxDeadEvents {
			return &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("limit=%q is not between 1 and %d", text, maxDeadEvents)}
		}
		limit = n
	}
	list, err := s.options.Service.DeadEvents(r.Context(), r.URL.Query().Get("after"), limit)
	if err != nil {
		return err
	}
	return answer(w, orEmpty(list))
}

func (s *Server) deadEvent(w http.ResponseWriter, r *http.Request) error {
	event, err := s.options.Service.DeadEvent(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, event)
}

func (s *Server) replayEvent(w http.ResponseWriter, r *http.Request) error {
	return noContent(w, s.options.Service.ReplayEvent(r.Context(), r.PathValue("id")))
}

func (s *Server) dropEvent(w http.ResponseWriter, r *http.Request) error {
	return noContent(w, s.options.Service.DropEvent(r.Context(), r.PathValue("id")))
}

func noContent(w http.ResponseWriter, err error) error {
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func deadPath(id string) string { return "/v1/triggers/dead/" + url.PathEscape(id) }

// Triggers returns what starts functions beside requests.
func (c *Client) Triggers(ctx context.Context) ([]TriggerSummary, error) {
	return ask[[]TriggerSummary](ctx, c, http.MethodGet, "/v1/triggers", nil)
}

// DeadEvents returns a page of the events that were given up.
func (c *Client) DeadEvents(ctx context.Context, after string, limit int) ([]DeadEvent, error) {
	query := url.Values{"after": {after}, "limit": {strconv.Itoa(limit)}}
	return ask[[]DeadEvent](ctx, c, http.MethodGet, "/v1/triggers/dead?"+query.Encode(), nil)
}

// DeadEvent returns an event that was given up.
func (c *Client) DeadEvent(ctx context.Context, id string) (DeadEvent, error) {
	return ask[DeadEvent](ctx, c, http.MethodGet, deadPath(id), nil)
}

// ReplayEvent makes an event that was given up wait for its function again.
func (c *Client) ReplayEvent(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodPost, deadPath(id)+"/replay", nil)
}

// DropEvent forgets an event that was given up.
func (c *Client) DropEvent(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, deadPath(id), nil)
}
