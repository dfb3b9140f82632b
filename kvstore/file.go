package kvstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// Names inside the file.
const (
	metaBucket   = "meta"
	eventsBucket = "events"
	deadBucket   = "dead"
	eventsSeal   = "/events" // what seals their records: no name of a space
	deadSeal     = "/dead"
	spacePrefix  = "s/"
	formatKey    = "format"
	formatValue  = "edged-kv/1"
	fenceKey     = "fence"
	epochKey     = "epoch"
	mapBytes     = 1 << 30 // address space reserved at once, see the package documentation
	growBytes    = 1 << 20 // the file grows by this, instead of by bbolt's 16 MiB: a small box has small stores
	lockInterval = 20 * time.Millisecond
)

// whatToDo ends every error about a file that is refused.
const whatToDo = "restore it from a backup, or `edged kv export` from a good copy, or move the file away to start empty"

// bucketOf returns the bucket name of a space.
func bucketOf(space string) []byte { return []byte(spacePrefix + space) }

// spaceOfBucket returns the space whose bucket it is; false when it is no space's.
func spaceOfBucket(bucket []byte) (string, bool) {
	name, ok := strings.CutPrefix(string(bucket), spacePrefix)
	return name, ok && len(bucket) <= maxBucketName && validName(name)
}

// sealOfBucket returns the name that seals the records of a bucket; false when there is no such bucket.
func sealOfBucket(bucket []byte) (string, bool) {
	switch string(bucket) {
	case metaBucket:
		return "", true
	case eventsBucket:
		return eventsSeal, true
	case deadBucket:
		return deadSeal, true
	}
	return spaceOfBucket(bucket)
}

// openFile returns the checked, locked database at path, which is created when it does not exist.
func openFile(path string, o Options) (*bbolt.DB, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if err := createFile(path); err != nil {
			return nil, fmt.Errorf("create key-value file %s: %w", path, asDiskError(err))
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("open key-value file: %w", err)
	}
	if err := lockFile(f, o.LockTimeout); err != nil {
		return nil, errors.Join(fmt.Errorf("open key-value file %s: %w", path, err), f.Close())
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = damaged("not a regular file")
	}
	if err == nil {
		err = checkFile(f, info.Size())
	}
	if err != nil {
		return nil, errors.Join(refused(path, err), f.Close())
	}
	db, err := openBolt(path, f)
	if err != nil {
		return nil, refused(path, err) // bbolt closed the file
	}
	return db, nil
}

func refused(path string, err error) error {
	if errors.Is(err, ErrCorrupt) {
		return fmt.Errorf("open key-value file %s: %w; %s", path, err, whatToDo)
	}
	return fmt.Errorf("open key-value file %s: %w", path, err)
}

// openBolt hands a file that is already locked to bbolt; taking the same lock on the same description again is free. f may be
// nil for a file that nobody else knows.
func openBolt(path string, f *os.File) (db *bbolt.DB, err error) {
	defer catch("open", &err)()
	o := &bbolt.Options{
		Timeout: time.Second, FreelistType: bbolt.FreelistMapType, InitialMmapSize: mapBytes, PageSize: pageSize, NoStatistics: true,
	}
	if f != nil {
		o.OpenFile = func(string, int, os.FileMode) (*os.File, error) { return f, nil }
	}
	db, err = bbolt.Open(path, 0o600, o)
	if err == nil {
		db.AllocSize = growBytes
	}
	return db, err
}

// lockFile takes the exclusive lock of the file, waiting up to timeout.
func lockFile(f *os.File, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) && !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("lock: %w", err)
		}
		select {
		case <-ctx.Done():
			return ErrLocked
		case <-time.After(lockInterval):
		}
	}
}

// createFile makes a complete, empty store under a temporary name and gives it its name when it is on disk: a crash at any
// moment leaves either no store or a good one. It succeeds when another process is first.
func createFile(path string) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".edged-kv-*") // mode 0600
	if err != nil {
		return err
	}
	name := tmp.Name()
	defer func() {
		if rmErr := os.Remove(name); rmErr != nil && !errors.Is(rmErr, fs.ErrNotExist) {
			err = errors.Join(err, rmErr)
		}
	}()
	if err := tmp.Close(); err != nil {
		return err
	}
	if err := fillNew(name); err != nil {
		return err
	}
	err = os.Link(name, path) // unlike Rename it never replaces a file
	if err != nil && !errors.Is(err, fs.ErrExist) {
		err = os.Rename(name, path) // a file system without hard links
	} else {
		err = nil
	}
	if err != nil {
		return err
	}
	return syncDir(dir)
}

func fillNew(path string) error {
	db, err := openBolt(path, nil)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte(metaBucket))
		if err != nil {
			return err
		}
		return b.Put([]byte(formatKey), newSeal("").encode([]byte(formatKey), []byte(formatValue)))
	})
	return errors.Join(err, db.Close())
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// asDiskError adds ErrFull to errors that say the disk, a quota or a file size limit is exhausted. bbolt formats some causes as
// text only (growing the file), so the text is the last resort.
func asDiskError(err error) error {
	if err == nil || errors.Is(err, ErrFull) {
		return err
	}
	for _, full := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG} {
		if errors.Is(err, full) {
			return fmt.Errorf("%w: %w", ErrFull, err)
		}
		if strings.Contains(err.Error(), full.Error()) {
			return fmt.Errorf("%w: %w: %w", ErrFull, full, err)
		}
	}
	return err
}
