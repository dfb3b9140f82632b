package pool

import (
	"strconv"
	"strings"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

// request is an invocation as host functions see it.
type request struct{ inv *invoke.Invocation }

var _ hostfn.Request = (*request)(nil)

// ID returns the invocation's number, for the guest's log lines.
func (r *request) ID() uint64 { return r.inv.ID }

// Meta implements hostfn.Request.
func (r *request) Meta(key string) (string, bool) {
	q := &r.inv.Request
	switch key {
	case "method":
		return q.Method, true
	case "path":
		return q.Path, true
	case "query":
		return q.RawQuery, true
	case "route":
		return q.Route, true
	case "path_info":
		return q.PathInfo, true
	case "proto":
		return q.Proto, true
	case "host":
		return q.Host, true
	case "remote":
		return q.Remote, true
	case "trigger":
		return string(r.inv.Source), true
	case "app":
		return string(r.inv.App), true
	case "function":
		return string(r.inv.Function), true
	case "key", "event_id", "attempt", "kind":
		return event(r.inv.Event, key)
	}
	if name, ok := strings.CutPrefix(key, "header:"); ok {
		return r.header(name)
	}
	if name, ok := strings.CutPrefix(key, "param:"); ok {
		value, ok := q.Params[name]
		return value, ok
	}
	return "", false
}

// event returns what is known of the change that started an invocation; nothing when none did.
func event(e *invoke.Event, key string) (string, bool) {
	switch {
	case e == nil:
		return "", false
	case key == "key":
		return e.Key, true
	case key == "kind":
		return e.Kind, true
	case key == "event_id":
		return e.ID, true
	default:
		return strconv.Itoa(e.Attempt), true
	}
}

// Origin implements hostfn.Request.
func (r *request) Origin() any { return r.inv }

// header joins the values of all fields of that name, as RFC 9110 (5.3) allows.
func (r *request) header(name string) (string, bool) {
	value, found := "", false
	for i := range r.inv.Request.Headers {
		h := &r.inv.Request.Headers[i]
		if !strings.EqualFold(h.Name, name) {
			continue
		}
		if found {
			value += ", " + h.Value
			continue
		}
		value, found = h.Value, true
	}
	return value, found
}

// Headers implements hostfn.Request.
func (r *request) Headers(yield func(name, value string) bool) {
	for i := range r.inv.Request.Headers {
		if !yield(r.inv.Request.Headers[i].Name, r.inv.Request.Headers[i].Value) {
			return
		}
	}
}

// Body implements hostfn.Request.
func (r *request) Body() []byte { return r.inv.Request.Body }
