package hostfn

import (
	"bytes"
	"fmt"
	"strings"
	"time"
)

// The streams a log line may come from.
const (
	streamLog    = "log"
	streamStderr = "stderr"
)

// lineCost is counted for a line beside its bytes, so that empty lines are not free.
const lineCost = 16

// logs is what one invocation has logged.
type logs struct {
	used   int    // bytes passed to the sink
	full   bool   // the limit was reached and the notice written
	stderr []byte // a line of stderr that has no end yet
}

func (l *logs) reset() { *l = logs{stderr: l.stderr[:0]} }

// logText passes a text to the sink, one line at a time.
func (e *Env) logText(level Level, text []byte) {
	text = bytes.TrimSuffix(text, []byte("\n"))
	for !e.logs.full {
		line, rest, more := bytes.Cut(text, []byte("\n"))
		e.logLong(level, streamLog, line)
		if !more {
			return
		}
		text = rest
	}
}

// writeStderr passes on the lines that p completes and keeps the rest.
func (e *Env) writeStderr(p []byte) {
	for len(p) > 0 && !e.logs.full {
		room := e.app.Limits.LogLineBytes - len(e.logs.stderr)
		// What lies behind a line's longest form is not looked at: p may be as large as the guest's memory.
		line, _, ended := bytes.Cut(p[:min(len(p), room+1)], []byte("\n"))
		if len(line) > room {
			e.logs.stderr = append(e.logs.stderr, line[:room]...)
			p = p[room:]
			e.flushStderr()
			continue
		}
		rest := p[len(line):]
		if ended {
			rest = rest[1:]
		}
		e.logs.stderr = append(e.logs.stderr, line...)
		if ended {
			e.emitStderr()
		}
		p = rest
	}
}

// flushStderr passes on a line that has no end.
func (e *Env) flushStderr() {
	if len(e.logs.stderr) > 0 {
		e.emitStderr()
	}
}

func (e *Env) emitStderr() {
	e.logOne(LevelInfo, streamStderr, e.logs.stderr)
	e.logs.stderr = e.logs.stderr[:0]
}

// logLong passes a line on in pieces of at most the limit.
func (e *Env) logLong(level Level, stream string, line []byte) {
	for len(line) > e.app.Limits.LogLineBytes && !e.logs.full {
		e.logOne(level, stream, line[:e.app.Limits.LogLineBytes])
		line = line[e.app.Limits.LogLineBytes:]
	}
	e.logOne(level, stream, line)
}

// logOne passes one line to the sink, or the notice that no more is passed.
func (e *Env) logOne(level Level, stream string, line []byte) {
	if e.logs.full {
		return
	}
	if e.logs.used+len(line)+lineCost > e.app.Limits.LogBytes {
		e.logs.full = true
		notice := fmt.Sprintf("log cut here: the invocation logged more than its %d bytes", e.app.Limits.LogBytes)
		e.sink(LevelWarn, streamLog, notice)
		return
	}
	e.logs.used += len(line) + lineCost
	if e.app.Log != nil {
		line = bytes.TrimSuffix(line, []byte("\r"))
		e.sink(level, stream, strings.ToValidUTF8(string(line), "\uFFFD"))
	}
}

// id returns the number of the invocation, 0 when the request has none.
func (e *Env) id() uint64 {
	if numbered, ok := e.req.(interface{ ID() uint64 }); ok {
		return numbered.ID()
	}
	return 0
}

func (e *Env) sink(level Level, stream, text string) {
	if e.app.Log == nil {
		return
	}
	e.app.Log.Log(LogLine{
		Time: time.Now(), App: e.app.Name, Function: e.metaOf("function"), Invocation: e.id(), Level: level, Stream: stream, Text: text,
	})
}
