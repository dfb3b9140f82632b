package hostfn

import (
	"bytes"
	"encoding/binary"
	"testing"

	"edged.dev/edge/kvstore/keypattern"
)

func patterns(t *testing.T, texts ...string) []*keypattern.Pattern {
	t.Helper()
	var list []*keypattern.Pattern
	for _, text := range texts {
		p, err := keypattern.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	return list
}

// restrictedGuest may read and write in/*, only read ro, and only remove trash_{}.
func restrictedGuest(t *testing.T) (*guest, *memSpace) {
	t.Helper()
	whole := newSpace()
	permission := &Permission{Get: patterns(t, "in/*", "ro"), Set: patterns(t, "in/*"), Delete: patterns(t, "trash_{}")}
	g := newGuest(t, AppOptions{Space: whole, SpaceOf: func(any) Space { return Restrict(whole, permission) }})
	g.begin(request{})
	return g, whole
}

func TestPermission(t *testing.T) {
	g, whole := restrictedGuest(t)
	for key, value := range map[string]string{"ro": "1", "other": "2", "trash_1": "3"} {
		if err := whole.Set(t.Context(), []byte(key), []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	wantEq(t, "set", g.set("in/a", "x"), 0)
	wantEq(t, "get", g.value("in/a"), "x")
	wantEq(t, "get what may only be read", g.value("ro"), "1")
	wantEq(t, "set what may only be read", g.set("ro", "x"), -3)
	wantEq(t, "get another key", g.value("other"), "-3")
	wantEq(t, "get an absent key that is not permitted", g.value("none"), "-3")
	wantEq(t, "set another key", g.set("other", "x"), -3)
	k, kl := g.text("in/a")
	wantEq(t, "delete what may not be removed", g.edged("kv_delete", k, kl), -3)
	wantEq(t, "cas that removes", g.cas("in/a", "x", "-"), -3)
	wantEq(t, "cas that writes", g.cas("in/a", "x", "y"), 0)
	wantEq(t, "cas of what may only be read", g.cas("ro", "1", "2"), -3)
	k, kl = g.text("trash_1")
	wantEq(t, "delete", g.edged("kv_delete", k, kl), 1)
	if got := g.edged64("kv_lock", "other"); got != -3 {
		t.Errorf("lock of another key: %d", got)
	}
	if got := g.edged64("kv_lock", "in/a"); got <= 0 {
		t.Errorf("lock: %d", got)
	}
}

// edged64 calls kv_lock with a lease of a second.
func (g *guest) edged64(name, key string) int64 {
	g.t.Helper()
	k, kl := g.text(key)
	got, err := g.try("edged."+name, k, kl, 1000)
	if err != nil {
		return -100
	}
	return int64(got)
}

func TestPermissionOfBatchesAndScans(t *testing.T) {
	g, whole := restrictedGuest(t)
	for _, key := range []string{"in/a", "in/b", "other", "ro", "secret"} {
		if err := whole.Set(t.Context(), []byte(key), []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	var ops []byte
	for _, key := range []string{"in/a", "other"} {
		ops = append(ops, batchSet, 0, 0, 0)
		ops = binary.LittleEndian.AppendUint32(ops, uint32(len(key)))
		ops = binary.LittleEndian.AppendUint32(ops, 1)
		ops = binary.LittleEndian.AppendUint32(ops, 0)
		ops = append(append(ops, key...), 'x')
	}
	wantEq(t, "batch with one key that is denied", g.edged("kv_batch", int(g.put(ops)), len(ops), 0, 0), -3)
	wantEq(t, "nothing of it was done", g.value("in/a"), "v")
	cursor, buf := g.room(16), g.room(256)
	clear(g.mem[cursor : cursor+16])
	n := g.edged("kv_scan", 0, 0, cursor, buf, 256)
	found := g.get(buf, int(max(n, 0)))
	for key, want := range map[string]bool{"in/a": true, "in/b": true, "ro": true, "other": false, "secret": false} {
		if got := bytes.Contains([]byte(found), []byte(key)); got != want {
			t.Errorf("scan yields %s: %v, want %v", key, got, want)
		}
	}
	none := Restrict(whole, &Permission{Set: patterns(t, "*")})
	if err := none.Scan(nil, nil, func(_, _ []byte) bool { return true }); err == nil {
		t.Error("a scan where nothing may be read is not denied")
	}
}
