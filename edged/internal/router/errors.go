package router

import "errors"

// These errors are returned by [Build]; the text names the routes.
var (
	// ErrEntry: an entry has a bad name, path or method, or no target.
	ErrEntry = errors.New("bad route")
	// ErrConflict: two entries would answer the same requests.
	ErrConflict = errors.New("routes conflict")
)
