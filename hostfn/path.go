package hostfn

import (
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// pathFuncs are the functions that name a file by a path below a directory descriptor. They may block on the disk.
//
// A path is UTF-8 without NUL (eilseq, einval), relative (eperm), at most 4,095 bytes (enametoolong). One that leaves the
// directory it starts from, by ".." or through a symbolic link, is eperm; so is a link to an absolute path. In a directory
// granted for reading, what would change something is erofs.
// https://github.com/WebAssembly/WASI/blob/main/legacy/preview1/docs.md
func pathFuncs() []preview1 {
	return []preview1{
		{"path_open", "iiiiiIIii i", pathOpen},
		{"path_create_directory", "iii i", pathCreateDirectory},
		{"path_remove_directory", "iii i", pathRemoveDirectory},
		{"path_unlink_file", "iii i", pathUnlinkFile},
		{"path_rename", "iiiiii i", pathRename},
		{"path_link", "iiiiiii i", pathLink},
		{"path_symlink", "iiiii i", pathSymlink},
		{"path_readlink", "iiiiii i", pathReadlink},
		{"path_filestat_get", "iiiii i", pathFilestatGet},
		{"path_filestat_set_times", "iiiiIIi i", pathFilestatSetTimes},
	}
}

const (
	maxPath  = 4095 // PATH_MAX of Linux, without the terminator
	maxLinks = 40   // symbolic links followed in one path (path_resolution(7))

	lookupFollow = 1 // the one flag of lookupflags
)

// path reads a path from the guest.
func (e *Env) path(arg string, ptr, n uint64) (string, errno, error) {
	raw, err := e.bytes(arg, ptr, n)
	if err != nil {
		return "", 0, err
	}
	switch {
	case len(raw) == 0:
		return "", eNoent, nil
	case len(raw) > maxPath:
		return "", eNametoolong, nil
	case !utf8.Valid(raw):
		return "", eIlseq, nil
	}
	text := string(raw)
	if strings.IndexByte(text, 0) >= 0 {
		return "", eInval, nil
	}
	return text, success, nil
}

// place is where a path leads: a directory, held open, and one name in it. The name is never ".." and system calls never
// follow it, so that whatever is renamed or replaced meanwhile, a call acts on an entry of this directory.
type place struct {
	dir    int
	name   string // "." stands for the directory itself
	slash  bool   // the path ended in a slash: it means a directory
	opened *os.File
}

func (pl *place) close() {
	if pl.opened != nil {
		_ = pl.opened.Close()
	}
}

// resolve finds the place of a path below a directory. With follow, a symbolic link there is followed too. The
// directories on the way are found by [os.Root], which is what keeps the guest inside.
func (d *descriptor) resolve(path string, follow bool) (place, errno) {
	for range maxLinks {
		if path[0] == '/' {
			return place{}, ePerm
		}
		pl, parent, code := d.enter(path)
		if code != success || !follow || pl.name == "." {
			return pl, code
		}
		target, isLink := readLink(pl.dir, pl.name)
		if !isLink {
			return pl, success
		}
		pl.close()
		if target == "" || len(parent)+len(target) > maxPath {
			return place{}, eNametoolong
		}
		if target[0] == '/' {
			return place{}, ePerm
		}
		path = parent + target
		if pl.slash {
			path += "/"
		}
	}
	return place{}, eLoop
}

// enter opens the directory that a path's last name is in; parent is the path up to that name.
func (d *descriptor) enter(path string) (pl place, parent string, code errno) {
	name := strings.TrimRight(path, "/")
	slash := len(name) < len(path)
	parent, name = cutName(name)
	if name == "." || name == ".." {
		parent, name = parent+name, "."
	}
	if parent == "" || parent == "." {
		return place{dir: d.fd, name: name, slash: slash}, parent, success
	}
	root, err := d.below()
	if err != nil {
		return place{}, "", errnoOf(err)
	}
	dir, err := root.OpenFile(parent, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return place{}, "", errnoOf(err)
	}
	return place{dir: int(dir.Fd()), name: name, slash: slash, opened: dir}, parent, success
}

// cutName splits a path after its last slash.
func cutName(path string) (parent, name string) {
	at := strings.LastIndexByte(path, '/') + 1
	return path[:at], path[at:]
}

// readLink reads a symbolic link, and says whether there is one.
func readLink(dir int, name string) (string, bool) {
	var buf [maxPath + 1]byte
	n, err := unix.Readlinkat(dir, name, buf[:])
	if err != nil {
		return "", false
	}
	return string(buf[:n]), true
}

// directory returns a directory descriptor with the rights, and with change one that may be changed.
func (e *Env) directory(fd uint64, need rights, change bool) (*descriptor, errno) {
	d, code := e.files.at(fd, 0)
	switch {
	case code != success:
		return nil, code
	case d.kind != kindDir:
		return nil, eNotdir
	case d.base&need != need:
		return nil, eNotcapable
	case change && d.grant.ReadOnly:
		return nil, eRofs
	}
	return d, success
}

// locate is what most functions begin with: the directory, the path, and the place it leads to.
func (e *Env) locate(fd uint64, need rights, change, follow bool, arg string, ptr, n uint64) (place, errno, error) {
	path, code, err := e.path(arg, ptr, n)
	if err != nil {
		return place{}, 0, err
	}
	d, dirCode := e.directory(fd, need, change)
	if dirCode != success {
		return place{}, dirCode, nil
	}
	if code != success {
		return place{}, code, nil
	}
	pl, code := d.resolve(path, follow)
	return pl, code, nil
}

// stat describes what is at a place, without following it.
func (pl *place) stat(st *unix.Stat_t) error {
	return unix.Fstatat(pl.dir, pl.name, st, unix.AT_SYMLINK_NOFOLLOW)
}

// mustBeDir holds a path with a slash at its end to what that says: enotdir when there is something else, noent when there
// is nothing.
func (pl *place) mustBeDir() errno {
	if !pl.slash {
		return success
	}
	var st unix.Stat_t
	if err := pl.stat(&st); err != nil {
		return errnoOf(err)
	}
	if typeOfMode(st.Mode) != typeDirectory {
		return eNotdir
	}
	return success
}

// pathCreateDirectory makes a directory.
//
// Parameters: fd; path, path_len. Result: success; eexist, enoent, enotdir, erofs, enospc, ebadf, enotcapable.
func pathCreateDirectory(e *Env, p []uint64) (errno, error) {
	pl, code, err := e.locate(p[0], rightPathCreateDirectory, true, false, "path", p[1], p[2])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	return errnoOf(unix.Mkdirat(pl.dir, pl.name, 0o777)), nil
}

// pathRemoveDirectory removes an empty directory.
//
// Parameters: fd; path, path_len. Result: success; enotempty, enotdir, enoent, einval for the directory of fd itself, erofs,
// ebadf, enotcapable.
func pathRemoveDirectory(e *Env, p []uint64) (errno, error) {
	pl, code, err := e.locate(p[0], rightPathRemoveDirectory, true, false, "path", p[1], p[2])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	return errnoOf(unix.Unlinkat(pl.dir, pl.name, unix.AT_REMOVEDIR)), nil
}

// pathUnlinkFile removes a name that is no directory's; a symbolic link itself, not what it leads to.
//
// Parameters: fd; path, path_len. Result: success; eisdir, enotdir for a slash after a file, enoent, erofs, ebadf,
// enotcapable.
func pathUnlinkFile(e *Env, p []uint64) (errno, error) {
	pl, code, err := e.locate(p[0], rightPathUnlinkFile, true, false, "path", p[1], p[2])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	if code := pl.mustBeDir(); code != success {
		return code, nil
	}
	return errnoOf(unix.Unlinkat(pl.dir, pl.name, 0)), nil
}

// pathRename moves a file or directory, also between granted directories of one file system; what is there is replaced.
//
// Parameters: fd; old_path, old_path_len; new_fd; new_path, new_path_len. Result: success; enoent, enotempty, eisdir, enotdir,
// ebusy, einval into itself, exdev, erofs, ebadf, enotcapable.
func pathRename(e *Env, p []uint64) (errno, error) {
	from, code, err := e.locate(p[0], rightPathRenameSource, true, false, "old_path", p[1], p[2])
	defer from.close()
	to, toCode, toErr := e.locate(p[3], rightPathRenameTarget, true, false, "new_path", p[4], p[5])
	defer to.close()
	switch {
	case err != nil || toErr != nil:
		return 0, firstError(err, toErr)
	case code != success:
		return code, nil
	case toCode != success:
		return toCode, nil
	}
	if from.slash || to.slash {
		from.slash = true
		if code := from.mustBeDir(); code != success {
			return code, nil
		}
	}
	return errnoOf(unix.Renameat(from.dir, from.name, to.dir, to.name)), nil
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// pathLink gives a file a second name, also in another granted directory of the file system. A symbolic link is linked
// itself. A file granted for reading gets no name elsewhere: that would make it writable.
//
// Parameters: fd; flags u32, 0; old_path, old_path_len; new_fd; new_path, new_path_len. Result: success; eexist, enoent, eperm
// for a directory, einval for the flag to follow links, exdev, erofs, ebadf, enotcapable.
func pathLink(e *Env, p []uint64) (errno, error) {
	from, code, err := e.locate(p[0], rightPathLinkSource, true, false, "old_path", p[2], p[3])
	defer from.close()
	to, toCode, toErr := e.locate(p[4], rightPathLinkTarget, true, false, "new_path", p[5], p[6])
	defer to.close()
	switch {
	case err != nil || toErr != nil:
		return 0, firstError(err, toErr)
	case p[1] != 0:
		return eInval, nil
	case code != success:
		return code, nil
	case toCode != success:
		return toCode, nil
	}
	if code := from.mustBeDir(); code != success {
		return code, nil
	}
	if code := to.mustBeDir(); code != success {
		return code, nil
	}
	return errnoOf(unix.Linkat(from.dir, from.name, to.dir, to.name, 0)), nil
}

// pathSymlink makes a symbolic link. What it names need not exist; the guest can follow it only inside the directory it
// starts from. Programs of this machine that follow links in a granted directory have to look out for themselves.
//
// Parameters: old_path, old_path_len, what the link says; fd; new_path, new_path_len. Result: success; eperm for an absolute
// old_path, eexist, enoent, enotdir, erofs, ebadf, enotcapable.
func pathSymlink(e *Env, p []uint64) (errno, error) {
	target, targetCode, err := e.path("old_path", p[0], p[1])
	if err != nil {
		return 0, err
	}
	pl, code, err := e.locate(p[2], rightPathSymlink, true, false, "new_path", p[3], p[4])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	switch {
	case targetCode != success:
		return targetCode, nil
	case target[0] == '/':
		return ePerm, nil
	}
	if code := pl.mustBeDir(); code != success {
		return code, nil
	}
	return errnoOf(unix.Symlinkat(target, pl.dir, pl.name)), nil
}

// pathReadlink reads what a symbolic link says, cut to the buffer.
//
// Parameters: fd; path, path_len; buf, buf_len, where it goes; ptr, where the count of bytes goes as u32. Result: success;
// einval when it is no link, enoent, enotdir, ebadf, enotcapable.
func pathReadlink(e *Env, p []uint64) (errno, error) {
	buf, err := e.bytes("buf", p[3], p[4])
	if err != nil {
		return 0, err
	}
	if _, err := e.bytes("ptr", p[5], 4); err != nil {
		return 0, err
	}
	pl, code, err := e.locate(p[0], rightPathReadlink, false, false, "path", p[1], p[2])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	if code := pl.mustBeDir(); code != success {
		return code, nil
	}
	var whole [maxPath + 1]byte
	n, err := unix.Readlinkat(pl.dir, pl.name, whole[:])
	if err != nil {
		return errnoOf(err), nil
	}
	return success, e.put32("ptr", p[5], uint32(copy(buf, whole[:n])))
}

// pathFilestatGet describes what is at a path.
//
// Parameters: fd; flags u32, 1 follows a symbolic link; path, path_len; ptr, where a filestat of 64 bytes goes.
// Result: success; enoent, enotdir, eloop, eperm, einval, ebadf, enotcapable.
func pathFilestatGet(e *Env, p []uint64) (errno, error) {
	out, err := e.bytes("ptr", p[4], sizeFilestat)
	if err != nil {
		return 0, err
	}
	follow := p[1]&lookupFollow != 0 || e.endsInSlash(p[2], p[3])
	pl, code, err := e.locate(p[0], rightPathFilestatGet, false, follow, "path", p[2], p[3])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	if p[1] > lookupFollow {
		return eInval, nil
	}
	var st unix.Stat_t
	if err := pl.stat(&st); err != nil {
		return errnoOf(err), nil
	}
	if pl.slash && typeOfMode(st.Mode) != typeDirectory {
		return eNotdir, nil
	}
	putFilestat(out, &st)
	return success, nil
}

// endsInSlash says whether a path does, which makes a symbolic link be followed.
func (e *Env) endsInSlash(ptr, n uint64) bool {
	raw, err := e.bytes("path", ptr, n)
	return err == nil && len(raw) > 0 && raw[len(raw)-1] == '/'
}

// pathFilestatSetTimes sets the times of what is at a path.
//
// Parameters: fd; flags u32, 1 follows a symbolic link; path, path_len; atim, mtim and fstflags as fd_filestat_set_times.
// Result: success; enoent, enotdir, eloop, eperm, einval, erofs, ebadf, enotcapable.
func pathFilestatSetTimes(e *Env, p []uint64) (errno, error) {
	follow := p[1]&lookupFollow != 0 || e.endsInSlash(p[2], p[3])
	pl, code, err := e.locate(p[0], rightPathFilestatSetTimes, true, follow, "path", p[2], p[3])
	if err != nil || code != success {
		return code, err
	}
	defer pl.close()
	if p[1] > lookupFollow {
		return eInval, nil
	}
	ts, code := times(p[4], p[5], p[6])
	if code != success {
		return code, nil
	}
	if code := pl.mustBeDir(); code != success {
		return code, nil
	}
	return errnoOf(unix.UtimesNanoAt(pl.dir, pl.name, ts, unix.AT_SYMLINK_NOFOLLOW)), nil
}
