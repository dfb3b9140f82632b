package httptrigger

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// reply is what a response head needs beside the response.
type reply struct {
	date     []byte
	end      bool // Connection: close
	keep     bool // Connection: keep-alive, for HTTP/1.0
	isHead   bool
	chunked  bool
	noLength bool           // no Content-Length: the body streams
	timing   *invoke.Stamps // for Server-Timing; nil: none
	now      time.Time
}

// appendResponseHead appends a status line and a header section with its empty line. The framing fields are ours: those
// of the guest that would contradict them are left out. length is that of the body; a guest may give its own for HEAD,
// where it need not make the body.
func appendResponseHead(dst []byte, status int, headers []invoke.Header, length int, r reply) []byte {
	dst = appendStatusLine(dst, status)
	own := -1 // Content-Length of the guest, an index
	for i := range headers {
		h := &headers[i]
		if reserved(h.Name) {
			if strings.EqualFold(h.Name, "Content-Length") {
				own = i
			}
			continue
		}
		dst = append(append(append(append(dst, h.Name...), ": "...), h.Value...), "\r\n"...)
	}
	dst = append(append(append(dst, "Date: "...), r.date...), "\r\nServer: edged\r\n"...)
	switch {
	case r.end:
		dst = append(dst, "Connection: close\r\n"...)
	case r.keep:
		dst = append(dst, "Connection: keep-alive\r\n"...)
	}
	switch {
	case bodyless(status):
	case r.chunked:
		dst = append(dst, "Transfer-Encoding: chunked\r\n"...)
	case r.isHead && length <= 0 && own >= 0 && isNumber(headers[own].Value):
		dst = append(append(append(dst, "Content-Length: "...), headers[own].Value...), "\r\n"...)
	case !r.noLength:
		dst = append(strconv.AppendInt(append(dst, "Content-Length: "...), int64(length), 10), "\r\n"...)
	}
	if r.timing != nil {
		dst = appendTiming(dst, r.timing, r.now)
	}
	return append(dst, "\r\n"...)
}

func appendStatusLine(dst []byte, status int) []byte {
	if status == 200 {
		return append(dst, "HTTP/1.1 200 OK\r\n"...)
	}
	dst = strconv.AppendInt(append(dst, "HTTP/1.1 "...), int64(status), 10)
	return append(append(append(dst, ' '), reason(status)...), "\r\n"...)
}

// reason returns the phrase of a status; for one without, what its class says.
func reason(status int) string {
	switch text := http.StatusText(status); {
	case status == http.StatusRequestEntityTooLarge:
		return "Content Too Large" // its name since RFC 9110
	case text != "":
		return text
	case status < 300:
		return "Success"
	case status < 400:
		return "Redirection"
	case status < 500:
		return "Client Error"
	default:
		return "Server Error"
	}
}

// reserved reports whether a field of a response is ours to set, not a guest's: framing, the connection, who and when.
func reserved(name string) bool {
	for _, own := range [...]string{
		"Connection", "Content-Length", "Transfer-Encoding", "Keep-Alive", "Proxy-Connection",
		"TE", "Trailer", "Upgrade", "Date", "Server",
	} {
		if len(name) == len(own) && strings.EqualFold(name, own) {
			return true
		}
	}
	return false
}

// bodyless reports whether responses of that status never have a body (RFC 9110, 6.4.1).
func bodyless(status int) bool { return status == 204 || status == 304 || status < 200 }

// isNumber reports whether s is a Content-Length.
func isNumber(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != "" && len(s) <= maxLengthDigits
}

// appendTiming appends the Server-Timing field: the time each stage took in milliseconds, left out when a stage was not
// reached, and the total until now. Moments are cut to whole microseconds before they are subtracted, so that the stages
// add up to the total to the last digit.
func appendTiming(dst []byte, s *invoke.Stamps, now time.Time) []byte {
	dst = append(dst, "Server-Timing: "...)
	stages := [...]struct {
		name     string
		from, to time.Time
	}{
		{"admit", s.Arrived, s.Queued},
		{"queue", s.Queued, s.Picked},
		{"instantiate", s.Picked, s.Started},
		{"run", s.Started, s.Ended},
		{"send", s.Ended, now},
	}
	if s.Arrived.IsZero() {
		return append(appendMilliseconds(dst, "total", 0), "\r\n"...)
	}
	at := func(t time.Time) int64 { return t.Sub(s.Arrived).Microseconds() }
	for _, stage := range stages {
		if stage.from.IsZero() || stage.to.IsZero() {
			continue
		}
		dst = append(appendMilliseconds(dst, stage.name, at(stage.to)-at(stage.from)), ", "...)
	}
	return append(appendMilliseconds(dst, "total", at(now)), "\r\n"...)
}

func appendMilliseconds(dst []byte, name string, microseconds int64) []byte {
	dst = append(append(dst, name...), ";dur="...)
	return strconv.AppendFloat(dst, float64(microseconds)/1e3, 'f', 3, 64)
}

// dateCache formats the time once a second. It belongs to one loop.
type dateCache struct {
	second int64
	text   []byte
}

// at returns now in the form of a Date field; the bytes are valid until the next call.
func (d *dateCache) at(now time.Time) []byte {
	if s := now.Unix(); s != d.second || d.text == nil {
		d.second = s
		d.text = now.UTC().AppendFormat(d.text[:0], http.TimeFormat)
	}
	return d.text
}
