package hostfn

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// stdout takes what a guest writes to stdout: the response's body, after the header fields of a command in the form of CGI.
func (e *Env) stdout(b []byte) error {
	r := &e.response
	if e.app.ABI != ABICGI || r.headDone {
		return e.body(b)
	}
	// What is kept of one write is bounded too: it may be as large as the guest's memory.
	n := min(len(b), e.app.Limits.HeaderBytes+1-len(r.head0))
	r.head0 = append(r.head0, b[:n]...)
	end, body := r.headEnd()
	switch {
	case end >= 0:
		r.headDone = true
		r.headErr = e.parseHead(r.head0[:end])
		if err := e.body(r.head0[body:]); err != nil {
			return err
		}
		return e.body(b[n:])
	case len(r.head0) > e.app.Limits.HeaderBytes:
		r.headDone = true
		r.headErr = fmt.Errorf("%w: no blank line after its header fields in the first %d bytes; %s",
			ErrNotCGI, e.app.Limits.HeaderBytes, cgiForm)
	}
	return nil
}

// body takes a part of the body, or drops it when the header fields made no sense.
func (e *Env) body(b []byte) error {
	if e.response.headErr != nil {
		return nil //nolint:nilerr // Finish tells of it; the guest may write on
	}
	return e.response.write(b, &e.app.Limits)
}

// cgiForm tells an author what the output of a command has to look like.
const cgiForm = "a CGI program writes header fields, a blank line, then the body, for instance \"Content-Type: text/plain\\n\\n" +
	"Hello\"; for a program that writes nothing but a body, set abi: stdio in the manifest"

// headEnd finds the blank line: where the header fields end and where the body begins, -1 when there is none yet. Lines end
// in LF or CRLF. It goes on where it stopped, so that a guest that writes byte by byte costs no more.
func (r *response) headEnd() (end, body int) {
	for {
		n := bytes.IndexByte(r.head0[r.headAt:], '\n')
		if n < 0 {
			return -1, -1
		}
		line := r.headAt
		r.headAt += n + 1
		if len(bytes.TrimSuffix(r.head0[line:line+n], []byte("\r"))) == 0 {
			return line, r.headAt
		}
	}
}

// parseHead reads the header fields of a CGI response (RFC 3875, 6.2 and 6.3). Fields that frame the message are left out:
// the server frames it.
func (e *Env) parseHead(head []byte) error {
	r := &e.response
	answers := false
	for line := range bytes.Lines(head) {
		line = bytes.TrimRight(line, "\r\n")
		name, value, found := bytes.Cut(line, []byte(":"))
		value = bytes.Trim(value, " \t")
		switch {
		case !found || !validName(name):
			return fmt.Errorf("%w: %.80q is no header field; %s", ErrNotCGI, line, cgiForm)
		case strings.EqualFold(string(name), "Status"):
			if err := r.cgiStatus(string(value)); err != nil {
				return err
			}
			continue
		case strings.EqualFold(string(name), "Location"):
			answers = true
			if r.status == 0 {
				r.status = http.StatusFound
			}
		case strings.EqualFold(string(name), "Content-Type"):
			answers = true
		}
		err := r.add(name, value, &e.app.Limits)
		if err != nil && !errors.Is(err, errOwnHeader) {
			return fmt.Errorf("%w: %.80q: %w", ErrNotCGI, line, err)
		}
	}
	if !answers && !bodiless(r.status) {
		return fmt.Errorf("%w: neither Content-Type nor Location is among its header fields; %s", ErrNotCGI, cgiForm)
	}
	return nil
}

// bodiless reports whether a response of this status has no content whose type could be told.
func bodiless(status int) bool {
	return status == http.StatusNoContent || status == http.StatusResetContent || status == http.StatusNotModified
}

// cgiStatus reads the value of Status: three digits and perhaps a reason.
func (r *response) cgiStatus(value string) error {
	digits, _, _ := strings.Cut(value, " ")
	code, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || !r.setStatus(code) {
		return fmt.Errorf("%w: Status: %.80q: want three digits from 200 to 599", ErrNotCGI, value)
	}
	return nil
}

// finishCGI says what is wrong with a command's output as a whole. A command that answered through the edged module and
// wrote nothing to stdout is right too.
func (e *Env) finishCGI() error {
	r := &e.response
	switch {
	case r.headDone:
		return r.headErr
	case len(r.head0) == 0 && (r.total > 0 || r.status != 0 || len(r.headers) > 0 || r.reported != ""):
		return nil
	case len(r.head0) == 0:
		return fmt.Errorf("%w: there is none; %s", ErrNotCGI, cgiForm)
	default:
		return fmt.Errorf("%w: it ends before the blank line after the header fields; %s", ErrNotCGI, cgiForm)
	}
}

// cgiArgs appends the arguments of a CGI command: the script's name, then those of the query. A query without "=" is a
// search of words joined by "+", each percent-encoded (RFC 3875, 4.4); one with it is split at "&" and passed as it came,
// the way WAGI does.
func (e *Env) cgiArgs(args []string) []string {
	script, _ := e.lookUp("route")
	if script == "" {
		script = e.app.Name
	}
	args = append(args, script)
	query := e.metaOf("query")
	switch {
	case query == "":
		return args
	case strings.Contains(query, "="):
		return slices.AppendSeq(args, cleaned(strings.SplitSeq(query, "&")))
	}
	for word := range strings.SplitSeq(query, "+") {
		if plain, err := url.PathUnescape(word); err == nil {
			word = plain
		}
		if cleanVariable(word) {
			args = append(args, word)
		}
	}
	return args
}

// cleaned passes on what can be an argument.
func cleaned(seq func(func(string) bool)) func(func(string) bool) {
	return func(yield func(string) bool) {
		seq(func(s string) bool { return !cleanVariable(s) || yield(s) })
	}
}

// cgiEnviron appends the environment of a CGI command (RFC 3875, 4.1, and the X_ variables of WAGI).
func (e *Env) cgiEnviron(env []string) []string {
	host, port := splitHost(e.metaOf("host"))
	address, _, err := net.SplitHostPort(e.metaOf("remote"))
	if err != nil {
		address = strings.TrimPrefix(e.metaOf("remote"), "@")
	}
	rawInfo, path, query := e.metaOf("path_info"), e.metaOf("path"), e.metaOf("query")
	info := rawInfo
	if plain, err := url.PathUnescape(rawInfo); err == nil {
		info = plain
	}
	uri := path
	if query != "" {
		uri += "?" + query
	}
	scheme := e.metaOf("scheme")
	if scheme == "" {
		scheme = "http"
	}
	contentType, _ := e.lookUp("header:content-type")
	length := ""
	if len(e.input) > 0 || contentType != "" {
		length = strconv.Itoa(len(e.input))
	}
	for _, v := range [...][2]string{
		{"REQUEST_METHOD", e.metaOf("method")},
		{"SERVER_PROTOCOL", e.metaOf("proto")},
		{"SERVER_NAME", host},
		{"SERVER_PORT", port},
		{"SERVER_SOFTWARE", e.app.Software},
		{"GATEWAY_INTERFACE", "CGI/1.1"},
		{"SCRIPT_NAME", e.metaOf("route")},
		{"PATH_INFO", info},
		{"PATH_TRANSLATED", info},
		{"QUERY_STRING", query},
		{"REQUEST_URI", uri},
		{"CONTENT_TYPE", contentType},
		{"CONTENT_LENGTH", length},
		{"REMOTE_ADDR", address},
		{"REMOTE_HOST", address},
		{"REMOTE_USER", ""},
		{"AUTH_TYPE", ""},
		{"X_MATCHED_ROUTE", e.metaOf("route")},
		{"X_RAW_PATH_INFO", rawInfo},
		{"X_FULL_URL", scheme + "://" + e.metaOf("host") + uri},
		{"REDIRECT_STATUS", "200"},
	} {
		env = appendVariable(env, v[0], v[1])
	}
	return e.headerVariables(env)
}

func appendVariable(env []string, name, value string) []string {
	if !cleanVariable(value) {
		value = ""
	}
	return append(env, name+"="+value)
}

// splitHost splits a Host field into name and port; the port is 80 when there is none.
func splitHost(host string) (name, port string) {
	name, port, err := net.SplitHostPort(host)
	if err != nil {
		name, port = strings.Trim(host, "[]"), "80"
	}
	if name == "" {
		name = "localhost"
	}
	return name, port
}

// headerVariables appends a variable HTTP_NAME for each header field; values of repeated ones are joined. Left out are the
// two with variables of their own, Proxy, which programs would take for the setting HTTP_PROXY, and names with anything
// but letters, digits and "-", which could pose as another once "-" is "_".
func (e *Env) headerVariables(env []string) []string {
	first := len(env)
	e.req.Headers(func(name, value string) bool {
		variable, ok := variableOf(name)
		if !ok || !cleanVariable(value) {
			return true
		}
		for i := first; i < len(env); i++ {
			if strings.HasPrefix(env[i], variable) {
				env[i] += separator(variable) + value
				return true
			}
		}
		env = append(env, variable+value)
		return true
	})
	return env
}

// separator joins the values of repeated header fields (RFC 9110, 5.3; RFC 6265, 5.4 for cookies).
func separator(variable string) string {
	if variable == "HTTP_COOKIE=" {
		return "; "
	}
	return ", "
}

// variableOf returns "HTTP_NAME=" for a header field that becomes a variable.
func variableOf(name string) (string, bool) {
	upper := make([]byte, 0, len("HTTP_")+len(name)+1)
	upper = append(upper, "HTTP_"...)
	for i := range len(name) {
		switch c := name[i]; {
		case 'a' <= c && c <= 'z':
			upper = append(upper, c-'a'+'A')
		case 'A' <= c && c <= 'Z' || '0' <= c && c <= '9':
			upper = append(upper, c)
		case c == '-':
			upper = append(upper, '_')
		default:
			return "", false
		}
	}
	switch variable := string(append(upper, '=')); variable {
	case "HTTP_PROXY=", "HTTP_CONTENT_TYPE=", "HTTP_CONTENT_LENGTH=", "HTTP_=":
		return "", false
	default:
		return variable, true
	}
}
