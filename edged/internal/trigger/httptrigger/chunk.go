package httptrigger

import "bytes"

const (
	// maxChunkLine bounds a chunk-size line with its extensions, CRLF excluded.
	maxChunkLine = 256
	// maxSizeDigits bounds the digits of a chunk size: 8 hex digits are 4 GiB, above any body limit.
	maxSizeDigits = 8
	// maxExtras bounds all chunk extensions and trailers of one message: they are dropped, so nobody needs more.
	maxExtras = 8 << 10
)

// takeLine collects one line of at most limit bytes, CRLF excluded. line is valid until the next call; ok is false
// while the line is incomplete.
func (f *framer) takeLine(p []byte, limit int, long *refusal) (line []byte, n int, ok bool, err *refusal) {
	i := bytes.IndexByte(p, '\n')
	end := i
	if i < 0 {
		end = len(p)
	}
	if len(f.buf)+end > limit+1 {
		return nil, len(p), false, long
	}
	if i < 0 {
		f.buf = append(f.buf, p...)
		return nil, len(p), false, nil
	}
	line = p[:i]
	if len(f.buf) > 0 {
		f.buf = append(f.buf, line...)
		line = f.buf
		f.buf = nil
	}
	if len(line) == 0 || line[len(line)-1] != '\r' {
		return nil, len(p), false, refuse(400, "a line of the chunked body ends with LF alone; CRLF is required")
	}
	return line[:len(line)-1], i + 1, true, nil
}

// chunkSize reads a chunk-size line.
func (f *framer) chunkSize(p []byte) (int, event, *refusal) {
	line, n, ok, err := f.takeLine(p, maxChunkLine, refuse(400, "a chunk size line is too long"))
	if err != nil || !ok {
		return n, eventMore, err
	}
	size, digits := int64(0), 0
	for digits < len(line) {
		v := unhex(line[digits])
		if v < 0 {
			break
		}
		digits++
		if digits > maxSizeDigits {
			return n, eventMore, refuse(400, "a chunk size has too many digits")
		}
		size = size<<4 | int64(v)
	}
	if digits == 0 {
		return n, eventMore, refuse(400, "a chunk size is not a hexadecimal number")
	}
	if err := f.extensions(line[digits:]); err != nil {
		return n, eventMore, err
	}
	if size == 0 {
		f.phase = phaseTrailer
		return n, eventMore, nil
	}
	if f.total += size; f.total > f.limits.BodyBytes {
		return n, eventMore, refuse(413, "the body is larger than this server takes")
	}
	f.remain, f.phase = size, phaseChunk
	return n, eventMore, nil
}

// extensions checks what follows a chunk size: *( ";" token [ "=" ( token / quoted-string ) ] ), without the white
// space that RFC 9112, 7.1.1 calls bad and tells senders not to produce.
func (f *framer) extensions(rest []byte) *refusal {
	f.extras += len(rest)
	if f.extras > maxExtras {
		return refuse(400, "the chunk extensions are too long")
	}
	bad := refuse(400, "a chunk extension is malformed")
	for len(rest) > 0 {
		if rest[0] != ';' {
			return bad
		}
		name := tokenLength(rest[1:])
		if name == 0 {
			return bad
		}
		rest = rest[1+name:]
		if len(rest) == 0 || rest[0] != '=' {
			continue
		}
		value := tokenLength(rest[1:])
		if value == 0 {
			value = quotedLength(rest[1:])
		}
		if value == 0 {
			return bad
		}
		rest = rest[1+value:]
	}
	return nil
}

// trailer reads one line of the trailer section. Trailers are checked as fields are and then dropped: merging them into
// the header section after routing is how they become dangerous (RFC 9110, 6.5.1).
func (f *framer) trailer(p []byte) (int, event, *refusal) {
	line, n, ok, err := f.takeLine(p, maxExtras, refuse(431, "the trailer section is larger than this server takes"))
	if err != nil || !ok {
		return n, eventMore, err
	}
	if len(line) == 0 {
		return n, eventDone, nil
	}
	f.extras += len(line)
	f.fields++
	if f.extras > maxExtras || f.fields > f.limits.Headers {
		return n, eventMore, refuse(431, "the trailer section is larger than this server takes")
	}
	name, _, err := splitField(line)
	if err == nil && framesMessage(line[:name]) {
		err = refuse(400, "a trailer has a field that belongs to the head")
	}
	return n, eventMore, err
}

// unhex returns the value of a hexadecimal digit, -1 for any other byte.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	default:
		return -1
	}
}

// tokenLength returns how many bytes at the beginning of s form a token; 0 when none does.
func tokenLength(s []byte) int {
	for i, c := range s {
		if !isToken(c) {
			return i
		}
	}
	return len(s)
}

// quotedLength returns the length of the quoted-string at the beginning of s; 0 when there is none.
func quotedLength(s []byte) int {
	if len(s) < 2 || s[0] != '"' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return i + 1
		case c == '\\':
			i++
			if i == len(s) || !isText(s[i]) {
				return 0
			}
		case !isText(c):
			return 0
		}
	}
	return 0
}
