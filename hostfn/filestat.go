package hostfn

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// sizeFilestat is the size of a filestat in bytes:
//
//	0 dev u64 | 8 ino u64 | 16 filetype u8 | 24 nlink u64 | 32 size u64 | 40 atim u64 | 48 mtim u64 | 56 ctim u64
//
// Times are nanoseconds since 1970.
const sizeFilestat = 64

func putFilestat(out []byte, st *unix.Stat_t) {
	clear(out)
	binary.LittleEndian.PutUint64(out[0:], st.Dev)
	binary.LittleEndian.PutUint64(out[8:], st.Ino)
	out[16] = typeOfMode(st.Mode)
	binary.LittleEndian.PutUint64(out[24:], uint64(st.Nlink)) //nolint:unconvert // 32 bits on arm64
	binary.LittleEndian.PutUint64(out[32:], uint64(st.Size))
	binary.LittleEndian.PutUint64(out[40:], uint64(st.Atim.Nano()))
	binary.LittleEndian.PutUint64(out[48:], uint64(st.Mtim.Nano()))
	binary.LittleEndian.PutUint64(out[56:], uint64(st.Ctim.Nano()))
}

func typeOfMode(mode uint32) byte {
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		return typeRegular
	case unix.S_IFDIR:
		return typeDirectory
	case unix.S_IFLNK:
		return typeSymlink
	case unix.S_IFCHR:
		return typeCharacter
	case unix.S_IFBLK:
		return typeBlock
	case unix.S_IFSOCK:
		return typeStream
	}
	return typeUnknown
}

// fdFilestatGet describes the file of a descriptor.
//
// Parameters: fd; ptr, where a filestat of 64 bytes goes. Result: success; ebadf, enotcapable.
func fdFilestatGet(e *Env, p []uint64) (errno, error) {
	out, err := e.bytes("ptr", p[1], sizeFilestat)
	if err != nil {
		return 0, err
	}
	d, code := e.files.at(p[0], rightFDFilestatGet)
	if code != success {
		return code, nil
	}
	if d.kind != kindFile && d.kind != kindDir {
		clear(out)
		out[16] = d.fileType()
		return success, nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(d.fd, &st); err != nil {
		return errnoOf(err), nil
	}
	putFilestat(out, &st)
	return success, nil
}

// The flags that say which times to set (preview1, "fstflags").
const (
	setAtim = 1 << iota
	setAtimNow
	setMtim
	setMtimNow
)

// times makes of two times and their flags what the system call takes. A time given and "now" together are einval; a time
// that is not to be set is not looked at.
func times(atim, mtim, flags uint64) ([]unix.Timespec, errno) {
	if flags > setAtim|setAtimNow|setMtim|setMtimNow ||
		flags&setAtim != 0 && flags&setAtimNow != 0 || flags&setMtim != 0 && flags&setMtimNow != 0 ||
		flags&setAtim != 0 && atim > math.MaxInt64 || flags&setMtim != 0 && mtim > math.MaxInt64 {
		return nil, eInval
	}
	pick := func(t uint64, set, now bool) unix.Timespec {
		switch {
		case set:
			return unix.NsecToTimespec(int64(t))
		case now:
			return unix.Timespec{Nsec: unix.UTIME_NOW}
		}
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return []unix.Timespec{
		pick(atim, flags&setAtim != 0, flags&setAtimNow != 0),
		pick(mtim, flags&setMtim != 0, flags&setMtimNow != 0),
	}, success
}

// fdFilestatSetTimes sets the times of a file or directory.
//
// Parameters: fd; atim u64 and mtim u64, nanoseconds since 1970; flags u16, 1 set atim, 2 atim is now, 4 set mtim, 8 mtim is
// now. Result: success; ebadf, einval, erofs, enotcapable.
func fdFilestatSetTimes(e *Env, p []uint64) (errno, error) {
	d, code := e.stored(p[0], rightFDFilestatSetTimes)
	if code != success {
		return code, nil
	}
	ts, code := times(p[1], p[2], p[3])
	if code != success {
		return code, nil
	}
	if d.grant.ReadOnly {
		return eRofs, nil
	}
	return errnoOf(unix.UtimesNanoAt(d.fd, "", ts, unix.AT_EMPTY_PATH)), nil
}

// Sizes of a directory entry's head: the guest's, and the system's up to its name (linux_dirent64).
const (
	sizeDirent       = 24
	sizeSystemDirent = 19
)

// fdReaddir lists a directory. Names that are not UTF-8 are left out: the guest could not name them.
//
// Parameters: fd; buf, buf_len, where entries go; cookie u64, 0 to begin, else next of the entry to go on after; ptr, where
// the bytes used go as u32. Entries follow each other without a gap:
//
//	0 next u64 | 8 ino u64 | 16 length of name u32 | 20 filetype u8 | 24 name
//
// The last may be cut; fewer bytes than buf_len mean that there are no more.
// Result: success; ebadf, enotdir, einval for a cookie that is none, enotcapable. It may block on the disk.
func fdReaddir(e *Env, p []uint64) (errno, error) {
	if _, err := e.bytes("ptr", p[4], 4); err != nil {
		return 0, err
	}
	buf, err := e.bytes("buf", p[1], p[2])
	if err != nil {
		return 0, err
	}
	d, code := e.files.at(p[0], 0)
	switch {
	case code != success:
		return code, nil
	case d.kind != kindDir:
		return eNotdir, nil
	case d.base&rightFDReaddir == 0:
		return eNotcapable, nil
	}
	used, err := e.list(d, buf, p[3])
	if over := e.over(); over != nil {
		return 0, over // a directory may have millions of entries, and a buffer room for them
	}
	if err != nil {
		return errnoOf(err), nil
	}
	return success, e.put32("ptr", p[4], uint32(used))
}

// list fills buf with entries after the cookie, which is the system's own position in the directory.
func (e *Env) list(d *descriptor, buf []byte, cookie uint64) (int, error) {
	if d.stream < 0 {
		fd, err := unix.Openat(d.fd, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return 0, err
		}
		d.stream = fd
	}
	if _, err := unix.Seek(d.stream, int64(cookie), unix.SEEK_SET); err != nil {
		return 0, err
	}
	const chunk = 16 << 10
	if cap(e.scratch) < chunk {
		e.scratch = make([]byte, chunk)
	}
	used := 0
	for used < len(buf) {
		if err := e.over(); err != nil {
			return used, err
		}
		n, err := retry(func() (int, error) { return unix.ReadDirent(d.stream, e.scratch[:chunk]) })
		if err != nil {
			return 0, err
		}
		if n == 0 {
			break
		}
		used = putEntries(d.stream, buf, used, e.scratch[:n])
	}
	return used, nil
}

// putEntries translates the system's entries into buf from used on, until either ends.
func putEntries(dir int, buf []byte, used int, raw []byte) int {
	for len(raw) >= sizeSystemDirent && used < len(buf) {
		size := int(binary.NativeEndian.Uint16(raw[16:]))
		if size < sizeSystemDirent || size > len(raw) {
			break
		}
		name, _, _ := bytes.Cut(raw[sizeSystemDirent:size], []byte{0})
		if utf8.Valid(name) {
			var head [sizeDirent]byte
			binary.LittleEndian.PutUint64(head[0:], binary.NativeEndian.Uint64(raw[8:]))
			binary.LittleEndian.PutUint64(head[8:], binary.NativeEndian.Uint64(raw[0:]))
			binary.LittleEndian.PutUint32(head[16:], uint32(len(name)))
			head[20] = typeOfEntry(dir, raw[18], name)
			used += copy(buf[used:], head[:])
			used += copy(buf[used:], name)
		}
		raw = raw[size:]
	}
	return used
}

// typeOfEntry returns an entry's type; some file systems do not say it in the directory.
func typeOfEntry(dir int, systemType byte, name []byte) byte {
	if systemType != unix.DT_UNKNOWN {
		return typeOfMode(uint32(systemType) << 12) // DT_x is S_IFx shifted (dirent.h, DTTOIF)
	}
	var st unix.Stat_t
	if unix.Fstatat(dir, string(name), &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return typeUnknown
	}
	return typeOfMode(st.Mode)
}
