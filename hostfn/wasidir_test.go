package hostfn

import (
	"testing"
)

// rightsWanted are what C libraries and runtimes of languages expect a granted directory to have and to hand down.
const rightsWanted = rightPathCreateDirectory | rightPathCreateFile | rightPathLinkSource | rightPathLinkTarget | rightPathOpen |
	rightFDReaddir | rightPathReadlink | rightPathRenameSource | rightPathRenameTarget | rightPathSymlink |
	rightPathRemoveDirectory | rightPathUnlinkFile | rightPathFilestatGet | rightPathFilestatSetTimes | rightFDFilestatGet |
	rightFDFilestatSetTimes

func TestOpenGrantedDirectory(t *testing.T) {
	g, _ := fsGuest(t)
	stat := g.room(24)
	wantEq(t, "fdstat", g.wasi("fd_fdstat_get", 3, stat), success)
	base, inherits := rights(g.u64(stat+8)), rights(g.u64(stat+16))
	wantEq(t, "base rights", base&rightsWanted, rightsWanted)
	wantEq(t, "inherited rights", inherits&(rightsWanted|rightsFile), rightsWanted|rightsFile)
	for _, row := range []struct {
		name   string
		oflags int
		base   rights
		flags  uint16
		want   errno
	}{
		{"the rights it has", 0, base, 0, success},
		{"no rights", 0, 0, 0, success},
		{"as a directory", openDirectory, 0, 0, success},
		{"to read", openDirectory, rightFDRead, 0, success},
		{"to read and write", openDirectory, rightFDRead | rightFDWrite, 0, eIsdir},
		{"nonblocking", 0, 0, flagNonblock, success},
		{"to seek", openDirectory, rightFDSeek, 0, success},
	} {
		fd, code := g.openAs(3, ".", 0, row.oflags, row.base, row.flags)
		wantEq(t, row.name, code, row.want)
		if code != success {
			continue
		}
		wantEq(t, row.name, g.wasi("fd_fdstat_get", fd, stat), success)
		wantEq(t, row.name+": rights", rights(g.u64(stat+8)), base)
		wantEq(t, row.name+": type", g.mem[stat], typeDirectory)
	}
}

func TestRenumberOverGrantAndStreams(t *testing.T) {
	g, _ := fsGuest(t)
	wantEq(t, "mkdir", g.mkdir("d"), success)
	dir, code := g.open(3, "d", openDirectory)
	wantEq(t, "open", code, success)
	was, is := g.room(64), g.room(64)
	wantEq(t, "stat", g.wasi("fd_filestat_get", dir, was), success)
	wantEq(t, "renumber", g.wasi("fd_renumber", dir, 3), success)
	wantEq(t, "stat", g.wasi("fd_filestat_get", 3, is), success)
	wantEq(t, "the same directory", g.get(is, 16), g.get(was, 16))
	wantEq(t, "the old number", g.wasi("fd_fdstat_get", dir, was), eBadf)
	wantEq(t, "no grant any more", g.wasi("fd_prestat_get", 3, is), eBadf)
	for std := range 3 {
		fd := g.openRW("f", openCreate, 0)
		wantEq(t, "renumber a stream", g.wasi("fd_renumber", std, fd), success)
		wantEq(t, "there", g.wasi("fd_fdstat_get", fd, was), success)
		wantEq(t, "gone", g.wasi("fd_fdstat_get", std, was), eBadf)
		wantEq(t, "unlink", g.unlink("f"), success)
		// Leave no low number free, so that the next file gets a high one.
		g.openRW("f", openCreate, 0)
	}
}

func TestDeletedWhileOpen(t *testing.T) {
	g, _ := fsGuest(t)
	for range 2 {
		fd := g.openRW("f", openCreate|openExclusive, 0)
		g.write(fd, "content")
		wantEq(t, "unlink", g.unlink("f"), success)
		g.seek(fd, 0, 0)
		got, code := g.read(fd, 10)
		wantEq(t, "read", code, success)
		wantEq(t, "content", got, "content")
		wantEq(t, "mkdir", g.mkdir("d"), success)
		dir, code := g.open(3, "d", openDirectory)
		wantEq(t, "open", code, success)
		wantEq(t, "rmdir", g.rmdir("d"), success)
		_, code = g.open(dir, "x", openCreate)
		wantEq(t, "create in a deleted directory", code, eNoent)
		_, code = g.open(dir, "y/x", 0)
		wantEq(t, "open below a deleted directory", code, eNoent)
		wantEq(t, "readdir", g.wasi("fd_readdir", dir, g.room(64), 64, 0, g.room(4)), eNoent)
	}
}

func TestTimesOfLink(t *testing.T) {
	g, _ := fsGuest(t)
	g.openRW("file", openCreate, 0)
	wantEq(t, "symlink", g.symlink("file", "link"), success)
	before, _ := g.stat("file", 0)
	link, n := g.text("link")
	wantEq(t, "times of the link", g.wasi("path_filestat_set_times", 3, 0, link, n, 0, 5_000_000_000, setMtim), success)
	own, _ := g.stat("link", 0)
	wantEq(t, "its time", own.mtim, 5_000_000_000)
	file, _ := g.stat("file", 0)
	wantEq(t, "the file's", file.mtim, before.mtim)
	through, _ := g.stat("link", lookupFollow)
	wantEq(t, "through the link", through.ino, file.ino)
	wantEq(t, "times through the link", g.wasi("path_filestat_set_times", 3, 1, link, n, 0, 7_000_000_000, setMtim), success)
	file, _ = g.stat("file", 0)
	wantEq(t, "the file's", file.mtim, 7_000_000_000)
	own, _ = g.stat("link", 0)
	wantEq(t, "its time", own.mtim, 5_000_000_000)
}
