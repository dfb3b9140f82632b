package kvstore

import (
	"path/filepath"
	"testing"

	"go.etcd.io/bbolt"
)

// putRaw writes a record behind the back of a store that is opened for it.
func putRaw(t *testing.T, path, bucket string, key, rec []byte) {
	t.Helper()
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = s.commit.admin(t.Context(), func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists([]byte(bucket))
		if err != nil {
			return err
		}
		return b.Put(key, rec)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedEpoch damages the record of the events' numbers: the numbers given out from then on are above all in the file. A dead
// letter that cannot be read can be dropped.
func TestDamagedEpoch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	key := recordKey("r", 7<<epochBits)
	putRaw(t, path, deadBucket, key, newSeal(deadSeal).encode(key, []byte("no letter")))
	putRaw(t, path, metaBucket, []byte(epochKey), newSeal("").encode([]byte(epochKey), []byte("odd")))
	s := mustOpen(t, path, nil)
	mustRules(t, s, newMailbox(), prefixRule("r", "s", "", OnSet))
	if seq := s.outbox.seq.Load(); seq <= 7<<epochBits {
		t.Errorf("the next number follows %x", seq)
	}
	if err := s.outbox.DropDead(t.Context(), 7<<epochBits); err != nil {
		t.Errorf("drop a damaged letter: %v", err)
	}
}

// TestMalformedEventKey opens a file with a record of events under a key that is none: a scrub names it.
func TestMalformedEventKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	key := []byte("odd")
	putRaw(t, path, eventsBucket, key, newSeal(eventsSeal).encode(key, []byte("x")))
	s := mustOpen(t, path, nil)
	if res, err := s.Scrub(t.Context(), nil); err != nil || res.Corrupt != 1 {
		t.Errorf("scrub found %d, %v", res.Corrupt, err)
	}
}

// TestReplayLostEvent refuses to replay what stands for a damaged record.
func TestReplayLostEvent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	bad := damagedSettlement("r", 7)
	putRaw(t, path, deadBucket, bad.deadKey, newSeal(deadSeal).encode(bad.deadKey, bad.dead))
	s := mustOpen(t, path, nil)
	mustRules(t, s, newMailbox(), prefixRule("r", "s", "", OnSet))
	wantErr(t, "Replay", s.outbox.Replay(t.Context(), 7), ErrLostEvent)
}

// TestLoseLeavesRecorded loses what a flush has written and what it has not: the counts keep the former.
func TestLoseLeavesRecorded(t *testing.T) {
	o := newStore(t, nil).outbox
	b := o.backlogOf("r")
	on, off := &Delivery{Rule: "r", waits: b, durable: true}, &Delivery{Rule: "r", waits: b, durable: true}
	b.pending.Add(2)
	b.skipped, o.behind = 2, 2
	o.record(on)
	o.record(off)
	o.unrecord([]*Delivery{off})
	o.lose([]*Delivery{on, off})
	if n := b.pending.Load(); b.skipped != 1 || n != 1 || o.behind != 1 {
		t.Errorf("%d skipped, %d pending, %d behind; want 1 of each", b.skipped, n, o.behind)
	}
}
