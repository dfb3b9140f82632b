package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"sync"
)

// A deploy is multipart/form-data with up to three parts, in this order: "request" (JSON of [DeployRequest]), "manifest",
// and "module". Files are parts of their own because base64 in JSON would cost a third more and could not be streamed.
const (
	partRequest  = "request"
	partManifest = "manifest"
	partModule   = "module"
)

// deploy reads the upload and streams the service's progress. An error before the first progress is an ordinary answer
// with its own status; a later one is the last line of the stream.
func (s *Server) deploy(w http.ResponseWriter, r *http.Request) error {
	req, err := s.readDeploy(w, r)
	if err != nil {
		return err
	}
	stream := newStream(w)
	// A client that has gone shows in the context; the service ends by that, not by errors of writing progress.
	result, err := s.options.Service.Deploy(r.Context(), req, func(p Progress) { _ = stream.send(event{Progress: &p}) })
	return stream.finish(event{Result: &result}, err)
}

// readDeploy reads the parts of an upload within their limits.
func (s *Server) readDeploy(w http.ResponseWriter, r *http.Request) (DeployRequest, error) {
	var req DeployRequest
	total := s.options.MaxModuleBytes + maxManifestBytes + 2*maxRequestBytes // parts have headers too
	r.Body = http.MaxBytesReader(w, r.Body, total)
	parts, err := r.MultipartReader()
	if err != nil {
		return req, &Error{Kind: ErrInvalid, Detail: "a deploy must be multipart/form-data", Cause: err}
	}
	seen := make(map[string]bool)
	for {
		part, err := parts.NextRawPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return req, readError("upload", total, err)
		}
		if seen[part.FormName()] {
			return req, &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("the upload has the part %q twice", part.FormName())}
		}
		seen[part.FormName()] = true
		if err := s.readPart(part, &req); err != nil {
			return req, err
		}
	}
	if !seen[partRequest] || !seen[partModule] {
		return req, &Error{Kind: ErrInvalid, Detail: "the upload lacks the part \"request\" or \"module\""}
	}
	// Only at the end of the body does the server watch for a client that goes away.
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		return req, readError("upload", total, err)
	}
	return req, nil
}

// readPart reads one part into its field.
func (s *Server) readPart(part *multipart.Part, req *DeployRequest) error {
	var err error
	switch part.FormName() {
	case partRequest:
		var text []byte
		if text, err = readLimited(part, partRequest, maxRequestBytes); err != nil {
			return err
		}
		if err = json.Unmarshal(text, req); err != nil {
			return &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("part %q: %v", partRequest, err), Cause: err}
		}
		return nil
	case partManifest:
		req.Manifest, err = readLimited(part, partManifest, maxManifestBytes)
		return err
	case partModule:
		req.Module, err = readLimited(part, partModule, s.options.MaxModuleBytes)
		return err
	default:
		return &Error{Kind: ErrInvalid, Detail: fmt.Sprintf("the upload has an unknown part %q", part.FormName())}
	}
}

// readLimited reads all of r, at most limit bytes.
func readLimited(r io.Reader, what string, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, readError(what, limit, err)
	}
	if int64(len(data)) > limit {
		return nil, &Error{Kind: ErrTooLarge, Detail: fmt.Sprintf("the %s is larger than the limit of %d bytes", what, limit)}
	}
	return data, nil
}

// stream writes events, one JSON line each, and sends every line at once.
type stream struct {
	response   http.ResponseWriter
	controller *http.ResponseController

	mu      sync.Mutex
	started bool  // guarded by mu; the status line is out
	done    bool  // guarded by mu
	err     error // guarded by mu; the first error of writing
}

func newStream(w http.ResponseWriter) *stream {
	return &stream{response: w, controller: http.NewResponseController(w)}
}

// send writes an event. After the last one, or an error, it only returns that.
func (s *stream) send(e event) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return ErrClosed
	}
	return s.write(e)
}

// write writes an event. Preconditions: s.mu is held.
func (s *stream) write(e event) error {
	if s.err != nil {
		return s.err
	}
	if !s.started {
		s.started = true
		s.response.Header().Set("Content-Type", "application/x-ndjson")
	}
	if s.err = json.NewEncoder(s.response).Encode(e); s.err == nil {
		s.err = s.controller.Flush()
	}
	return s.err
}

// finish writes the last event: last, or the problem when err is not nil. When nothing was written before, it returns err
// to be answered with its own status.
func (s *stream) finish(last event, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = true
	if err != nil && !s.started {
		return err
	}
	if err != nil {
		last = event{Error: problemOf(err)}
	}
	_ = s.write(last) // the client has gone if this does not work
	return nil
}
