// Package edgedlog connects log/slog to the log of an edged app. It is apart from package edged because slog makes a small
// function about 200 kB larger.
//
//	slog.SetDefault(slog.New(edgedlog.New(slog.LevelInfo)))
package edgedlog

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"time"

	edged "edged.dev/edge/sdk/go"
)

// Handler writes records to the app's log, in the form of [slog.TextHandler] without time and level, which the host keeps
// beside each line. It is safe for use by several goroutines.
type Handler struct {
	text slog.Handler
	sink *sink
}

// sink is where a handler and those derived from it format their lines.
type sink struct {
	mu   sync.Mutex
	line bytes.Buffer // guarded by mu
}

// New returns a handler. Records below least never leave the function.
func New(least slog.Level) *Handler {
	s := &sink{}
	options := &slog.HandlerOptions{Level: least, ReplaceAttr: dropLevel}
	return &Handler{text: slog.NewTextHandler(&s.line, options), sink: s}
}

// dropLevel leaves out the record's own level; an attribute of that name stays.
func dropLevel(groups []string, a slog.Attr) slog.Attr {
	if _, own := a.Value.Any().(slog.Level); own && len(groups) == 0 && a.Key == slog.LevelKey {
		return slog.Attr{}
	}
	return a
}

// Enabled reports whether records of that level are written.
func (h *Handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.text.Enabled(ctx, level)
}

// Handle writes one record.
func (h *Handler) Handle(ctx context.Context, record slog.Record) error {
	h.sink.mu.Lock()
	defer h.sink.mu.Unlock()
	record.Time = time.Time{} // slog leaves out a zero time
	h.sink.line.Reset()
	if err := h.text.Handle(ctx, record); err != nil {
		return err
	}
	edged.Log(hostLevel(record.Level), string(bytes.TrimRight(h.sink.line.Bytes(), "\n")))
	return nil
}

// WithAttrs returns a handler that adds attrs to every record.
func (h *Handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Handler{text: h.text.WithAttrs(attrs), sink: h.sink}
}

// WithGroup returns a handler that puts what follows into a group.
func (h *Handler) WithGroup(name string) slog.Handler {
	return &Handler{text: h.text.WithGroup(name), sink: h.sink}
}

// hostLevel maps slog's open scale onto the host's four levels.
func hostLevel(level slog.Level) edged.Level {
	switch {
	case level < slog.LevelInfo:
		return edged.LevelDebug
	case level < slog.LevelWarn:
		return edged.LevelInfo
	case level < slog.LevelError:
		return edged.LevelWarn
	default:
		return edged.LevelError
	}
}
