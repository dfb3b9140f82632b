package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// exportTrailer carries the problem of an export that broke off after its first bytes, as JSON.
const exportTrailer = "Edged-Problem"

func (s *Server) kvSpaces(w http.ResponseWriter, r *http.Request) error {
	spaces, err := s.options.Service.KVSpaces(r.Context())
	if err != nil {
		return err
	}
	return answer(w, orEmpty(spaces))
}

func (s *Server) kvList(w http.ResponseWriter, r *http.Request) error {
	req, err := listRequest(r)
	if err != nil {
		return err
	}
	page, err := s.options.Service.KVList(r.Context(), r.PathValue("space"), req)
	if err != nil {
		return err
	}
	page.Entries = orEmpty(page.Entries)
	return answer(w, page)
}

func (s *Server) kvGet(w http.ResponseWriter, r *http.Request) error {
	value, err := s.options.Service.KVGet(r.Context(), r.PathValue("space"), keyOf(r))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	_, _ = w.Write(value) //nolint:gosec // sent as octets; a client that is gone by then is nobody to tell
	return nil
}

func (s *Server) kvSet(w http.ResponseWriter, r *http.Request) error {
	value, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxValueBytes))
	if err != nil {
		return readError("value", maxValueBytes, err)
	}
	if err := s.options.Service.KVSet(r.Context(), r.PathValue("space"), keyOf(r), value); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// deleted is the answer to a deletion.
type deleted struct {
	Existed bool `json:"existed"`
}

func (s *Server) kvDelete(w http.ResponseWriter, r *http.Request) error {
	existed, err := s.options.Service.KVDelete(r.Context(), r.PathValue("space"), keyOf(r))
	if err != nil {
		return err
	}
	return answer(w, deleted{existed})
}

// kvExport streams a space. An error before the first byte is an ordinary answer; one after it goes into the trailer,
// which a client must look at before it trusts what it got.
func (s *Server) kvExport(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", exportTrailer)
	out := &countingWriter{w: w}
	err := s.options.Service.KVExport(r.Context(), r.PathValue("space"), out)
	if err == nil {
		return nil
	}
	if out.n == 0 {
		w.Header().Del("Trailer")
		return err
	}
	text, jsonErr := json.Marshal(problemOf(err))
	if jsonErr != nil {
		return fmt.Errorf("describe problem: %w", jsonErr)
	}
	w.Header().Set(exportTrailer, string(text))
	return nil
}

// imported is the answer to an import.
type imported struct {
	Entries int64 `json:"entries"`
}

func (s *Server) kvImport(w http.ResponseWriter, r *http.Request) error {
	entries, err := s.options.Service.KVImport(r.Context(), r.PathValue("space"), r.Body)
	if err != nil {
		return err
	}
	return answer(w, imported{entries})
}

// keyOf returns the key in the query. It is not in the path because keys are bytes: "a//b" and ".." are keys too.
func keyOf(r *http.Request) []byte { return []byte(r.URL.Query().Get("key")) }

// countingWriter counts what was written.
type countingWriter struct {
	w io.Writer
	n int64
}

// Write passes p on.
func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
