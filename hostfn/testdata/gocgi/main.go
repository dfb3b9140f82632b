// Command gocgi is a stock Go program that answers through net/http/cgi; the tests of hostfn run it as a guest.
package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os"
	"time"
)

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/guest/hello", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello %s\n", r.FormValue("name"))
	})
	mux.HandleFunc("/guest/echo", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%s %s %s", r.Method, body, r.Header.Get("X-Ask"))
	})
	mux.HandleFunc("/guest/file", func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, "/data/page.txt")
	})
	mux.HandleFunc("/guest/save", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = os.WriteFile("/data/saved", body, 0o600)
		}
		if err == nil {
			body, err = os.ReadFile("/data/saved")
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		_, _ = w.Write(body)
	})
	mux.HandleFunc("/guest/sleep", func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(5 * time.Millisecond)
		fmt.Fprint(w, "slept")
	})
	mux.HandleFunc("/guest/panic", func(http.ResponseWriter, *http.Request) { panic("on purpose") })
	if err := cgi.Serve(mux); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
