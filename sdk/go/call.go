package edged

import (
	"io"
	"strconv"
	"strings"

	"edged.dev/edge/sdk/go/internal/abi"
)

// Run calls f and turns its error into the result of an entry: 0 for nil, else 1 after [Fail] with the error's text.
func Run(f func() error) int32 {
	if err := f(); err != nil {
		Fail(err.Error())
		return 1
	}
	return 0
}

// Fail fails the call, whatever the entry returns: the caller gets this text with status 500. The last one counts.
func Fail(text string) { abi.Error(text) }

// Input returns the whole request body, empty when there is none. Each call copies it anew, and the slice is the
// caller's; for a large body that is read once in order, [InputReader] needs less memory.
func Input() []byte {
	body := make([]byte, abi.InputLen())
	for have := 0; have < len(body); {
		n := abi.InputRead(int32(have), body[have:])
		if n <= 0 {
			return body[:have]
		}
		have += int(n)
	}
	return body
}

// InputReader returns a reader over the request body, from its beginning. It never fails before io.EOF.
func InputReader() io.Reader { return &inputReader{size: abi.InputLen()} }

type inputReader struct{ off, size int32 }

func (r *inputReader) Read(p []byte) (int, error) {
	if r.off >= r.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n := abi.InputRead(r.off, p)
	if n == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	if err := check(int64(n), "read input", ""); err != nil {
		return 0, err
	}
	r.off += n
	return int(n), nil
}

// Output returns the response body as a writer. Every Write is one call to the host, so wrap it in a bufio.Writer for
// many small ones. Status and headers should be set before the first Write. Errors: [ErrTooLarge], [ErrCancelled].
func Output() io.Writer { return output{} }

type output struct{}

func (output) Write(p []byte) (int, error) {
	if err := check(int64(abi.OutputWrite(p)), "write output", ""); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteString saves io.WriteString a copy.
func (o output) WriteString(s string) (int, error) { return o.Write([]byte(s)) }

// Status sets the HTTP status of the response; 200 unless set. [ErrInvalid] outside 200 to 599, [ErrConflict] once the
// head has been sent because the body is large.
func Status(code int) error {
	if code < 0 || code > 999 { // what has three digits fits, the host judges the rest
		return &OpError{Op: "set status", Err: ErrInvalid}
	}
	return check(int64(abi.OutputStatus(int32(code))), "set status", "")
}

// Header adds a response header field; one of that name that is there already stays. [ErrInvalid] for a malformed name or
// value, [ErrDenied] for the fields that frame the message (Content-Length and its like), [ErrLimit] for too many, and
// [ErrConflict] once the head has been sent because the body is large.
func Header(name, value string) error {
	return check(int64(abi.OutputHeader(name, value)), "set header", name)
}

// Meta returns a fact about the call: "method", "path", "query", "header:<name>", "param:<name>", "trigger", "key",
// "kind", "event_id", "attempt", "app", "function", "node", "route", "path_info", "proto", "host", "remote" or "result:status". Absent
// ones are "".
func Meta(key string) string {
	value, err := read(abi.MetaGet, "meta", key)
	if err != nil {
		return ""
	}
	return string(value)
}

// Config returns a setting of the app. [ErrNotFound], also when the manifest does not grant it (grants.config).
func Config(name string) (string, error) {
	value, err := read(abi.ConfigGet, "config", name)
	return string(value), err
}

// Secret returns a secret of the app. [ErrNotFound], also when the manifest does not grant it (grants.secrets).
func Secret(name string) (string, error) {
	value, err := read(abi.SecretGet, "secret", name)
	return string(value), err
}

// firstRead is the size of the buffer that a value is first asked for with; most values fit.
const firstRead = 512

// read asks for a value of unknown size. It may change between the two calls, hence the loop.
func read(from func(string, []byte) int32, op, key string) ([]byte, error) {
	buf := make([]byte, firstRead)
	for {
		n := from(key, buf)
		if err := check(int64(n), op, key); err != nil {
			return nil, err
		}
		if int(n) <= len(buf) {
			return buf[:n], nil
		}
		buf = make([]byte, n)
	}
}

// Call is the request that the function answers. Its methods ask the host when they are called and keep nothing.
type Call struct{}

// Request returns the current request.
func Request() Call { return Call{} }

// Method returns the HTTP method, upper case; "POST" for triggers other than HTTP.
func (Call) Method() string { return Meta("method") }

// Path returns the path as the client sent it, still escaped, without the query.
func (Call) Path() string { return Meta("path") }

// RawQuery returns the query without the question mark, still escaped.
func (Call) RawQuery() string { return Meta("query") }

// Header returns a request header, its name in any case; "" when there is none.
func (Call) Header(name string) string { return Meta("header:" + name) }

// Param returns a named part of the route's pattern; "" when there is none.
func (Call) Param(name string) string { return Meta("param:" + name) }

// Query returns the first value of a query parameter, decoded; "" when it is not there. For all of them parse
// [Call.RawQuery] with net/url.
func (c Call) Query(name string) string {
	for pair := range strings.SplitSeq(c.RawQuery(), "&") {
		key, value, _ := strings.Cut(pair, "=")
		if key != "" && unescape(key) == name {
			return unescape(value)
		}
	}
	return ""
}

// Trigger returns what started the call: "http", "uds", "kv", "cron", "call" or "cli".
func (Call) Trigger() string { return Meta("trigger") }

// EventID returns what names the event that started the call: the run of a timer or the change of a key. It is the same when
// the event comes again, and no other has it; "" for other triggers.
func (Call) EventID() string { return Meta("event_id") }

// EventKey returns the key that changed, or the moment at which a timer was due (RFC 3339, UTC); "" for other triggers.
func (Call) EventKey() string { return Meta("key") }

// EventKind returns what has happened to the key: "set", "new" or "delete"; "timer" for a timer, "" for other triggers.
func (Call) EventKind() string { return Meta("kind") }

// Attempt returns how often this event has been tried, with this time; 0 for other triggers.
func (Call) Attempt() int {
	n, err := strconv.Atoi(Meta("attempt"))
	if err != nil {
		return 0
	}
	return n
}

// App returns the name of the deployed app.
func (Call) App() string { return Meta("app") }

// Function returns the name of the function within the app.
func (Call) Function() string { return Meta("function") }

// Body returns the request body, see [Input].
func (Call) Body() []byte { return Input() }
