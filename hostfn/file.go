package hostfn

import (
	"encoding/binary"
	"errors"
	"math"

	"golang.org/x/sys/unix"
)

// fileFuncs are the functions that read, write and describe what a descriptor stands for. stdin is the request's body,
// stdout the response, stderr the log. Reading and writing files may block on the disk, for which the core goes to others;
// writing to stdout blocks while a client reads a large response slowly, until the deadline.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
func fileFuncs() []preview1 {
	return []preview1{
		{"fd_read", "iiii i", fdRead},
		{"fd_pread", "iiiIi i", fdPread},
		{"fd_write", "iiii i", fdWrite},
		{"fd_pwrite", "iiiIi i", fdPwrite},
		{"fd_seek", "iIii i", fdSeek},
		{"fd_tell", "ii i", fdTell},
		{"fd_sync", "i i", fdSync},
		{"fd_datasync", "i i", fdDatasync},
		{"fd_advise", "iIIi i", fdAdvise},
		{"fd_allocate", "iII i", fdAllocate},
		{"fd_filestat_get", "ii i", fdFilestatGet},
		{"fd_filestat_set_size", "iI i", fdFilestatSetSize},
		{"fd_filestat_set_times", "iIIi i", fdFilestatSetTimes},
		{"fd_readdir", "iiiIi i", fdReaddir},
	}
}

// maxIovs is the most buffers one call may name (IOV_MAX of Linux).
const maxIovs = 1024

// iovecs reads a vector of {ptr u32, len u32} before anything is written, so that buffers may overlap the vector itself.
// More than maxIovs buffers, or more than 4 GiB together, are einval.
func (e *Env) iovecs(ptr, n uint64) ([][]byte, errno, error) {
	raw, err := e.bytes("iovs", ptr, n*8)
	if err != nil {
		return nil, 0, err
	}
	if n > maxIovs {
		return nil, eInval, nil
	}
	total := uint64(0)
	for ; len(raw) > 0; raw = raw[8:] {
		at, size := binary.LittleEndian.Uint32(raw), binary.LittleEndian.Uint32(raw[4:])
		buf, err := e.bytes("iovs[].buf", uint64(at), uint64(size))
		if err != nil {
			return nil, 0, err
		}
		total += uint64(size)
		e.iovs = append(e.iovs, buf)
	}
	if total > math.MaxUint32 {
		return nil, eInval, nil
	}
	return e.iovs, success, nil
}

// vector is what the four functions of reading and writing have in common: it checks all pointers, runs move on the
// buffers one by one until one is not filled or emptied, and stores the count.
func (e *Env) vector(p []uint64, result int, move func(b []byte) (int, error)) (errno, error) {
	if _, err := e.bytes("nbytes", p[result], 4); err != nil {
		return 0, err
	}
	iovs, code, err := e.iovecs(p[1], p[2])
	if err != nil || code != success {
		return code, err
	}
	done := 0
	for _, buf := range iovs {
		if len(buf) == 0 {
			continue
		}
		if err := e.over(); err != nil && done > 0 {
			return 0, err // 1,024 buffers may be 4 GiB of a slow disk
		}
		n, err := move(buf)
		done += n
		if err != nil && done == 0 {
			return errnoOf(err), nil
		}
		if err != nil || n < len(buf) {
			break
		}
	}
	return success, e.put32("nbytes", p[result], uint32(done))
}

// retry runs a system call again when a signal interrupted it.
func retry(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if !errors.Is(err, unix.EINTR) {
			return max(n, 0), err
		}
	}
}

// usable returns a descriptor to read from or to write to: eisdir for a directory, ebadf without the right, as POSIX
// has it for a file opened the other way.
func (e *Env) usable(fd uint64, need rights) (*descriptor, errno) {
	d, code := e.files.at(fd, 0)
	switch {
	case code != success:
		return nil, code
	case d.kind == kindDir:
		return nil, eIsdir
	case d.base&need == 0:
		return nil, eBadf
	}
	return d, success
}

// fdRead reads from where the descriptor stands.
//
// Parameters: fd; iovs, iovs_len, a vector of {ptr u32, len u32}; nbytes, where the count goes as u32.
// Result: success with 0 bytes at the end; ebadf, eisdir, einval, eio.
func fdRead(e *Env, p []uint64) (errno, error) {
	d, code := e.usable(p[0], rightFDRead)
	return e.vectorOf(p, 3, code, func(b []byte) (int, error) {
		if d.kind == kindStdin {
			n := copy(b, e.input[e.inputAt:])
			e.inputAt += n
			return n, nil
		}
		return e.readFile(d.fd, b, here)
	})
}

// vectorOf is vector for a descriptor that may not do: pointers are checked all the same.
func (e *Env) vectorOf(p []uint64, result int, code errno, move func(b []byte) (int, error)) (errno, error) {
	if code == success {
		return e.vector(p, result, move)
	}
	if _, err := e.bytes("nbytes", p[result], 4); err != nil {
		return 0, err
	}
	_, _, err := e.iovecs(p[1], p[2])
	return code, err
}

// fdPread reads from an offset and leaves the descriptor where it stands.
//
// Parameters: as fd_read, with offset u64 before nbytes.
// Result: as fd_read; espipe for a standard stream, einval for an offset of 2^63 or more.
func fdPread(e *Env, p []uint64) (errno, error) {
	d, code := e.usable(p[0], rightFDRead)
	code = seekable(d, code, p[3])
	at := int64(p[3])
	return e.vectorOf(p, 4, code, func(b []byte) (int, error) {
		n, err := e.readFile(d.fd, b, at)
		at += int64(n)
		return n, err
	})
}

// seekable passes code on and refuses what cannot be read or written at an offset.
func seekable(d *descriptor, code errno, offset uint64) errno {
	switch {
	case code != success:
		return code
	case d.kind != kindFile:
		return eSpipe
	case offset > math.MaxInt64:
		return eInval
	}
	return success
}

// fdWrite writes to where the descriptor stands, or to the end of a file opened to append.
//
// Parameters: as fd_read. Result: success; ebadf, eisdir, einval, eio, enospc; for stdout efbig above
// Limits.OutputBytes and epipe when the client has gone. stderr takes everything and logs by lines.
func fdWrite(e *Env, p []uint64) (errno, error) {
	d, code := e.usable(p[0], rightFDWrite)
	return e.vectorOf(p, 3, code, func(b []byte) (int, error) {
		switch d.kind {
		case kindStdout:
			if e.app.ABI.logsOutput() {
				e.writeStderr(b)
				return len(b), nil
			}
			return e.writeStdout(b)
		case kindStderr:
			e.writeStderr(b)
			return len(b), nil
		case kindFile, kindDir, kindStdin:
		}
		return e.writeFile(d, b, here)
	})
}

// writeStdout gives a command's output to the response.
func (e *Env) writeStdout(b []byte) (int, error) {
	err := e.stdout(b)
	switch {
	case err == nil:
		return len(b), nil
	case errors.Is(err, errFull):
		e.response.overflowed = true
		return 0, unix.EFBIG
	default:
		return 0, unix.EPIPE
	}
}

// fdPwrite writes at an offset and leaves the descriptor where it stands. On a file opened to append it appends, as
// Linux does.
//
// Parameters: as fd_pread. Result: as fd_write and fd_pread.
func fdPwrite(e *Env, p []uint64) (errno, error) {
	d, code := e.usable(p[0], rightFDWrite)
	code = seekable(d, code, p[3])
	at := int64(p[3])
	return e.vectorOf(p, 4, code, func(b []byte) (int, error) {
		n, err := e.writeFile(d, b, at)
		at += int64(n)
		return n, err
	})
}

// fdSeek moves where the descriptor stands.
//
// Parameters: fd; offset i64; whence u8, 0 from the start, 1 from here, 2 from the end; ptr, where the new offset goes as
// u64. Result: success; ebadf, eisdir, espipe for a standard stream, einval for another whence or an offset below zero,
// eoverflow, enotcapable.
func fdSeek(e *Env, p []uint64) (errno, error) {
	need := rightFDSeek
	if p[1] == 0 && p[2] == unix.SEEK_CUR {
		need = rightFDTell
	}
	return e.seek(p[0], int64(p[1]), p[2], need, p[3])
}

// fdTell says where the descriptor stands.
//
// Parameters: fd; ptr, where the offset goes as u64. Result: as fd_seek.
func fdTell(e *Env, p []uint64) (errno, error) {
	return e.seek(p[0], 0, unix.SEEK_CUR, rightFDTell, p[1])
}

func (e *Env) seek(fd uint64, offset int64, whence uint64, need rights, ptr uint64) (errno, error) {
	if _, err := e.bytes("ptr", ptr, 8); err != nil {
		return 0, err
	}
	d, code := e.files.at(fd, 0)
	switch {
	case code != success:
		return code, nil
	case d.kind == kindDir:
		return eIsdir, nil
	case d.kind != kindFile:
		return eSpipe, nil
	case d.base&(need|rightFDSeek) == 0:
		return eNotcapable, nil
	case whence > unix.SEEK_END:
		return eInval, nil
	}
	at, err := unix.Seek(d.fd, offset, int(whence))
	if err != nil {
		return errnoOf(err), nil
	}
	return success, e.put64("ptr", ptr, uint64(at))
}

// fdSync and fdDatasync wait until what was written is on disk.
//
// Parameters: fd. Result: success; ebadf, einval for a standard stream, eio, enotcapable.
func fdSync(e *Env, p []uint64) (errno, error) {
	d, code := e.stored(p[0], rightFDSync)
	if code != success {
		return code, nil
	}
	return e.disk(func() error { return unix.Fsync(d.fd) }), nil
}

func fdDatasync(e *Env, p []uint64) (errno, error) {
	d, code := e.stored(p[0], rightFDDatasync)
	if code != success {
		return code, nil
	}
	return e.disk(func() error { return unix.Fdatasync(d.fd) }), nil
}

// stored returns a descriptor of a file or a directory.
func (e *Env) stored(fd uint64, need rights) (*descriptor, errno) {
	d, code := e.files.at(fd, 0)
	switch {
	case code != success:
		return nil, code
	case d.kind != kindFile && d.kind != kindDir:
		return nil, eInval
	case d.base&need != need:
		return nil, eNotcapable
	}
	return d, success
}

// regular returns a descriptor of a file.
func (e *Env) regular(fd uint64, need rights) (*descriptor, errno) {
	d, code := e.files.at(fd, 0)
	switch {
	case code != success:
		return nil, code
	case d.kind == kindDir:
		return nil, eBadf
	case d.kind != kindFile:
		return nil, eSpipe
	case d.base&need != need:
		return nil, eNotcapable
	}
	return d, success
}

// fdAdvise says how a part of a file will be used.
//
// Parameters: fd; offset u64; len u64, 0 to the end; advice u8, 0 normal, 1 sequential, 2 random, 3 willneed, 4 dontneed,
// 5 noreuse. Result: success; ebadf (a directory too), espipe for a standard stream, einval, enotcapable.
func fdAdvise(e *Env, p []uint64) (errno, error) {
	advices := [...]int{
		unix.FADV_NORMAL, unix.FADV_SEQUENTIAL, unix.FADV_RANDOM, unix.FADV_WILLNEED, unix.FADV_DONTNEED, unix.FADV_NOREUSE,
	}
	d, code := e.regular(p[0], rightFDAdvise)
	switch {
	case code != success:
		return code, nil
	case p[3] >= uint64(len(advices)) || p[1] > math.MaxInt64 || p[2] > math.MaxInt64:
		return eInval, nil
	}
	return errnoOf(unix.Fadvise(d.fd, int64(p[1]), int64(p[2]), advices[p[3]])), nil
}

// fdAllocate makes sure that a part of a file has room on disk; the file grows to its end.
//
// Parameters: fd; offset u64; len u64, not 0. Result: success; ebadf (a directory too, or not open for writing), espipe,
// einval, efbig, enospc, enotsup when the file system cannot, enotcapable.
func fdAllocate(e *Env, p []uint64) (errno, error) {
	d, code := e.regular(p[0], rightFDAllocate)
	switch {
	case code != success:
		return code, nil
	case p[1] > math.MaxInt64 || p[2] > math.MaxInt64:
		return eFbig, nil
	}
	return e.disk(func() error { return unix.Fallocate(d.fd, 0, int64(p[1]), int64(p[2])) }), nil
}

// fdFilestatSetSize cuts or extends a file; what is added reads as zeros.
//
// Parameters: fd; size u64. Result: success; ebadf (a directory too), espipe, einval when not open for writing, efbig,
// enotcapable.
func fdFilestatSetSize(e *Env, p []uint64) (errno, error) {
	d, code := e.regular(p[0], rightFDFilestatSetSize)
	switch {
	case code != success:
		return code, nil
	case p[1] > math.MaxInt64:
		return eFbig, nil
	}
	_, err := retry(func() (int, error) { return 0, unix.Ftruncate(d.fd, int64(p[1])) })
	return errnoOf(err), nil
}
