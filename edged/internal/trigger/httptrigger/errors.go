package httptrigger

import "errors"

// These errors are returned by [Server.Start].
var (
	// ErrOptions: an option is missing or contradicts another; the text names it.
	ErrOptions = errors.New("bad options")
	// ErrStarted: the server is serving already.
	ErrStarted = errors.New("started already")
	// ErrClosed: the server was closed; make a new one.
	ErrClosed = errors.New("closed")
)

// These errors are returned to a worker by an invocation's Stream.
var (
	// ErrClientGone: the client has closed the connection, or was too slow to be waited for.
	ErrClientGone = errors.New("the client has gone")
	// ErrResponse: the status or a header field of the response cannot be sent; the text names it.
	ErrResponse = errors.New("bad response")
)
