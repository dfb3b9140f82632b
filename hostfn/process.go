package hostfn

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"strings"
)

// processFuncs are the functions about the guest as a process.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
func processFuncs() []preview1 {
	return []preview1{
		{"args_get", "ii i", argsGet},
		{"args_sizes_get", "ii i", argsSizesGet},
		{"environ_get", "ii i", environGet},
		{"environ_sizes_get", "ii i", environSizesGet},
		{"random_get", "ii i", randomGet},
		{"sched_yield", " i", schedYield},
		{"proc_exit", "i", procExit},
		{"proc_raise", "i i", procRaise},
	}
}

// process is the guest's arguments and environment, made when first asked for.
type process struct {
	made          bool
	args, environ []string
	cpuBase       int64 // processor time of the thread when it was first asked for
}

func (pr *process) reset() { *pr = process{args: pr.args[:0], environ: pr.environ[:0]} }

// makeProcess makes arguments and environment: those of CGI for a command in that form, else the app's name and what the
// app was given.
func (e *Env) makeProcess() {
	if e.process.made {
		return
	}
	e.process.made = true
	if e.app.ABI == ABICGI && e.req != nil {
		e.process.args = e.cgiArgs(e.process.args)
		e.process.environ = e.cgiEnviron(e.process.environ)
		return
	}
	e.process.args = append(append(e.process.args, e.app.Name), e.app.Args...)
	if e.app.ABI == ABISledge && e.req != nil {
		e.process.args = e.sledgeArgs(e.process.args)
	}
	e.process.environ = append(e.process.environ, e.app.Environ...)
}

// argsGet reads the arguments.
//
// Parameters: argv, where one u32 an argument goes, its address; argv_buf, where they go, each with a NUL after it. The
// guest has made room as args_sizes_get says. Result: success.
func argsGet(e *Env, p []uint64) (errno, error) {
	e.makeProcess()
	return e.putStrings(e.process.args, "argv", p)
}

// argsSizesGet says how much room args_get needs.
//
// Parameters: argc, where the count goes as u32; argv_buf_size, where the bytes go as u32. Result: success.
func argsSizesGet(e *Env, p []uint64) (errno, error) {
	e.makeProcess()
	return e.putSizes(e.process.args, "argc", "argv_buf_size", p)
}

// environGet reads the environment, each variable in the form NAME=value.
//
// Parameters: environ and environ_buf, as args_get. Result: success.
func environGet(e *Env, p []uint64) (errno, error) {
	e.makeProcess()
	return e.putStrings(e.process.environ, "environ", p)
}

// environSizesGet says how much room environ_get needs.
//
// Parameters: count and size, as args_sizes_get. Result: success.
func environSizesGet(e *Env, p []uint64) (errno, error) {
	e.makeProcess()
	return e.putSizes(e.process.environ, "environc", "environ_buf_size", p)
}

func sizeOf(list []string) uint64 {
	size := 0
	for _, s := range list {
		size += len(s) + 1
	}
	return uint64(size)
}

func (e *Env) putStrings(list []string, arg string, p []uint64) (errno, error) {
	pointers, err := e.bytes(arg, p[0], uint64(len(list))*4)
	if err != nil {
		return 0, err
	}
	text, err := e.bytes(arg+"_buf", p[1], sizeOf(list))
	if err != nil {
		return 0, err
	}
	at := uint32(p[1])
	for i, s := range list {
		binary.LittleEndian.PutUint32(pointers[i*4:], at)
		n := copy(text, s)
		text[n] = 0
		text = text[n+1:]
		at += uint32(n + 1)
	}
	return success, nil
}

func (e *Env) putSizes(list []string, count, size string, p []uint64) (errno, error) {
	if _, err := e.bytes(size, p[1], 4); err != nil {
		return 0, err
	}
	if err := e.put32(count, p[0], uint32(len(list))); err != nil {
		return 0, err
	}
	return success, e.put32(size, p[1], uint32(sizeOf(list)))
}

// randomChunk is how much randomness is made between two looks at the deadline: below 1 ms.
const randomChunk = 256 << 10

// randomGet fills a buffer with randomness of the system, fresh at every call whatever state the guest started from.
//
// Parameters: buf, buf_len. Result: success. It ends with the invocation when the buffer is huge.
func randomGet(e *Env, p []uint64) (errno, error) {
	buf, err := e.bytes("buf", p[0], p[1])
	if err != nil {
		return 0, err
	}
	buf = e.caller.Writable(buf)
	for len(buf) > randomChunk {
		_, _ = rand.Read(buf[:randomChunk]) // never fails
		buf = buf[randomChunk:]
		if err := e.over(); err != nil {
			return 0, err
		}
	}
	_, _ = rand.Read(buf)
	return success, nil
}

// schedYield does nothing: the scheduler interrupts a guest when another should run.
//
// Parameters: none. Result: success. It ends the guest when its time is over.
func schedYield(e *Env, _ []uint64) (errno, error) { return success, e.over() }

// procExit ends the guest. Code 0 is a good end.
//
// Parameters: code u32. It does not return.
func procExit(_ *Env, p []uint64) (errno, error) { return success, exit(uint32(p[0])) }

// The signals of preview1 that are not simply fatal.
const (
	signalNone  = 0
	signalChild = 16
	signalCont  = 17
	signalUrg   = 22
	signalWinch = 27
	signalLast  = 30
)

// procRaise sends the guest a signal. It has no handlers, so that one whose default is to be ignored does nothing and any
// other ends it with code 128 + signal, as a shell would say.
//
// Parameters: signal u8. Result: success, einval for a number that is no signal.
func procRaise(_ *Env, p []uint64) (errno, error) {
	switch p[0] {
	case signalNone, signalChild, signalCont, signalUrg, signalWinch:
		return success, nil
	}
	if p[0] > signalLast {
		return eInval, nil
	}
	return success, fmt.Errorf("guest raised signal %d: %w", p[0], exit(128+uint32(p[0])))
}

// socketFuncs are the functions about sockets, of which a guest has none.
func socketFuncs() []preview1 {
	return []preview1{
		{"sock_accept", "iii i", sockUnsupported},
		{"sock_recv", "iiiiii i", sockUnsupported},
		{"sock_send", "iiiii i", sockUnsupported},
		{"sock_shutdown", "ii i", sockShutdown},
	}
}

// sockUnsupported answers sock_accept, sock_recv and sock_send.
//
// Parameters: fd, and others that are not looked at. Result: ebadf, enotsup.
func sockUnsupported(e *Env, p []uint64) (errno, error) {
	if _, code := e.files.at(p[0], 0); code != success {
		return code, nil
	}
	return eNotsup, nil
}

// sockShutdown shuts down a socket.
//
// Parameters: fd; how u8. Result: ebadf, enotsock for any descriptor a guest can have.
func sockShutdown(e *Env, p []uint64) (errno, error) {
	if _, code := e.files.at(p[0], 0); code != success {
		return code, nil
	}
	return eNotsock, nil
}

// cleanVariable reports whether a text can stand in an environment: no NUL.
func cleanVariable(s string) bool { return strings.IndexByte(s, 0) < 0 }
