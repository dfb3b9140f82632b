package kvstore

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// ballastBytes is the room for the first transactions that delete keys on a full disk. bbolt never overwrites a page that
	// is in use, so a deletion needs some new ones before it frees any: a path of the tree and the list of free pages, some
	// ten pages as a rule. What it frees is there for the next one.
	ballastBytes = 1 << 20
	// ballastRetry is how long to wait before the ballast is taken on again.
	ballastRetry = time.Second
	// ballastSuffix is added to the path of the key-value file.
	ballastSuffix = ".ballast"
)

// ballast is a file that only takes up room. It is thrown off when the disk is full and keys are to be deleted, for that is
// how its user makes room; and taken on again when a later commit finds some. The committer owns it.
type ballast struct {
	path   string
	aboard bool
	tried  time.Time
}

// newBallast takes the ballast on if there is room.
func newBallast(path string) *ballast {
	b := &ballast{path: path + ballastSuffix}
	b.take()
	return b
}

// take takes the ballast on unless it is there. Without room it does without: the next try comes with a later commit.
func (b *ballast) take() {
	if b.aboard || time.Since(b.tried) < ballastRetry {
		return
	}
	b.tried = time.Now()
	if info, err := os.Lstat(b.path); err == nil && info.Mode().IsRegular() && info.Size() == ballastBytes {
		b.aboard = true
		return
	}
	b.aboard = b.fill() == nil
	if !b.aboard {
		_ = os.Remove(b.path) // what there is of it is of no use
	}
}

// fill makes the file with all its blocks.
func (b *ballast) fill() error {
	file, err := os.OpenFile(b.path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	err = unix.Fallocate(int(file.Fd()), 0, 0, ballastBytes)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = file.Write(make([]byte, ballastBytes))
	}
	return errors.Join(err, file.Close())
}

// drop throws the ballast off and reports whether that made room.
func (b *ballast) drop() bool {
	b.aboard, b.tried = false, time.Now()
	err := os.Remove(b.path)
	return err == nil || !errors.Is(err, fs.ErrNotExist) && os.Truncate(b.path, 0) == nil
}

// shrinks reports whether the group only deletes keys. Its parts have been staged.
func (g *group) shrinks() bool {
	some := false
	only := func(changes []change) bool {
		for _, ch := range changes {
			if ch.rec != nil {
				return false
			}
			some = true
		}
		return true
	}
	for _, r := range g.reqs {
		if r.admin != nil || !only(r.changes) {
			return false
		}
	}
	for _, f := range g.flushes {
		if !only(f.changes) {
			return false
		}
	}
	for i := range g.settled {
		if !g.settled[i].shrinks() {
			return false
		}
		some = true
	}
	return some
}
