package hostfn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"syscall"

	"edged.dev/edge/kvstore"
)

// Result is what a function of the edged module returns below zero. Values from zero on are lengths, counts and tokens.
type Result int64

// The results below zero. Guests compare with these numbers; they never change.
const (
	NotFound    Result = -1  // no such key, name or meta
	Invalid     Result = -2  // an argument that no state of the world could make valid
	Denied      Result = -3  // the manifest does not grant it
	TooLarge    Result = -4  // above a limit of size
	Conflict    Result = -5  // the state is not the one the call expects
	TimedOut    Result = -6  // the invocation's deadline passed
	Unreachable Result = -7  // another node does not answer
	Limit       Result = -8  // above a limit of number
	Unsupported Result = -9  // not available on this node
	Internal    Result = -10 // the node failed; its log says more
	Cancelled   Result = -11 // the caller has gone
)

// resultOf is the one table from an error of the key-value store, or of the invocation's context, to a result; nil is 0.
func resultOf(err error) Result {
	if err == nil {
		return 0
	}
	for _, row := range storeResults {
		if errors.Is(err, row.err) {
			return row.result
		}
	}
	return Internal
}

// result is resultOf for an error of a call that was given the invocation's context, which may have ended for a cause of
// the daemon's own: a caller that has gone is Cancelled, any other TimedOut.
func (e *Env) result(err error) Result {
	result := resultOf(err)
	if e.ctx.Err() == nil || result != Internal && result != Cancelled {
		return result
	}
	cause := context.Cause(e.ctx)
	switch {
	case !errors.Is(err, e.ctx.Err()) && !errors.Is(err, cause):
		return result
	case errors.Is(cause, context.Canceled):
		return Cancelled
	default:
		return TimedOut
	}
}

var storeResults = []struct {
	err    error
	result Result
}{
	{kvstore.ErrNotFound, NotFound},
	{kvstore.ErrConflict, Conflict},
	{kvstore.ErrNotHeld, Conflict},
	{kvstore.ErrTooLarge, TooLarge},
	{kvstore.ErrEmptyKey, Invalid},
	{kvstore.ErrBadTTL, Invalid},
	{kvstore.ErrTooManyWaiters, Limit},
	{kvstore.ErrTooManyLocks, Limit},
	{kvstore.ErrFull, Limit},
	{kvstore.ErrBacklog, Limit},
	{ErrDenied, Denied},
	{context.DeadlineExceeded, TimedOut},
	{context.Canceled, Cancelled},
}

// PointerError is the cause of the trap of a guest that passed memory it does not have.
type PointerError struct {
	Func     string // "edged.kv_get"
	Arg      string // name of the argument
	Ptr, Len uint64
	Memory   int // size of the guest's memory in bytes
}

// Error names the function, the argument and the range.
func (e *PointerError) Error() string {
	return fmt.Sprintf("%s: %s: [%#x, +%d) is outside the guest's memory of %d bytes", e.Func, e.Arg, e.Ptr, e.Len, e.Memory)
}

// bytes returns n bytes of the guest's memory from ptr on. The slice aliases the guest's memory, ends with its capacity
// and must not outlive the host function. Lengths are unsigned: a guest's -1 is 4 GiB and outside.
func (e *Env) bytes(arg string, ptr, n uint64) ([]byte, error) {
	if ptr > math.MaxUint32 || n > math.MaxUint32*maxRecord || ptr+n > uint64(len(e.mem)) {
		return nil, &PointerError{Func: e.fn, Arg: arg, Ptr: ptr, Len: n, Memory: len(e.mem)}
	}
	return e.mem[ptr : ptr+n : ptr+n], nil
}

// maxRecord is the largest size of a fixed record a guest passes an array of (a poll subscription); a count of 32 bits
// times it cannot overflow 64 bits.
const maxRecord = 48

// give copies a whole result to the guest when it fits in its buffer and returns the result's length.
func (e *Env) give(ptr, size uint64, from []byte) (Result, error) {
	buf, err := e.bytes("buf", ptr, size)
	if err != nil {
		return 0, err
	}
	if len(from) <= len(buf) {
		copy(buf, from)
	}
	return Result(len(from)), nil
}

// giveText is give for a string.
func (e *Env) giveText(ptr, size uint64, from string) (Result, error) {
	buf, err := e.bytes("buf", ptr, size)
	if err != nil {
		return 0, err
	}
	if len(from) <= len(buf) {
		copy(buf, from)
	}
	return Result(len(from)), nil
}

// put32 and put64 write a little-endian number where the guest wants a result.
func (e *Env) put32(arg string, ptr uint64, v uint32) error {
	b, err := e.bytes(arg, ptr, 4)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b, v)
	return nil
}

func (e *Env) put64(arg string, ptr, v uint64) error {
	b, err := e.bytes(arg, ptr, 8)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b, v)
	return nil
}

// errno is what a function of wasi_snapshot_preview1 returns (u16 in the specification, i32 on the wire).
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md#errno
type errno uint16

// The errnos that edged returns, with the specification's numbers.
const (
	success      errno = 0
	e2big        errno = 1
	eAcces       errno = 2
	eAgain       errno = 6
	eBadf        errno = 8
	eBusy        errno = 10
	eDquot       errno = 19
	eExist       errno = 20
	eFault       errno = 21
	eFbig        errno = 22
	eIlseq       errno = 25
	eIntr        errno = 27
	eInval       errno = 28
	eIo          errno = 29
	eIsdir       errno = 31
	eLoop        errno = 32
	eMfile       errno = 33
	eMlink       errno = 34
	eNametoolong errno = 37
	eNfile       errno = 41
	eNodev       errno = 43
	eNoent       errno = 44
	eNomem       errno = 48
	eNospc       errno = 51
	eNosys       errno = 52
	eNotdir      errno = 54
	eNotempty    errno = 55
	eNotsock     errno = 57
	eNotsup      errno = 58
	eNxio        errno = 60
	eOverflow    errno = 61
	ePerm        errno = 63
	ePipe        errno = 64
	eRofs        errno = 69
	eSpipe       errno = 70
	eStale       errno = 72
	eTxtbsy      errno = 74
	eXdev        errno = 75
	eNotcapable  errno = 76
)

// errnoOf translates an error of a file operation. An error without an errno of the system comes from [os.Root] and means
// that the path leaves the directory it starts from: eperm.
func errnoOf(err error) errno {
	if err == nil {
		return success
	}
	var sys syscall.Errno
	if !errors.As(err, &sys) {
		return ePerm
	}
	if code, ok := errnos[sys]; ok {
		return code
	}
	return eIo
}

// errnos translates the system's errnos; one that is not listed is eio.
var errnos = map[syscall.Errno]errno{
	syscall.E2BIG:        e2big,
	syscall.EACCES:       eAcces,
	syscall.EAGAIN:       eAgain,
	syscall.EBADF:        eBadf,
	syscall.EBUSY:        eBusy,
	syscall.EDQUOT:       eDquot,
	syscall.EEXIST:       eExist,
	syscall.EFAULT:       eFault,
	syscall.EFBIG:        eFbig,
	syscall.EILSEQ:       eIlseq,
	syscall.EINTR:        eIntr,
	syscall.EINVAL:       eInval,
	syscall.EIO:          eIo,
	syscall.EISDIR:       eIsdir,
	syscall.ELOOP:        eLoop,
	syscall.EMFILE:       eNfile, // the daemon's limit, not the guest's
	syscall.EMLINK:       eMlink,
	syscall.ENAMETOOLONG: eNametoolong,
	syscall.ENFILE:       eNfile,
	syscall.ENODEV:       eNodev,
	syscall.ENOENT:       eNoent,
	syscall.ENOMEM:       eNomem,
	syscall.ENOSPC:       eNospc,
	syscall.ENOSYS:       eNosys,
	syscall.ENOTDIR:      eNotdir,
	syscall.ENOTEMPTY:    eNotempty,
	syscall.ENOTSUP:      eNotsup,
	syscall.ENXIO:        eNxio,
	syscall.EOVERFLOW:    eOverflow,
	syscall.EPERM:        ePerm,
	syscall.EPIPE:        ePipe,
	syscall.EROFS:        eRofs,
	syscall.ESPIPE:       eSpipe,
	syscall.ESTALE:       eStale,
	syscall.ETXTBSY:      eTxtbsy,
	syscall.EXDEV:        eXdev,
}
