package hostfn

import (
	"errors"

	"golang.org/x/sys/unix"
)

// here is the offset that stands for where a descriptor stands, as preadv2 has it.
const here = -1

// awayBytes is from what size on a write is taken to wait for the disk: smaller ones end in the page cache as a rule.
const awayBytes = 64 << 10

// readFile reads from a file at an offset, or from where it stands. What is in the page cache is read at once; only for
// what the disk has to be asked for is the core left.
func (e *Env) readFile(fd int, b []byte, at int64) (int, error) {
	b = e.caller.Writable(b)
	if e.core == nil {
		return readBlocking(fd, b, at)
	}
	done := 0
	for done < len(b) {
		n, err := retry(func() (int, error) {
			return unix.Preadv2(fd, [][]byte{b[done:]}, onward(at, done), unix.RWF_NOWAIT)
		})
		switch {
		case err == nil && n == 0:
			return done, nil
		case err == nil:
			done += n
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOSYS), errors.Is(err, unix.EINVAL):
			e.away(func() { n, err = readBlocking(fd, b[done:], onward(at, done)) })
			if done > 0 && err != nil {
				return done, nil //nolint:nilerr // what came counts; the error comes again with the next read
			}
			return done + n, err
		default:
			return done, err
		}
	}
	return done, nil
}

// onward is where to go on after so many bytes.
func onward(at int64, done int) int64 {
	if at == here {
		return here
	}
	return at + int64(done)
}

func readBlocking(fd int, b []byte, at int64) (int, error) {
	return retry(func() (int, error) {
		if at == here {
			return unix.Read(fd, b)
		}
		return unix.Pread(fd, b, at)
	})
}

// writeFile writes to a file at an offset, or to where it stands.
func (e *Env) writeFile(d *descriptor, b []byte, at int64) (n int, err error) {
	write := func() {
		n, err = retry(func() (int, error) {
			if at == here {
				return unix.Write(d.fd, b)
			}
			return unix.Pwrite(d.fd, b, at)
		})
	}
	if len(b) >= awayBytes || d.flags&(flagDsync|flagRsync|flagSync) != 0 {
		e.away(write)
	} else {
		write()
	}
	return n, err
}

// disk runs a system call that is sure to wait for the disk, without the core.
func (e *Env) disk(call func() error) errno {
	var err error
	e.away(func() { _, err = retry(func() (int, error) { return 0, call() }) })
	return errnoOf(err)
}
