package hostfn

import (
	"errors"
	"strings"
)

// exchangeFuncs are the functions that read the request's body and write the response.
func exchangeFuncs() []native {
	return []native{
		{"input_len", " i", inputLen},
		{"input_read", "iii i", inputRead},
		{"output_write", "ii i", outputWrite},
		{"output_status", "i i", outputStatus},
		{"output_header", "iiii i", outputHeader},
		{"error", "ii", reportError},
	}
}

// inputLen returns the length of the request's body.
//
// Parameters: none. Result: bytes, 0 without a body. It never blocks.
func inputLen(e *Env, _ []uint64) (Result, error) { return Result(len(e.input)), nil }

// inputRead copies a part of the request's body. Reading does not move stdin.
//
// Parameters: off u32, where to begin; buf, cap, where to and how much at most.
// Result: bytes copied, 0 at or beyond the end. It never blocks.
func inputRead(e *Env, p []uint64) (Result, error) {
	buf, err := e.bytes("buf", p[1], p[2])
	if err != nil {
		return 0, err
	}
	if p[0] >= uint64(len(e.input)) {
		return 0, nil
	}
	return Result(copy(buf, e.input[p[0]:])), nil
}

// outputWrite appends to the response's body.
//
// Parameters: ptr, len, the bytes.
// Result: len; TooLarge when the body would exceed Limits.OutputBytes (nothing is taken then); Cancelled when the client
// has gone. It blocks while a client reads a large response slowly, until the deadline.
func outputWrite(e *Env, p []uint64) (Result, error) {
	data, err := e.bytes("ptr", p[0], p[1])
	if err != nil {
		return 0, err
	}
	switch err := e.response.write(data, &e.app.Limits); {
	case err == nil:
		return Result(len(data)), nil
	case errors.Is(err, errFull):
		return TooLarge, nil
	default:
		return Cancelled, nil
	}
}

// outputStatus sets the response's status; 200 stands until then, and the last call counts.
//
// Parameters: code u32.
// Result: 0; Invalid outside 200 to 599; Conflict when the head has gone out because the body is large.
func outputStatus(e *Env, p []uint64) (Result, error) {
	if e.response.streamed {
		return Conflict, nil
	}
	if !e.response.setStatus(p[0]) {
		return Invalid, nil
	}
	return 0, nil
}

// outputHeader adds a response header field; one of a name that is there already is sent beside it.
//
// Parameters: name, nlen and val, vlen, ASCII or UTF-8.
// Result: 0; Invalid when the name is no token or the value has a control character (CR and LF among them); Denied for
// the fields that frame the message (Content-Length, Transfer-Encoding, Connection and their like), which edged sets;
// Limit above Limits.Headers or Limits.HeaderBytes; Conflict when the head has gone out because the body is large.
func outputHeader(e *Env, p []uint64) (Result, error) {
	name, err := e.bytes("name", p[0], p[1])
	if err != nil {
		return 0, err
	}
	value, err := e.bytes("val", p[2], p[3])
	if err != nil {
		return 0, err
	}
	if e.response.streamed {
		return Conflict, nil
	}
	switch err := e.response.add(name, value, &e.app.Limits); {
	case err == nil:
		return 0, nil
	case errors.Is(err, errOwnHeader):
		return Denied, nil
	case errors.Is(err, errHeaderFull):
		return Limit, nil
	default:
		return Invalid, nil
	}
}

// reportError says that the call failed, whatever the entry returns: the caller gets this text with status 500. The last
// call counts; text above Limits.ErrorBytes is cut.
//
// Parameters: ptr, len, UTF-8 text. No result.
func reportError(e *Env, p []uint64) (Result, error) {
	text, err := e.bytes("ptr", p[0], p[1])
	if err != nil {
		return 0, err
	}
	text = text[:min(len(text), e.app.Limits.ErrorBytes)]
	e.response.reported = strings.ToValidUTF8(string(text), "\uFFFD")
	if e.response.reported == "" {
		e.response.reported = "the function failed and said nothing about it"
	}
	return 0, nil
}
