package hostfn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/kvstore"
)

// words places i32 words and returns pointer and count.
func (g *guest) words(values ...int) (ptr, n int) {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return int(g.put(b)), len(values)
}

// batch runs operations and returns the number of its results.
func (g *guest) batch(words ...int) int {
	g.t.Helper()
	ptr, n := g.words(words...)
	id := g.room(4)
	g.foreign("env.kv_batch_ope", ptr, n, id)
	g.guarded(id, 4)
	return int(g.u32(id))
}

func TestWaverlessValues(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		k, kl := g.text("count")
		v, vl := g.text("forty-two")
		length, id, buf := g.room(4), g.room(4), g.room(16)
		g.foreign("env.kv_get_len", k, kl, length, id)
		wantEq(t, "length of none", g.u32(length), 0)
		wantEq(t, "number of none", g.get(id, 4), "????")
		g.foreign("env.kv_set", k, kl, v, vl)
		g.foreign("env.kv_get_len", k, kl, length, id)
		wantEq(t, "length", g.u32(length), 9)
		g.foreign("env.kv_get", g.u32(id), buf)
		wantEq(t, "value", g.get(buf, 9), "forty-two")
		g.guarded(buf, 9)
		g.ends("env.kv_get", []any{g.u32(id), buf}, "no result 1", "256")
		g.ends("env.kv_set", []any{k, 0, v, vl}, "empty")
	})
}

func TestWaverlessBatch(t *testing.T) {
	eachSpace(t, func(t *testing.T, g *guest) {
		k, kl := g.text("chain_count")
		o, ol := g.text("other")
		v, vl := g.text("17")
		lock, ll := g.text("chain_lock")
		a, b, held := g.room(4), g.room(4), g.room(4)
		id := g.batch(5,
			waveOpLock, lock, ll, -1, held,
			waveOpSet, k, kl, v, vl,
			waveOpGet, k, kl, a,
			waveOpGet, o, ol, b,
			waveOpDelete, o, ol)
		wantEq(t, "length", g.u32(a), 2)
		wantEq(t, "length of none", g.u32(b), math.MaxUint32)
		g.guarded(a, 4)
		g.guarded(held, 4)
		number := int(g.u32(held))
		if number <= 0 {
			t.Fatalf("lock %d", number)
		}
		buf := g.room(4)
		for range 2 { // results may be fetched again
			args, n := g.words(2, buf, 3, 0, 0, 0, 99, 0)
			g.foreign("env.kv_batch_res", id, args, n)
			wantEq(t, "value", g.get(buf, 4), "17??")
			g.guarded(buf, 2)
		}
		next := g.batch(2, waveOpDelete, k, kl, waveOpLock, lock, ll, number, 0)
		wantEq(t, "number of the next", next, id+1)
		wantEq(t, "deleted", g.value("chain_count"), "-1")
		g.batch(1, waveOpLock, lock, ll, -1, held) // it is free again
		g.batch(1, waveOpLock, lock, ll, int(g.u32(held)), 0)
		wantEq(t, "no operation", g.batch(0), next+3)
	})
}

// TestWaverlessBatchIsWhole: what is wrong with an operation shows before any of them is run.
func TestWaverlessBatchIsWhole(t *testing.T) {
	const outside = 1 << 17
	space := newSpace()
	g := newGuest(t, AppOptions{Space: space, Limits: Limits{BatchOps: 3, BatchBytes: 64}})
	k, kl := g.text("k")
	id := g.room(4)
	for name, row := range map[string]struct {
		words []int
		texts []string
	}{
		"no count":             {nil, []string{"0 to 3 operations"}},
		"too many":             {[]int{4, 4, k, kl, 4, k, kl, 4, k, kl, 4, k, kl}, []string{"0 to 3 operations"}},
		"a negative count":     {[]int{-1}, []string{"0 to 3 operations"}},
		"fewer than counted":   {[]int{3, waveOpSet, k, kl, k, kl}, []string{"operation 2 of 3"}},
		"half of one":          {[]int{2, waveOpSet, k, kl, k, kl, waveOpGet, k}, []string{"operation 1", "kind 2"}},
		"an unknown kind":      {[]int{2, waveOpSet, k, kl, k, kl, 5, k, kl}, []string{"operation 1", "kind 5"}},
		"a key outside":        {[]int{2, waveOpSet, k, kl, k, kl, waveOpDelete, outside - 1, 2}, []string{"key", "outside"}},
		"a value outside":      {[]int{1, waveOpSet, k, kl, outside, 1}, []string{"value", "outside"}},
		"a length outside":     {[]int{2, waveOpSet, k, kl, k, kl, waveOpGet, k, kl, outside - 3}, []string{"len_out", "outside"}},
		"a lock's id outside":  {[]int{2, waveOpSet, k, kl, k, kl, waveOpLock, k, kl, -1, outside}, []string{"id_out", "outside"}},
		"too large altogether": {[]int{2, waveOpSet, k, kl, 64, 40, waveOpSet, k, kl, 64, 40}, []string{"64 bytes"}},
		"an empty key":         {[]int{2, waveOpSet, k, kl, k, kl, waveOpSet, k, 0, k, kl}, []string{"empty"}},
	} {
		ptr, n := g.words(row.words...)
		t.Run(name, func(t *testing.T) {
			g.t = t
			g.ends("env.kv_batch_ope", []any{ptr, n, id}, row.texts...)
			if len(space.values) != 0 || g.get(id, 4) != "????" {
				t.Errorf("it left %v, number %q", space.values, g.get(id, 4))
			}
		})
	}
}

// TestWaverlessBatchReads: one large value, named often, does not become memory of the daemon.
func TestWaverlessBatchReads(t *testing.T) {
	space := newSpace()
	space.values["big"] = make([]byte, kvstore.MaxValueBytes)
	g := newGuest(t, AppOptions{Space: space})
	k, kl := g.text("big")
	out, id := g.room(4), g.room(4)
	words := []int{8}
	for range 8 {
		words = append(words, waveOpGet, k, kl, out)
	}
	ptr, n := g.words(words...)
	g.ends("env.kv_batch_ope", []any{ptr, n, id}, "33554432 bytes")
	for range 5 { // of the results that are kept, those of the two latest fit
		ptr, n = g.words(1, waveOpGet, k, kl, out)
		g.foreign("env.kv_batch_ope", ptr, n, id)
	}
	wantEq(t, "kept", len(g.env.foreign.results), 2)
	wantEq(t, "bytes kept", g.env.foreign.keptBytes, 2*kvstore.MaxValueBytes)
	args, n := g.words()
	g.ends("env.kv_batch_res", []any{3, args, n}, "no result 3")
	g.foreign("env.kv_batch_res", 4, args, n)
}

// TestWaverlessLocks: who fails gives up its locks, who ends well leaves them to whom it told of them.
func TestWaverlessLocks(t *testing.T) {
	space := newSpace()
	log := &sink{}
	g := newGuest(t, AppOptions{Space: space, Log: log})
	lock, ll := g.text("l")
	held := g.room(4)
	g.batch(1, waveOpLock, lock, ll, -1, held)
	g.env.Finish(errors.New("trapped"))
	wantEq(t, "locks after a failure", len(space.locks), 0)
	g.begin(nil)
	g.batch(1, waveOpLock, lock, ll, -1, held)
	g.env.Finish(nil)
	wantEq(t, "locks after a good end", len(space.locks), 1)
	g.begin(nil)
	g.batch(1, waveOpLock, lock, ll, int(g.u32(held)), 0)
	wantEq(t, "locks after another has given it up", len(space.locks), 0)
	g.batch(1, waveOpLock, lock, ll, int(g.u32(held)), 0)
	if texts := strings.Join(log.texts(), "\n"); !strings.Contains(texts, `of "l" is not held any more`) {
		t.Errorf("log: %q", texts)
	}
}

func TestWaverlessFiles(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{"data.txt": "0123456789", "sub/deep": "deep"} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	g := newGuest(t, AppOptions{Dirs: []Dir{{Guest: "/files", Host: dir, ReadOnly: true}}})
	fd, got, buf := g.room(4), g.room(4), g.room(8)
	open := func(name string) int {
		ptr, n := g.text(name)
		g.foreign("env.open_file", ptr, n, fd)
		return int(g.u32(fd))
	}
	number := open("data.txt")
	wantEq(t, "another", open("/files/sub/deep"), number+1)
	g.foreign("env.read_file_at", number, buf, 8, 4, got)
	wantEq(t, "read", g.u32(got), 6)
	wantEq(t, "bytes", g.get(buf, 8), "456789??")
	g.guarded(buf, 6)
	g.foreign("env.read_file_at", number, buf, 8, 10, got)
	wantEq(t, "read at the end", g.u32(got), 0)
	for _, name := range []string{"", "missing", "../etc/passwd", "/etc/passwd", "/files", "sub\x00"} {
		ptr, n := g.text(name)
		g.ends("env.open_file", []any{ptr, n, fd}, "errno")
	}
	g.ends("env.read_file_at", []any{99, buf, 8, 0, got}, "descriptor 99")
	g.ends("env.read_file_at", []any{0, buf, 8, 0, got}, "descriptor 0")
	for range 62 {
		open("data.txt")
	}
	ptr, n := g.text("data.txt")
	g.ends("env.open_file", []any{ptr, n, fd}, fmt.Sprint("errno ", eMfile))
}

func TestWaverlessResult(t *testing.T) {
	log := &sink{}
	g := newGuest(t, AppOptions{ABI: ABIWaverless, Log: log, Limits: Limits{OutputBytes: 16, StreamBytes: 4}})
	g.begin(request{body: "body"})
	g.env.OnOutput(func(int, []Header, []byte) error { t.Error("a part went out"); return nil })
	g.write(1, "hello world\n")
	for _, text := range []string{"not this one", "but this"} {
		ptr, n := g.text(text)
		g.foreign("env.write_result", ptr, n)
	}
	ptr, n := g.text(strings.Repeat("x", 17))
	g.ends("env.write_result", []any{ptr, n}, "17 bytes", "16 bytes")
	out := g.env.Finish(nil)
	wantEq(t, "body", string(out.Body), "but this")
	wantEq(t, "error", out.Err, nil)
	wantEq(t, "log", strings.Join(log.texts(), "|"), "hello world")
}

func TestArgument(t *testing.T) {
	g := newGuest(t, AppOptions{ABI: ABIWaverless})
	wantEq(t, "of start-up", string(g.env.Argument()), "")
	g.begin(request{body: "body"})
	wantEq(t, "of a request", string(g.env.Argument()), "body")
	g.begin(request{body: "body", meta: map[string]string{"key": "slice_1"}})
	wantEq(t, "of a change", string(g.env.Argument()), "slice_1")
}

func TestForeign(t *testing.T) {
	for name, row := range map[string]struct {
		imports []Import
		want    ABI
		found   bool
	}{
		"nothing":    {nil, ABIEdged, false},
		"own":        {[]Import{{moduleEdged, "kv_set"}, {moduleWASI, "fd_write"}}, ABIEdged, false},
		"waverless":  {[]Import{{moduleWASI, "fd_write"}, {moduleEnv, "kv_set"}, {moduleEnv, "write_result"}}, ABIWaverless, true},
		"faasm":      {[]Import{{moduleEnv, "__faasm_read_input"}}, ABIFaasm, true},
		"sledge":     {[]Import{{moduleScratch, "get"}}, ABISledge, true},
		"old sledge": {[]Import{{moduleEnv, "scratch_storage_get"}}, ABISledge, true},
		"two":        {[]Import{{moduleEnv, "kv_set"}, {moduleEnv, "__faasm_read_input"}}, ABIEdged, false},
		"unknown":    {[]Import{{moduleEnv, "abort"}}, ABIEdged, false},
	} {
		if got, found := Foreign(row.imports); got != row.want || found != row.found {
			t.Errorf("%s: %v %v, want %v %v", name, got, found, row.want, row.found)
		}
	}
}
