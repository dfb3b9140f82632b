package httptrigger

import "strings"

// parseTarget fills path, query and perhaps host from a request target whose characters are checked already. It takes
// the origin form, the absolute form (whose authority replaces the Host field, RFC 9112, 3.2.2) and * for OPTIONS.
func parseTarget(target string, h *head) *refusal {
	if target == "*" {
		if h.method != "OPTIONS" {
			return refuse(400, "the target * goes with OPTIONS only")
		}
		h.path, h.star = "*", true
		return nil
	}
	if target[0] != '/' {
		rest, ok := cutScheme(target)
		if !ok {
			return refuse(400, "the request target is neither a path nor an http URI")
		}
		end := strings.IndexAny(rest, "/?")
		if end < 0 {
			end = len(rest)
		}
		if end == 0 || !validHost(rest[:end]) {
			return refuse(400, "the authority of the request target is not a host with an optional port")
		}
		h.host, h.authority = rest[:end], true
		target = rest[end:]
	}
	h.path, h.query, _ = strings.Cut(target, "?")
	if h.path == "" {
		h.path = "/"
	}
	for i := 0; i < len(h.path); i++ {
		if h.path[i] == '%' && (i+2 >= len(h.path) || unhex(h.path[i+1]) < 0 || unhex(h.path[i+2]) < 0) {
			return refuse(400, "the path has a percent sign that begins no encoded byte")
		}
	}
	return nil
}

// cutScheme takes http:// or https:// off, in any case.
func cutScheme(target string) (string, bool) {
	for _, scheme := range [...]string{"http://", "https://"} {
		if len(target) > len(scheme) && strings.EqualFold(target[:len(scheme)], scheme) {
			return target[len(scheme):], true
		}
	}
	return "", false
}

// validHost reports whether s is uri-host [ ":" port ] (RFC 9110, 7.2). The empty host is valid there and here. User
// information is not: it has no place in a request and misleads readers of logs.
func validHost(s string) bool {
	host, port := s, ""
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 3 {
			return false
		}
		for _, c := range []byte(s[1:end]) {
			if unhex(c) < 0 && c != ':' && c != '.' {
				return false
			}
		}
		host, port = "", s[end+1:]
	} else if i := strings.IndexByte(s, ':'); i >= 0 {
		host, port = s[:i], s[i:]
	}
	for i := range len(host) {
		if !isHost(host[i]) {
			return false
		}
	}
	if port == "" {
		return true
	}
	if port[0] != ':' || len(port) > len(":65535") {
		return false
	}
	for _, c := range []byte(port[1:]) {
		if !isDigit(c) {
			return false
		}
	}
	return true
}

// isHost reports whether c may stand in a registered name or an IPv4 address. Encoded bytes are allowed by RFC 3986 and
// used by nobody: refused, for programs disagree about what they mean.
func isHost(c byte) bool {
	return isAlnum(c) || strings.IndexByte("-._~!$&'()*+,;=", c) >= 0
}

// isTarget reports whether c may stand in a request target. Beyond RFC 3986 it lets through ^ ` { | }, which browsers
// send unencoded; not the fragment sign, quotes, angle brackets, the backslash, controls or bytes above ASCII.
func isTarget(c byte) bool {
	return c > ' ' && c < 0x7f && c != '#' && c != '"' && c != '<' && c != '>' && c != '\\'
}

// isToken reports whether c may stand in a token (RFC 9110, 5.6.2).
func isToken(c byte) bool {
	if isAlnum(c) {
		return true
	}
	switch c {
	case '!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~':
		return true
	default:
		return false
	}
}

// isText reports whether c may stand in a field value: visible, space, tab, or above ASCII (opaque to us).
func isText(c byte) bool { return c >= ' ' && c != 0x7f || c == '\t' }

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isAlnum(c byte) bool {
	return isDigit(c) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// mayStart reports whether c may be the first byte of a request: a method's letter or the CR of an empty line. A TLS
// hello and the like are turned away at their first byte.
func mayStart(c byte) bool { return 'A' <= c && c <= 'Z' || c == '\r' || c == '\n' }
