package httptrigger

import (
	"bytes"
	"strings"

	"edged.dev/edge/edged/internal/invoke"
)

// requestLine is a parsed request line: places in the line for the parts, so that it survives the buffer.
type requestLine struct {
	method  int  // the method is [0:method]
	target  int  // the target is [method+1:target]
	version byte // minor version: 0 or 1
}

// parseRequestLine checks method, target characters and version. RFC 9112, 3 without its leniency: single spaces only.
func parseRequestLine(line []byte) (requestLine, *refusal) {
	m := bytes.IndexByte(line, ' ')
	if m <= 0 {
		return requestLine{}, refuse(400, "the request line is not: method, space, target, space, version")
	}
	if tokenLength(line[:m]) != m {
		return requestLine{}, refuse(400, "the method is not a token")
	}
	t := bytes.IndexByte(line[m+1:], ' ')
	if t <= 0 {
		return requestLine{}, refuse(400, "the request line is not: method, space, target, space, version")
	}
	t += m + 1
	for _, c := range line[m+1 : t] {
		if !isTarget(c) {
			return requestLine{}, refuse(400, "the request target has a character that must be percent-encoded")
		}
	}
	minor, err := parseVersion(line[t+1:])
	if err != nil {
		return requestLine{}, err
	}
	if !knownMethod(line[:m]) {
		return requestLine{}, refuse(501, "the method is not one this server implements")
	}
	return requestLine{method: m, target: t, version: minor}, nil
}

// parseVersion accepts HTTP/1.0 and HTTP/1.1 and tells another version from nonsense.
func parseVersion(v []byte) (byte, *refusal) {
	if len(v) != len("HTTP/1.1") || string(v[:5]) != "HTTP/" || v[6] != '.' || !isDigit(v[5]) || !isDigit(v[7]) {
		return 0, refuse(400, "the request line does not end with HTTP/1.1 or HTTP/1.0")
	}
	if v[5] != '1' || v[7] > '1' {
		return 0, refuse(505, "this server speaks HTTP/1.1 and HTTP/1.0")
	}
	return v[7] - '0', nil
}

// knownMethod lists the registered methods that have a meaning for a function. CONNECT and TRACE are not among them: an
// origin server has no tunnel, and TRACE gives back what a browser hides.
func knownMethod(m []byte) bool {
	switch string(m) {
	case "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS",
		"ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH", "MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL",
		"MOVE", "NOTIFY", "PROPFIND", "PROPPATCH", "PURGE", "REBIND", "REPORT", "SEARCH", "SUBSCRIBE", "UNBIND",
		"UNLINK", "UNLOCK", "UNSUBSCRIBE":
		return true
	default:
		return false
	}
}

// parseHead parses a complete head: data begins with the request line and ends with the empty line, and every line is
// known to end with CRLF. The bytes are copied once, into the string that everything in h shares.
func parseHead(data []byte, r requestLine, limits *Limits, h *head) *refusal {
	text := string(data)
	*h = head{headers: h.headers[:0], keep: r.version == 1, proto: text[r.target+1 : r.target+1+len("HTTP/1.1")]}
	h.method = text[:r.method]
	if err := parseTarget(text[r.method+1:r.target], h); err != nil {
		return err
	}
	at := r.target + 1 + len("HTTP/1.1\r\n")
	for at < len(text)-2 {
		end := at + strings.IndexByte(text[at:], '\n') - 1
		name, value, err := splitField(data[at:end])
		if err != nil {
			return err
		}
		if len(h.headers) == limits.Headers {
			return refuse(431, "there are more header fields than this server takes")
		}
		field := invoke.Header{Name: text[at : at+name], Value: text[at+value.from : at+value.to]}
		h.headers = append(h.headers, field)
		if err := h.note(field, text[at+name+1:end]); err != nil {
			return err
		}
		at = end + 2
	}
	return h.settle(r.version, limits)
}

// span is a part of a line.
type span struct{ from, to int }

// splitField checks one field line and returns the length of its name and where its value stands, white space around
// it taken off.
func splitField(line []byte) (int, span, *refusal) {
	if len(line) == 0 || line[0] == ' ' || line[0] == '\t' {
		return 0, span{}, refuse(400, "a header field is folded over lines or begins with white space")
	}
	name := tokenLength(line)
	if name == 0 || name == len(line) || line[name] != ':' {
		return 0, span{}, refuse(400, "a header field is not: name, colon, value")
	}
	v := span{name + 1, len(line)}
	for v.from < v.to && isBlank(line[v.from]) {
		v.from++
	}
	for v.from < v.to && isBlank(line[v.to-1]) {
		v.to--
	}
	for _, c := range line[v.from:v.to] {
		if !isText(c) {
			return 0, span{}, refuse(400, "a header field value has a control character")
		}
	}
	return name, v, nil
}

// note takes in the fields that decide about framing and the connection. raw is the value with its white space.
func (h *head) note(f invoke.Header, raw string) *refusal {
	switch len(f.Name) {
	case len("Host"):
		if strings.EqualFold(f.Name, "Host") {
			return h.noteHost(f.Value)
		}
	case len("Expect"):
		if strings.EqualFold(f.Name, "Expect") {
			h.unmet = h.unmet || h.expect || !strings.EqualFold(f.Value, "100-continue")
			h.expect = true
		}
	case len("Connection"):
		if strings.EqualFold(f.Name, "Connection") {
			h.noteConnection(f.Value)
		}
	case len("Content-Length"): // and X-Edged-Timing
		if strings.EqualFold(f.Name, "Content-Length") {
			return h.noteLength(f.Value, raw)
		}
		if strings.EqualFold(f.Name, "X-Edged-Timing") {
			h.timing = f.Value == "1"
		}
	case len("Transfer-Encoding"):
		if strings.EqualFold(f.Name, "Transfer-Encoding") {
			h.encodings++
			h.chunked = true
			h.otherTE = h.otherTE || !strings.EqualFold(f.Value, "chunked")
		}
	case len("X-Edged-Deadline-Ms"):
		if strings.EqualFold(f.Name, "X-Edged-Deadline-Ms") {
			if h.limited { // two deadlines: neither can be trusted
				h.deadline = ""
				return nil
			}
			h.deadline, h.limited = f.Value, true
		}
	}
	return nil
}

func (h *head) noteHost(value string) *refusal {
	h.hosts++
	if h.hosts > 1 {
		return refuse(400, "there is more than one Host field")
	}
	if !validHost(value) {
		return refuse(400, "the Host field is not a host with an optional port")
	}
	if !h.authority {
		h.host = value
	}
	return nil
}

// noteConnection reads the options of a Connection field.
func (h *head) noteConnection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		switch option = strings.Trim(option, " \t"); {
		case strings.EqualFold(option, "close"):
			h.closes = true
		case strings.EqualFold(option, "keep-alive"):
			h.keepAlives = true
		}
	}
}

// maxLengthDigits keeps a Content-Length far from overflow.
const maxLengthDigits = 18

func (h *head) noteLength(value, raw string) *refusal {
	h.lengths++
	if strings.IndexByte(raw, '\t') >= 0 { // allowed by the grammar, written by nobody, refused by other parsers
		return refuse(400, "there is a tab around the Content-Length")
	}
	if h.lengths > 1 {
		return refuse(400, "there is more than one Content-Length field")
	}
	if value == "" || len(value) > maxLengthDigits {
		return refuse(400, "the Content-Length is not a number of bytes")
	}
	for i := range len(value) {
		if !isDigit(value[i]) {
			return refuse(400, "the Content-Length is not a number of bytes")
		}
		h.length = h.length*10 + int64(value[i]-'0')
	}
	return nil
}

// settle judges the head as a whole, framing before everything else.
func (h *head) settle(minor byte, limits *Limits) *refusal {
	switch {
	case h.encodings > 0 && h.lengths > 0:
		return refuse(400, "there are both Content-Length and Transfer-Encoding")
	case h.encodings > 0 && minor == 0:
		return refuse(400, "HTTP/1.0 has no Transfer-Encoding")
	case h.encodings > 1:
		return refuse(400, "there is more than one Transfer-Encoding field")
	case h.otherTE:
		return refuse(501, "the only Transfer-Encoding this server takes is chunked")
	case h.hosts == 0 && minor == 1:
		return refuse(400, "the Host field is missing")
	case h.length > limits.BodyBytes:
		return refuse(413, "the body is larger than this server takes")
	case h.unmet && minor == 1:
		return refuse(417, "the only expectation this server meets is 100-continue")
	}
	h.keep = !h.closes && (minor == 1 || h.keepAlives)
	if minor == 0 { // RFC 9110, 10.1.1: an expectation in HTTP/1.0 is ignored
		h.expect = false
	}
	return nil
}

// framesMessage reports whether a field of that name has a say in where a message goes or ends.
func framesMessage(name []byte) bool {
	for _, n := range [...]string{"Content-Length", "Transfer-Encoding", "Host"} {
		if len(n) == len(name) && strings.EqualFold(n, string(name)) {
			return true
		}
	}
	return false
}
