package httptrigger

import (
	"bytes"

	"edged.dev/edge/edged/internal/invoke"
)

// event is what the framer found at the place where it stopped.
type event uint8

const (
	eventMore event = iota // every byte is consumed and the message is not complete
	eventHead              // a complete, acceptable head; the body, if any, follows
	eventDone              // the body is complete
)

// phase is where in a message the framer stands.
type phase uint8

const (
	phaseHead phase = iota
	phaseLength
	phaseChunkSize
	phaseChunk
	phaseChunkCR
	phaseChunkLF
	phaseTrailer
)

// maxBlankLines is how many empty lines before a request line are skipped (RFC 9112, 2.2 asks for at least one).
const maxBlankLines = 2

// refusal is why a message is not accepted. Its position in the stream is lost with it: the connection answers and
// closes, and no later byte is interpreted.
type refusal struct {
	status int
	detail string
}

func refuse(status int, detail string) *refusal { return &refusal{status: status, detail: detail} }

// framer cuts a byte stream into messages. It is fed whatever arrives, in pieces of any size; the same bytes give the
// same messages and the same refusal however they are cut. It keeps bytes only while a head or a line is incomplete, so
// an idle connection costs no buffer. Not safe for concurrent use.
type framer struct {
	limits *Limits
	phase  phase
	blanks uint8
	line   bool // the request line of this head has been seen
	// skim makes the framer check a body and drop it: for requests that are answered without it.
	skim   bool
	buf    []byte // the incomplete head or line; nil when there is none
	start  int    // where the head begins in buf, behind empty lines
	lineAt int    // where the current line begins
	scan   int    // how far line ends were looked for

	request requestLine
	body    []byte
	remain  int64 // bytes left of the body or the chunk
	total   int64 // body bytes announced so far
	extras  int   // bytes of chunk extensions and trailers so far
	fields  int   // trailer fields so far
}

// idle reports whether the framer stands between two messages with nothing of the next one seen but empty lines.
func (f *framer) idle() bool { return f.phase == phaseHead && len(f.buf) <= f.start }

// inHead reports whether a head has begun and is not complete. Empty lines before it do not count.
func (f *framer) inHead() bool { return f.phase == phaseHead && len(f.buf) > f.start }

// next consumes bytes of p up to the next event and returns how many. On [eventHead] h is filled; on [eventDone] the
// body is in f.body until [framer.reset]. After a refusal the framer must not be used again.
func (f *framer) next(p []byte, h *head) (int, event, *refusal) {
	used := 0
	for used < len(p) {
		n, what, err := f.step(p[used:], h)
		used += n
		if err != nil || what != eventMore {
			return used, what, err
		}
	}
	return used, eventMore, nil
}

// step runs one phase on p, which is not empty.
func (f *framer) step(p []byte, h *head) (int, event, *refusal) {
	switch f.phase {
	case phaseHead:
		return f.readHead(p, h)
	case phaseLength:
		n := f.take(p)
		if f.remain == 0 {
			return n, eventDone, nil
		}
		return n, eventMore, nil
	case phaseChunkSize:
		return f.chunkSize(p)
	case phaseChunk:
		n := f.take(p)
		if f.remain == 0 {
			f.phase = phaseChunkCR
		}
		return n, eventMore, nil
	case phaseChunkCR:
		if p[0] != '\r' {
			return 1, eventMore, refuse(400, "a chunk is longer than its size says")
		}
		f.phase = phaseChunkLF
		return 1, eventMore, nil
	case phaseChunkLF:
		if p[0] != '\n' {
			return 1, eventMore, refuse(400, "a chunk does not end with CRLF")
		}
		f.phase = phaseChunkSize
		return 1, eventMore, nil
	case phaseTrailer:
	}
	return f.trailer(p)
}

// reset makes the framer ready for the next message and lets go of the body.
func (f *framer) reset() {
	*f = framer{limits: f.limits}
}

// readHead collects a head and parses it when it is complete.
func (f *framer) readHead(p []byte, h *head) (int, event, *refusal) {
	data, before := p, len(f.buf)
	if before > 0 {
		// One byte above the limit is enough to see that it is passed.
		room := f.limits.HeaderBytes + 2*maxBlankLines + 1 - before
		f.buf = append(f.buf, p[:min(len(p), room)]...)
		data = f.buf
	}
	end, err := f.scanHead(data)
	if err != nil {
		return len(p), eventMore, err
	}
	if end == 0 {
		if before == 0 {
			f.buf = append(f.buf, p...)
		}
		return len(p), eventMore, nil
	}
	if err := parseHead(data[f.start:end], f.request, f.limits, h); err != nil {
		return len(p), eventMore, err
	}
	f.beginBody(h)
	return end - before, eventHead, nil
}

// scanHead looks for the end of the head, line by line: limits and line ends are checked here and the request line is
// parsed as soon as it is there. It returns 0 while the head is incomplete.
func (f *framer) scanHead(data []byte) (int, *refusal) {
	for {
		if !f.line && f.lineAt < len(data) && !mayStart(data[f.lineAt]) {
			return 0, refuse(400, "a request begins with a method, in upper case")
		}
		lf, found := len(data), false
		if i := bytes.IndexByte(data[f.scan:], '\n'); i >= 0 {
			lf, found = f.scan+i, true
		}
		if err := f.overLimit(lf); err != nil {
			return 0, err
		}
		if !found {
			f.scan = len(data)
			return 0, nil
		}
		line := data[f.lineAt:lf]
		if len(line) == 0 || line[len(line)-1] != '\r' {
			return 0, refuse(400, "a line ends with LF alone; CRLF is required")
		}
		line = line[:len(line)-1]
		f.scan, f.lineAt = lf+1, lf+1
		if f.line && len(line) == 0 {
			return lf + 1, nil
		}
		if err := f.headLine(line); err != nil {
			return 0, err
		}
	}
}

// headLine handles one complete line that is not the end of the head. Fields wait for the whole head.
func (f *framer) headLine(line []byte) *refusal {
	if f.line {
		return nil
	}
	if len(line) == 0 {
		f.blanks++
		f.start = f.lineAt
		if f.blanks > maxBlankLines {
			return refuse(400, "too many empty lines before the request")
		}
		return nil
	}
	r, err := parseRequestLine(line)
	if err != nil {
		return err
	}
	f.request, f.line = r, true
	return nil
}

// overLimit checks a line that reaches at least to end, its line feed excluded. The result is the same whether that
// line feed has arrived or not: it can only come later.
func (f *framer) overLimit(end int) *refusal {
	if !f.line && end-f.lineAt > f.limits.RequestLine+1 {
		return refuse(414, "the request line is longer than this server takes")
	}
	if end-f.start+1 > f.limits.HeaderBytes {
		return refuse(431, "the header section is larger than this server takes")
	}
	return nil
}

// beginBody leaves the head behind and sets up what follows it.
func (f *framer) beginBody(h *head) {
	f.buf, f.start, f.scan, f.lineAt, f.blanks, f.line = nil, 0, 0, 0, 0, false
	switch {
	case h.chunked:
		f.phase = phaseChunkSize
	default:
		f.phase = phaseLength
		f.remain, f.total = h.length, h.length
	}
}

// firstBody is how much is reserved for a body before any of it has come: a length is only a claim.
const firstBody = 64 << 10

// take consumes bytes of the body or of the current chunk.
func (f *framer) take(p []byte) int {
	n := int(min(int64(len(p)), f.remain))
	f.remain -= int64(n)
	if f.skim {
		return n
	}
	if need := len(f.body) + n; need > cap(f.body) {
		size := min(f.total, int64(max(2*cap(f.body), firstBody)))
		grown := make([]byte, len(f.body), max(need, int(size)))
		copy(grown, f.body)
		f.body = grown
	}
	f.body = append(f.body, p[:n]...)
	return n
}

// head is one parsed request head. Its strings share one copy of the head's bytes.
type head struct {
	method   string
	path     string
	query    string
	host     string
	proto    string
	headers  []invoke.Header
	length   int64 // 0 when there is no body or it is chunked
	chunked  bool
	keep     bool // the client wants the connection kept
	expect   bool // 100-continue
	star     bool // OPTIONS *
	timing   bool
	deadline string // X-Edged-Deadline-Ms as it came
	limited  bool   // there is such a field

	hosts      int // Host fields
	lengths    int // Content-Length fields
	encodings  int // Transfer-Encoding fields
	closes     bool
	keepAlives bool
	otherTE    bool
	authority  bool // host comes from the request target and stays
	unmet      bool // an expectation that is not 100-continue
}

// hasBody reports whether a body follows the head.
func (h *head) hasBody() bool { return h.chunked || h.length > 0 }
