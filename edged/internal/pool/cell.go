package pool

import (
	"sync/atomic"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
	"edged.dev/edge/wasmedge"
)

// cell is an instance with what has been found out about it. It belongs to one worker, or lies idle.
type cell struct {
	pool     *Pool
	program  *Program
	instance *wasmedge.Instance
	entries  []entry        // by Function.index; without a function until it is called
	restore  *wasmedge.Func // Program.Restore, nil until it is called
	bytes    int64          // of linear memory, as accounted for
	used     atomic.Int64   // when it was put away, for who looks for the one to close
}

// entry is a function of an instance.
type entry struct {
	fn     *wasmedge.Func
	result bool // it returns a number
	takes  bool // it takes (ptr, len)
}

// entry returns the entry of a function.
func (c *cell) entry(f *Function) (entry, error) {
	if found := c.entries[f.index]; found.fn != nil {
		return found, nil
	}
	typ := c.program.Entries[f.Entry]
	fn, err := c.instance.Func(f.Entry, typ)
	if err != nil {
		return entry{}, err
	}
	c.entries[f.index] = entry{fn: fn, result: len(typ.Results) == 1, takes: hostfn.TakesArgument(typ)}
	return c.entries[f.index], nil
}

// measure corrects the account after the guest may have grown its memory, for which idle instances may have to make room.
func (c *cell) measure() {
	bytes := int64(len(c.instance.Memory()))
	if bytes == c.bytes {
		return
	}
	c.pool.memory.correct(bytes - c.bytes)
	c.bytes = bytes
	c.pool.room()
}

// close gives the instance up.
func (c *cell) close() {
	c.instance.Close()
	c.pool.memory.give(c.bytes)
}

// seat is what an invocation needs beside its instance, used by one after another of an app.
type seat struct {
	env     *hostfn.Env
	request request
	headers []invoke.Header // of the answer before
}

// maxKeptHeaders bounds the header fields that a seat keeps.
const maxKeptHeaders = 16

// list returns the header fields of an answer. Equal lists, which the answers of an app mostly are, share one slice.
func (s *seat) list(headers []hostfn.Header) []invoke.Header {
	if s.same(headers) {
		return s.headers
	}
	list := headerList(headers)
	if len(list) <= maxKeptHeaders {
		s.headers = list
	}
	return list
}

func (s *seat) same(headers []hostfn.Header) bool {
	if len(headers) != len(s.headers) {
		return false
	}
	for i, h := range headers {
		if s.headers[i] != invoke.Header(h) {
			return false
		}
	}
	return true
}
