package app

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// tempSuffix marks files that are being written; what is left of one after a crash is removed when the registry opens.
const tempSuffix = ".tmp"

// disk writes files such that a crash leaves the old file or the new one. before, when not nil, is called with the name
// of each step ahead of it, and its error takes the step's place: tests stop there as a crash would.
type disk struct{ before func(step string) error }

func (d disk) step(name string, act func() error) error {
	if d.before != nil {
		if err := d.before(name); err != nil {
			return err
		}
	}
	return act()
}

// replace writes content to path: whole, on disk, and named only when both. On an error the old file may have been
// replaced already when only the last step, making the name durable, went wrong.
func (d disk) replace(path string, content []byte) error {
	temp := path + tempSuffix
	err := d.step("write", func() error { return writeSynced(temp, content) })
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	rename := func() error { return os.Rename(temp, path) } //nolint:gosec // names in it are checked: an app's, or a hash
	if err := d.step("rename", rename); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return d.syncDir(filepath.Dir(path))
}

// remove deletes a file durably. One that is not there is no error.
func (d disk) remove(path string) error {
	err := d.step("remove", func() error { return os.Remove(path) }) //nolint:gosec // as in replace
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return d.syncDir(filepath.Dir(path))
}

// syncDir makes the names in a folder durable: fsync of a file does not (fsync(2)).
func (d disk) syncDir(dir string) error {
	err := d.step("sync folder", func() error {
		file, err := os.Open(dir) //nolint:gosec // below the operator's own data folder
		if err != nil {
			return err
		}
		return errors.Join(file.Sync(), file.Close())
	})
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func writeSynced(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) //nolint:gosec // below the operator's own data folder
	if err != nil {
		return err
	}
	if _, err := file.Write(content); err != nil {
		return errors.Join(err, file.Close())
	}
	return errors.Join(file.Sync(), file.Close())
}

// Hash is the SHA-256 of a file's content in lower-case hexadecimal.
type Hash string

func hashOf(content []byte) Hash {
	sum := sha256.Sum256(content)
	return Hash(hex.EncodeToString(sum[:]))
}

// valid reports whether h has the form of a hash, so that it can be part of a path.
func (h Hash) valid() bool {
	raw, err := hex.DecodeString(string(h))
	return err == nil && len(raw) == sha256.Size && strings.ToLower(string(h)) == string(h)
}

// store keeps files under the hash of their content in one folder. It is guarded by the registry's write lock.
type store struct {
	disk disk
	dir  string
	ext  string // with the dot
}

func (s store) path(h Hash) string { return filepath.Join(s.dir, string(h)+s.ext) }

// put keeps content and returns its hash. What is there already is written again only when it is damaged.
func (s store) put(content []byte) (Hash, error) {
	h := hashOf(content)
	if _, err := s.read(h); err == nil {
		return h, nil
	}
	return h, s.disk.replace(s.path(h), content)
}

// read returns the content of a hash, verified. The error wraps ErrDamaged when it is missing or not what was put.
func (s store) read(h Hash) ([]byte, error) {
	if !h.valid() {
		return nil, fmt.Errorf("%w: %q is not a hash", ErrDamaged, string(h))
	}
	content, err := os.ReadFile(s.path(h)) //nolint:gosec // h is a hash
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, s.path(h))
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.path(h), err)
	}
	if got := hashOf(content); got != h {
		return nil, fmt.Errorf("%w: %s has other content than was stored (its SHA-256 is %s)", ErrDamaged, s.path(h), got)
	}
	return content, nil
}

// collect removes every file that keep does not name, unfinished ones too.
func (s store) collect(keep map[Hash]bool) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return fmt.Errorf("collect %s: %w", s.dir, err)
	}
	var errs []error
	for _, entry := range entries {
		h := Hash(strings.TrimSuffix(entry.Name(), s.ext))
		if h.valid() && keep[h] {
			continue
		}
		if h.valid() || strings.HasSuffix(entry.Name(), tempSuffix) {
			errs = append(errs, s.disk.remove(filepath.Join(s.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}
