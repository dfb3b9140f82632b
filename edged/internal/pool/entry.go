package pool

import (
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/wasmedge"
)

// maxEntryValues is how many parameters or results a function may have that is entered by an [invoke.Entry].
const maxEntryValues = 16

// controlled is call for an invocation that somebody may cancel.
func (w *worker) controlled(inv *invoke.Invocation, fn *Function, s *seat) error {
	if err := inv.Control.Begin(w.kill); err != nil {
		return err
	}
	defer inv.Control.End()
	if inv.Resident != nil {
		return w.resident(inv, fn, s)
	}
	return w.call(inv, fn, s)
}

// callEntry is the end of call for an invocation that enters something else than its function's entry.
func (w *worker) callEntry(inv *invoke.Invocation, fn *Function, s *seat, c *cell) error {
	entry := inv.Entry
	called, err := c.find(entry)
	if err != nil {
		c.close()
		return &invoke.Error{Kind: invoke.ErrGuest, Detail: err.Error(), Cause: err}
	}
	typ := called.Type()
	s.env.Begin(w.life, &s.request)
	s.env.RunOn(w.core)
	if entry.Prepare != nil {
		entry.Args, err = entry.Prepare(codes(typ.Params), func(data []byte) (uint32, error) { return w.place(c, entry.Allocate, data, s.env) })
		if err != nil {
			c.close()
			return &invoke.Error{Kind: invoke.ErrGuest, Detail: err.Error(), Cause: err}
		}
	}
	if len(entry.Args) != len(typ.Params) {
		c.close()
		return &invoke.Error{Kind: invoke.ErrGuest, Detail: fmt.Sprintf(
			"%d arguments for a function of type %s", len(entry.Args), typ)}
	}
	var stack [maxEntryValues]uint64
	copy(stack[:], entry.Args)
	inv.Stamps.Started = time.Now()
	err = w.enter(c.instance, called, s.env, stack[:])
	w.last = used{app: fn.app, cell: c, end: endingOf(err)}
	if err == nil {
		entry.Returned = append([]uint64(nil), stack[:len(typ.Results)]...)
		for _, t := range typ.Results {
			entry.Wide = append(entry.Wide, t == wasmedge.I64 || t == wasmedge.F64)
		}
		if entry.Answer != nil {
			err = s.env.Answer(entry.Answer(codes(typ.Results), entry.Returned, c.instance.Memory()))
		}
	}
	return err
}

// codes returns types as they are in a module.
func codes(types []wasmedge.ValType) []byte {
	list := make([]byte, len(types))
	for i, t := range types {
		list[i] = byte(t)
	}
	return list
}

// find returns the function that an entry means.
func (c *cell) find(entry *invoke.Entry) (*wasmedge.Func, error) {
	if entry.Export == "" {
		return c.instance.TableFunc(entry.Index)
	}
	typ, found := c.program.Entries[entry.Export]
	if !found {
		return nil, fmt.Errorf("%w: the module exports no function %q", wasmedge.ErrNoEntry, entry.Export)
	}
	return c.instance.Func(entry.Export, typ)
}
