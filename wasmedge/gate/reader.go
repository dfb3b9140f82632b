package gate

import (
	"fmt"
	"strconv"
	"unicode/utf8"
)

// reader walks over a part of the uploaded bytes. Its error is sticky: the first failure is kept, moves the reader to
// its end, and every later read returns zero, so that callers check once a step instead of once a byte.
type reader struct {
	src      []byte // the whole upload, so that pos is the offset to report
	pos, end int
	section  string
	function int // index of the function being read, or -1
	err      *Error
}

// failed reports whether a read went wrong.
func (r *reader) failed() bool { return r.err != nil }

// fail records the first error, found at offset, and stops the reader.
func (r *reader) fail(kind error, offset int, reason, remedy string) {
	if r.err == nil {
		r.err = &Error{
			Kind: kind, Offset: int64(offset), Section: r.section, Function: r.function, Reason: reason, Remedy: remedy,
		}
	}
	r.pos = r.end
}

// malformed records a breach of the binary format at offset.
func (r *reader) malformed(offset int, format string, args ...any) {
	r.fail(ErrMalformed, offset, fmt.Sprintf(format, args...), "")
}

// unsupported records the use of a feature at offset.
func (r *reader) unsupported(offset int, f feature, detail string) {
	reason := "uses " + f.name
	if detail != "" {
		reason += " (" + detail + ")"
	}
	r.fail(ErrFeature, offset, reason+", which edged does not run", f.remedy)
}

// over records at offset that there are n of something and only limit are allowed.
func (r *reader) over(offset int, what string, n uint64, limit int) {
	r.fail(ErrLimit, offset, fmt.Sprintf("has %d %s, more than the %d that edged allows", n, what, limit), "")
}

// sub returns a reader of the next n bytes and moves past them. The caller hands its error back with adopt.
func (r *reader) sub(n uint32, what string) reader {
	if uint64(n) > uint64(r.end-r.pos) {
		r.malformed(r.pos, "%s is said to be %d bytes long and only %d are left: the file is truncated or damaged",
			what, n, r.end-r.pos)
	}
	part := *r
	if r.failed() {
		return part
	}
	part.end = r.pos + int(n)
	r.pos = part.end
	return part
}

// adopt takes over the error of a reader made by sub.
func (r *reader) adopt(part *reader) {
	if r.err == nil && part.err != nil {
		r.err = part.err
		r.pos = r.end
	}
}

// finish checks that everything has been read.
func (r *reader) finish(what string) {
	if !r.failed() && r.pos != r.end {
		r.malformed(r.pos, "%s has %d bytes after its end", what, r.end-r.pos)
	}
}

// byte reads one byte.
func (r *reader) byte() byte {
	if r.pos >= r.end {
		r.malformed(r.pos, "ends in the middle of an entry")
		return 0
	}
	b := r.src[r.pos]
	r.pos++
	return b
}

// bytes reads n bytes; the result aliases the upload.
func (r *reader) bytes(n uint32, what string) []byte {
	part := r.sub(n, what)
	if r.failed() {
		return nil
	}
	return part.src[part.pos:part.end]
}

// u32 reads an unsigned LEB128 number of 32 bits; a longer form than needed is accepted up to five bytes.
func (r *reader) u32() uint32 {
	if r.pos < r.end && r.src[r.pos] < 0x80 {
		b := r.src[r.pos]
		r.pos++
		return uint32(b)
	}
	start := r.pos
	var value uint32
	for shift := 0; shift < 35; shift += 7 {
		b := r.byte()
		if shift == 28 && b > 0x0f {
			break
		}
		value |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return value
		}
	}
	r.malformed(start, "number does not fit 32 bits")
	return 0
}

// signed reads a signed LEB128 number of the given width (32, 33 or 64 bits), in at most the bytes that width needs.
func (r *reader) signed(width int) int64 {
	start := r.pos
	var value int64
	for shift := 0; shift < width; shift += 7 {
		b := r.byte()
		value |= int64(b&0x7f) << shift
		if b >= 0x80 {
			continue
		}
		if left := width - shift; left < 7 {
			// The last byte has unused bits: all of them must repeat the sign.
			if rest := int8(b<<1) >> left; rest != 0 && rest != -1 {
				break
			}
		}
		if shift+7 < 64 {
			value = value << (57 - shift) >> (57 - shift)
		}
		return value
	}
	r.malformed(start, "number does not fit %d bits", width)
	return 0
}

// count reads the number of entries of a vector, each of which takes at least so many bytes: a count that does not fit
// the bytes left is refused before anything is allocated for it.
func (r *reader) count(what string, least, limit int) int {
	start := r.pos
	n := r.u32()
	switch {
	case r.failed():
	case uint64(n)*uint64(least) > uint64(r.end-r.pos):
		r.malformed(start, "is said to hold %d %s and only %d bytes are left", n, what, r.end-r.pos)
	case int64(n) > int64(limit):
		r.over(start, what, uint64(n), limit)
	default:
		return int(n)
	}
	return 0
}

// name reads a name, which must be UTF-8.
func (r *reader) name(limit int) string {
	start := r.pos
	text := r.bytes(r.u32(), "a name")
	switch {
	case r.failed():
	case len(text) > limit:
		r.over(start, "bytes in one name", uint64(len(text)), limit)
	case !utf8.Valid(text):
		r.malformed(start, "name %s is not UTF-8", shown(string(text)))
	default:
		return string(text)
	}
	return ""
}

// index reads an index and checks that it is below n.
func (r *reader) index(n int, what string) uint32 {
	start := r.pos
	i := r.u32()
	if !r.failed() && uint64(i) >= uint64(n) {
		r.malformed(start, "refers to %s %d and there are %d", what, i, n)
		return 0
	}
	return i
}

// shownBytes bounds a guest's name in a message.
const shownBytes = 80

// shown returns a guest's name as it may reach a terminal or a log: quoted, nothing but printable characters, and short.
func shown(name string) string {
	if len(name) > shownBytes {
		return strconv.Quote(name[:shownBytes]) + "..."
	}
	return strconv.Quote(name)
}
