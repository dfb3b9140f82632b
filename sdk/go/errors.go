package edged

import (
	"errors"
	"strconv"
)

// The errors of the host. Every error this package returns wraps one of them; compare with [errors.Is].
var (
	// ErrNotFound: there is no such key, setting or secret.
	ErrNotFound = errors.New("not found")
	// ErrInvalid: an argument is malformed, such as an empty key or a header name with a space.
	ErrInvalid = errors.New("invalid argument")
	// ErrDenied: the manifest does not grant it.
	ErrDenied = errors.New("denied")
	// ErrTooLarge: a key, a value or a body is above its limit.
	ErrTooLarge = errors.New("too large")
	// ErrConflict: the value is no longer the expected one, or another holds the lock.
	ErrConflict = errors.New("conflict")
	// ErrTimeout: not done in time.
	ErrTimeout = errors.New("timed out")
	// ErrUnreachable: another node does not answer.
	ErrUnreachable = errors.New("unreachable")
	// ErrLimit: a quota of the app or of the call is used up.
	ErrLimit = errors.New("limit reached")
	// ErrUnsupported: this host cannot do it, or the program does not run on one.
	ErrUnsupported = errors.New("not supported")
	// ErrInternal: the host failed; its log says why.
	ErrInternal = errors.New("internal error of the host")
	// ErrCancelled: the call was cancelled, or the client has gone.
	ErrCancelled = errors.New("cancelled")
)

// codes holds the error for result -1-i at index i.
var codes = [...]error{
	ErrNotFound, ErrInvalid, ErrDenied, ErrTooLarge, ErrConflict, ErrTimeout,
	ErrUnreachable, ErrLimit, ErrUnsupported, ErrInternal, ErrCancelled,
}

// OpError is an error of the host with the operation that met it.
type OpError struct {
	Op  string // "kv get", "set header" and the like
	Key string // what it was about; may be empty
	Err error  // one of the errors above
	// Text is what the host or a called function said; may be empty.
	Text string
}

// Error joins operation, key, cause and text.
func (e *OpError) Error() string {
	text := e.Op
	if e.Key != "" {
		text += " " + strconv.Quote(e.Key)
	}
	text += ": " + e.Err.Error()
	if e.Text != "" {
		text += ": " + e.Text
	}
	return text
}

// Unwrap gives the cause to errors.Is.
func (e *OpError) Unwrap() error { return e.Err }

// check turns a result into nil or an error. It takes the wider type because tokens are 64 bits.
func check(result int64, op, key string) error {
	if result >= 0 {
		return nil
	}
	cause := ErrInternal
	if i := -1 - result; i < int64(len(codes)) {
		cause = codes[i]
	}
	return &OpError{Op: op, Key: key, Err: cause}
}
