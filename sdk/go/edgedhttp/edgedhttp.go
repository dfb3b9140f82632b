// Package edgedhttp runs a net/http handler as an edged function:
//
//	//go:wasmexport site
//	func site() int32 { return edgedhttp.Serve(handler) }
//
// It is apart from package edged because net/http makes a module several megabytes larger, and with that a deploy slower.
package edgedhttp

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	edged "edged.dev/edge/sdk/go"
)

// Serve answers the current call with handler and returns the result of an entry: 0, or 1 when the request could not be
// read or the response not be written. The request's Body is complete in memory; URL.Path is the path as the client sent
// it, with the app's name in front, so http.StripPrefix may be wanted. The response is buffered and handed over when the
// handler returns. A panic of the handler ends the call as a trap.
//
// The request has the header fields of [KnownHeaders]; a handler that reads others names them in further.
func Serve(handler http.Handler, further ...string) int32 {
	return edged.Run(func() error {
		request, err := newRequest(further)
		if err != nil {
			return err
		}
		w := &response{header: http.Header{}}
		handler.ServeHTTP(w, request)
		return w.flush(request.Method == http.MethodHead)
	})
}

// KnownHeaders returns the names that every request is filled with. The host looks header fields up by name and does not
// list them.
func KnownHeaders() []string {
	return []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Content-Encoding",
		"Content-Language", "Content-Type", "Cookie", "Date", "ETag", "Forwarded", "From", "Host", "If-Match",
		"If-Modified-Since", "If-None-Match", "If-Range", "If-Unmodified-Since", "Origin", "Range", "Referer",
		"Sec-Fetch-Dest", "Sec-Fetch-Mode", "Sec-Fetch-Site", "Traceparent", "Tracestate", "User-Agent", "Via",
		"X-Api-Key", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Request-Id", "X-Requested-With",
	}
}

// newRequest makes the server-side request of the current call.
func newRequest(further []string) (*http.Request, error) {
	call := edged.Request()
	target := call.Path()
	if query := call.RawQuery(); query != "" {
		target += "?" + query
	}
	parsed, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, fmt.Errorf("parse request target: %w", err)
	}
	body := call.Body()
	request := &http.Request{
		Method: call.Method(), URL: parsed, RequestURI: target,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{}, Host: call.Header("Host"), RemoteAddr: edged.Meta("remote"),
		Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)),
	}
	for _, name := range append(KnownHeaders(), further...) {
		// net/http keeps Host apart from the header, and so do servers.
		if value := call.Header(name); value != "" && name != "Host" {
			request.Header.Set(name, value)
		}
	}
	return request, nil
}

// response buffers what a handler writes; it implements http.ResponseWriter.
type response struct {
	header http.Header
	sent   http.Header // header as it was at WriteHeader; nil before
	status int
	body   bytes.Buffer
}

// Header returns the fields to be sent.
func (w *response) Header() http.Header { return w.header }

// WriteHeader fixes status and header; later calls do nothing. Informational statuses are dropped.
func (w *response) WriteHeader(status int) {
	if w.sent != nil || status < http.StatusOK {
		return
	}
	w.status = status
	w.sent = w.header.Clone()
}

// Write appends to the body and fixes status 200 before the first byte.
func (w *response) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}

// framing fields are the host's own; a handler may set them, to no effect.
var framing = []string{"Connection", "Content-Length", "Keep-Alive", "Te", "Trailer", "Transfer-Encoding", "Upgrade"}

// flush hands the response to the host.
func (w *response) flush(head bool) error {
	w.WriteHeader(http.StatusOK)
	if w.sent.Get("Content-Type") == "" && w.body.Len() > 0 {
		w.sent.Set("Content-Type", http.DetectContentType(w.body.Bytes()))
	}
	if err := edged.Status(w.status); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(w.sent)) {
		if slices.Contains(framing, name) || strings.HasPrefix(name, http.TrailerPrefix) {
			continue
		}
		for _, value := range w.sent[name] {
			if err := edged.Header(name, value); err != nil {
				return err
			}
		}
	}
	if head {
		return nil
	}
	_, err := edged.Output().Write(w.body.Bytes())
	return err
}
