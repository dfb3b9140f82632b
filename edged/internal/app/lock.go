package app

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// acquire takes the lock of a data folder for as long as the returned file is open. The kernel gives it back when the
// process ends in whatever way, so there is no stale lock to remove. The file holds the owner's process id for messages.
func acquire(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // below the operator's own data folder
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		defer file.Close() //nolint:errcheck // nothing was written to it
		return nil, fmt.Errorf("%w by process %s (lock %s); stop it, or choose another folder with --data", ErrInUse, owner(path), path)
	}
	if err == nil {
		err = writeOwner(file)
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, errors.Join(err, file.Close()))
	}
	return file, nil
}

func writeOwner(file *os.File) error {
	if err := file.Truncate(0); err != nil {
		return err
	}
	_, err := file.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
	return err
}

// owner returns the process id in a lock file, or a question mark: its owner may be just about to write it.
func owner(path string) string {
	const longest = 20
	text, err := os.ReadFile(path) //nolint:gosec // below the operator's own data folder
	pid := strings.TrimSpace(string(text))
	if err != nil || pid == "" || len(pid) > longest {
		return "?"
	}
	return pid
}
