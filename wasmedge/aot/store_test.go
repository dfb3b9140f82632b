//go:build cgo

package aot

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"edged.dev/edge/internal/testutil"
)

func flipByte(t *testing.T, path string, at int64) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	one := make([]byte, 1)
	if _, err := file.ReadAt(one, at); err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte{one[0] ^ 0x10}, at); err != nil {
		t.Fatal(err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// files are the artifact and the record of one module and of another, for a case that damages the first.
type files struct {
	t                          *testing.T
	so, rec, otherSo, otherRec string
}

// TestBadArtifactIsCompiledAgain damages what is on disk in every way that can be told apart, in the same life of the
// daemon and before the next one.
func TestBadArtifactIsCompiledAgain(t *testing.T) {
	code := smallModule(t)
	other := readModule(t, testutil.BuildC(t, `__attribute__((export_name("evil"))) int evil(void) { return 666; }`, testutil.Freestanding()...))
	cases := []struct {
		name   string
		damage func(f files)
	}{
		{"bit flipped", func(f files) { flipByte(f.t, f.so, 900) }},
		{"truncated", func(f files) { must(f.t, os.Truncate(f.so, 1000)) }},
		{"emptied", func(f files) { must(f.t, os.Truncate(f.so, 0)) }},
		{"extended", func(f files) {
			content := append(readModule(f.t, f.so), 0)
			must(f.t, os.WriteFile(f.so, content, fileMode))
		}},
		{"missing", func(f files) { must(f.t, os.Remove(f.so)) }},
		{"replaced by another artifact", func(f files) {
			must(f.t, os.WriteFile(f.so, readModule(f.t, f.otherSo), fileMode))
		}},
		{"another artifact renamed over it", func(f files) { must(f.t, os.Rename(f.otherSo, f.so)) }},
		{"link to another artifact", func(f files) {
			must(f.t, os.Remove(f.so))
			must(f.t, os.Symlink(f.otherSo, f.so))
		}},
		{"second name", func(f files) { must(f.t, os.Link(f.so, filepath.Join(f.t.TempDir(), "x"))) }},
		{"writable by others", func(f files) { must(f.t, os.Chmod(f.so, 0o666)) }},
		{"a pipe", func(f files) {
			must(f.t, os.Remove(f.so))
			must(f.t, unix.Mkfifo(f.so, fileMode))
		}},
		{"a directory", func(f files) {
			must(f.t, os.Remove(f.so))
			must(f.t, os.Mkdir(f.so, dirMode))
		}},
		{"record bit flipped", func(f files) { flipByte(f.t, f.rec, 20) }},
		{"record code flipped", func(f files) { flipByte(f.t, f.rec, int64(len(readModule(f.t, f.rec))-3)) }},
		{"record truncated", func(f files) { must(f.t, os.Truncate(f.rec, 30)) }},
		{"record empty", func(f files) { must(f.t, os.Truncate(f.rec, 0)) }},
		{"record missing", func(f files) { must(f.t, os.Remove(f.rec)) }},
		{"record too long", func(f files) { must(f.t, os.WriteFile(f.rec, make([]byte, 1<<20), fileMode)) }},
		{"record of another artifact", func(f files) { must(f.t, os.Rename(f.otherRec, f.rec)) }},
		{"record a link", func(f files) {
			must(f.t, os.Remove(f.rec))
			must(f.t, os.Symlink(f.otherRec, f.rec))
		}},
		{"foreign pair", func(f files) {
			// What somebody who can write into the directory but does not know the key could make.
			forger := &store{dir: filepath.Dir(f.so), secret: make([]byte, secretBytes)}
			key, level, _ := splitName(filepath.Base(f.rec))
			on, err := hostTarget()
			must(f.t, err)
			forger.target = on
			r, err := forger.describe(key, level, f.otherSo)
			must(f.t, err)
			must(f.t, os.Rename(f.otherSo, forger.path(r.File)))
			sealed, err := r.seal(forger.secret)
			must(f.t, err)
			must(f.t, os.WriteFile(f.rec, sealed, fileMode))
		}},
	}
	for _, tc := range cases {
		for _, restart := range []bool{false, true} {
			name := tc.name
			if restart {
				name += " before a restart"
			}
			t.Run(name, func(t *testing.T) {
				testBadArtifact(t, code, other, restart, tc.damage)
			})
		}
	}
}

func testBadArtifact(t *testing.T, code, other []byte, restart bool, damage func(f files)) {
	t.Helper()
	c := openTest(t, Options{Best: O0})
	a, err := c.Get(t.Context(), code, nil)
	must(t, err)
	b, err := c.Get(t.Context(), other, nil)
	must(t, err)
	record := func(a *Artifact) string { return c.store.path(baseName(a.Key, a.Level) + recordSuffix) }
	damage(files{t, a.Path, record(a), b.Path, record(b)})
	if restart {
		must(t, c.Close(t.Context()))
		c = openTest(t, Options{Dir: c.options.Dir, Best: O0})
	}
	if found, ok := c.Lookup(code); ok {
		t.Fatalf("Lookup gave %+v", found)
	}
	var seen recorder
	again, err := c.Get(t.Context(), code, seen.progress)
	must(t, err)
	if count(seen.stages, StageGenerate) != 1 {
		t.Errorf("stages %q: not compiled again", seen.stages)
	}
	mustLoad(t, again.Path, smallExports)
	if found, ok := c.Lookup(code); !ok || *found != *again {
		t.Errorf("after that Lookup gave %+v, %v", found, ok)
	}
}

func TestOpenRefusesUnsafeDirectories(t *testing.T) {
	cases := []struct {
		name string
		make func(dir string)
		want error
	}{
		{"readable by others", func(dir string) { must(t, os.Mkdir(dir, 0o755)) }, ErrUnsafeDir},
		{"writable by others", func(dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Chmod(dir, 0o777))
		}, ErrUnsafeDir},
		{"a link", func(dir string) { must(t, os.Symlink(t.TempDir(), dir)) }, ErrUnsafeDir},
		{"key is a link", func(dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Symlink("/dev/zero", filepath.Join(dir, secretName)))
		}, ErrUnsafeDir},
		{"key readable by others", func(dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.WriteFile(filepath.Join(dir, secretName), make([]byte, secretBytes), 0o600))
			must(t, os.Chmod(filepath.Join(dir, secretName), 0o644))
		}, ErrUnsafeDir},
		{"lock is a link", func(dir string) {
			must(t, os.Mkdir(dir, 0o700))
			must(t, os.Symlink(filepath.Join(t.TempDir(), "victim"), filepath.Join(dir, lockName)))
		}, ErrUnsafeDir},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "aot")
			tc.make(dir)
			c, err := Open(Options{Dir: dir})
			if !errors.Is(err, tc.want) {
				t.Errorf("Open: %v, want %v", err, tc.want)
			}
			if c != nil {
				must(t, c.Close(t.Context()))
			}
		})
	}
}

func TestOpenCleansUpAfterAKill(t *testing.T) {
	c := openTest(t, Options{Best: O0})
	code := smallModule(t)
	a, err := c.Get(t.Context(), code, nil)
	must(t, err)
	dir := c.store.dir
	must(t, c.Close(t.Context()))
	orphan := strings.Repeat("ab", 32) + ".O3.0123456789abcdef.so"
	must(t, os.WriteFile(filepath.Join(dir, orphan), []byte("x"), fileMode))
	must(t, os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("x"), fileMode))
	must(t, os.Mkdir(filepath.Join(dir, tempName, "job-1"), dirMode))
	must(t, os.WriteFile(filepath.Join(dir, tempName, "job-1", outputName), []byte("x"), fileMode))
	c = openTest(t, Options{Dir: dir, Best: O0, Self: []string{"/nonexistent"}})
	if _, err := os.Stat(filepath.Join(dir, orphan)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("orphan: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("a file that is none of ours: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, tempName)); err != nil || len(left) != 0 {
		t.Errorf("temporary files: %v, %v", left, err)
	}
	if now, err := c.Get(t.Context(), code, nil); err != nil || now.Path != a.Path {
		t.Errorf("the artifact after a restart: %+v, %v", now, err)
	}
}

func TestDamagedSecretIsReplaced(t *testing.T) {
	c := openTest(t, Options{Best: O0})
	code := smallModule(t)
	_, err := c.Get(t.Context(), code, nil)
	must(t, err)
	must(t, c.Close(t.Context()))
	must(t, os.Truncate(filepath.Join(c.store.dir, secretName), 5))
	c = openTest(t, Options{Dir: c.store.dir, Best: O0})
	if _, found := c.Lookup(code); found {
		t.Error("an artifact of another secret was taken")
	}
	_, err = c.Get(t.Context(), code, nil)
	must(t, err)
}

func FuzzOpenRecord(f *testing.F) {
	secret := []byte("0123456789abcdef0123456789abcdef")
	good, err := record{Format: formatVersion, Kind: kindArtifact, Key: "k", Level: "O0", File: "f", Size: 1}.seal(secret)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte("{}\n\n"))
	f.Add(good[:len(good)-1])
	f.Add([]byte("\n"))
	f.Fuzz(func(t *testing.T, sealed []byte) {
		r, err := openRecord(sealed, secret)
		if err != nil {
			return
		}
		// Only what the secret's owner sealed is opened, and it seals to the same bytes.
		again, err := r.seal(secret)
		if err != nil || string(again) != string(sealed) {
			t.Fatalf("opened %q, which seals to %q (%v)", sealed, again, err)
		}
	})
}
