package kvstore

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var damageSeeds = flag.Int("kv.damage-seeds", 600, "damaged files to try")

// flipAll flips each bit of the file between from and to, calls fn, and puts the bit back.
func flipAll(t *testing.T, path string, from, to int64, fn func(bit int64)) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	one := make([]byte, 1)
	for bit := from * 8; bit < to*8; bit++ {
		for pass := range 2 {
			if _, err := f.ReadAt(one, bit/8); err != nil {
				t.Fatal(err)
			}
			one[0] ^= 1 << (bit % 8)
			if _, err := f.WriteAt(one, bit/8); err != nil {
				t.Fatal(err)
			}
			if pass == 0 {
				fn(bit)
			}
		}
	}
}

// TestEveryBitOfAValue flips every bit of a stored record, its checksums and its value, in the closed file: Open or Get must say ErrCorrupt.
func TestEveryBitOfAValue(t *testing.T) {
	for name, value := range map[string][]byte{
		"inline": []byte("a value inside the parent's page"),
		"leaf":   bytes.Repeat([]byte("leaf"), 300),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "kv.db")
			s := mustOpen(t, path, nil)
			sp := mustSpace(t, s, "app", Sync)
			mustSet(t, sp, "before", "neighbour")
			mustSet(t, sp, "key", string(value))
			rec := sp.seal.encode([]byte("key"), value)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			at := int64(currentRecord(t, file, rec, path))
			flips, opened := 0, 0
			flipAll(t, path, at, at+int64(len(rec)), func(bit int64) {
				flips++
				s, err := Open(path, nil)
				if err != nil {
					if !errors.Is(err, ErrCorrupt) {
						t.Errorf("bit %d: Open: %v", bit, err)
					}
					return
				}
				opened++
				defer s.Close()
				sp := mustSpace(t, s, "app", Sync)
				got, err := sp.Get([]byte("key"), nil)
				var ce *CorruptError
				if !errors.As(err, &ce) || ce.Space != "app" || string(ce.Key) != "key" || len(got) != 0 || s.Stats().CorruptValues != 1 {
					t.Errorf("bit %d: Get = %q, %v", bit, got, err)
				}
				wantValue(t, sp, "before", "neighbour")
				wantErr(t, "Scan", sp.Scan([]byte("key"), nil, func(_, _ []byte) bool { return true }), ErrCorrupt)
				wantErr(t, "cas", sp.CompareAndSwap(t.Context(), []byte("key"), value, value), ErrCorrupt)
			})
			if flips != len(rec)*8 || opened < len(value)*8 {
				t.Errorf("%d flips, %d opened", flips, opened)
			}
		})
	}
}

// currentRecord finds the one copy of rec whose change is seen: stale pages may hold older ones.
func currentRecord(t *testing.T, file, rec []byte, path string) int {
	t.Helper()
	for at := 0; ; at++ {
		n := bytes.Index(file[at:], rec)
		if n < 0 {
			t.Fatal("the record is not in the file")
		}
		at += n
		damagedFile := bytes.Clone(file)
		damagedFile[at+len(rec)-1] ^= 1
		other := path + ".probe"
		if err := os.WriteFile(other, damagedFile, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(other, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = mustSpace(t, s, "app", Sync).Get([]byte("key"), nil)
		if closeErr := s.Close(); closeErr != nil {
			t.Fatal(closeErr)
		}
		if errors.Is(err, ErrCorrupt) {
			return at
		}
	}
}

func TestDamagedValueCanBeReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	s := mustOpen(t, path, nil)
	sp := mustSpace(t, s, "app", Sync)
	mustSet(t, sp, "key", "some value that will decay")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	damagedFile := bytes.ReplaceAll(file, []byte("will decay"), []byte("has decayed")[:10])
	if err := os.WriteFile(path, damagedFile, 0o600); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, path, nil)
	sp = mustSpace(t, s, "app", Sync)
	wantErr(t, "Get", second(sp.Get([]byte("key"), nil)), ErrCorrupt)
	res, err := s.Scrub(t.Context(), nil)
	if err != nil || res.Corrupt != 1 || len(res.Findings) != 1 || string(res.Findings[0].Key) != "key" {
		t.Errorf("Scrub: %+v, %v", res, err)
	}
	_, err = s.Export(t.Context(), io.Discard, "app")
	wantErr(t, "Export", err, ErrCorrupt)
	mustSet(t, sp, "key", "new")
	wantValue(t, sp, "key", "new")
}

// TestSwappedValues stores a valid record under another key and in another space: both must be noticed.
func TestSwappedValues(t *testing.T) {
	a, b := newSeal("app"), newSeal("bpp")
	rec := a.encode([]byte("key"), []byte("value"))
	if _, ok := a.decode([]byte("key"), rec); !ok {
		t.Error("the right key is refused")
	}
	if _, ok := a.decode([]byte("kez"), rec); ok {
		t.Error("another key is accepted")
	}
	if _, ok := b.decode([]byte("key"), rec); ok {
		t.Error("another space is accepted")
	}
	for n := range rec {
		if _, ok := a.decode([]byte("key"), rec[:n]); ok {
			t.Errorf("a record cut to %d bytes is accepted", n)
		}
	}
}

// goldenValue is the value that the damage tests store under key i.
func goldenValue(i int) []byte {
	n := (i * 37) % 300
	if i%50 == 0 {
		n = 5000 + i
	}
	return bytes.Repeat([]byte{byte(i), byte(i >> 8), '.'}, n/3+1)
}

const goldenKeys = 1200

func goldenKey(i int) []byte { return fmt.Appendf(nil, "key/%06d", i*7) }

func makeGolden(tb testing.TB, path string) {
	tb.Helper()
	s, err := Open(path, nil)
	if err != nil {
		tb.Fatal(err)
	}
	for _, name := range []string{"large", "small"} {
		sp := mustSpace(tb, s, name, Sync)
		keys := goldenKeys
		if name == "small" {
			keys = 5
		}
		for i := 0; i < keys; i += 100 { // several commits, so that there are free pages
			var ops []Op
			for k := i; k < min(i+100, keys); k++ {
				ops = append(ops, Op{Kind: OpSet, Key: goldenKey(k), Value: goldenValue(k)})
			}
			if _, err := sp.Apply(tb.Context(), ops); err != nil {
				tb.Fatal(err)
			}
		}
	}
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// damageFile changes the file at random: pages overwritten, swapped, zeroed or copied, bits flipped, the file cut.
func damageFile(path string, r *rand.Rand) (string, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	pages := info.Size() / pageSize
	buf, other := make([]byte, pageSize), make([]byte, pageSize)
	at, to := r.Int64N(pages)*pageSize, r.Int64N(pages)*pageSize
	if _, err := f.ReadAt(buf, at); err != nil {
		return "", err
	}
	if _, err := f.ReadAt(other, to); err != nil {
		return "", err
	}
	kind := r.IntN(7)
	what := fmt.Sprintf("kind %d at page %d, to %d", kind, at/pageSize, to/pageSize)
	switch kind {
	case 0: // noise
		for i := range buf {
			buf[i] = byte(r.Uint32())
		}
	case 1:
		clear(buf)
	case 2: // one bit
		buf[r.IntN(pageSize)] ^= 1 << r.IntN(8)
	case 3: // one bit where the structure is
		buf[r.IntN(200)] ^= 1 << r.IntN(8)
	case 4: // misdirected write
		copy(buf, other)
	case 5: // a page's content with the right page number
		copy(buf[8:], other[8:])
	case 6:
		return what, f.Truncate(r.Int64N(info.Size()))
	}
	_, err = f.WriteAt(buf, at)
	return what, err
}

// readerChild damages copies of the file in directory dir and reads everything. It reports wrong answers; a crash is seen by the parent.
func readerChild(dir string, out io.Writer) int {
	golden, victim := filepath.Join(dir, "golden"), filepath.Join(dir, fmt.Sprintf("victim-%d", os.Getpid()))
	refused, found, clean := 0, 0, 0
	for seed := *childSeed; seed < *childSeed+*childCount; seed++ {
		what, outcome, err := tryDamaged(golden, victim, uint64(seed))
		if err != nil {
			fmt.Fprintf(out, "WRONG seed %d (%s): %v\n", seed, what, err)
			return 3
		}
		switch outcome {
		case "refused":
			refused++
		case "found":
			found++
		default:
			clean++
		}
	}
	fmt.Fprintf(out, "refused %d, found at reading %d, unharmed %d\n", refused, found, clean)
	return 0
}

func tryDamaged(golden, victim string, seed uint64) (what, outcome string, err error) {
	b, err := os.ReadFile(golden)
	if err != nil {
		return "", "", err
	}
	if err := os.WriteFile(victim, b, 0o600); err != nil {
		return "", "", err
	}
	r := rand.New(rand.NewPCG(seed, 7))
	live := seed%4 == 3 // the disk decays under an open file
	if !live {
		if what, err = damageFile(victim, r); err != nil {
			return what, "", err
		}
	}
	s, err := Open(victim, nil)
	if err != nil {
		if errors.Is(err, ErrCorrupt) {
			return what, "refused", nil
		}
		return what, "", err
	}
	defer s.Close()
	if live {
		if what, err = damageFile(victim, r); err != nil {
			return what, "", err
		}
		what += " live"
	}
	outcome = "clean"
	for _, name := range []string{"large", "small"} {
		damagedSpace, err := readAll(s, name, live)
		if err != nil {
			return what, "", err
		}
		if damagedSpace {
			outcome = "found"
		}
	}
	return what, outcome, nil
}

// readAll compares a space with what was stored. Errors are right answers, other values are not; a key may be missing only when the
// file changed after it was checked.
func readAll(s *Store, name string, live bool) (found bool, err error) {
	sp := newSpace(s, name, Sync)
	keys := goldenKeys
	if name == "small" {
		keys = 5
	}
	for i := range keys {
		v, err := sp.Get(goldenKey(i), nil)
		switch {
		case err == nil && !bytes.Equal(v, goldenValue(i)):
			return false, fmt.Errorf("key %d has a wrong value", i)
		case err == nil:
		case errors.Is(err, ErrCorrupt) || live && (errors.Is(err, ErrNotFound) || errors.Is(err, ErrDropped)):
			found = true
		default:
			return false, fmt.Errorf("key %d: %w", i, err)
		}
	}
	n := 0
	err = sp.Scan(nil, nil, func(k, v []byte) bool {
		for n < keys && live && !bytes.Equal(k, goldenKey(n)) {
			n++
		}
		if n >= keys || !bytes.Equal(k, goldenKey(n)) || !bytes.Equal(v, goldenValue(n)) {
			n = -1
			return false
		}
		n++
		return true
	})
	if n < 0 || err == nil && n != keys && !live {
		return false, fmt.Errorf("scan: wrong at %d of %d", n, keys)
	}
	_, scrubErr := s.Scrub(context.Background(), nil)
	return found || err != nil || scrubErr != nil, nil //nolint:nilerr // an error is what was looked for
}

// TestDamagedFiles damages files at random and reads them in child processes, so that a crash is seen as one.
func TestDamagedFiles(t *testing.T) {
	dir := t.TempDir()
	makeGolden(t, filepath.Join(dir, "golden"))
	seeds := *damageSeeds
	if testing.Short() {
		seeds /= 10
	}
	const perChild = 100
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	for first := 0; first < seeds; first += perChild {
		cmd := exec.CommandContext(ctx, os.Args[0], "-kv.child=reader", "-kv.path="+dir,
			fmt.Sprintf("-kv.seed=%d", first), fmt.Sprintf("-kv.count=%d", min(perChild, seeds-first)))
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("seeds from %d: %v\n%.3000s", first, err, out)
		}
		if testing.Verbose() {
			t.Log(strings.TrimSpace(string(out)))
		}
	}
}

// TestEveryByteOfASmallFile flips one random bit in every used byte of a small file.
func TestEveryByteOfASmallFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	s := mustOpen(t, path, nil)
	want := map[string][]string{}
	for _, name := range []string{"aa", "bb"} {
		sp := mustSpace(t, s, name, Sync)
		for i := range 30 {
			mustSet(t, sp, fmt.Sprintf("key%02d", i), strings.Repeat("v", i*3))
		}
		want[name] = scanAll(t, sp, nil, nil)
	}
	if _, err := mustSpace(t, s, "aa", Sync).Lock(t.Context(), []byte("l"), time.Minute); err != nil {
		t.Fatal(err)
	}
	size := s.Stats().FileBytes
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(3, 3))
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	file = file[:size]
	var refused, found, harmless int
	for at := range size {
		if file[at] == 0 && r.IntN(32) > 0 {
			continue // most of the file is padding
		}
		old := file[at]
		file[at] ^= 1 << r.IntN(8)
		err := checkFile(bytes.NewReader(file), int64(len(file)))
		switch {
		case err != nil:
			wantErr(t, "checkFile", err, ErrCorrupt)
			refused++
		case sameContent(t, file, path, want):
			harmless++
		default:
			found++
		}
		file[at] = old
	}
	t.Logf("refused %d, found at reading %d, harmless (free pages, padding, unused fields) %d", refused, found, harmless)
	if refused == 0 || found == 0 {
		t.Error("the test does not reach the data")
	}
}

// sameContent opens the damaged file; any difference must come with an error.
func sameContent(t *testing.T, file []byte, path string, want map[string][]string) bool {
	t.Helper()
	victim := path + ".victim"
	if err := os.WriteFile(victim, file, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(victim, nil)
	if err != nil {
		wantErr(t, "Open", err, ErrCorrupt) // the format and token records are verified by Open
		return false
	}
	defer s.Close()
	for name, entries := range want {
		sp := newSpace(s, name, Sync)
		var got []string
		err := sp.Scan(nil, nil, func(k, v []byte) bool { got = append(got, string(k)+"="+string(v)); return true })
		if err != nil {
			wantErr(t, "Scan", err, ErrCorrupt)
			return false
		}
		if strings.Join(got, "\n") != strings.Join(entries, "\n") {
			t.Errorf("space %q reads wrong without an error", name)
		}
	}
	return true
}

// TestTruncatedUnderOpenStore takes pages away from under the memory map: the fault must become an error.
func TestTruncatedUnderOpenStore(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kv.db")
	makeGolden(t, path)
	s, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	sp := mustSpace(t, s, "large", Sync)
	if err := os.Truncate(path, 2*pageSize); err != nil {
		t.Fatal(err)
	}
	wantErr(t, "Get", second(sp.Get(goldenKey(0), nil)), ErrCorrupt)
	wantErr(t, "Scan", sp.Scan(nil, nil, func(_, _ []byte) bool { return true }), ErrCorrupt)
	wantErr(t, "Set", sp.Set(t.Context(), goldenKey(0), nil), ErrCorrupt)
	wantErr(t, "Spaces", second(s.Spaces()), ErrCorrupt)
	wantErr(t, "Export", second(s.Export(t.Context(), io.Discard, "large")), ErrCorrupt)
}

func FuzzCheckFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "golden")
	makeGolden(f, path)
	golden, err := os.ReadFile(path)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint32(0), []byte{1})
	f.Add(uint32(pageSize*5+16), []byte{1, 2, 3, 4, 5, 6, 7, 8})
	f.Fuzz(func(t *testing.T, at uint32, patch []byte) {
		file := bytes.Clone(golden)
		copy(file[int(at)%len(file):], patch)
		if err := checkFile(bytes.NewReader(file), int64(len(file))); err != nil && !errors.Is(err, ErrCorrupt) {
			t.Errorf("checkFile: %v", err)
		}
	})
}
