package udstrigger

import "errors"

// These errors are returned by [Server.Start].
var (
	// ErrInUse: another process answers on the socket.
	ErrInUse = errors.New("socket in use")
	// ErrPath: the path cannot hold our socket: it is something else, or too long.
	ErrPath = errors.New("bad socket path")
)
