package front

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"edged.dev/edge/bench/hostabi"
)

// Listen listens at a free port of the loopback address and prints the ready line.
func Listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return listener, WriteReady(os.Stdout, listener.Addr().String())
}

func serveThreads(ctx context.Context, handler Handler) error {
	calls := sync.Pool{New: func() any { return new(hostabi.Call) }}
	serve := func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client has gone
		}
		call, ok := calls.Get().(*hostabi.Call)
		if !ok {
			return
		}
		defer calls.Put(call)
		call.Reset([]byte(r.URL.RequestURI()), body)
		answer(w, call, handler(call))
	}
	listener, err := Listen(ctx)
	if err != nil {
		return err
	}
	server := http.Server{Handler: http.HandlerFunc(serve), ReadHeaderTimeout: time.Minute}
	return fmt.Errorf("serve: %w", server.Serve(listener))
}

func answer(w http.ResponseWriter, call *hostabi.Call, err error) {
	body := call.Out
	if err != nil {
		body = []byte(err.Error())
	} else if call.Failed != nil {
		body = call.Failed
	}
	for line := range bytes.SplitSeq(call.Fields, []byte("\r\n")) {
		if name, value, ok := bytes.Cut(line, []byte(": ")); ok {
			w.Header().Add(string(name), string(value))
		}
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	if err != nil || call.Failed != nil {
		w.WriteHeader(http.StatusInternalServerError)
	}
	if _, err := w.Write(body); err != nil {
		slog.Debug("answer", "error", err)
	}
}
