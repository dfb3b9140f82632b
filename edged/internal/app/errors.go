package app

import "errors"

// ErrInUse is returned by [Open]: another process has the data folder. The text names it.
var ErrInUse = errors.New("the data folder is in use")

// These errors are returned by the methods of [Registry].
var (
	// ErrNotFound: no app of that name is deployed.
	ErrNotFound = errors.New("no such app")
	// ErrNoVersion: the app has no such version, or none to go back to.
	ErrNoVersion = errors.New("no such version")
	// ErrNotActive: the app is staged, but no version of it has been activated.
	ErrNotActive = errors.New("no version is active")
	// ErrDamaged: a file of the registry is not what was written. The text names the file and what to do.
	ErrDamaged = errors.New("damaged")
	// ErrClosed: the registry has been closed.
	ErrClosed = errors.New("the app registry is closed")
)
