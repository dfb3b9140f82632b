package kvstore

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// TestDeleteOnFullDisk fills the disk to the last page, beside the store and with it: keys can still be deleted, one after
// the other, and what that frees can be written again.
func TestDeleteOnFullDisk(t *testing.T) {
	for name, class := range map[string]Durability{"sync": Sync, "batched": Batched} {
		t.Run(name, func(t *testing.T) {
			dir := smallDisk(t, 12<<10)
			s := mustOpen(t, filepath.Join(dir, "kv.db"), nil)
			sp := mustSpace(t, s, "app", Sync)
			value := make([]byte, 3000)
			// One batch leaves almost no free pages behind, and its keys make a tree of some depth: a deletion needs more.
			const stored = 1500
			var ops []Op
			for i := range stored {
				ops = append(ops, Op{Kind: OpSet, Key: fmt.Appendf(nil, "key%06d%0200d", i, i), Value: value})
			}
			if _, err := sp.Apply(t.Context(), ops); err != nil {
				t.Fatal(err)
			}
			fillDisk(t, dir)
			sp = mustSpace(t, s, "app", class)
			for i := 0; i < stored; i += 50 {
				if existed, err := sp.Delete(t.Context(), fmt.Appendf(nil, "key%06d%0200d", i, i)); err != nil || !existed {
					t.Fatalf("delete %d of %d: %v, %v", i, stored, existed, err)
				}
			}
			if err := s.commit.flush(sp); err != nil {
				t.Fatalf("flush: %v", err)
			}
			if err := sp.Set(t.Context(), []byte("again"), value); err != nil {
				t.Errorf("set in the room that deletes made: %v", err)
			}
		})
	}
}

// TestBallastComesBack throws the ballast off and looks that a commit takes it on again once there is room, and that one
// that a killed process left behind, whole or not, is used or made whole.
func TestBallastComesBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	b := newBallast(path)
	size := func() int64 {
		info, err := os.Lstat(path + ballastSuffix)
		if err != nil {
			return -1
		}
		return info.Size()
	}
	if !b.aboard || size() != ballastBytes {
		t.Fatalf("aboard %v, %d bytes", b.aboard, size())
	}
	if !b.drop() || size() != -1 {
		t.Errorf("after drop there are %d bytes", size())
	}
	if b.drop() {
		t.Error("there was nothing to drop")
	}
	b.take()
	if b.aboard {
		t.Error("taken on again at once")
	}
	b.tried = b.tried.Add(-ballastRetry)
	b.take()
	if !b.aboard || size() != ballastBytes {
		t.Errorf("not taken on again: %v, %d bytes", b.aboard, size())
	}
	if err := os.Truncate(path+ballastSuffix, 7); err != nil {
		t.Fatal(err)
	}
	if again := newBallast(path); !again.aboard || size() != ballastBytes {
		t.Errorf("a short one is left: %v, %d bytes", again.aboard, size())
	}
}
