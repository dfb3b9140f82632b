package edgedhttp_test

import (
	"fmt"
	"io"
	"net/http"
	"testing"

	"edged.dev/edge/sdk/go/edgedhttp"
	"edged.dev/edge/sdk/go/edgedtest"
)

func site() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /app/page/{id}", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
		http.SetCookie(w, &http.Cookie{Name: "twice", Value: "2"})
		_, _ = fmt.Fprintf(w, "%s %s %s", r.PathValue("id"), r.URL.Query().Get("q"), r.Header.Get("X-Custom"))
	})
	mux.HandleFunc("POST /app/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || int64(len(body)) != r.ContentLength {
			http.Error(w, "body", http.StatusTeapot)
			return
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("Content-Length", "99") // the host frames; this must not reach it
		w.WriteHeader(http.StatusCreated)
		w.Header().Set("X-Late", "1")
		_, _ = w.Write(body)
	})
	return mux
}

func serve(request edgedtest.Request) edgedtest.Response {
	return edgedtest.New().Call(request, func() int32 { return edgedhttp.Serve(site(), "X-Custom") })
}

func TestServe(t *testing.T) {
	got := serve(edgedtest.Request{Path: "/app/page/a%20b", RawQuery: "q=x%2By", Headers: map[string]string{"x-custom": "c"}})
	if got.Result != 0 || got.Status != 200 || string(got.Body) != "a b x+y c" {
		t.Errorf("result %d, error %q, status %d, body %q", got.Result, got.Error, got.Status, got.Body)
	}
	cookies := 0
	for _, h := range got.Headers {
		if h.Name == "Set-Cookie" {
			cookies++
		}
	}
	if cookies != 2 || got.Header("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("headers %v: want two cookies and a detected content type", got.Headers)
	}
}

func TestServeBody(t *testing.T) {
	headers := map[string]string{"Content-Type": "application/x-test"}
	got := serve(edgedtest.Request{Method: "POST", Path: "/app/echo", Body: []byte{0, 1, 255}, Headers: headers})
	if got.Status != 201 || string(got.Body) != "\x00\x01\xff" || got.Header("Content-Type") != "application/x-test" {
		t.Errorf("status %d, body %q, headers %v", got.Status, got.Body, got.Headers)
	}
	for _, name := range []string{"X-Late", "Content-Length"} {
		if got.Header(name) != "" {
			t.Errorf("%s was sent: %v", name, got.Headers)
		}
	}
}

func TestServeRefusals(t *testing.T) {
	if got := serve(edgedtest.Request{Path: "/app/nothing"}); got.Status != 404 {
		t.Errorf("unknown path: status %d, want 404", got.Status)
	}
	if got := serve(edgedtest.Request{Method: "DELETE", Path: "/app/echo"}); got.Status != 405 || got.Header("Allow") != "POST" {
		t.Errorf("wrong method: status %d, Allow %q; want 405, POST", got.Status, got.Header("Allow"))
	}
	if got := serve(edgedtest.Request{Method: "HEAD", Path: "/app/page/1"}); got.Status != 200 || len(got.Body) != 0 {
		t.Errorf("HEAD: status %d, body %q; want 200 and none", got.Status, got.Body)
	}
	if got := serve(edgedtest.Request{Path: "/app/%zz"}); got.Result == 0 || got.Error == "" {
		t.Errorf("malformed escape: result %d, error %q; want a failure", got.Result, got.Error)
	}
}
