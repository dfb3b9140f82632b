package hostfn

import (
	"strings"

	"golang.org/x/sys/unix"
)

// The flags of opening (preview1, "oflags").
const (
	openCreate = 1 << iota
	openDirectory
	openExclusive
	openTruncate

	openAll = openCreate | openDirectory | openExclusive | openTruncate
)

// opening is one path_open.
type opening struct {
	dir            *descriptor
	follow         bool
	flags          uint64 // oflags
	base, inherits rights // asked for
	fdflags        uint64
}

// pathOpen opens a file or a directory, and may create a file. Rights asked for beyond what the directory hands down are
// left out; without the right to write, a file is opened for reading. A directory gets every right that is handed down,
// asked for or not: Go's os.Root asks for less than it then uses, and fd_fdstat_set_rights gives up what is too much. Only files and directories are opened: devices,
// pipes and sockets are enotsup, and opening one never waits.
//
// Parameters: fd; dirflags u32, 1 follows a symbolic link; path, path_len; oflags u16, 1 create, 2 must be a directory, 4 must
// not exist, 8 truncate; rights u64; inherited rights u64; fdflags u16; ptr, where the new descriptor goes as u32.
// Result: success; enoent, eexist, eisdir, enotdir, eloop, eperm, einval, emfile at Limits.OpenFiles, enfile when the
// daemon has no more, enotsup, erofs, ebadf, enotcapable.
func pathOpen(e *Env, p []uint64) (errno, error) {
	if _, err := e.bytes("ptr", p[8], 4); err != nil {
		return 0, err
	}
	path, code, err := e.path("path", p[2], p[3])
	if err != nil {
		return 0, err
	}
	o := opening{flags: p[4], base: rights(p[5]), inherits: rights(p[6]), fdflags: p[7]}
	o.follow = p[1]&lookupFollow != 0 || strings.HasSuffix(path, "/")
	dir, dirCode := e.directory(p[0], o.need(), o.changes())
	switch {
	case dirCode != success:
		return dirCode, nil
	case code != success:
		return code, nil
	case p[1] > lookupFollow || !o.valid():
		return eInval, nil
	}
	o.dir = dir
	number, code := e.files.free(e.app.Limits.OpenFiles)
	if code != success {
		return code, nil
	}
	d, code := o.open(path)
	if code != success {
		return code, nil
	}
	e.files.table[number] = d
	return success, e.put32("ptr", p[8], uint32(number))
}

// need returns the rights that the directory must have.
func (o *opening) need() rights {
	need := rightPathOpen
	if o.flags&openCreate != 0 {
		need |= rightPathCreateFile
	}
	if o.flags&openTruncate != 0 {
		need |= rightPathFilestatSetSize
	}
	return need
}

// changes reports whether the opening needs a directory that may be changed.
func (o *opening) changes() bool {
	return o.flags&(openCreate|openTruncate) != 0 || o.base&rightFDWrite != 0 && o.flags&openDirectory == 0
}

func (o *opening) valid() bool {
	if o.flags > openAll || o.fdflags&^uint64(flagsAll) != 0 {
		return false
	}
	return o.flags&openDirectory == 0 || o.flags&(openCreate|openExclusive|openTruncate) == 0
}

func (o *opening) open(path string) (*descriptor, errno) {
	pl, code := o.dir.resolve(path, o.follow && o.flags&(openCreate|openExclusive) != openCreate|openExclusive)
	if code != success {
		return nil, code
	}
	defer pl.close()
	if pl.slash && o.flags&openCreate != 0 {
		return nil, eIsdir
	}
	var st unix.Stat_t
	if err := pl.stat(&st); err == nil && special(st.Mode) {
		return nil, eNotsup
	}
	fd, err := retry(func() (int, error) { return unix.Openat(pl.dir, pl.name, o.systemFlags(pl.slash), 0o666) })
	if err != nil {
		return nil, errnoOf(err)
	}
	// What stands there now may not be what stood there a moment ago.
	if err := unix.Fstat(fd, &st); err != nil || special(st.Mode) {
		_ = unix.Close(fd)
		return nil, eNotsup
	}
	d := &descriptor{kind: kindFile, fd: fd, grant: o.dir.grant, flags: uint16(o.fdflags), stream: -1}
	d.base = o.base & o.dir.inherits & rightsFile
	if typeOfMode(st.Mode) == typeDirectory {
		d.kind, d.base = kindDir, o.dir.inherits&rightsDir
	}
	d.inherits = o.inherits & o.dir.inherits
	return d, success
}

// special reports what is neither file nor directory nor symbolic link; the last is left to the system to refuse.
func special(mode uint32) bool {
	switch typeOfMode(mode) {
	case typeRegular, typeDirectory, typeSymlink:
		return false
	}
	return true
}

// systemFlags returns the flags of the system call. O_NONBLOCK is for a pipe or device that takes the file's place after
// it was looked at.
func (o *opening) systemFlags(slash bool) int {
	flags := unix.O_NOFOLLOW | unix.O_CLOEXEC | unix.O_NONBLOCK | unix.O_NOCTTY | systemFlags(uint16(o.fdflags))
	switch write := o.base&o.dir.inherits&rightFDWrite != 0; {
	case !write:
		flags |= unix.O_RDONLY
	case o.base&o.dir.inherits&rightFDRead != 0:
		flags |= unix.O_RDWR
	default:
		flags |= unix.O_WRONLY
	}
	for _, row := range []struct {
		bit    uint64
		system int
	}{{openCreate, unix.O_CREAT}, {openDirectory, unix.O_DIRECTORY}, {openExclusive, unix.O_EXCL}, {openTruncate, unix.O_TRUNC}} {
		if o.flags&row.bit != 0 {
			flags |= row.system
		}
	}
	if slash {
		flags |= unix.O_DIRECTORY
	}
	return flags
}
