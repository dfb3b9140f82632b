package httptrigger

import (
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"edged.dev/edge/edged/internal/invoke"
)

// problem is an error answer (RFC 9457).
type problem struct {
	status int
	kind   string // last part of the type URN; "" is about:blank
	title  string // "" is the reason phrase
	detail string
	allow  []string
	retry  time.Duration
}

// problemKind gives the errors of an invocation a type that programs can test for.
func problemKind(err error) (kind string, of error) {
	for _, row := range [...]struct {
		err  error
		kind string
	}{
		{invoke.ErrNotFound, "not-found"},
		{invoke.ErrMethodNotAllowed, "method-not-allowed"},
		{invoke.ErrTooLarge, "too-large"},
		{invoke.ErrQueueFull, "queue-full"},
		{invoke.ErrGuest, "function-failed"},
		{invoke.ErrDraining, "draining"},
		{invoke.ErrTimeout, "timeout"},
		{invoke.ErrDepth, "depth"},
		{invoke.ErrCancelled, "cancelled"},
	} {
		if errors.Is(err, row.err) {
			return row.kind, row.err
		}
	}
	return "", nil
}

// defaultRetry is the Retry-After of an overload whose error names none.
const defaultRetry = time.Second

// problemOf turns an invocation's error into an answer. Only what the error has for callers is told: a cause may hold
// what is none of their business.
func problemOf(err error, allow []string) *problem {
	p := &problem{status: invoke.Status(err)}
	kind, of := problemKind(err)
	if of != nil {
		p.kind, p.title = kind, of.Error()
	}
	var e *invoke.Error
	if errors.As(err, &e) {
		p.detail, p.retry = e.Detail, e.RetryAfter
	}
	switch p.status {
	case 405:
		p.allow = allow
	case 429, 503:
		if p.retry <= 0 {
			p.retry = defaultRetry
		}
	}
	return p
}

// append appends the whole response, head and body. inv may be nil.
func (p *problem) append(dst []byte, inv *invoke.Invocation, r reply) []byte {
	body := p.appendJSON(nil, inv)
	headers := []invoke.Header{{Name: "Content-Type", Value: "application/problem+json"}}
	if p.status == 405 {
		headers = append(headers, invoke.Header{Name: "Allow", Value: strings.Join(p.allow, ", ")})
	}
	if p.retry > 0 {
		seconds := (p.retry + time.Second - 1) / time.Second
		headers = append(headers, invoke.Header{Name: "Retry-After", Value: strconv.FormatInt(int64(seconds), 10)})
	}
	dst = appendResponseHead(dst, p.status, headers, len(body), r)
	if r.isHead {
		return dst
	}
	return append(dst, body...)
}

func (p *problem) appendJSON(dst []byte, inv *invoke.Invocation) []byte {
	kind, title := "about:blank", p.title
	if p.kind != "" {
		kind = "urn:edged:problem:" + p.kind
	}
	if title == "" {
		title = reason(p.status)
	}
	dst = appendString(append(dst, `{"type":`...), kind)
	dst = appendString(append(dst, `,"title":`...), title)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(p.status), 10)
	if p.detail != "" {
		dst = appendString(append(dst, `,"detail":`...), p.detail)
	}
	if inv != nil {
		if inv.App != "" {
			dst = appendString(append(dst, `,"app":`...), string(inv.App))
		}
		if inv.Function != "" {
			dst = appendString(append(dst, `,"function":`...), string(inv.Function))
		}
		dst = appendString(append(dst, `,"id":`...), strconv.FormatUint(inv.ID, 10))
	}
	return append(dst, "}\n"...)
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become the replacement character.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ' || r == 0x7f:
			const digits = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', digits[r>>4], digits[r&15])
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
