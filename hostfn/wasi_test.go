package hostfn

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"edged.dev/edge/internal/testutil"
)

const everything = rightsFile | rightsDir

// fsGuest is a guest with one directory granted as "/", which is descriptor 3.
func fsGuest(t *testing.T) (g *guest, host string) {
	t.Helper()
	testutil.NoLeaks(t)
	host = t.TempDir()
	return newGuest(t, AppOptions{ABI: ABIStdio, Dirs: []Dir{{Guest: "/", Host: host}}}), host
}

// openAs opens a path with given rights.
func (g *guest) openAs(dir int, path string, follow, oflags int, base rights, fdflags uint16) (int, errno) {
	g.t.Helper()
	ptr, n := g.text(path)
	out := g.room(4)
	code := g.wasi("path_open", dir, follow, ptr, n, oflags, base, everything, int(fdflags), out)
	g.guarded(out, 4)
	return int(g.u32(out)), code
}

func (g *guest) open(dir int, path string, oflags int) (int, errno) {
	g.t.Helper()
	return g.openAs(dir, path, lookupFollow, oflags, everything&^rightFDWrite|rightFDRead, 0)
}

// openRW opens a file for reading and writing and fails the test when it cannot.
func (g *guest) openRW(path string, oflags int, fdflags uint16) int {
	g.t.Helper()
	fd, code := g.openAs(3, path, lookupFollow, oflags, rightsFile, fdflags)
	if code != success {
		g.t.Fatalf("open %q: errno %d", path, code)
	}
	return fd
}

// iovs places a vector over the given pieces.
func (g *guest) iovs(pieces ...[2]int) (ptr, n int) {
	var raw []byte
	for _, p := range pieces {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(p[0]))
		raw = binary.LittleEndian.AppendUint32(raw, uint32(p[1]))
	}
	return int(g.put(raw)), len(pieces)
}

func (g *guest) write(fd int, s string) (int, errno) {
	g.t.Helper()
	ptr, n := g.text(s)
	iovs, count := g.iovs([2]int{ptr, n})
	out := g.room(4)
	code := g.wasi("fd_write", fd, iovs, count, out)
	g.guarded(out, 4)
	return int(g.u32(out)), code
}

func (g *guest) read(fd, n int) (string, errno) {
	g.t.Helper()
	buf, out := g.room(n), g.room(4)
	iovs, count := g.iovs([2]int{buf, n})
	code := g.wasi("fd_read", fd, iovs, count, out)
	g.guarded(buf, n)
	if code != success {
		return "", code
	}
	return g.get(buf, int(g.u32(out))), code
}

func (g *guest) seek(fd int, offset int64, whence int) (int64, errno) {
	g.t.Helper()
	out := g.room(8)
	code := g.wasi("fd_seek", fd, offset, whence, out)
	return int64(g.u64(out)), code
}

// on calls one of the functions that take a descriptor and a path.
func (g *guest) on(name string, dir int, path string) errno {
	g.t.Helper()
	ptr, n := g.text(path)
	return g.wasi(name, dir, ptr, n)
}

func (g *guest) mkdir(path string) errno  { return g.on("path_create_directory", 3, path) }
func (g *guest) rmdir(path string) errno  { return g.on("path_remove_directory", 3, path) }
func (g *guest) unlink(path string) errno { return g.on("path_unlink_file", 3, path) }

func (g *guest) rename(from, to string) errno {
	p1, n1 := g.text(from)
	p2, n2 := g.text(to)
	return g.wasi("path_rename", 3, p1, n1, 3, p2, n2)
}

func (g *guest) link(from, to string) errno {
	p1, n1 := g.text(from)
	p2, n2 := g.text(to)
	return g.wasi("path_link", 3, 0, p1, n1, 3, p2, n2)
}

func (g *guest) symlink(target, path string) errno {
	p1, n1 := g.text(target)
	p2, n2 := g.text(path)
	return g.wasi("path_symlink", p1, n1, 3, p2, n2)
}

type filestat struct {
	ino, nlink, size, mtim uint64
	kind                   byte
}

func (g *guest) stat(path string, follow int) (filestat, errno) {
	g.t.Helper()
	ptr, n := g.text(path)
	out := g.room(sizeFilestat)
	code := g.wasi("path_filestat_get", 3, follow, ptr, n, out)
	g.guarded(out, sizeFilestat)
	return filestat{ino: g.u64(out + 8), kind: g.mem[out+16], nlink: g.u64(out + 24), size: g.u64(out + 32), mtim: g.u64(out + 48)}, code
}

func mustWrite(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustMkdir(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(path, 0o700); err != nil {
		t.Fatal(err)
	}
}

func mustSymlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func TestPathResolution(t *testing.T) {
	g, host := fsGuest(t)
	outside := t.TempDir()
	mustWrite(t, filepath.Join(outside, "secret"), "s")
	mustMkdir(t, filepath.Join(host, "dir", "nested"))
	mustWrite(t, filepath.Join(host, "dir", "nested", "file"), "f")
	mustSymlink(t, outside, filepath.Join(host, "abs"))
	mustSymlink(t, filepath.Join(outside, "secret"), filepath.Join(host, "absfile"))
	mustSymlink(t, "../../../../../../../../etc/passwd", filepath.Join(host, "up"))
	mustSymlink(t, "dir/nested", filepath.Join(host, "inside"))
	mustSymlink(t, "../dir/nested/file", filepath.Join(host, "dir", "back"))
	mustSymlink(t, "loop", filepath.Join(host, "loop"))
	mustSymlink(t, "b", filepath.Join(host, "a"))
	mustSymlink(t, "a", filepath.Join(host, "b"))
	mustSymlink(t, "nowhere", filepath.Join(host, "dangling"))
	if err := os.Symlink("/", filepath.Join(host, "dir", "root")); err != nil {
		t.Fatal(err)
	}
	rows := []struct {
		path         string
		open, noFlow errno // with and without following a link at the end
	}{
		{"dir/nested/file", success, success},
		{"dir/.//nested/../../dir/nested/../nested///./file", success, success},
		{"./dir", success, success},
		{".", success, success},
		{"dir/..", success, success},
		{"dir/nested/", success, success},
		{"dir/nested///", success, success},
		{"dir/nested/.", success, success},
		{"dir/nested/file/", eNotdir, eNotdir},
		{"dir/nested/file/.", eNotdir, eNotdir},
		{"dir/nested/file/x", eNotdir, eNotdir},
		{"inside/file", success, success},
		{"inside", success, eLoop},
		{"inside/", success, success},
		{"dir/back", success, eLoop},
		{"", eNoent, eNoent},
		{"missing", eNoent, eNoent},
		{"missing/x", eNoent, eNoent},
		{"dangling", eNoent, eLoop},
		{"loop", eLoop, eLoop},
		{"loop/x", eLoop, eLoop},
		{"a", eLoop, eLoop},
		{"..", ePerm, ePerm},
		{"../", ePerm, ePerm},
		{"dir/../..", ePerm, ePerm},
		{"dir/nested/../../../" + filepath.Base(host), ePerm, ePerm},
		{"/", ePerm, ePerm},
		{"/dir", ePerm, ePerm},
		{"abs", ePerm, eLoop},
		{"abs/secret", ePerm, ePerm},
		{"absfile", ePerm, eLoop},
		{"up", ePerm, eLoop},
		{"dir/root", ePerm, eLoop},
		{"dir/root/etc/passwd", ePerm, ePerm},
		{"dir\x00", eInval, eInval},
		{"dir/nested/file\x00", eInval, eInval},
		{"bad\xff", eIlseq, eIlseq},
		{strings.Repeat("n", 255), eNoent, eNoent},
		{strings.Repeat("n", 256), eNametoolong, eNametoolong},
		{strings.Repeat("n/", 2100), eNametoolong, eNametoolong},
	}
	for _, row := range rows {
		t.Run(fmt.Sprintf("%.40q", row.path), func(t *testing.T) {
			for follow, want := range map[int]errno{lookupFollow: row.open, 0: row.noFlow} {
				fd, code := g.openAs(3, row.path, follow, 0, rightFDRead, 0)
				if code != want {
					t.Errorf("follow %d: errno %d, want %d", follow, code, want)
				}
				if code == success {
					wantEq(t, "close", g.wasi("fd_close", fd), success)
				}
			}
			if _, code := g.stat(row.path, lookupFollow); (code == success) != (row.open == success) {
				t.Errorf("stat: errno %d, open: %d", code, row.open)
			}
		})
	}
}

func TestEveryPathFunctionStaysInside(t *testing.T) {
	g, host := fsGuest(t)
	outside := t.TempDir()
	mustWrite(t, filepath.Join(outside, "victim"), "v")
	mustSymlink(t, outside, filepath.Join(host, "out"))
	rel, err := filepath.Rel(host, outside)
	if err != nil {
		t.Fatal(err)
	}
	mustSymlink(t, rel, filepath.Join(host, "rel"))
	mustWrite(t, filepath.Join(host, "mine"), "m")
	for _, way := range []string{"out/", "rel/", rel + "/", outside + "/"} {
		v := way + "victim"
		ptr, n := g.text(v)
		mine, mineN := g.text("mine")
		buf, out := g.room(64), g.room(8)
		for name, code := range map[string]errno{
			"open":     func() errno { _, c := g.open(3, v, 0); return c }(),
			"create":   func() errno { _, c := g.open(3, way+"new", openCreate); return c }(),
			"truncate": func() errno { _, c := g.open(3, v, openTruncate); return c }(),
			"stat":     func() errno { _, c := g.stat(v, 1); return c }(),
			"lstat":    func() errno { _, c := g.stat(v, 0); return c }(),
			"mkdir":    g.mkdir(way + "new"),
			"rmdir":    g.rmdir(way + "victim"),
			"unlink":   g.unlink(v),
			"rename":   g.rename(v, "stolen"),
			"renameTo": g.rename("mine", v),
			"link":     g.wasi("path_link", 3, 0, ptr, n, 3, mine, mineN),
			"linkTo":   g.wasi("path_link", 3, 0, mine, mineN, 3, ptr, n),
			"symlink":  g.symlink("x", way+"new"),
			"readlink": g.wasi("path_readlink", 3, ptr, n, buf, 64, out),
			"times":    g.wasi("path_filestat_set_times", 3, 1, ptr, n, 1, 1, 5),
		} {
			if code != ePerm {
				t.Errorf("%s %s: errno %d, want %d", name, v, code, ePerm)
			}
		}
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 1 {
		t.Errorf("outside holds %v, %v", entries, err)
	}
	if b, err := os.ReadFile(filepath.Join(outside, "victim")); err != nil || string(b) != "v" {
		t.Errorf("victim holds %q, %v", b, err)
	}
}

// TestRaceOfDirectoryAndLink has another process swap a directory for a link to the outside while the guest opens, writes
// and deletes through that name. Nothing outside may ever be touched.
func TestRaceOfDirectoryAndLink(t *testing.T) {
	g, host := fsGuest(t)
	outside := t.TempDir()
	mustWrite(t, filepath.Join(outside, "file"), "outside")
	mustMkdir(t, filepath.Join(host, "real"))
	mustWrite(t, filepath.Join(host, "real", "file"), "inside")
	mustSymlink(t, outside, filepath.Join(host, "link"))
	swap, target, stop, done := filepath.Join(host, "swap"), filepath.Join(host, "real"), make(chan struct{}), make(chan struct{})
	if err := os.Rename(target, swap); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				// Atomically: swap is now the directory, now the link.
				_ = unix.Renameat2(unix.AT_FDCWD, swap, unix.AT_FDCWD, filepath.Join(host, "link"), unix.RENAME_EXCHANGE)
			}
		}
	}()
	opened, refused := 0, 0
	for range 3000 {
		g.rewind()
		g.rename("swap/file2", "swap/file")
		fd, code := g.openAs(3, "swap/file", lookupFollow, 0, rightsFile, 0)
		if code != success {
			refused++
			continue
		}
		opened++
		if s, _ := g.read(fd, 7); s == "outside" {
			t.Fatal("read a file outside")
		}
		if _, code := g.write(fd, ""); code != success {
			t.Fatalf("write: %d", code)
		}
		g.wasi("fd_close", fd)
		g.unlink("swap/none")
		g.rename("swap/file", "swap/file2")
	}
	close(stop)
	<-done
	if b, err := os.ReadFile(filepath.Join(outside, "file")); err != nil || string(b) != "outside" {
		t.Errorf("outside: %q, %v", b, err)
	}
	t.Logf("opened %d, refused %d", opened, refused)
}

func TestDirectoryKeptThroughRename(t *testing.T) {
	g, host := fsGuest(t)
	mustMkdir(t, filepath.Join(host, "a", "sub"))
	mustWrite(t, filepath.Join(host, "a", "sub", "f"), "one")
	fd, code := g.open(3, "a", openDirectory)
	wantEq(t, "open", code, success)
	if err := os.Rename(filepath.Join(host, "a"), filepath.Join(host, "moved")); err != nil {
		t.Fatal(err)
	}
	mustMkdir(t, filepath.Join(host, "a", "sub"))
	mustWrite(t, filepath.Join(host, "a", "sub", "f"), "two")
	f, code := g.open(fd, "sub/f", 0)
	wantEq(t, "open below", code, success)
	got, _ := g.read(f, 8)
	wantEq(t, "content", got, "one")
	_, code = g.open(fd, "../a", 0)
	wantEq(t, "open above", code, ePerm)
}

func TestSpecialFilesAreRefused(t *testing.T) {
	g, host := fsGuest(t)
	if err := syscall.Mkfifo(filepath.Join(host, "fifo"), 0o600); err != nil {
		t.Fatal(err)
	}
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = unix.Close(sock) }()
	if err := unix.Bind(sock, &unix.SockaddrUnix{Name: filepath.Join(host, "sock")}); err != nil {
		t.Fatal(err)
	}
	mustSymlink(t, "fifo", filepath.Join(host, "tofifo"))
	for _, name := range []string{"fifo", "sock", "tofifo"} {
		for _, base := range []rights{rightFDRead, rightFDWrite, rightFDRead | rightFDWrite} {
			if _, code := g.openAs(3, name, 1, 0, base, 0); code != eNotsup {
				t.Errorf("%s with rights %d: errno %d, want %d", name, base, code, eNotsup)
			}
		}
	}
	st, code := g.stat("fifo", 0)
	wantEq(t, "stat", code, success)
	wantEq(t, "type", st.kind, typeUnknown)
	wantEq(t, "unlink", g.unlink("fifo"), success)
}

func TestReadOnlyGrant(t *testing.T) {
	testutil.NoLeaks(t)
	host, rw := t.TempDir(), t.TempDir()
	mustWrite(t, filepath.Join(host, "file"), "content")
	mustMkdir(t, filepath.Join(host, "dir"))
	mustSymlink(t, "file", filepath.Join(host, "link"))
	g := newGuest(t, AppOptions{Dirs: []Dir{{Guest: "/ro", Host: host, ReadOnly: true}, {Guest: "/rw", Host: rw}}})
	fd, code := g.open(3, "file", 0)
	wantEq(t, "open to read", code, success)
	got, _ := g.read(fd, 20)
	wantEq(t, "content", got, "content")
	_, code = g.write(fd, "x")
	wantEq(t, "write", code, eBadf)
	sub, code := g.open(3, "dir", openDirectory)
	wantEq(t, "open directory", code, success)
	file, fileN := g.text("file")
	fresh, freshN := g.text("new")
	for name, code := range map[string]errno{
		"open to write":  func() errno { _, c := g.openAs(3, "file", 1, 0, rightFDWrite, 0); return c }(),
		"create":         func() errno { _, c := g.open(3, "new", openCreate); return c }(),
		"create in sub":  func() errno { _, c := g.open(sub, "new", openCreate); return c }(),
		"truncate":       func() errno { _, c := g.open(3, "file", openTruncate); return c }(),
		"mkdir":          g.mkdir("new"),
		"rmdir":          g.rmdir("dir"),
		"unlink":         g.unlink("link"),
		"symlink":        g.symlink("x", "new"),
		"rename":         g.rename("file", "new"),
		"rename out":     g.wasi("path_rename", 3, file, fileN, 4, fresh, freshN),
		"link out":       g.wasi("path_link", 3, 0, file, fileN, 4, fresh, freshN),
		"times":          g.wasi("path_filestat_set_times", 3, 0, file, fileN, 1, 1, 5),
		"times of fd":    g.wasi("fd_filestat_set_times", fd, 1, 1, 5),
		"times of grant": g.wasi("fd_filestat_set_times", 3, 1, 1, 5),
	} {
		if code != eRofs {
			t.Errorf("%s: errno %d, want %d", name, code, eRofs)
		}
	}
	for name, code := range map[string]errno{
		"set size": g.wasi("fd_filestat_set_size", fd, 0),
		"allocate": g.wasi("fd_allocate", fd, 0, 100),
	} {
		if code == success {
			t.Errorf("%s succeeded", name)
		}
	}
	if b, err := os.ReadFile(filepath.Join(host, "file")); err != nil || string(b) != "content" {
		t.Errorf("file: %q, %v", b, err)
	}
}

func TestPreopens(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	g := newGuest(t, AppOptions{Dirs: []Dir{{Guest: "/", Host: a}, {Guest: "/data", Host: b}}})
	out := g.room(8)
	for fd, want := range map[int]string{3: "/", 4: "/data"} {
		wantEq(t, "prestat", g.wasi("fd_prestat_get", fd, out), success)
		wantEq(t, "tag", g.mem[out], 0)
		wantEq(t, "length", g.u32(out+4), uint32(len(want)))
		buf := g.room(16)
		wantEq(t, "name too short", g.wasi("fd_prestat_dir_name", fd, buf, len(want)-1), eNametoolong)
		wantEq(t, "name", g.wasi("fd_prestat_dir_name", fd, buf, len(want)+1), success)
		wantEq(t, "text", g.get(buf, len(want)+1), want+"?")
	}
	for _, fd := range []int{0, 1, 2, 5, 1 << 31} {
		wantEq(t, fmt.Sprint("prestat of ", fd), g.wasi("fd_prestat_get", fd, out), eBadf)
		wantEq(t, fmt.Sprint("name of ", fd), g.wasi("fd_prestat_dir_name", fd, out, 8), eBadf)
	}
	// A guest that closes and moves granted directories has them again in the next invocation.
	wantEq(t, "renumber", g.wasi("fd_renumber", 4, 3), success)
	wantEq(t, "moved", g.wasi("fd_prestat_get", 4, out), eBadf)
	wantEq(t, "close", g.wasi("fd_close", 3), success)
	wantEq(t, "closed", g.wasi("fd_prestat_get", 3, out), eBadf)
	wantEq(t, "close stdin", g.wasi("fd_close", 0), success)
	g.begin(nil)
	for fd := range 5 {
		wantEq(t, fmt.Sprint("again ", fd), g.wasi("fd_fdstat_get", fd, g.room(24)), success)
	}
	if _, code := g.open(3, ".", 0); code != success {
		t.Errorf("open below: errno %d", code)
	}
}

func TestBadGrants(t *testing.T) {
	testutil.NoLeaks(t)
	dir := t.TempDir()
	mustWrite(t, filepath.Join(dir, "file"), "")
	for name, d := range map[string]Dir{
		"missing":       {Guest: "/", Host: filepath.Join(dir, "missing")},
		"file":          {Guest: "/", Host: filepath.Join(dir, "file")},
		"relative name": {Guest: "data", Host: dir},
		"unclean name":  {Guest: "/data/", Host: dir},
		"no name":       {Host: dir},
	} {
		if _, err := NewApp(AppOptions{Dirs: []Dir{{Guest: "/ok", Host: dir}, d}}); err == nil || !strings.Contains(err.Error(), "cannot grant") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHostModeOfNewFiles(t *testing.T) {
	g, host := fsGuest(t)
	g.openRW("f", openCreate, 0)
	wantEq(t, "mkdir", g.mkdir("d"), success)
	for name, want := range map[string]fs.FileMode{"f": 0o666, "d": 0o777 | fs.ModeDir} {
		fi, err := os.Lstat(filepath.Join(host, name))
		if err != nil || fi.Mode()&^want != 0 {
			t.Errorf("%s: %v, %v", name, fi.Mode(), err)
		}
	}
}
