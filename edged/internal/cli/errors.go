package cli

import (
	"errors"
	"fmt"
)

// ErrUsage is wrapped by errors of arguments: the command was not understood, and nothing was done.
var ErrUsage = errors.New("wrong usage")

// errInterrupted replaces the context's error when the user or the system ended the command.
var errInterrupted = errors.New("interrupted")

// errStopped replaces the errors of a connection that the daemon's end has cut.
var errStopped = errors.New("the daemon has stopped")

// usageError is an error of arguments with what to type instead.
type usageError struct {
	text   string
	remedy string
}

// Error returns the text alone; that it is wrong usage shows in the exit code.
func (e *usageError) Error() string { return e.text }

// Unwrap makes it an ErrUsage.
func (e *usageError) Unwrap() error { return ErrUsage }

// Remedy says what to type.
func (e *usageError) Remedy() string { return e.remedy }

// WrongUsage makes err an ErrUsage of a command, such as "edged serve": its text stays.
func WrongUsage(command string, err error) error {
	return &usageError{text: err.Error(), remedy: fmt.Sprintf("see '%s --help'", command)}
}

// usagef returns an ErrUsage; Run adds which help to read.
func usagef(format string, args ...any) error {
	return &usageError{text: fmt.Sprintf(format, args...)}
}

// remedied is an error with what to do about it.
type remedied struct {
	err    error
	remedy string
}

// Error returns the error's own text.
func (e *remedied) Error() string { return e.err.Error() }

// Unwrap returns the error without the remedy.
func (e *remedied) Unwrap() error { return e.err }

// Remedy says what to do.
func (e *remedied) Remedy() string { return e.remedy }

func withRemedy(err error, format string, args ...any) error {
	return &remedied{err: err, remedy: fmt.Sprintf(format, args...)}
}

// missing is the error of a command whose function this binary was built without.
func missing(what string) error {
	return withRemedy(fmt.Errorf("this build of edged cannot %s", what), "use a build with the engine (make build)")
}
