package hostfn

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"sort"
	"testing"
)

func TestFileReadWriteSeek(t *testing.T) {
	g, host := fsGuest(t)
	fd := g.openRW("f", openCreate, 0)
	n, code := g.write(fd, "hello world")
	wantEq(t, "write", code, success)
	wantEq(t, "written", n, 11)
	at, code := g.seek(fd, -5, 2)
	wantEq(t, "seek from end", code, success)
	wantEq(t, "offset", at, 6)
	got, _ := g.read(fd, 100)
	wantEq(t, "read", got, "world")
	got, code = g.read(fd, 10)
	wantEq(t, "read at end", code, success)
	wantEq(t, "nothing", got, "")
	for _, row := range []struct {
		offset int64
		whence int
		want   errno
	}{{0, 0, success}, {5, 1, success}, {-100, 1, eInval}, {-1, 0, eInval}, {0, 3, eInval}, {1000, 0, success}} {
		_, code := g.seek(fd, row.offset, row.whence)
		wantEq(t, fmt.Sprint("seek ", row), code, row.want)
	}
	out := g.room(8)
	wantEq(t, "tell", g.wasi("fd_tell", fd, out), success)
	wantEq(t, "told", g.u64(out), 1000)
	g.guarded(out, 8)
	b, err := os.ReadFile(filepath.Join(host, "f"))
	if err != nil || string(b) != "hello world" {
		t.Errorf("file: %q, %v", b, err)
	}
}

func TestVectors(t *testing.T) {
	g, _ := fsGuest(t)
	fd := g.openRW("f", openCreate, 0)
	a, n1 := g.text("abc")
	b, n2 := g.text("defgh")
	out := g.room(4)
	iovs, count := g.iovs([2]int{a, n1}, [2]int{0, 0}, [2]int{b, n2})
	wantEq(t, "write", g.wasi("fd_write", fd, iovs, count, out), success)
	wantEq(t, "written", g.u32(out), 8)
	p, q := g.room(5), g.room(10)
	iovs, count = g.iovs([2]int{p, 5}, [2]int{q, 10})
	wantEq(t, "pread", g.wasi("fd_pread", fd, iovs, count, 1, out), success)
	wantEq(t, "read", g.u32(out), 7)
	wantEq(t, "first", g.get(p, 5), "bcdef")
	wantEq(t, "second", g.get(q, 10), "gh????????")
	g.guarded(p, 5)
	g.guarded(q, 10)
	wantEq(t, "pwrite", g.wasi("fd_pwrite", fd, iovs, 1, 6, out), success)
	wantEq(t, "tell", g.wasi("fd_tell", fd, p), success)
	wantEq(t, "offset", g.u64(p), 8)
	// The result may lie in the vector itself, and a buffer over it.
	iovs, count = g.iovs([2]int{int(g.top), 8})
	wantEq(t, "pread over its vector", g.wasi("fd_pread", fd, iovs, count, 0, iovs), success)
	wantEq(t, "count", g.u32(iovs), 8)
	wantEq(t, "no buffers", g.wasi("fd_read", fd, 0, 0, out), success)
	wantEq(t, "too many buffers", g.wasi("fd_read", fd, 0, maxIovs+1, out), eInval)
	wantEq(t, "pread offset", g.wasi("fd_pread", fd, iovs, 0, uint64(math.MaxUint64), out), eInval)
}

func TestAccessMode(t *testing.T) {
	g, host := fsGuest(t)
	mustWrite(t, filepath.Join(host, "f"), "content")
	r, code := g.openAs(3, "f", 1, 0, rightFDRead, 0)
	wantEq(t, "open to read", code, success)
	w, code := g.openAs(3, "f", 1, 0, rightFDWrite, 0)
	wantEq(t, "open to write", code, success)
	none, code := g.openAs(3, "f", 1, 0, 0, 0)
	wantEq(t, "open without rights", code, success)
	_, code = g.write(r, "x")
	wantEq(t, "write to r", code, eBadf)
	_, code = g.read(w, 1)
	wantEq(t, "read from w", code, eBadf)
	_, code = g.read(none, 1)
	wantEq(t, "read without right", code, eBadf)
	_, code = g.seek(none, 0, 0)
	wantEq(t, "seek without right", code, eNotcapable)
	_, code = g.openAs(3, ".", 1, 0, rightFDWrite, 0)
	wantEq(t, "write to a directory", code, eIsdir)
}

func TestOpenFlags(t *testing.T) {
	g, host := fsGuest(t)
	mustWrite(t, filepath.Join(host, "f"), "content")
	mustMkdir(t, filepath.Join(host, "d"))
	mustSymlink(t, "target", filepath.Join(host, "dangling"))
	rows := []struct {
		name, path string
		oflags     int
		want       errno
	}{
		{"exclusive, there", "f", openCreate | openExclusive, eExist},
		{"exclusive, a link", "dangling", openCreate | openExclusive, eExist},
		{"exclusive, new", "new", openCreate | openExclusive, success},
		{"create, there", "f", openCreate, success},
		{"create through a link", "dangling", openCreate, success},
		{"create with slash", "x/", openCreate, eIsdir},
		{"create a directory", "x", openCreate | openDirectory, eInval},
		{"directory exclusive", "d", openExclusive | openDirectory, eInval},
		{"directory, a file", "f", openDirectory, eNotdir},
		{"directory", "d", openDirectory, success},
		{"unknown flag", "f", 16, eInval},
		{"truncate a directory", "d", openTruncate, eIsdir},
		{"truncate", "f", openTruncate, success},
	}
	for _, row := range rows {
		_, code := g.open(3, row.path, row.oflags)
		wantEq(t, row.name, code, row.want)
	}
	if fi, err := os.Stat(filepath.Join(host, "f")); err != nil || fi.Size() != 0 {
		t.Errorf("truncated file: %v, %v", fi, err)
	}
	if _, err := os.Stat(filepath.Join(host, "target")); err != nil {
		t.Errorf("created through a link: %v", err)
	}
	f := g.openRW("f", 0, 0)
	_, code := g.open(f, "x", 0)
	wantEq(t, "below a file", code, eNotdir)
	_, code = g.open(99, "x", 0)
	wantEq(t, "below nothing", code, eBadf)
	_, code = g.open(1, "x", 0)
	wantEq(t, "below stdout", code, eNotdir)
	ptr, n := g.text("f")
	wantEq(t, "unknown lookup flag", g.wasi("path_open", 3, 2, ptr, n, 0, 0, 0, 0, g.room(4)), eInval)
	wantEq(t, "unknown fdflag", g.wasi("path_open", 3, 0, ptr, n, 0, 0, 0, 32, g.room(4)), eInval)
}

func TestAppendAndFlags(t *testing.T) {
	g, host := fsGuest(t)
	fd := g.openRW("f", openCreate, flagAppend)
	g.write(fd, "ab")
	g.seek(fd, 0, 0)
	g.write(fd, "cd")
	stat := g.room(24)
	wantEq(t, "fdstat", g.wasi("fd_fdstat_get", fd, stat), success)
	g.guarded(stat, 24)
	wantEq(t, "type", g.mem[stat], typeRegular)
	wantEq(t, "flags", g.mem[stat+2], byte(flagAppend))
	wantEq(t, "clear", g.wasi("fd_fdstat_set_flags", fd, 0), success)
	g.seek(fd, 0, 0)
	g.write(fd, "X")
	wantEq(t, "sync later", g.wasi("fd_fdstat_set_flags", fd, int(flagSync)), eNotsup)
	wantEq(t, "unknown", g.wasi("fd_fdstat_set_flags", fd, 64), eInval)
	wantEq(t, "append and nonblock", g.wasi("fd_fdstat_set_flags", fd, int(flagAppend|flagNonblock)), success)
	if b, err := os.ReadFile(filepath.Join(host, "f")); err != nil || string(b) != "Xbcd" {
		t.Errorf("file: %q, %v", b, err)
	}
	fd = g.openRW("g", openCreate, flagSync|flagDsync)
	wantEq(t, "fdstat", g.wasi("fd_fdstat_get", fd, stat), success)
	wantEq(t, "flags", g.mem[stat+2], byte(flagSync|flagDsync))
}

func TestRights(t *testing.T) {
	g, _ := fsGuest(t)
	wantEq(t, "mkdir", g.mkdir("d"), success)
	dir, code := g.open(3, "d", openDirectory)
	wantEq(t, "open", code, success)
	stat := g.room(24)
	wantEq(t, "fdstat", g.wasi("fd_fdstat_get", dir, stat), success)
	base, inherits := rights(g.u64(stat+8)), rights(g.u64(stat+16))
	wantEq(t, "a directory has no right to seek or set its size", base&(rightFDSeek|rightFDFilestatSetSize), 0)
	wantEq(t, "same rights", g.wasi("fd_fdstat_set_rights", dir, base, inherits), success)
	wantEq(t, "more rights", g.wasi("fd_fdstat_set_rights", dir, base|rightFDSeek, inherits), eNotcapable)
	keepBase := base &^ (rightPathCreateDirectory | rightPathFilestatSetSize | rightPathCreateFile)
	wantEq(t, "fewer", g.wasi("fd_fdstat_set_rights", dir, keepBase, rightFDRead), success)
	wantEq(t, "back", g.wasi("fd_fdstat_set_rights", dir, base, inherits), eNotcapable)
	wantEq(t, "mkdir", g.on("path_create_directory", dir, "x"), eNotcapable)
	_, code = g.open(dir, "x", openCreate)
	wantEq(t, "create", code, eNotcapable)
	_, code = g.open(dir, "x", openTruncate)
	wantEq(t, "truncate", code, eNotcapable)
	g.openRW("d/f", openCreate, 0)
	fd, code := g.openAs(dir, "f", 0, 0, rightsFile, 0)
	wantEq(t, "open with all rights", code, success)
	wantEq(t, "fdstat", g.wasi("fd_fdstat_get", fd, stat), success)
	wantEq(t, "inherited", rights(g.u64(stat+8)), rightFDRead)
	_, code = g.write(fd, "x")
	wantEq(t, "write", code, eBadf)
	for name, code := range map[string]errno{
		"sync":     g.wasi("fd_sync", fd),
		"datasync": g.wasi("fd_datasync", fd),
		"advise":   g.wasi("fd_advise", fd, 0, 0, 0),
		"allocate": g.wasi("fd_allocate", fd, 0, 1),
		"size":     g.wasi("fd_filestat_set_size", fd, 1),
		"times":    g.wasi("fd_filestat_set_times", fd, 0, 0, 0),
		"stat":     g.wasi("fd_filestat_get", fd, g.room(64)),
		"flags":    g.wasi("fd_fdstat_set_flags", fd, 0),
	} {
		wantEq(t, name, code, eNotcapable)
	}
}

func TestDirectoryOperationsThatFail(t *testing.T) {
	g, _ := fsGuest(t)
	out, buf := g.room(8), g.room(8)
	iovs, n := g.iovs([2]int{buf, 8})
	for name, row := range map[string]struct{ got, want errno }{
		"read":             {g.wasi("fd_read", 3, iovs, n, out), eIsdir},
		"pread":            {g.wasi("fd_pread", 3, iovs, n, 0, out), eIsdir},
		"write":            {g.wasi("fd_write", 3, iovs, n, out), eIsdir},
		"pwrite":           {g.wasi("fd_pwrite", 3, iovs, n, 0, out), eIsdir},
		"seek":             {g.wasi("fd_seek", 3, 0, 1, out), eIsdir},
		"tell":             {g.wasi("fd_tell", 3, out), eIsdir},
		"allocate":         {g.wasi("fd_allocate", 3, 0, 1), eBadf},
		"advise":           {g.wasi("fd_advise", 3, 0, 1, 0), eBadf},
		"set size":         {g.wasi("fd_filestat_set_size", 3, 0), eBadf},
		"sync":             {g.wasi("fd_sync", 3), success},
		"stat":             {g.wasi("fd_filestat_get", 3, g.room(64)), success},
		"times":            {g.wasi("fd_filestat_set_times", 3, 5, 5, 5), success},
		"readdir of stdin": {g.wasi("fd_readdir", 0, buf, 8, 0, out), eNotdir},
		"readdir of none":  {g.wasi("fd_readdir", 77, buf, 8, 0, out), eBadf},
		"shutdown of none": {g.wasi("sock_shutdown", 77, 0), eBadf},
		"shutdown":         {g.wasi("sock_shutdown", 3, 0), eNotsock},
		"accept":           {g.wasi("sock_accept", 3, 0, 0), eNotsup},
		"recv":             {g.wasi("sock_recv", 3, 0, 0, 0, 0, 0), eNotsup},
		"send":             {g.wasi("sock_send", 3, 0, 0, 0, 0), eNotsup},
		"send to none":     {g.wasi("sock_send", 88, 0, 0, 0, 0), eBadf},
	} {
		wantEq(t, name, row.got, row.want)
	}
}

func TestSizesAndTimes(t *testing.T) {
	g, _ := fsGuest(t)
	fd := g.openRW("f", openCreate, 0)
	size := func() uint64 {
		out := g.room(64)
		wantEq(t, "stat", g.wasi("fd_filestat_get", fd, out), success)
		g.guarded(out, 64)
		return g.u64(out + 32)
	}
	wantEq(t, "set size", g.wasi("fd_filestat_set_size", fd, 100), success)
	wantEq(t, "size", size(), 100)
	for advice := range 6 {
		wantEq(t, "advise", g.wasi("fd_advise", fd, 10, 50, advice), success)
	}
	wantEq(t, "bad advice", g.wasi("fd_advise", fd, 10, 50, 6), eInval)
	wantEq(t, "bad range", g.wasi("fd_advise", fd, uint64(1<<63), 50, 0), eInval)
	wantEq(t, "allocate nothing", g.wasi("fd_allocate", fd, 10, 0), eInval)
	wantEq(t, "allocate too much", g.wasi("fd_allocate", fd, uint64(1<<63), 1), eFbig)
	if code := g.wasi("fd_allocate", fd, 100, 100); code != success && code != eNotsup {
		t.Errorf("allocate: %d", code)
	} else if code == success {
		wantEq(t, "size", size(), 200)
	}
	wantEq(t, "shrink", g.wasi("fd_filestat_set_size", fd, 3), success)
	wantEq(t, "size", size(), 3)
	wantEq(t, "too large", g.wasi("fd_filestat_set_size", fd, uint64(1<<63)), eFbig)
	wantEq(t, "sync", g.wasi("fd_sync", fd), success)
	wantEq(t, "datasync", g.wasi("fd_datasync", fd), success)

	path, n := g.text("f")
	set := func(atim, mtim, flags int) errno { return g.wasi("fd_filestat_set_times", fd, atim, mtim, flags) }
	wantEq(t, "set mtim", set(1, 1_000_000_007, setMtim), success)
	st, _ := g.stat("f", 0)
	wantEq(t, "mtim", st.mtim, 1_000_000_007)
	wantEq(t, "set nothing", set(7, 7, 0), success)
	wantEq(t, "set atim by path", g.wasi("path_filestat_set_times", 3, 1, path, n, 5, 9, setAtim), success)
	st, _ = g.stat("f", 0)
	wantEq(t, "mtim", st.mtim, 1_000_000_007)
	wantEq(t, "set mtim by path", g.wasi("path_filestat_set_times", 3, 0, path, n, 5, 2_000_000_009, setMtim), success)
	st, _ = g.stat("f", 0)
	wantEq(t, "mtim", st.mtim, 2_000_000_009)
	wantEq(t, "a time not to be set", g.wasi("fd_filestat_set_times", fd, int64(-2), 2_000_000_009, setMtim), success)
	wantEq(t, "a time too large", g.wasi("fd_filestat_set_times", fd, int64(-2), 1, setAtim), eInval)
	wantEq(t, "both", set(1, 1, setMtim|setMtimNow), eInval)
	wantEq(t, "both", set(1, 1, setAtim|setAtimNow), eInval)
	wantEq(t, "unknown", set(1, 1, 16), eInval)
	wantEq(t, "both by path", g.wasi("path_filestat_set_times", 3, 0, path, n, 1, 1, setMtim|setMtimNow), eInval)
	wantEq(t, "now", set(0, 0, setAtimNow|setMtimNow), success)
	st, _ = g.stat("f", 0)
	if st.mtim < 1_600_000_000_000_000_000 {
		t.Errorf("now is %d", st.mtim)
	}
}

func TestLinks(t *testing.T) {
	g, host := fsGuest(t)
	mustWrite(t, filepath.Join(host, "file"), "content")
	wantEq(t, "link", g.link("file", "link"), success)
	a, _ := g.stat("file", 0)
	b, _ := g.stat("link", 0)
	wantEq(t, "inode", a.ino, b.ino)
	wantEq(t, "links", b.nlink, 2)
	mustMkdir(t, filepath.Join(host, "dir"))
	wantEq(t, "dangling", g.symlink("target", "dangling"), success)
	wantEq(t, "self", g.symlink("loop", "loop"), success)
	for name, row := range map[string]struct{ got, want errno }{
		"to one there":        {g.link("file", "link"), eExist},
		"to itself":           {g.link("file", "file"), eExist},
		"to a directory":      {g.link("file", "dir"), eExist},
		"of a directory":      {g.link("dir", "new"), ePerm},
		"with slash":          {g.link("file", "new/"), eNoent},
		"of missing":          {g.link("missing", "new"), eNoent},
		"to a dangling link":  {g.link("file", "dangling"), eExist},
		"of a dangling link":  {g.link("dangling", "l1"), success},
		"of a loop":           {g.link("loop", "l2"), success},
		"symlink there":       {g.symlink("source", "file"), eExist},
		"symlink there slash": {g.symlink("source", "file/"), eNotdir},
		"symlink dir":         {g.symlink("source", "dir"), eExist},
		"symlink dir slash":   {g.symlink("source", "dir/"), eExist},
		"symlink slash":       {g.symlink("source", "new/"), eNoent},
		"symlink absolute":    {g.symlink("/etc/passwd", "new"), ePerm},
		"symlink empty":       {g.symlink("", "new"), eNoent},
	} {
		wantEq(t, name, row.got, row.want)
	}
	p1, n1 := g.text("dangling")
	p2, n2 := g.text("new")
	wantEq(t, "link following", g.wasi("path_link", 3, 1, p1, n1, 3, p2, n2), eInval)

	buf, out := g.room(10), g.room(4)
	wantEq(t, "readlink", g.wasi("path_readlink", 3, p1, n1, buf, 10, out), success)
	wantEq(t, "length", g.u32(out), 6)
	wantEq(t, "target", g.get(buf, 10), "target????")
	wantEq(t, "readlink short", g.wasi("path_readlink", 3, p1, n1, buf, 3, out), success)
	wantEq(t, "cut", g.u32(out), 3)
	wantEq(t, "readlink into nothing", g.wasi("path_readlink", 3, p1, n1, buf, 0, out), success)
	f, fn := g.text("file")
	wantEq(t, "readlink of a file", g.wasi("path_readlink", 3, f, fn, buf, 10, out), eInval)
	st, code := g.stat("dangling", 0)
	wantEq(t, "lstat", code, success)
	wantEq(t, "type", st.kind, typeSymlink)
	wantEq(t, "size", st.size, 6)
}

func TestRemoveAndRename(t *testing.T) {
	g, host := fsGuest(t)
	reset := func(files, dirs []string) {
		entries, err := os.ReadDir(host)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if err := os.RemoveAll(filepath.Join(host, e.Name())); err != nil {
				t.Fatal(err)
			}
		}
		for _, d := range dirs {
			mustMkdir(t, filepath.Join(host, d))
		}
		for _, f := range files {
			mustWrite(t, filepath.Join(host, f), f)
		}
	}
	rows := []struct {
		name        string
		files, dirs []string
		do          func() errno
		want        errno
	}{
		{"rmdir", nil, []string{"d"}, func() errno { return g.rmdir("d") }, success},
		{"rmdir slash", nil, []string{"d"}, func() errno { return g.rmdir("d/") }, success},
		{"rmdir nonempty", []string{"d/f"}, []string{"d"}, func() errno { return g.rmdir("d") }, eNotempty},
		{"rmdir file", []string{"f"}, nil, func() errno { return g.rmdir("f") }, eNotdir},
		{"rmdir file slash", []string{"f"}, nil, func() errno { return g.rmdir("f/") }, eNotdir},
		{"rmdir missing", nil, nil, func() errno { return g.rmdir("d") }, eNoent},
		{"rmdir itself", nil, nil, func() errno { return g.rmdir(".") }, eInval},
		{"mkdir there", nil, []string{"d"}, func() errno { return g.mkdir("d") }, eExist},
		{"mkdir slash", nil, nil, func() errno { return g.mkdir("d/") }, success},
		{"mkdir below nothing", nil, nil, func() errno { return g.mkdir("x/d") }, eNoent},
		{"mkdir itself", nil, nil, func() errno { return g.mkdir(".") }, eExist},
		{"unlink", []string{"f"}, nil, func() errno { return g.unlink("f") }, success},
		{"unlink slash", []string{"f"}, nil, func() errno { return g.unlink("f/") }, eNotdir},
		{"unlink dir", nil, []string{"d"}, func() errno { return g.unlink("d") }, eIsdir},
		{"unlink dir slash", nil, []string{"d"}, func() errno { return g.unlink("d/") }, eIsdir},
		{"unlink missing", nil, nil, func() errno { return g.unlink("f") }, eNoent},
		{"rename dir", nil, []string{"s"}, func() errno { return g.rename("s", "t") }, success},
		{"rename dir slashes", nil, []string{"s"}, func() errno { return g.rename("s/", "t/") }, success},
		{"rename dir to empty", nil, []string{"s", "t"}, func() errno { return g.rename("s", "t") }, success},
		{"rename dir to full", []string{"t/f"}, []string{"s", "t"}, func() errno { return g.rename("s", "t") }, eNotempty},
		{"rename dir to file", []string{"t"}, []string{"s"}, func() errno { return g.rename("s", "t") }, eNotdir},
		{"rename dir into itself", nil, []string{"s"}, func() errno { return g.rename("s", "s/t") }, eInval},
		{"rename file", []string{"s"}, nil, func() errno { return g.rename("s", "t") }, success},
		{"rename file over", []string{"s", "t"}, nil, func() errno { return g.rename("s", "t") }, success},
		{"rename file to dir", []string{"s"}, []string{"t"}, func() errno { return g.rename("s", "t") }, eIsdir},
		{"rename file slash", []string{"s"}, nil, func() errno { return g.rename("s/", "t") }, eNotdir},
		{"rename file to slash", []string{"s"}, nil, func() errno { return g.rename("s", "t/") }, eNotdir},
		{"rename missing", nil, nil, func() errno { return g.rename("s", "t") }, eNoent},
		{"rename itself", nil, nil, func() errno { return g.rename(".", "t") }, eBusy},
	}
	for _, row := range rows {
		reset(row.files, row.dirs)
		g.rewind()
		wantEq(t, row.name, row.do(), row.want)
	}
}

func TestReaddir(t *testing.T) {
	g, host := fsGuest(t)
	mustMkdir(t, filepath.Join(host, "d", "sub"))
	mustSymlink(t, "x", filepath.Join(host, "d", "link"))
	mustWrite(t, filepath.Join(host, "d", "bad\xff"), "")
	want := map[string]byte{".": typeDirectory, "..": typeDirectory, "sub": typeDirectory, "link": typeSymlink}
	for i := range 300 {
		name := fmt.Sprintf("file.%03d", i)
		mustWrite(t, filepath.Join(host, "d", name), "")
		want[name] = typeRegular
	}
	fd, code := g.open(3, "d", openDirectory)
	wantEq(t, "open", code, success)
	for _, size := range []int{64, 100, 256, 5000, 60000} {
		g.rewind()
		buf, out := g.room(size), g.room(4)
		got, cookies, cookie := map[string]byte{}, []uint64{0}, uint64(0)
		for pages := 0; ; pages++ {
			if pages > 1000 {
				t.Fatal("no end")
			}
			if code := g.wasi("fd_readdir", fd, buf, size, cookie, out); code != success {
				t.Fatalf("readdir: %d", code)
			}
			g.guarded(buf, size)
			used, at := int(g.u32(out)), buf
			for at+sizeDirent <= buf+used {
				n := int(g.u32(at + 16))
				if at+sizeDirent+n > buf+used {
					break
				}
				name := g.get(at+sizeDirent, n)
				if _, twice := got[name]; twice {
					t.Errorf("size %d: %q twice", size, name)
				}
				got[name] = g.mem[at+20]
				cookie = g.u64(at)
				cookies = append(cookies, cookie)
				at += sizeDirent + n
			}
			if used < size {
				break
			}
		}
		wantEq(t, fmt.Sprint("entries with ", size), len(got), len(want))
		for name, kind := range want {
			wantEq(t, name, got[name], kind)
		}
		// Any cookie goes on where it stood.
		g.wasi("fd_readdir", fd, buf, size, cookies[len(cookies)/2], out)
	}
	if code := g.wasi("fd_readdir", fd, g.room(64), 64, uint64(1<<63), g.room(4)); code != eInval {
		t.Errorf("a cookie that is none: %d", code)
	}
}

func TestDescriptorNumbers(t *testing.T) {
	g, host := fsGuest(t)
	mustWrite(t, filepath.Join(host, "f"), "content")
	var fds []int
	for {
		g.rewind()
		fd, code := g.open(3, "f", 0)
		if code == eMfile {
			break
		}
		if code != success {
			t.Fatalf("open: %d", code)
		}
		fds = append(fds, fd)
	}
	wantEq(t, "open files", len(fds), 64)
	sort.Ints(fds)
	wantEq(t, "first", fds[0], 4)
	wantEq(t, "close", g.wasi("fd_close", fds[10]), success)
	wantEq(t, "close twice", g.wasi("fd_close", fds[10]), eBadf)
	fd, code := g.open(3, "f", 0)
	wantEq(t, "open again", code, success)
	wantEq(t, "lowest free number", fd, fds[10])
	wantEq(t, "renumber", g.wasi("fd_renumber", fds[5], fds[6]), success)
	wantEq(t, "renumbered", g.wasi("fd_close", fds[5]), eBadf)
	wantEq(t, "renumber to a closed one", g.wasi("fd_renumber", fds[6], fds[5]), eBadf)
	wantEq(t, "renumber to itself", g.wasi("fd_renumber", fds[6], fds[6]), success)
	wantEq(t, "renumber none", g.wasi("fd_renumber", 4000, fds[6]), eBadf)
	got, _ := g.read(fds[6], 7)
	wantEq(t, "still open", got, "content")
	wantEq(t, "stdout onto a file", g.wasi("fd_renumber", 1, fds[7]), success)
	n, code := g.write(fds[7], "to stdout")
	wantEq(t, "write", code, success)
	wantEq(t, "written", n, 9)
	wantEq(t, "body", string(g.env.Finish(nil).Body), "to stdout")
}
