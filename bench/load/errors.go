package load

import "errors"

// ErrResponse is wrapped by errors about an answer that is not HTTP/1.1 as a server has to write it.
var ErrResponse = errors.New("malformed response")

// ErrOptions is wrapped by errors about options that cannot be run.
var ErrOptions = errors.New("wrong options")
