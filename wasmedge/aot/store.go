package aot

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	codeSuffix    = ".so"
	recordSuffix  = ".rec"
	failureSuffix = ".fail"
	nameDigits    = 16 // digits of the content hash in a file name: enough to tell two contents of one key apart
)

// store is the artifact directory: what is in it is found, checked, added and removed here. Safe for concurrent use.
type store struct {
	dir    string
	temp   string
	target target
	secret []byte
	log    *slog.Logger
	lock   *os.File

	mu       sync.Mutex
	verified map[string]fileState // guarded by mu; artifacts by file name, whose content was found right
}

// fileState changes when a file is written to or replaced.
type fileState struct {
	device, inode uint64
	size          int64
	modified      unix.Timespec
	changed       unix.Timespec
}

// openStore takes the directory and tidies it up. The caller closes it.
func openStore(dir string, on target, log *slog.Logger) (*store, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, fmt.Errorf("find the artifact directory: %w", err)
	}
	lock, err := openDir(dir)
	if err != nil {
		return nil, err
	}
	s := &store{dir: dir, target: on, log: log, lock: lock, verified: map[string]fileState{}}
	s.temp, err = emptyTemp(dir)
	if err == nil {
		s.secret, err = openSecret(dir)
	}
	if err == nil {
		err = s.tidy()
	}
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return s, nil
}

// close gives the directory back; its lock goes with the file.
func (s *store) close() error { return s.lock.Close() }

func (s *store) path(name string) string { return filepath.Join(s.dir, name) }

func baseName(key Key, level Level) string { return key.String() + "." + level.String() }

// splitName takes the name of a file of the directory apart; false when it is none of an artifact's.
func splitName(name string) (key Key, level Level, ok bool) {
	parts := strings.Split(name, ".")
	if len(parts) < 3 {
		return key, level, false
	}
	key, keyErr := ParseKey(parts[0])
	level, levelErr := parseLevel(parts[1])
	return key, level, keyErr == nil && levelErr == nil
}

// find returns the path of the artifact, or false when there is none. A bad one is none: it is removed and logged.
func (s *store) find(key Key, level Level) (string, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := baseName(key, level)
	sealed, err := readOwn(s.path(base+recordSuffix), maxRecordBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false
	}
	var r record
	if err == nil {
		r, err = s.open(sealed, kindArtifact, key, level)
	}
	if err == nil {
		err = s.verify(r)
	}
	if err != nil {
		s.log.Warn("artifact removed; it will be compiled again", "key", key.String(), "level", level.String(), "reason", err)
		if err := s.removeLocked(base); err != nil {
			s.log.Error("bad artifact cannot be removed; it is not used", "key", key.String(), "level", level.String(), "reason", err)
		}
		return "", false
	}
	return s.path(r.File), true
}

// open authenticates a record and checks that it is the one asked for.
func (s *store) open(sealed []byte, kind string, key Key, level Level) (record, error) {
	r, err := openRecord(sealed, s.secret)
	if err == nil {
		err = r.check(kind, key, level, s.target)
	}
	return r, err
}

// verify checks that the file is the one that the record describes. Its content is read at the first time and when the
// file has changed since.
func (s *store) verify(r record) error {
	file, err := openOwn(s.path(r.File), os.O_RDONLY)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	state, err := stateOf(file)
	if err != nil {
		return err
	}
	if known, ok := s.verified[r.File]; ok && known == state {
		return nil
	}
	delete(s.verified, r.File)
	if state.size != r.Size {
		return fmt.Errorf("%s has %d bytes, its record says %d", r.File, state.size, r.Size)
	}
	sum, err := hashFile(file)
	if err != nil {
		return err
	}
	if sum != r.SHA256 {
		return fmt.Errorf("the content of %s is not what its record says", r.File)
	}
	s.verified[r.File] = state
	return nil
}

func stateOf(file *os.File) (fileState, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return fileState{}, fmt.Errorf("look at %s: %w", file.Name(), err)
	}
	return fileState{device: stat.Dev, inode: stat.Ino, size: stat.Size, modified: stat.Mtim, changed: stat.Ctim}, nil
}

func hashFile(file *os.File) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", fmt.Errorf("read %s: %w", file.Name(), err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// put moves a compiled file into the directory, durably, and returns its path.
func (s *store) put(key Key, level Level, compiled string) (string, error) {
	r, err := s.describe(key, level, compiled)
	if err != nil {
		return "", fmt.Errorf("store the artifact: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := os.Rename(compiled, s.path(r.File)); err != nil {
		return "", fmt.Errorf("store the artifact: %w", err)
	}
	base := baseName(key, level)
	if err := s.writeRecord(base+recordSuffix, r); err != nil {
		return "", err
	}
	_ = os.Remove(s.path(base + failureSuffix))
	if err := s.verify(r); err != nil {
		return "", fmt.Errorf("store the artifact: %w", err)
	}
	return s.path(r.File), nil
}

// describe brings the compiled file to the disk and makes its record.
func (s *store) describe(key Key, level Level, compiled string) (record, error) {
	file, err := os.OpenFile(compiled, os.O_RDWR|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return record{}, err
	}
	defer func() { _ = file.Close() }()
	// The linker makes it executable; the dynamic loader needs no more than to read it.
	if err := errors.Join(file.Chmod(fileMode), checkFile(file)); err != nil {
		return record{}, err
	}
	sum, err := hashFile(file)
	if err != nil {
		return record{}, err
	}
	state, err := stateOf(file)
	if err != nil {
		return record{}, err
	}
	r := s.newRecord(kindArtifact, key, level)
	r.File = baseName(key, level) + "." + sum[:nameDigits] + codeSuffix
	r.Size, r.SHA256 = state.size, sum
	return r, file.Sync()
}

func (s *store) newRecord(kind string, key Key, level Level) record {
	return record{
		Format: formatVersion, Kind: kind, Key: key.String(), Level: level.String(),
		Engine: s.target.engine, Arch: s.target.arch, CPU: s.target.cpu, Made: time.Now().Unix(),
	}
}

// writeRecord puts a record under its name, whole or not at all, and syncs the directory.
func (s *store) writeRecord(name string, r record) error {
	sealed, err := r.seal(s.secret)
	if err != nil {
		return err
	}
	temp := filepath.Join(s.temp, filepath.Base(name))
	_ = os.Remove(temp) // left by a write that ended in the middle, on a full disk for instance
	if err := writeNew(temp, sealed); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	if err := os.Rename(temp, s.path(name)); err != nil {
		return fmt.Errorf("write the record: %w", err)
	}
	return syncDir(s.dir)
}

// putFailure remembers that a level cannot be made under these limits.
func (s *store) putFailure(key Key, level Level, failure *CompileError, limits string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.newRecord(kindFailure, key, level)
	r.Reason, r.Detail, r.Limits = failure.Reason, clip(failure.Detail, 1<<10), limits
	return s.writeRecord(baseName(key, level)+failureSuffix, r)
}

// hasFailed reports whether it is remembered that a level cannot be made under these limits.
func (s *store) hasFailed(key Key, level Level, limits string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	name := baseName(key, level) + failureSuffix
	sealed, err := readOwn(s.path(name), maxRecordBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return false
	}
	var r record
	if err == nil {
		r, err = s.open(sealed, kindFailure, key, level)
	}
	if err != nil {
		s.log.Warn("record of a failed compilation removed", "name", name, "reason", err)
		_ = os.RemoveAll(s.path(name))
		return false
	}
	return r.Limits == limits
}

// clip shortens text to at most n bytes.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "..."
}

// jobDir makes a folder of its own for one compilation; the caller removes it.
func (s *store) jobDir() (string, error) { return os.MkdirTemp(s.temp, "job-") }
