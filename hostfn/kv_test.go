package hostfn

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/kvstore"
)

// spaces are what the functions of the store are tested over: the map and the real store.
func eachSpace(t *testing.T, run func(t *testing.T, g *guest)) {
	t.Helper()
	t.Run("map", func(t *testing.T) { run(t, newGuest(t, AppOptions{Space: newSpace()})) })
	t.Run("kvstore", func(t *testing.T) {
		store, err := kvstore.Open(filepath.Join(t.TempDir(), "kv"), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := store.Close(); err != nil {
				t.Error(err)
			}
		})
		space, err := store.Space("shop", kvstore.Memory)
		if err != nil {
			t.Fatal(err)
		}
		run(t, newGuest(t, AppOptions{Space: space}))
	})
}

func (g *guest) set(key, value string) int32 {
	k, kl := g.text(key)
	v, vl := g.text(value)
	return g.edged("kv_set", k, kl, v, vl)
}

// value returns a value, or the negative result as text.
func (g *guest) value(key string) string {
	k, kl := g.text(key)
	buf := g.room(64)
	n := g.edged("kv_get", k, kl, buf, 64)
	g.guarded(buf, 64)
	if n < 0 {
		return fmt.Sprint(n)
	}
	return g.get(buf, int(n))
}

func (g *guest) cas(key, old, value string) int32 {
	arg := func(s string) (int, uint32) {
		if s == "-" {
			return 0, absent
		}
		p, n := g.text(s)
		return p, uint32(n)
	}
	k, kl := g.text(key)
	o, ol := arg(old)
	v, vl := arg(value)
	return g.edged("kv_cas", k, kl, o, ol, v, vl)
}

func TestKV(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		wantEq(t, "get absent", g.value("a"), "-1")
		wantEq(t, "set", g.set("a", "apple"), 0)
		wantEq(t, "get", g.value("a"), "apple")
		k, kl := g.text("a")
		buf := g.room(3)
		wantEq(t, "get into too little", g.edged("kv_get", k, kl, buf, 3), 5)
		wantEq(t, "nothing copied", g.get(buf, 3), "???")
		wantEq(t, "set empty", g.set("e", ""), 0)
		wantEq(t, "get empty", g.value("e"), "")
		wantEq(t, "empty key", g.set("", "x"), -2)
		wantEq(t, "delete", g.edged("kv_delete", k, kl), 1)
		wantEq(t, "delete again", g.edged("kv_delete", k, kl), 0)
		for _, row := range []struct {
			key, old, value string
			want            int32
			then            string
		}{
			{"c", "x", "y", -5, "-1"},
			{"c", "-", "", 0, ""},
			{"c", "-", "y", -5, ""},
			{"c", "", "y", 0, "y"},
			{"c", "z", "-", -5, "y"},
			{"c", "y", "-", 0, "-1"},
			{"c", "-", "-", 0, "-1"},
		} {
			wantEq(t, fmt.Sprint("cas ", row), g.cas(row.key, row.old, row.value), row.want)
			wantEq(t, fmt.Sprint("after ", row), g.value(row.key), row.then)
		}
	})
}

func TestKVLimits(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		if _, ok := g.app.Space.(*kvstore.Space); ok {
			wantEq(t, "long key", g.set(strings.Repeat("k", 1025), "x"), -4)
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		g.env.Begin(ctx, request{})
		if got := g.set("a", "x"); got != -11 && got != 0 {
			t.Errorf("after the end: %d", got)
		}
	})
	for cause, want := range map[error]int32{errors.New("killed at its timeout"): -6, context.Canceled: -11, nil: -11} {
		g := newGuest(t, AppOptions{Space: newSpace()})
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(cause)
		g.env.Begin(ctx, request{})
		wantEq(t, fmt.Sprint("ended by ", cause), g.set("a", "x"), want)
	}
	g := newGuest(t, AppOptions{Space: &memSpace{err: kvstore.ErrFull}})
	wantEq(t, "disk full", g.set("a", "x"), -8)
	g = newGuest(t, AppOptions{Space: &memSpace{err: kvstore.ErrFailed}})
	wantEq(t, "store failed", g.set("a", "x"), -10)
	g = newGuest(t, AppOptions{})
	buf := g.room(16)
	clear(g.mem[buf : buf+16])
	for name, got := range map[string]int32{
		"get":    g.edged("kv_get", 0, 1, 0, 0),
		"set":    g.edged("kv_set", 0, 1, 0, 0),
		"delete": g.edged("kv_delete", 0, 1),
		"cas":    g.edged("kv_cas", 0, 1, 0, 0, 0, 0),
		"scan":   g.edged("kv_scan", 0, 1, buf, 0, 0),
		"batch":  g.edged("kv_batch", 0, 1, 0, 0),
		"lock":   g.edged("kv_lock", 0, 1, 1),
		"unlock": g.edged("kv_unlock", 0, 1, 1),
	} {
		wantEq(t, name+" without a space", got, -3)
	}
}

func TestKVLock(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		k, kl := g.text("job")
		first, err := g.try("edged.kv_lock", k, kl, 60_000)
		if err != nil || int64(first) <= 0 {
			t.Fatalf("lock: %d, %v", int64(first), err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
		defer cancel()
		g.env.Begin(ctx, request{})
		again, err := g.try("edged.kv_lock", k, kl, 60_000)
		if err != nil || int64(again) != int64(TimedOut) {
			t.Errorf("lock twice: %d, %v", int64(again), err)
		}
		g.begin(nil)
		wantEq(t, "unlock with another token", g.edged("kv_unlock", k, kl, first+1), -5)
		wantEq(t, "unlock", g.edged("kv_unlock", k, kl, first), 0)
		wantEq(t, "unlock twice", g.edged("kv_unlock", k, kl, first), -5)
		bad, _ := g.try("edged.kv_lock", k, kl, 0)
		wantEq(t, "no lease", int64(bad), int64(Invalid))
	})
}

// entries reads what kv_scan wrote.
func entries(b string) (list []string) {
	for len(b) > 0 {
		n := int(binary.LittleEndian.Uint32([]byte(b)))
		key := b[4 : 4+n]
		b = b[4+n:]
		n = int(binary.LittleEndian.Uint32([]byte(b)))
		list = append(list, key+"="+b[4:4+n])
		b = b[4+n:]
	}
	return list
}

func TestKVScan(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		var want []string
		for i := range 40 {
			g.rewind()
			key := fmt.Sprintf("item/%02d", i)
			g.set(key, strings.Repeat("v", i))
			want = append(want, key+"="+strings.Repeat("v", i))
		}
		g.set("other", "x")
		g.set("a", "x")
		for _, size := range []int{60, 100, 4000} {
			g.rewind()
			p, n := g.text("item/")
			cursor, buf := g.room(16), g.room(size)
			clear(g.mem[cursor : cursor+16])
			var got []string
			for range 100 {
				used := int(g.edged("kv_scan", p, n, cursor, buf, size))
				g.guarded(buf, size)
				g.guarded(cursor, 16)
				if used < 0 || used > size {
					t.Fatalf("scan with %d: %d", size, used)
				}
				got = append(got, entries(g.get(buf, used))...)
				if g.u64(cursor)|g.u64(cursor+8) == 0 {
					break
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("scan with %d: %q", size, got)
			}
			wantEq(t, "positions kept", len(g.env.scans.open), 0)
		}
	})
}

func TestKVScanCursors(t *testing.T) {
	g := newGuest(t, AppOptions{Space: newSpace(), Limits: Limits{Scans: 2}})
	for i := range 4 {
		g.set(fmt.Sprintf("k%d", i), "12345678")
	}
	p, n := g.text("k")
	buf := g.room(20)
	start := func() int {
		at := g.room(16)
		clear(g.mem[at : at+16])
		return at
	}
	c := start()
	wantEq(t, "an entry that does not fit", g.edged("kv_scan", p, n, c, buf, 17), 18)
	wantEq(t, "the cursor stands", g.u64(c)|g.u64(c+8), 0)
	wantEq(t, "one entry", g.edged("kv_scan", p, n, c, buf, 20), 18)
	old := g.get(c, 16)
	wantEq(t, "the second that does not fit", g.edged("kv_scan", p, n, c, buf, 0), 18)
	wantEq(t, "the cursor stands", g.get(c, 16), old)
	wantEq(t, "the second", g.edged("kv_scan", p, n, c, buf, 20), 18)
	wantEq(t, "entry", entries(g.get(buf, 18))[0], "k1=12345678")
	stale := int(g.put([]byte(old)))
	wantEq(t, "a used cursor", g.edged("kv_scan", p, n, stale, buf, 20), -2)
	wantEq(t, "another prefix", g.edged("kv_scan", p, 0, c, buf, 20), -2)
	forged := start()
	g.mem[forged] = 1
	wantEq(t, "a forged cursor", g.edged("kv_scan", p, n, forged, buf, 20), -2)
	d, e := start(), start()
	g.edged("kv_scan", p, n, d, buf, 20)
	g.edged("kv_scan", p, n, c, buf, 20)
	g.edged("kv_scan", p, n, e, buf, 20)
	wantEq(t, "the longest unused is given up", g.edged("kv_scan", p, n, d, buf, 20), -2)
	wantEq(t, "the other goes on", g.edged("kv_scan", p, n, c, buf, 20), 18)
	g.begin(nil)
	wantEq(t, "a cursor of another invocation", g.edged("kv_scan", p, n, e, buf, 20), -2)
}

// batchOp packs one operation; "-" is an absent value.
func batchOp(kind byte, key, a, b string) []byte {
	raw := []byte{kind, 0, 0, 0}
	raw = binary.LittleEndian.AppendUint32(raw, uint32(len(key)))
	text := []byte(key)
	for _, s := range []string{a, b} {
		if s == "-" {
			raw = binary.LittleEndian.AppendUint32(raw, absent)
			continue
		}
		raw = binary.LittleEndian.AppendUint32(raw, uint32(len(s)))
		text = append(text, s...)
	}
	return append(raw, text...)
}

func TestKVBatch(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		batch := func(size int, ops ...[]byte) (int32, string) {
			p := int(g.put(slices.Concat(ops...)))
			buf := g.room(size)
			n := g.edged("kv_batch", p, len(slices.Concat(ops...)), buf, size)
			g.guarded(buf, size)
			if n < 0 || int(n) > size {
				return n, ""
			}
			return n, g.get(buf, int(n))
		}
		n, out := batch(100,
			batchOp(batchGet, "a", "", ""), batchOp(batchSet, "a", "apple", ""), batchOp(batchGet, "a", "", ""),
			batchOp(batchCas, "b", "-", "new"), batchOp(batchDelete, "a", "", ""), batchOp(batchDelete, "zz", "", ""))
		wantEq(t, "length", n, 6*8+5)
		wantEq(t, "results", out, "\xff\xff\xff\xff\x00\x00\x00\x00"+"\x00\x00\x00\x00\x00\x00\x00\x00"+
			"\x00\x00\x00\x00\x05\x00\x00\x00apple"+"\x00\x00\x00\x00\x00\x00\x00\x00"+
			"\x01\x00\x00\x00\x00\x00\x00\x00"+"\x00\x00\x00\x00\x00\x00\x00\x00")
		wantEq(t, "set", g.value("b"), "new")
		n, _ = batch(100, batchOp(batchSet, "c", "x", ""), batchOp(batchCas, "b", "old", "y"))
		wantEq(t, "conflict", n, -5)
		wantEq(t, "nothing applied", g.value("c"), "-1")
		n, _ = batch(4, batchOp(batchSet, "d", "x", ""), batchOp(batchGet, "b", "", ""))
		wantEq(t, "results that do not fit", n, 19)
		wantEq(t, "applied all the same", g.value("d"), "x")
		n, out = batch(19)
		wantEq(t, "asked again", n, 19)
		wantEq(t, "results", out[16:], "new")
		n, _ = batch(50, batchOp(batchCas, "d", "x", "-"))
		wantEq(t, "cas to delete", n, 8)
		wantEq(t, "deleted", g.value("d"), "-1")
		n, _ = batch(50, batchOp(batchSet, "", "x", ""))
		wantEq(t, "empty key", n, -2)
		for name, raw := range map[string][]byte{
			"short head":      {2, 0, 0},
			"unknown":         batchOp(9, "k", "", ""),
			"reserved":        {2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
			"value of a get":  batchOp(batchGet, "k", "v", ""),
			"two of a set":    batchOp(batchSet, "k", "v", "w"),
			"absent in a set": batchOp(batchSet, "k", "-", ""),
			"cut":             batchOp(batchSet, "k", "value", "")[:20],
		} {
			n, _ := batch(50, raw)
			wantEq(t, name, n, -2)
		}
		many := make([][]byte, 1025)
		for i := range many {
			many[i] = batchOp(batchGet, "k", "", "")
		}
		n, _ = batch(0, many...)
		wantEq(t, "too many", n, -8)
		g.begin(nil)
		n, _ = batch(50)
		wantEq(t, "results of another invocation", n, 0)
	})
}

func TestKVBatchOfLargeReads(t *testing.T) {
	g := newGuest(t, AppOptions{Space: newSpace(), Limits: Limits{BatchBytes: 1000}})
	large := strings.Repeat("v", 300)
	read := batchOp(batchGet, "k", "", "")
	run := func(ops ...[]byte) int32 {
		g.rewind()
		raw := slices.Concat(ops...)
		p := int(g.put(raw))
		return g.edged("kv_batch", p, len(raw), g.room(2000), 2000)
	}
	wantEq(t, "reads within the limit", run(batchOp(batchSet, "k", large, ""), read, read, read), 4*8+900)
	wantEq(t, "four reads", run(read, read, read, read), -4)
	wantEq(t, "four reads of what the batch writes", run(batchOp(batchSet, "k", large, ""), read, read, read, read), -4)
	wantEq(t, "four reads of a small one", run(batchOp(batchSet, "k", "x", ""), read, read, read), 4*8+3)
}

func FuzzUnpackBatch(f *testing.F) {
	f.Add(slices.Concat(batchOp(batchCas, "k", "-", ""), batchOp(batchSet, "a", "b", "")))
	f.Add(batchOp(batchDelete, "key", "", ""))
	f.Fuzz(func(t *testing.T, raw []byte) {
		ops, code := unpackBatch(raw, 100)
		if code != 0 && ops != nil {
			t.Fatal("operations and an error")
		}
		size := 0
		for _, op := range ops {
			size += sizeBatchOp + len(op.Key) + len(op.Value) + len(op.Old)
		}
		if code == 0 && size != len(raw) {
			t.Fatalf("%d bytes of %d are operations", size, len(raw))
		}
	})
}
