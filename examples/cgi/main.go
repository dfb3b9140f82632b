// Command cgi is an ordinary Go web program: net/http handlers behind net/http/cgi and nothing of edged. Built for wasip1
// it answers on /cgi.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi" //nolint:gosec // the weakness it warns of (HTTP_PROXY from a header) was mended in Go 1.6.3
	"os"
)

// maxBody bounds what is kept of a request; edged has a limit of its own, this is the program's.
const maxBody = 1 << 20

func main() {
	// CGI says in SCRIPT_NAME where the program is mounted.
	mount := os.Getenv("SCRIPT_NAME") //nolint:forbidigo // CGI 1.1 hands everything over in the environment
	if err := cgi.Serve(http.StripPrefix(mount, handler())); err != nil {
		fmt.Fprintln(os.Stderr, "cgi:", err)
	}
}

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", index)
	mux.HandleFunc("GET /request", request)
	mux.HandleFunc("POST /upper", upper)
	return mux
}

func index(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, "<!doctype html><title>cgi</title><p>A Go program with net/http/cgi, running on edged.\n")
}

// request shows what the program knows of its request.
func request(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = fmt.Fprintf(w, "method %s\npath %s\nquery %s\nagent %s\n", r.Method, r.URL.Path, r.URL.RawQuery, r.UserAgent()) //nolint:gosec // text/plain
}

// upper answers with the body in upper case.
func upper(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, err.Error(), http.StatusRequestEntityTooLarge)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(bytes.ToUpper(body))
}
