package kvstore

import (
	"errors"
	"fmt"
	"runtime/debug"

	bolterrors "go.etcd.io/bbolt/errors"
)

// catch turns a panic, or a memory fault on a mapped page that could not be read, into ErrCorrupt in *err. bbolt trusts the
// pages it maps; this is what stands between a decaying disk and the daemon. Use it at every entry into bbolt, and call what
// it returns:
//
//	defer catch("get", &err)()
//
// No caller's callback may run under it: its panics are not ours to hide.
func catch(op string, err *error) func() {
	old := debug.SetPanicOnFault(true) // of this goroutine only
	return func() {
		debug.SetPanicOnFault(old)
		if p := recover(); p != nil {
			*err = fmt.Errorf("kv %s: %w: %v; restart the daemon to have the file checked", op, ErrCorrupt, p)
		}
	}
}

// boltError translates bbolt's errors of beginning a transaction.
func boltError(op string, err error) error {
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return ErrClosed
	}
	return fmt.Errorf("kv %s: %w", op, err)
}
