// Package hostabi has the host's side of the guests that are measured: what their imports from module "edged" do.
//
// Servers other than edged use it, so that all of them run the same module and pay for the same work, without what edged
// alone would need: limits, checks, key-value store.
package hostabi

import "bytes"

// Results below zero, as docs/ABI.md has them.
const (
	notFound = -1
	tooLarge = -4
)

// Call is one request and what a guest answers. A Call can be used again after Reset; it is for one goroutine at a time.
type Call struct {
	Entry  []byte // export that is called: the last segment of the target's path
	Query  []byte // of the request's target, without "?"
	Body   []byte // of the request
	Fields []byte // of the response, whole header lines
	Out    []byte // of the response
	Failed []byte // text of a call that has failed; nil when it has not
}

// Reset makes the call ready for the next request, of that target, and keeps its memory.
func (c *Call) Reset(target, body []byte) {
	path, query, _ := bytes.Cut(target, []byte("?"))
	c.Entry, c.Query, c.Body = path[bytes.LastIndexByte(path, '/')+1:], query, body
	c.Fields, c.Out, c.Failed = c.Fields[:0], c.Out[:0], nil
}

// Meta is meta_get; it knows the query, which is what the measured guests ask for.
func (c *Call) Meta(key, buf []byte) int32 {
	if string(key) != "query" {
		return notFound
	}
	if len(c.Query) <= len(buf) {
		copy(buf, c.Query)
	}
	return int32(len(c.Query))
}

// Read is input_read.
func (c *Call) Read(off uint32, buf []byte) int32 {
	if int(off) >= len(c.Body) {
		return 0
	}
	return int32(copy(buf, c.Body[off:]))
}

// maxOutput bounds a response as edged does.
const maxOutput = 32 << 20

// Write is output_write.
func (c *Call) Write(data []byte) int32 {
	if len(c.Out)+len(data) > maxOutput {
		return tooLarge
	}
	c.Out = append(c.Out, data...)
	return int32(len(data))
}

// Header is output_header.
func (c *Call) Header(name, value []byte) int32 {
	c.Fields = append(append(append(append(c.Fields, name...), ": "...), value...), "\r\n"...)
	return 0
}

// Fail is error.
func (c *Call) Fail(text []byte) { c.Failed = append([]byte{}, text...) }
