package aot

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// The access to the artifact directory: every file in it is opened without following links and must be ours alone.

const (
	secretName  = "key"
	lockName    = "lock"
	tempName    = "tmp"
	secretBytes = 32
	dirMode     = 0o700
	fileMode    = 0o600
)

// openDir makes the directory when it is missing, checks that nobody else can change it and takes its lock, which the
// returned file holds.
func openDir(path string) (*os.File, error) {
	if err := os.MkdirAll(path, dirMode); err != nil {
		return nil, fmt.Errorf("make the artifact directory: %w", err)
	}
	if err := checkDir(path); err != nil {
		return nil, err
	}
	lock, err := openOwn(filepath.Join(path, lockName), os.O_RDWR|os.O_CREATE)
	if err != nil {
		return nil, fmt.Errorf("open the lock: %w", err)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		_ = lock.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s; stop that daemon or choose another data directory", ErrLocked, path)
		}
		return nil, fmt.Errorf("lock the artifact directory: %w", err)
	}
	return lock, nil
}

// checkDir refuses a directory that somebody else could put files into, or that native code cannot be mapped from.
func checkDir(path string) error {
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return fmt.Errorf("look at the artifact directory %s: %w", path, err)
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFDIR:
		return fmt.Errorf("%w: %s is a link or a file; remove it, the daemon makes a directory of its own", ErrUnsafeDir, path)
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to user %d; run 'chown %d %s' or remove it", ErrUnsafeDir, path, stat.Uid, os.Geteuid(), path)
	case stat.Mode&0o777 != dirMode:
		return fmt.Errorf("%w: %s has mode %04o, others could have put code there; remove it, or check its files and run 'chmod 700 %s'",
			ErrUnsafeDir, path, stat.Mode&0o777, path)
	}
	var system unix.Statfs_t
	if err := unix.Statfs(path, &system); err != nil {
		return fmt.Errorf("look at the file system of %s: %w", path, err)
	}
	if system.Flags&unix.ST_NOEXEC != 0 {
		return fmt.Errorf("%w: %s is on a file system mounted noexec, compiled code cannot run from there; choose another data directory", ErrNotSupported, path)
	}
	return nil
}

// openOwn opens a file of the directory for flags and refuses one that is not a regular file of ours alone. It follows
// no link and waits for no pipe.
func openOwn(path string, flags int) (*os.File, error) {
	file, err := os.OpenFile(path, flags|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, fileMode)
	if errors.Is(err, unix.ELOOP) {
		return nil, fmt.Errorf("%w: %s is a link", ErrUnsafeDir, path)
	}
	if err != nil {
		return nil, err
	}
	if err := checkFile(file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}

func checkFile(file *os.File) error {
	var stat unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &stat); err != nil {
		return fmt.Errorf("look at %s: %w", file.Name(), err)
	}
	switch {
	case stat.Mode&unix.S_IFMT != unix.S_IFREG:
		return fmt.Errorf("%w: %s is no regular file", ErrUnsafeDir, file.Name())
	case int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("%w: %s belongs to user %d, not to %d", ErrUnsafeDir, file.Name(), stat.Uid, os.Geteuid())
	case stat.Mode&0o7777 != fileMode:
		return fmt.Errorf("%w: %s has mode %04o, want %04o", ErrUnsafeDir, file.Name(), stat.Mode&0o7777, fileMode)
	case stat.Nlink != 1:
		return fmt.Errorf("%w: %s has %d names", ErrUnsafeDir, file.Name(), stat.Nlink)
	}
	return nil
}

// openSecret reads the directory's secret and makes it when there is none. A damaged secret is replaced: the artifacts
// that it authenticated are compiled again, which is all that is lost.
func openSecret(dir string) ([]byte, error) {
	path := filepath.Join(dir, secretName)
	secret, err := readOwn(path, secretBytes)
	if err == nil && len(secret) == secretBytes {
		return secret, nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errTooLong) {
		return nil, fmt.Errorf("read the artifact key: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("remove a damaged artifact key: %w", err)
	}
	secret = make([]byte, secretBytes)
	if _, err := rand.Read(secret); err != nil {
		return nil, fmt.Errorf("make the artifact key: %w", err)
	}
	temp := filepath.Join(dir, tempName, secretName)
	if err := writeNew(temp, secret); err != nil {
		return nil, fmt.Errorf("write the artifact key: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return nil, fmt.Errorf("write the artifact key: %w", err)
	}
	return secret, syncDir(dir)
}

var errTooLong = errors.New("file too long")

// readOwn reads a small file of the directory; one above limit is errTooLong.
func readOwn(path string, limit int64) ([]byte, error) {
	file, err := openOwn(path, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	content, err := io.ReadAll(io.LimitReader(file, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(content)) > limit {
		return nil, errTooLong
	}
	return content, nil
}

// writeNew writes a file that does not exist yet and brings it to the disk.
func writeNew(path string, content []byte) error {
	file, err := openOwn(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Sync(), file.Close())
}

// syncDir makes the names of a directory durable.
func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync the artifact directory: %w", err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the artifact directory: %w", err)
	}
	return nil
}

// emptyTemp makes an empty folder for running compilations.
func emptyTemp(dir string) (string, error) {
	path := filepath.Join(dir, tempName)
	if err := os.RemoveAll(path); err != nil {
		return "", fmt.Errorf("clean up after the last run: %w", err)
	}
	if err := os.Mkdir(path, dirMode); err != nil {
		return "", fmt.Errorf("make the folder for compilations: %w", err)
	}
	return path, nil
}
