package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// routes is the API: every method and path there is.
func (s *Server) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, handle := range map[string]func(http.ResponseWriter, *http.Request) error{
		"POST /v1/deploy":                    s.deploy,
		"GET /v1/apps":                       s.apps,
		"GET /v1/apps/{app}":                 s.inspect,
		"DELETE /v1/apps/{app}":              s.remove,
		"POST /v1/apps/{app}/rollback":       s.rollback,
		"POST /v1/invoke":                    s.invoke,
		"GET /v1/logs":                       s.logs,
		"GET /v1/kv":                         s.kvSpaces,
		"GET /v1/kv/{space}":                 s.kvList,
		"GET /v1/kv/{space}/value":           s.kvGet,
		"PUT /v1/kv/{space}/value":           s.kvSet,
		"DELETE /v1/kv/{space}/value":        s.kvDelete,
		"GET /v1/kv/{space}/export":          s.kvExport,
		"POST /v1/kv/{space}/import":         s.kvImport,
		"GET /v1/calls":                      s.calls,
		"GET /v1/triggers":                   s.triggers,
		"GET /v1/triggers/dead":              s.deadEvents,
		"GET /v1/triggers/dead/{id}":         s.deadEvent,
		"POST /v1/triggers/dead/{id}/replay": s.replayEvent,
		"DELETE /v1/triggers/dead/{id}":      s.dropEvent,
		"GET /v1/calls/{id}":                 s.call,
		"DELETE /v1/calls/{id}":              s.callCancel,
		"GET /v1/status":                     s.status,
		"GET /v1/top":                        s.top,
		"GET /v1/doctor":                     s.doctor,
		"GET /metrics":                       s.metrics,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if err := handle(w, r); err != nil {
				writeProblem(w, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		writeProblem(w, &Error{
			Kind:   ErrNotFound,
			Detail: fmt.Sprintf("the management API has no %s %s", r.Method, r.URL.Path),
			Remedy: "use an edged command of the same version as the daemon",
		})
	})
	return mux
}

// answer writes a value as JSON. A client that is gone by then is nobody to tell.
func answer(w http.ResponseWriter, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(append(text, '\n'))
	return nil
}

// decode reads a JSON request of at most limit bytes, strictly.
func decode(w http.ResponseWriter, r *http.Request, limit int64, into any) error {
	body := json.NewDecoder(http.MaxBytesReader(w, r.Body, limit))
	body.DisallowUnknownFields()
	if err := body.Decode(into); err != nil {
		return readError("request", limit, err)
	}
	if _, err := body.Token(); !errors.Is(err, io.EOF) {
		return &Error{Kind: ErrInvalid, Detail: "the request has more than one JSON value"}
	}
	return nil
}

// readError names what was being read when err happened: above its limit, or broken.
func readError(what string, limit int64, err error) error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return &Error{
			Kind:   ErrTooLarge,
			Detail: fmt.Sprintf("the %s is larger than the limit of %d bytes", what, limit),
			Cause:  err,
		}
	}
	return &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("read the %s: %v", what, err), Cause: err}
}

func (s *Server) apps(w http.ResponseWriter, r *http.Request) error {
	apps, err := s.options.Service.Apps(r.Context())
	if err != nil {
		return err
	}
	return answer(w, orEmpty(apps))
}

func (s *Server) inspect(w http.ResponseWriter, r *http.Request) error {
	detail, err := s.options.Service.Inspect(r.Context(), appOf(r))
	if err != nil {
		return err
	}
	return answer(w, detail)
}

func (s *Server) remove(w http.ResponseWriter, r *http.Request) error {
	if err := s.options.Service.Remove(r.Context(), appOf(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// rollbackRequest is the body of a rollback.
type rollbackRequest struct {
	Version string `json:"version,omitempty"`
}

func (s *Server) rollback(w http.ResponseWriter, r *http.Request) error {
	var req rollbackRequest
	if err := decode(w, r, maxRequestBytes, &req); err != nil {
		return err
	}
	result, err := s.options.Service.Rollback(r.Context(), appOf(r), req.Version)
	if err != nil {
		return err
	}
	return answer(w, result)
}

func (s *Server) invoke(w http.ResponseWriter, r *http.Request) error {
	var req InvokeRequest
	if err := decode(w, r, maxInvokeBytes, &req); err != nil {
		return err
	}
	response, err := s.options.Service.Invoke(r.Context(), req)
	if err != nil {
		return err
	}
	return answer(w, response)
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	status, err := s.options.Service.Status(r.Context())
	if err != nil {
		return err
	}
	return answer(w, status)
}

func (s *Server) doctor(w http.ResponseWriter, r *http.Request) error {
	checks, err := s.options.Service.Doctor(r.Context())
	if err != nil {
		return err
	}
	return answer(w, orEmpty(checks))
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) error {
	if s.options.Metrics == nil {
		return &Error{Kind: ErrNotFound, Detail: "this daemon serves no metrics here"}
	}
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	if err := s.options.Metrics(w); err != nil { // the answer has begun: too late for a problem
		s.options.Log.DebugContext(r.Context(), "write metrics", slog.Any("error", err))
	}
	return nil
}

// logs streams entries and flushes each, so that a follower sees it at once.
func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	query := r.URL.Query()
	req := LogsRequest{App: invoke.AppName(query.Get("app")), Follow: query.Get("follow") == "1"}
	if text := query.Get("since"); text != "" {
		since, err := time.Parse(time.RFC3339Nano, text)
		if err != nil {
			return &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("since=%q is no RFC 3339 time", text), Cause: err}
		}
		req.Since = since
	}
	stream := newStream(w)
	err := s.options.Service.Logs(r.Context(), req, func(e LogEntry) error { return stream.send(event{Entry: &e}) })
	return stream.finish(event{End: true}, err)
}

// appOf returns the app named in the path.
func appOf(r *http.Request) invoke.AppName { return invoke.AppName(r.PathValue("app")) }

// listRequest reads the query of a list of keys.
func listRequest(r *http.Request) (ListRequest, error) {
	query := r.URL.Query()
	req := ListRequest{Prefix: []byte(query.Get("prefix")), After: []byte(query.Get("after")), Limit: defaultListEntries}
	if text := query.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil || limit < 1 || limit > maxListEntries {
			return req, &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("limit=%q is not between 1 and %d", text, maxListEntries)}
		}
		req.Limit = limit
	}
	return req, nil
}

// orEmpty makes a list without elements [] in JSON rather than null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
