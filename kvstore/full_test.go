package kvstore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// smallDisk mounts a file system of so many KiB and returns its directory. It skips, with the reason, where mounting is not permitted.
func smallDisk(t *testing.T, kib int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%dk", kib)); err != nil {
		t.Skipf("mounting a small tmpfs: %v (needs CAP_SYS_ADMIN)", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

// fillDisk occupies the disk until nothing fits any more.
func fillDisk(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, size := range []int{64 << 10, 4 << 10} {
		for b := make([]byte, size); ; {
			if _, err := f.Write(b); err != nil {
				if !errors.Is(err, syscall.ENOSPC) {
					t.Fatal(err)
				}
				break
			}
		}
	}
	return ballast
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t, 4<<10)
	s := mustOpen(t, filepath.Join(dir, "kv.db"), nil)
	sp := mustSpace(t, s, "app", Sync)
	for i := range 20 {
		mustSet(t, sp, fmt.Sprintf("kept%02d", i), "value")
	}
	ballast := fillDisk(t, dir)
	var refused int
	stored := map[string]bool{}
	for i := range 50 {
		key := fmt.Sprintf("new%02d", i)
		err := sp.Set(t.Context(), []byte(key), make([]byte, 30_000))
		stored[key] = err == nil
		if err == nil {
			continue
		}
		refused++
		if !errors.Is(err, ErrFull) || !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("Set on a full disk: %v", err)
		}
	}
	if refused == 0 {
		t.Fatal("the disk never was full")
	}
	verify := func(sp *Space) {
		t.Helper()
		for i := range 20 {
			wantValue(t, sp, fmt.Sprintf("kept%02d", i), "value")
		}
		for key, ok := range stored {
			if v, err := sp.Get([]byte(key), nil); ok != (err == nil) || ok && len(v) != 30_000 {
				t.Errorf("%s: acknowledged %v, read %d bytes, %v", key, ok, len(v), err)
			}
		}
	}
	verify(sp)
	if err := s.Close(); err != nil { // a full disk is no reason not to restart
		t.Fatal(err)
	}
	s = mustOpen(t, s.Path(), nil)
	sp = mustSpace(t, s, "app", Sync)
	verify(sp)
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	mustSet(t, sp, "after", "works again")
	verify(sp)
	if s.Stats().Failed {
		t.Error("the store thinks it has failed")
	}
}

// TestDiskFullNeighbour puts a value that does not fit and small ones that replace others into one group.
func TestDiskFullNeighbour(t *testing.T) {
	dir := smallDisk(t, 4<<10)
	s := mustOpen(t, filepath.Join(dir, "kv.db"), nil)
	sp := mustSpace(t, s, "app", Sync)
	for range 20 { // leaves free pages, so that small writes need no new ones
		mustSet(t, sp, "small", "old")
		mustSet(t, sp, "gone", string(make([]byte, 60_000)))
	}
	if _, err := sp.Delete(t.Context(), []byte("gone")); err != nil {
		t.Fatal(err)
	}
	fillDisk(t, dir)
	release := blockCommitter(t, s)
	big, small := make(chan error), make(chan error)
	go func() { big <- sp.Set(background, []byte("big"), make([]byte, 3<<20)) }()
	go func() { small <- sp.Set(background, []byte("small"), []byte("new")) }()
	for s.Stats().QueuedWrites < 2 {
		runtime.Gosched()
	}
	release()
	wantErr(t, "value that does not fit", <-big, ErrFull)
	wantErr(t, "its neighbour", <-small, nil)
	wantValue(t, sp, "small", "new")
	wantAbsent(t, sp, "big")
}

// TestDiskFullBatched proves that an acknowledged Batched write outlives a full disk in memory and gets there when it can.
func TestDiskFullBatched(t *testing.T) {
	dir := smallDisk(t, 64<<10)
	s := mustOpen(t, filepath.Join(dir, "kv.db"), &Options{BatchDelay: time.Millisecond})
	sp := mustSpace(t, s, "app", Batched)
	ballast := fillDisk(t, dir)
	accepted := 0
	var err error
	for ; err == nil; accepted++ {
		err = sp.Set(t.Context(), fmt.Appendf(nil, "k%06d", accepted), make([]byte, 10_000))
	}
	accepted--
	wantErr(t, "Set while the flush fails", err, ErrFull)
	wantErr(t, "its errno", err, syscall.ENOSPC)
	for i := range accepted {
		if v, err := sp.Get(fmt.Appendf(nil, "k%06d", i), nil); err != nil || len(v) != 10_000 {
			t.Fatalf("accepted write %d: %d bytes, %v", i, len(v), err)
		}
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if accepted*10_000 > 48<<20 {
		t.Fatalf("%d writes were accepted before the flush failed: they cannot fit", accepted)
	}
	if err := s.Close(); err != nil {
		t.Fatalf("Close with space again: %v", err)
	}
	s = mustOpen(t, s.Path(), nil)
	if n := len(scanAll(t, mustSpace(t, s, "app", Batched), nil, nil)); n != accepted {
		t.Errorf("%d of %d accepted writes are on disk", n, accepted)
	}
}

func TestCreateOnFullDisk(t *testing.T) {
	dir := smallDisk(t, 256)
	ballast := fillDisk(t, dir)
	path := filepath.Join(dir, "kv.db")
	_, err := Open(path, nil)
	wantErr(t, "Open", err, ErrFull)
	if left, _ := os.ReadDir(dir); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	mustOpen(t, path, nil)
}

func TestDiskErrors(t *testing.T) {
	for name, err := range map[string]error{
		"errno": fmt.Errorf("write: %w", syscall.ENOSPC), "quota": syscall.EDQUOT,
		"text only": fmt.Errorf("file resize error: %s", syscall.EFBIG.Error()),
	} {
		if !errors.Is(asDiskError(err), ErrFull) {
			t.Errorf("%s: %v", name, asDiskError(err))
		}
	}
	if err := asDiskError(syscall.EIO); errors.Is(err, ErrFull) {
		t.Errorf("an I/O error: %v", err)
	}
	wantErr(t, "text only", asDiskError(errors.New("x: "+syscall.ENOSPC.Error())), syscall.ENOSPC)
}
