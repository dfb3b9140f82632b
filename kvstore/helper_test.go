package kvstore

import (
	"context"
	"errors"
	"flag"
	"fmt"
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
	case "events":
		os.Exit(eventChild(*childPath, *childSeed, os.Stdout))
	case "reader":
		os.Exit(readerChild(*childPath, os.Stdout))
	default:
		fmt.Fprintln(os.Stderr, "unknown child", *childMode)
		os.Exit(2)
	}
}

// mustOpen opens the store at path and, when the test ends, closes it and checks the file with bbolt's checker and ours.
func mustOpen(tb testing.TB, path string, o *Options) *Store {
	tb.Helper()
	s, err := Open(path, o)
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
		checkConsistent(tb, path)
	})
	return s
}

func newStore(tb testing.TB, o *Options) *Store {
	tb.Helper()
	return mustOpen(tb, filepath.Join(tb.TempDir(), "kv.db"), o)
}

func mustSpace(tb testing.TB, s *Store, name string, d Durability) *Space {
	tb.Helper()
	sp, err := s.Space(name, d)
	if err != nil {
		tb.Fatalf("Space(%q, %s): %v", name, d, err)
	}
	return sp
}

// checkConsistent runs bbolt's own check and checkFile over a closed file.
func checkConsistent(tb testing.TB, path string) {
	tb.Helper()
	f, err := os.Open(path)
	if err != nil {
		tb.Errorf("open for check: %v", err)
		return
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		tb.Errorf("stat: %v", err)
		return
	}
	if err := checkFile(f, info.Size()); err != nil {
		tb.Errorf("checkFile: %v", err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, PreLoadFreelist: true, Timeout: time.Second})
	if err != nil {
		tb.Errorf("bbolt open for check: %v", err)
		return
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		for err := range tx.Check() {
			tb.Errorf("bbolt check: %v", err)
		}
		return nil
	})
	if err != nil {
		tb.Errorf("bbolt check: %v", err)
	}
}

func mustSet(tb testing.TB, sp *Space, key, value string) {
	tb.Helper()
	if err := sp.Set(tb.Context(), []byte(key), []byte(value)); err != nil {
		tb.Fatalf("Set(%q): %v", key, err)
	}
}

// wantValue asserts the value of key; want "" with absent means ErrNotFound.
func wantValue(tb testing.TB, sp *Space, key, want string) {
	tb.Helper()
	got, err := sp.Get([]byte(key), nil)
	if err != nil || string(got) != want {
		tb.Errorf("%s: Get(%q) = %.40q, %v; want %.40q", sp.Name(), key, got, err, want)
	}
}

func wantAbsent(tb testing.TB, sp *Space, key string) {
	tb.Helper()
	if got, err := sp.Get([]byte(key), nil); !errors.Is(err, ErrNotFound) {
		tb.Errorf("%s: Get(%q) = %.40q, %v; want ErrNotFound", sp.Name(), key, got, err)
	}
}

func wantErr(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Errorf("%s: error %v, want %v", what, err, want)
	}
}

func scanAll(tb testing.TB, sp *Space, prefix, after []byte) (out []string) {
	tb.Helper()
	err := sp.Scan(prefix, after, func(k, v []byte) bool {
		out = append(out, string(k)+"="+string(v))
		return true
	})
	if err != nil {
		tb.Errorf("Scan: %v", err)
	}
	return out
}

var allClasses = []Durability{Sync, Batched, Memory}

var background = context.Background()
