// Command counter keeps named counters in the key-value store. Two functions: add changes one, value reads it.
package main

import (
	"errors"
	"fmt"
	"strconv"

	edged "edged.dev/edge/sdk/go"
)

// errNotANumber becomes a 400, in contrast to everything else that may go wrong.
var errNotANumber = errors.New("by is not a whole number")

//go:wasmexport add
func add() int32 { return edged.Run(answer(increment)) }

//go:wasmexport value
func value() int32 { return edged.Run(answer(read)) }

// answer writes the number that f gives, or says what is wrong with the request.
func answer(f func(key string) (int64, error)) func() error {
	return func() error {
		name := edged.Request().Query("name")
		if name == "" {
			name = "default"
		}
		n, err := f("counter/" + name)
		if errors.Is(err, errNotANumber) {
			return reject(400, err)
		}
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(edged.Output(), n)
		return err
	}
}

// reject answers with a status and the reason.
func reject(status int, reason error) error {
	if err := edged.Status(status); err != nil {
		return err
	}
	_, err := fmt.Fprintln(edged.Output(), reason)
	return err
}

// increment adds ?by= (1 without it) to a counter. Calls run side by side, so the value read may be stale by the time it
// is written: the write happens only if nobody was faster, else everything is done again on the new value.
func increment(key string) (int64, error) {
	by := int64(1)
	if text := edged.Request().Query("by"); text != "" {
		var err error
		if by, err = strconv.ParseInt(text, 10, 32); err != nil {
			return 0, errNotANumber
		}
	}
	for {
		old, err := edged.KV.Get(key)
		if err != nil && !errors.Is(err, edged.ErrNotFound) {
			return 0, err
		}
		n, err := parse(old)
		if err != nil {
			return 0, err
		}
		n += by
		err = edged.KV.CAS(key, old, strconv.AppendInt(nil, n, 10))
		if err == nil {
			return n, nil
		}
		if !errors.Is(err, edged.ErrConflict) {
			return 0, err
		}
	}
}

// read returns a counter's value, 0 when it was never changed.
func read(key string) (int64, error) {
	stored, err := edged.KV.Get(key)
	if err != nil && !errors.Is(err, edged.ErrNotFound) {
		return 0, err
	}
	return parse(stored)
}

// parse reads a stored counter; nil is one that is not there yet.
func parse(stored []byte) (int64, error) {
	if stored == nil {
		return 0, nil
	}
	return strconv.ParseInt(string(stored), 10, 64)
}

func main() {} // never called; the Go linker wants it
