package hostfn

import "errors"

// These errors are in [Output].Err, alone or wrapped.
var (
	// ErrReported: the guest called the error function; its text is in Output.GuestError.
	ErrReported = errors.New("the guest reported an error")
	// ErrNotCGI: the command's output does not begin with CGI header fields; Output.GuestError explains it to its author.
	ErrNotCGI = errors.New("the output does not have the form of CGI")
	// ErrOutputLimit: the command wrote more than Limits.OutputBytes.
	ErrOutputLimit = errors.New("the output is above the limit")
)
