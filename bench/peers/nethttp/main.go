// Command nethttp answers with net/http, without any guest: what a service written natively in Go takes. fib runs on the
// request's goroutine.
package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"time"

	"edged.dev/edge/bench/front"
)

func main() { os.Exit(front.Main(serve)) } //nolint:forbidigo // the entry of the program

func serve(ctx context.Context) error {
	mux := http.NewServeMux()
	mux.HandleFunc("/basic/hello", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		write(w, []byte("hello, world\n"))
	})
	mux.HandleFunc("/basic/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		write(w, body)
	})
	mux.HandleFunc("/basic/fib", func(w http.ResponseWriter, r *http.Request) {
		n, err := strconv.ParseUint(r.URL.RawQuery, 10, 32)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		write(w, strconv.AppendUint(nil, uint64(fib(uint32(n))), 10))
	})
	listener, err := front.Listen(ctx)
	if err != nil {
		return err
	}
	server := http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	return server.Serve(listener)
}

// write answers; a client that has gone is no matter here.
func write(w http.ResponseWriter, body []byte) {
	if _, err := w.Write(body); err != nil {
		slog.Debug("answer", "error", err)
	}
}

//go:noinline
func fib(n uint32) uint32 {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}
