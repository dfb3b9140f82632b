package hostfn

import (
	"encoding/binary"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// descriptorFuncs are the functions that deal with descriptors as such. The rules of all of them: a number that is not
// open is ebadf, and an operation that the descriptor's rights leave out is enotcapable. None blocks.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
func descriptorFuncs() []preview1 {
	return []preview1{
		{"fd_close", "i i", fdClose},
		{"fd_renumber", "ii i", fdRenumber},
		{"fd_fdstat_get", "ii i", fdFdstatGet},
		{"fd_fdstat_set_flags", "ii i", fdFdstatSetFlags},
		{"fd_fdstat_set_rights", "iII i", fdFdstatSetRights},
		{"fd_prestat_get", "ii i", fdPrestatGet},
		{"fd_prestat_dir_name", "iii i", fdPrestatDirName},
	}
}

// rights say what may be done with a descriptor (preview1, "rights").
type rights uint64

const (
	rightFDDatasync rights = 1 << iota
	rightFDRead
	rightFDSeek
	rightFDSetFlags
	rightFDSync
	rightFDTell
	rightFDWrite
	rightFDAdvise
	rightFDAllocate
	rightPathCreateDirectory
	rightPathCreateFile
	rightPathLinkSource
	rightPathLinkTarget
	rightPathOpen
	rightFDReaddir
	rightPathReadlink
	rightPathRenameSource
	rightPathRenameTarget
	rightPathFilestatGet
	rightPathFilestatSetSize
	rightPathFilestatSetTimes
	rightFDFilestatGet
	rightFDFilestatSetSize
	rightFDFilestatSetTimes
	rightPathSymlink
	rightPathRemoveDirectory
	rightPathUnlinkFile
	rightPollFDReadwrite
)

// What each kind of descriptor can have at most. A directory has no right to seek, which is how C libraries tell.
const (
	rightsFile = rightFDDatasync | rightFDRead | rightFDSeek | rightFDSetFlags | rightFDSync | rightFDTell | rightFDWrite |
		rightFDAdvise | rightFDAllocate | rightFDFilestatGet | rightFDFilestatSetSize | rightFDFilestatSetTimes |
		rightPollFDReadwrite
	rightsDir = rightFDDatasync | rightFDSetFlags | rightFDSync | rightFDReaddir | rightFDFilestatGet |
		rightFDFilestatSetTimes | rightPathCreateDirectory | rightPathCreateFile | rightPathLinkSource |
		rightPathLinkTarget | rightPathOpen | rightPathReadlink | rightPathRenameSource | rightPathRenameTarget |
		rightPathFilestatGet | rightPathFilestatSetSize | rightPathFilestatSetTimes | rightPathSymlink |
		rightPathRemoveDirectory | rightPathUnlinkFile
	rightsStdin  = rightFDRead | rightFDSetFlags | rightFDFilestatGet | rightPollFDReadwrite
	rightsStdout = rightFDWrite | rightFDSetFlags | rightFDFilestatGet | rightPollFDReadwrite
)

// The descriptor flags (preview1, "fdflags").
const (
	flagAppend uint16 = 1 << iota
	flagDsync
	flagNonblock
	flagRsync
	flagSync

	flagsAll = flagAppend | flagDsync | flagNonblock | flagRsync | flagSync
)

// The file types (preview1, "filetype").
const (
	typeUnknown byte = iota
	typeBlock
	typeCharacter
	typeDirectory
	typeRegular
	typeDatagram
	typeStream
	typeSymlink
)

// kind is what a descriptor stands for.
type kind uint8

const (
	kindStdin kind = iota
	kindStdout
	kindStderr
	kindFile
	kindDir
)

// descriptor is an open file of the guest.
type descriptor struct {
	kind     kind
	preopen  bool // a granted directory itself; fd and root are the grant's
	fd       int  // of the daemon; only for files and directories
	grant    *grant
	root     *os.Root // directories: finds what is below; opened when first needed
	base     rights
	inherits rights
	flags    uint16
	stream   int // directories: the daemon's descriptor that fd_readdir reads, -1 before
}

// close gives back what belongs to the descriptor alone.
func (d *descriptor) close() error {
	if d.kind != kindFile && d.kind != kindDir {
		return nil
	}
	var errs []error
	if d.kind == kindDir && d.stream >= 0 {
		errs = append(errs, unix.Close(d.stream))
		d.stream = -1
	}
	if d.preopen {
		return errors.Join(errs...)
	}
	if d.root != nil {
		errs = append(errs, d.root.Close())
		d.root = nil
	}
	return errors.Join(append(errs, unix.Close(d.fd))...)
}

// below returns what finds paths below the directory. A directory opened by the guest is found again through its own
// descriptor, never by name, so that it stays the same directory whatever is renamed meanwhile.
func (d *descriptor) below() (*os.Root, error) {
	if d.root == nil {
		root, err := os.OpenRoot("/proc/self/fd/" + strconv.Itoa(d.fd))
		if err != nil {
			return nil, err
		}
		d.root = root
	}
	return d.root, nil
}

// fileType returns the descriptor's type. Standard streams are of unknown type: a character device would make C
// libraries take them for a terminal and write each line by itself.
func (d *descriptor) fileType() byte {
	switch d.kind {
	case kindFile:
		return typeRegular
	case kindDir:
		return typeDirectory
	case kindStdin, kindStdout, kindStderr:
		return typeUnknown
	}
	return typeUnknown
}

// descriptors is the guest's table: 0 to 2 are the standard streams, then the granted directories, then what it opens.
type descriptors struct {
	table []*descriptor // nil where a number is free
	first []descriptor  // the standard streams and granted directories, kept to save making them for every invocation
}

// open fills the table with what every invocation starts with.
func (t *descriptors) open(grants []*grant) {
	t.table, t.first = t.table[:0], t.first[:0]
	t.first = append(t.first,
		descriptor{kind: kindStdin, base: rightsStdin},
		descriptor{kind: kindStdout, base: rightsStdout},
		descriptor{kind: kindStderr, base: rightsStdout})
	for _, g := range grants {
		t.first = append(t.first, descriptor{
			kind: kindDir, preopen: true, fd: g.fd, grant: g, root: g.root,
			base: rightsDir, inherits: rightsDir | rightsFile, stream: -1,
		})
	}
	for i := range t.first {
		t.table = append(t.table, &t.first[i])
	}
}

// closeAll closes everything; errors have no one to be told to.
func (t *descriptors) closeAll() {
	for i, d := range t.table {
		if d != nil {
			_ = d.close()
		}
		t.table[i] = nil
	}
	t.table = t.table[:0]
}

// at returns an open descriptor that has all of the rights.
func (t *descriptors) at(fd uint64, need rights) (*descriptor, errno) {
	if fd >= uint64(len(t.table)) || t.table[fd] == nil {
		return nil, eBadf
	}
	if d := t.table[fd]; d.base&need == need {
		return d, success
	}
	return nil, eNotcapable
}

// free returns the lowest free number, or emfile when Limits.OpenFiles are open.
func (t *descriptors) free(limit int) (int, errno) {
	for i, d := range t.table {
		if d == nil {
			return i, success
		}
	}
	if len(t.table)-len(t.first) >= limit {
		return 0, eMfile
	}
	t.table = append(t.table, nil)
	return len(t.table) - 1, success
}

// fdClose closes a descriptor; its number may be given out again.
//
// Parameters: fd. Result: success, ebadf, eio.
func fdClose(e *Env, p []uint64) (errno, error) {
	d, code := e.files.at(p[0], 0)
	if code != success {
		return code, nil
	}
	e.files.table[p[0]] = nil
	return errnoOf(d.close()), nil
}

// fdRenumber moves a descriptor to a number that is open, and closes what was there.
//
// Parameters: from, to. Result: success, ebadf when either is not open.
func fdRenumber(e *Env, p []uint64) (errno, error) {
	from, code := e.files.at(p[0], 0)
	if code != success {
		return code, nil
	}
	to, code := e.files.at(p[1], 0)
	if code != success || from == to {
		return code, nil
	}
	e.files.table[p[1]], e.files.table[p[0]] = from, nil
	return errnoOf(to.close()), nil
}

// fdFdstatGet describes a descriptor.
//
// Parameters: fd; ptr, where 24 bytes go:
//
//	0 filetype u8 | 2 flags u16 | 8 rights u64 | 16 inherited rights u64
//
// Result: success, ebadf.
func fdFdstatGet(e *Env, p []uint64) (errno, error) {
	out, err := e.bytes("ptr", p[1], 24)
	if err != nil {
		return 0, err
	}
	d, code := e.files.at(p[0], 0)
	if code != success {
		return code, nil
	}
	clear(out)
	out[0] = d.fileType()
	binary.LittleEndian.PutUint16(out[2:], d.flags)
	binary.LittleEndian.PutUint64(out[8:], uint64(d.base))
	binary.LittleEndian.PutUint64(out[16:], uint64(d.inherits))
	return success, nil
}

// fdFdstatSetFlags changes append and nonblock; the flags of synchronous writing are fixed when a file is opened.
//
// Parameters: fd, flags u16. Result: success, ebadf, einval for an unknown flag, enotsup for a change of dsync, rsync or
// sync, enotcapable.
func fdFdstatSetFlags(e *Env, p []uint64) (errno, error) {
	d, code := e.files.at(p[0], rightFDSetFlags)
	switch {
	case code != success:
		return code, nil
	case p[1]&^uint64(flagsAll) != 0:
		return eInval, nil
	}
	flags := uint16(p[1])
	if (flags^d.flags)&(flagDsync|flagRsync|flagSync) != 0 {
		return eNotsup, nil
	}
	if d.kind == kindFile {
		if _, err := unix.FcntlInt(uintptr(d.fd), unix.F_SETFL, systemFlags(flags)); err != nil {
			return errnoOf(err), nil
		}
	}
	d.flags = flags
	return success, nil
}

// systemFlags translates descriptor flags. Files never wait, so nonblock changes nothing.
func systemFlags(flags uint16) int {
	system := 0
	if flags&flagAppend != 0 {
		system |= unix.O_APPEND
	}
	if flags&flagDsync != 0 {
		system |= unix.O_DSYNC
	}
	if flags&(flagSync|flagRsync) != 0 {
		system |= unix.O_SYNC
	}
	return system
}

// fdFdstatSetRights gives up rights; none can be gained.
//
// Parameters: fd, rights u64, inherited rights u64. Result: success, ebadf, enotcapable for a right it does not have.
func fdFdstatSetRights(e *Env, p []uint64) (errno, error) {
	d, code := e.files.at(p[0], 0)
	if code != success {
		return code, nil
	}
	base, inherits := rights(p[1]), rights(p[2])
	if base&^d.base != 0 || inherits&^d.inherits != 0 {
		return eNotcapable, nil
	}
	d.base, d.inherits = base, inherits
	return success, nil
}

// fdPrestatGet says whether a descriptor is a granted directory.
//
// Parameters: fd; ptr, where 8 bytes go: 0 tag u8 (0 directory) | 4 length of its name u32.
// Result: success, ebadf when it is none, which is how a guest finds the end of them.
func fdPrestatGet(e *Env, p []uint64) (errno, error) {
	out, err := e.bytes("ptr", p[1], 8)
	if err != nil {
		return 0, err
	}
	d, code := e.files.at(p[0], 0)
	if code != success || !d.preopen {
		return eBadf, nil
	}
	clear(out)
	binary.LittleEndian.PutUint32(out[4:], uint32(len(d.grant.Guest)))
	return success, nil
}

// fdPrestatDirName reads the name of a granted directory, without a terminator.
//
// Parameters: fd; path, path_len, where it goes. Result: success, ebadf, enametoolong when path_len is too small.
func fdPrestatDirName(e *Env, p []uint64) (errno, error) {
	out, err := e.bytes("path", p[1], p[2])
	if err != nil {
		return 0, err
	}
	d, code := e.files.at(p[0], 0)
	switch {
	case code != success || !d.preopen:
		return eBadf, nil
	case len(out) < len(d.grant.Guest):
		return eNametoolong, nil
	}
	copy(out, d.grant.Guest)
	return success, nil
}
