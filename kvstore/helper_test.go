package kvstore

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var (
	childMode  = flag.String("kv.child", "", "internal: run as the named child instead of testing")
	childPath  = flag.String("kv.path", "", "internal: the file the child works on")
	childSeed  = flag.Int64("kv.seed", 0, "internal: the child's random seed")
	childCount = flag.Int64("kv.count", 0, "internal: how many seeds the child tries")
)

// TestMain runs the children of the kill and damage tests in a process of their own.
func TestMain(m *testing.M) {
	flag.Parse()
	switch *childMode {
	case "":
		os.Exit(m.Run())
	case "writer":
		os.Exit(writerChild(*childPath, *childSeed, os.Stdout))
	case "reader":
		os.Exit(readerChild(*childPath, os.Stdout))
	default:
		fmt.Fprintln(os.Stderr, "unknown child", *childMode)
		os.Exit(2)
	}
}

// mustOpen opens the store at path and, when the test ends, closes it and checks the file with bbolt's checker and ours.
func mustOpen(t testing.TB, path string, o *Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		checkConsistent(t, path)
	})
	return s
}

func newStore(t testing.TB, o *Options) *Store {
	t.Helper()
	return mustOpen(t, filepath.Join(t.TempDir(), "kv.db"), o)
}

func mustSpace(t testing.TB, s *Store, name string, d Durability) *Space {
	t.Helper()
	sp, err := s.Space(name, d)
	if err != nil {
		t.Fatalf("Space(%q, %s): %v", name, d, err)
	}
	return sp
}

// checkConsistent runs bbolt's own check and checkFile over a closed file.
func checkConsistent(t testing.TB, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Errorf("open for check: %v", err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		t.Errorf("stat: %v", err)
		return
	}
	if err := checkFile(f, info.Size()); err != nil {
		t.Errorf("checkFile: %v", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		t.Errorf("bbolt open for check: %v", err)
		return
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			t.Errorf("bbolt check: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Errorf("bbolt check: %v", err)
	}
}

func mustSet(t testing.TB, sp *Space, key, value string) {
	t.Helper()
	if err := sp.Set(t.Context(), []byte(key), []byte(value)); err != nil {
		t.Fatalf("Set(%q): %v", key, err)
	}
}

// wantValue asserts the value of key; want "" with absent means ErrNotFound.
func wantValue(t testing.TB, sp *Space, key, want string) {
	t.Helper()
	got, err := sp.Get([]byte(key), nil)
	if err != nil || string(got) != want {
		t.Errorf("%s: Get(%q) = %.40q, %v; want %.40q", sp.Name(), key, got, err, want)
	}
}

func wantAbsent(t testing.TB, sp *Space, key string) {
	t.Helper()
	if got, err := sp.Get([]byte(key), nil); !errors.Is(err, ErrNotFound) {
		t.Errorf("%s: Get(%q) = %.40q, %v; want ErrNotFound", sp.Name(), key, got, err)
	}
}

func wantErr(t testing.TB, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func scanAll(t testing.TB, sp *Space, prefix, after []byte) (out []string) {
	t.Helper()
	err := sp.Scan(prefix, after, func(k, v []byte) bool {
		out = append(out, string(k)+"="+string(v))
		return true
	})
	if err != nil {
		t.Errorf("Scan: %v", err)
	}
	return out
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	src, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(dst, src); err != nil {
		t.Fatal(err)
	}
	if err := dst.Close(); err != nil {
		t.Fatal(err)
	}
}

var allClasses = []Durability{Sync, Batched, Memory}

var background = context.Background()
