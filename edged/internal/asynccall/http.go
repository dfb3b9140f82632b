package asynccall

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Path is where calls are asked for, followed by their ID.
const Path = "/_edged/calls/"

// Wanted reports whether the client of a request prefers not to wait (RFC 7240, 4.1).
func Wanted(q *invoke.Request) bool {
	for i := range q.Headers {
		h := &q.Headers[i]
		if len(h.Name) == len("Prefer") && strings.EqualFold(h.Name, "Prefer") && prefersAsync(h.Value) {
			return true
		}
	}
	return false
}

// prefersAsync reads the value of a Prefer field: preferences apart by commas, each perhaps with parameters behind a semicolon.
func prefersAsync(value string) bool {
	for one := range strings.SplitSeq(value, ",") {
		name, _, _ := strings.Cut(one, ";")
		if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
			return true
		}
	}
	return false
}

// Answer answers a request for the path of a call through its Done: GET and HEAD with the call's answer, or 202 while there is
// none, DELETE by cancelling the call or removing its answer. It waits for the disk.
func (c *Calls) Answer(inv *invoke.Invocation) {
	id := strings.TrimPrefix(inv.Request.Path, Path)
	switch inv.Request.Method {
	case http.MethodGet, http.MethodHead:
		info, result, err := c.Show(id)
		switch {
		case err != nil:
			result = invoke.Result{Err: asError(err)}
		case info.Finished.IsZero():
			result = pending(&info)
		default:
			inv.App, inv.Function = info.App, info.Function // a problem names them
		}
		inv.Done(inv, result)
	case http.MethodDelete:
		if err := c.Cancel(id); err != nil {
			inv.Done(inv, invoke.Result{Err: asError(err)})
			return
		}
		inv.Done(inv, invoke.Result{Status: 204})
	default:
		inv.Done(inv, invoke.Result{Err: &invoke.Error{Kind: invoke.ErrMethodNotAllowed, Detail: "a call takes GET, HEAD and DELETE"}})
	}
}

func asError(err error) error {
	if errors.Is(err, ErrNotFound) {
		return &invoke.Error{Kind: invoke.ErrNotFound, Detail: err.Error(), Cause: err}
	}
	return err
}

// pending is the answer for a call that has none yet.
func pending(info *Summary) invoke.Result {
	body, err := json.Marshal(struct {
		ID       string              `json:"id"`
		App      invoke.AppName      `json:"app"`
		Function invoke.FunctionName `json:"function"`
		State    State               `json:"state"`
		Created  time.Time           `json:"created"`
	}{info.ID, info.App, info.Function, info.State, info.Created})
	if err != nil {
		return invoke.Result{Err: err}
	}
	return invoke.Result{Status: 202, Body: append(body, '\n'), Headers: []invoke.Header{
		{Name: "Content-Type", Value: "application/json"}, {Name: "Retry-After", Value: "1"},
	}}
}
