package kvstore

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var modelSteps = flag.Int("kv.model-steps", 3000, "steps of the model test for each seed and class")

// model is the simplest thing that behaves like a space.
type model map[string]string

func (m model) apply(ops []Op) (model, []OpResult, error) {
	out, res := maps.Clone(m), make([]OpResult, len(ops))
	for i, o := range ops {
		k := string(o.Key)
		v, found := out[k]
		switch o.Kind {
		case OpGet:
			res[i].Found = found
			if found {
				res[i].Value = []byte(v)
			}
		case OpSet:
			out[k] = string(o.Value)
		case OpDelete:
			res[i].Found = found
			delete(out, k)
		case OpCompareAndSwap:
			if found != (o.Old != nil) || found && v != string(o.Old) {
				return m, nil, ErrConflict
			}
			if o.Value == nil {
				delete(out, k)
			} else {
				out[k] = string(o.Value)
			}
		}
	}
	return out, res, nil
}

func (m model) scan(prefix, after string, strict bool) (out []string) {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if strings.HasPrefix(k, prefix) && (!strict || k > after) {
			out = append(out, k+"="+m[k])
		}
	}
	return out
}

// TestModel runs random operations against a space and the model and reopens the store at random moments.
func TestModel(t *testing.T) {
	for _, d := range allClasses {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", d, seed), func(t *testing.T) { runModel(t, d, seed) })
		}
	}
}

func runModel(t *testing.T, d Durability, seed uint64) {
	t.Helper()
	r := rand.New(rand.NewPCG(seed, uint64(d)))
	path := filepath.Join(t.TempDir(), "kv.db")
	opts := &Options{BatchDelay: time.Duration(1+r.IntN(20)) * time.Millisecond, GroupBytes: int64(1000 + r.IntN(100_000))}
	s := mustOpen(t, path, opts)
	sp, m := mustSpace(t, s, "app", d), model{}
	mustSet(t, mustSpace(t, s, "neighbour", Sync), "k", "v")
	steps := *modelSteps
	if d == Sync {
		steps /= 4 // each is an fsync
	}
	for step := range steps {
		switch n := r.IntN(100); {
		case n < 1:
			if err := s.Close(); err != nil {
				t.Fatalf("step %d: Close: %v", step, err)
			}
			checkConsistent(t, path)
			s = mustOpen(t, path, opts)
			sp = mustSpace(t, s, "app", d)
			wantValue(t, mustSpace(t, s, "neighbour", Sync), "k", "v")
			if d == Memory {
				m = model{}
			}
		case n < 35:
			k := randomKey(r)
			got, err := sp.Get([]byte(k), nil)
			want, found := m[k]
			if found != (err == nil) || string(got) != want || !found && !errors.Is(err, ErrNotFound) {
				t.Fatalf("step %d: Get(%q) = %.30q, %v; want %.30q, %v", step, k, got, err, want, found)
			}
		case n < 45:
			compareScan(t, r, sp, m)
		default:
			m = compareApply(t, r, sp, m)
		}
		if t.Failed() {
			t.Fatalf("step %d", step)
		}
	}
	compareScan(t, r, sp, m)
}

func compareScan(t *testing.T, r *rand.Rand, sp *Space, m model) {
	t.Helper()
	prefix, after := randomKey(r), randomKey(r)
	prefix = prefix[:r.IntN(len(prefix)+1)]
	var from []byte
	if r.IntN(2) == 0 {
		from = []byte(after)
	}
	got, want := scanAll(t, sp, []byte(prefix), from), m.scan(prefix, after, from != nil)
	if !slices.Equal(got, want) {
		t.Errorf("Scan(%q, %q): %d entries, want %d", prefix, from, len(got), len(want))
	}
}

func compareApply(t *testing.T, r *rand.Rand, sp *Space, m model) model {
	t.Helper()
	ops := make([]Op, 1+r.IntN(3)*r.IntN(5))
	for i := range ops {
		ops[i] = randomOp(r, m)
	}
	next, want, wantError := m.apply(ops)
	got, err := applyOrSingle(t, sp, ops)
	if !errors.Is(err, wantError) {
		t.Errorf("Apply(%d ops): error %v, want %v", len(ops), err, wantError)
	}
	for i := range want {
		if got[i].Found != want[i].Found || !bytes.Equal(got[i].Value, want[i].Value) {
			t.Errorf("op %d: %+v, want %+v", i, got[i], want[i])
		}
	}
	return next
}

// applyOrSingle uses the single-operation methods for batches of one.
func applyOrSingle(t *testing.T, sp *Space, ops []Op) ([]OpResult, error) {
	if o := ops[0]; len(ops) == 1 {
		switch o.Kind {
		case OpSet:
			return []OpResult{{}}, sp.Set(t.Context(), o.Key, o.Value)
		case OpDelete:
			found, err := sp.Delete(t.Context(), o.Key)
			return []OpResult{{Found: found}}, err
		case OpCompareAndSwap:
			return []OpResult{{}}, sp.CompareAndSwap(t.Context(), o.Key, o.Old, o.Value)
		case OpGet:
		}
	}
	return sp.Apply(t.Context(), ops)
}

func randomKey(r *rand.Rand) string {
	k := fmt.Sprintf("%c/%03d", 'a'+r.IntN(3), r.IntN(200))
	if r.IntN(50) == 0 {
		k += strings.Repeat("x", MaxKeyBytes-len(k))
	}
	return k
}

func randomValue(r *rand.Rand) []byte {
	n := r.IntN(100)
	switch r.IntN(40) {
	case 0:
		n = 0
	case 1:
		n = r.IntN(20_000)
	}
	return bytes.Repeat([]byte{byte(r.Uint32())}, n)
}

func randomOp(r *rand.Rand, m model) Op {
	o := Op{Kind: OpGet + OpKind(r.IntN(4)), Key: []byte(randomKey(r))}
	switch o.Kind {
	case OpSet:
		o.Value = randomValue(r)
	case OpCompareAndSwap:
		if v, ok := m[string(o.Key)]; ok && r.IntN(4) > 0 {
			o.Old = []byte(v)
		}
		if r.IntN(3) > 0 {
			o.Value = randomValue(r)
		}
	case OpGet, OpDelete:
	}
	return o
}

// TestTableModel compares the ordered table with a map, with enough keys for many chunks.
func TestTableModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var tab table
	m := map[string]string{}
	for range 60_000 {
		k := fmt.Sprint(r.IntN(5000))
		if r.IntN(3) == 0 {
			_, had := m[k]
			if tab.remove([]byte(k)) != had {
				t.Fatalf("remove %q", k)
			}
			delete(m, k)
			continue
		}
		tab.put(entry{key: []byte(k), rec: []byte(k + "v")})
		m[k] = k + "v"
	}
	var got []string
	tab.walk(nil, func(e entry) bool { got = append(got, string(e.key)); return true })
	if !slices.Equal(got, slices.Sorted(maps.Keys(m))) || tab.count != len(m) {
		t.Fatalf("table has %d (%d) entries, map %d", len(got), tab.count, len(m))
	}
	var size int64
	for k, v := range m {
		size += int64(len(k) + len(v))
		if e, ok := tab.find([]byte(k)); !ok || string(e.rec) != v {
			t.Fatalf("find %q: %v %q", k, ok, e.rec)
		}
	}
	if tab.bytes != size {
		t.Errorf("bytes = %d, want %d", tab.bytes, size)
	}
}
