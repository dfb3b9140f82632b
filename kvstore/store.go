package kvstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"
)

// Store is an open key-value file. All methods may be called from any goroutine.
type Store struct {
	path     string
	opts     Options
	db       *bbolt.DB
	commit   *committer
	fence    *fence
	outbox   *Outbox
	counters counters

	closing   atomic.Bool
	life      context.Context //nolint:containedctx // the store's own root context: done, with ErrClosed, once Close is called
	end       context.CancelCauseFunc
	closeOnce sync.Once
	closeErr  error

	spacesMu sync.Mutex
	spaces   map[string]*Space // guarded by spacesMu
}

// Open opens the store at path and creates it, with mode 0600, when it does not exist. nil options mean the defaults.
//
// Open reads all pages that hold keys and refuses a file that is damaged, truncated or not a store with ErrCorrupt, without
// changing it. It returns ErrLocked when another process keeps the file open for longer than Options.LockTimeout.
func Open(path string, o *Options) (*Store, error) {
	opts := o.withDefaults()
	db, err := openFile(path, opts)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, opts: opts, db: db, spaces: make(map[string]*Space)}
	s.life, s.end = context.WithCancelCause(context.Background())
	reserved, err := s.readMetaBucket()
	if err != nil {
		return nil, errors.Join(refused(path, err), db.Close())
	}
	s.fence = newFence(s, reserved)
	s.outbox = newOutbox(s)
	if err := s.outbox.count(); err != nil {
		return nil, errors.Join(refused(path, err), db.Close())
	}
	s.commit = newCommitter(s)
	go s.commit.run()
	go s.outbox.run()
	return s, nil
}

// readMetaBucket verifies the format record and returns the first fencing token that was never handed out.
func (s *Store) readMetaBucket() (reserved uint64, err error) {
	defer catch("open", &err)()
	err = s.db.View(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(metaBucket))
		if b == nil {
			return damaged("bbolt file without the %q bucket: not an edged key-value file", metaBucket)
		}
		format, ok := newSeal("").decode([]byte(formatKey), b.Get([]byte(formatKey)))
		if !ok || string(format) != formatValue {
			return damaged("format record %q, want %q", format, formatValue)
		}
		rec := b.Get([]byte(fenceKey))
		if rec == nil {
			return nil
		}
		v, ok := newSeal("").decode([]byte(fenceKey), rec)
		if !ok || len(v) != 8 {
			return damaged("record of the lock tokens does not match its checksum")
		}
		reserved = binary.LittleEndian.Uint64(v)
		return nil
	})
	return reserved, err
}

// Close stops accepting work, writes everything that was accepted, waits for the committer and closes the file. After nil, every
// acknowledged Sync and Batched write is on disk. It is idempotent; every call returns the same error. Memory spaces are gone.
func (s *Store) Close() error {
	s.closeOnce.Do(func() {
		s.closing.Store(true)
		s.end(ErrClosed)
		s.spacesMu.Lock()
		defer s.spacesMu.Unlock()
		for _, sp := range s.spaces { // what is being accepted now must be seen by the committer
			sp.classMu.Lock()
			sp.classMu.Unlock() //nolint:staticcheck // an empty section on purpose: it waits for the writes under way
		}
		<-s.outbox.stopped // it reads the file
		flushErr := s.commit.stop()
		for _, sp := range s.spaces {
			sp.watches.closeAll(ErrClosed)
			sp.locks.stop()
		}
		s.closeErr = errors.Join(flushErr, s.closeBolt())
	})
	return s.closeErr
}

func (s *Store) closeBolt() (err error) {
	defer catch("close", &err)()
	if err := s.db.Close(); err != nil {
		return fmt.Errorf("close key-value file: %w", err)
	}
	return nil
}

// Path returns the path the store was opened with.
func (s *Store) Path() string { return s.path }

func validName(name string) bool {
	if name == "" || len(name) > 63 {
		return false
	}
	for i := range len(name) {
		c := name[i]
		alnum := c >= 'a' && c <= 'z' || c >= '0' && c <= '9'
		if !alnum && (i == 0 || c != '_' && c != '.' && c != '-') {
			return false
		}
	}
	return true
}

// Space returns the space of that name with durability d and creates it on first use; all callers share one *Space a name. A space
// that is open as Sync becomes Batched and the other way round for everybody: what was accepted before is on disk by then.
// ErrDurability when the space would have to move between disk and memory.
func (s *Store) Space(name string, d Durability) (*Space, error) {
	if !validName(name) {
		return nil, fmt.Errorf("space %q: %w", name, ErrBadName)
	}
	if d > Memory {
		return nil, fmt.Errorf("space %q: unknown durability %d", name, d)
	}
	s.spacesMu.Lock()
	defer s.spacesMu.Unlock()
	if s.closing.Load() {
		return nil, ErrClosed
	}
	if sp := s.spaces[name]; sp != nil {
		if err := sp.setDurability(d); err != nil {
			return nil, fmt.Errorf("space %q: %w", name, err)
		}
		return sp, nil
	}
	onDisk, err := s.hasBucket(name)
	switch {
	case err != nil:
		return nil, err
	case onDisk && d == Memory:
		return nil, fmt.Errorf("space %q: %w (it is on disk)", name, ErrDurability)
	case !onDisk && d != Memory:
		if err := s.createBucket(name); err != nil {
			return nil, fmt.Errorf("create space %q: %w", name, err)
		}
	}
	sp := newSpace(s, name, d)
	s.spaces[name] = sp
	return sp, nil
}

// Lookup returns the space of that name without creating it: as it is open, or, when it is only on disk, as Sync.
// ErrSpaceNotFound when there is none.
func (s *Store) Lookup(name string) (*Space, error) {
	s.spacesMu.Lock()
	defer s.spacesMu.Unlock()
	if s.closing.Load() {
		return nil, ErrClosed
	}
	if sp := s.spaces[name]; sp != nil {
		return sp, nil
	}
	if !validName(name) {
		return nil, fmt.Errorf("space %q: %w", name, ErrBadName)
	}
	onDisk, err := s.hasBucket(name)
	if err != nil {
		return nil, err
	}
	if !onDisk {
		return nil, fmt.Errorf("space %q: %w", name, ErrSpaceNotFound)
	}
	sp := newSpace(s, name, Sync)
	s.spaces[name] = sp
	return sp, nil
}

func (s *Store) hasBucket(name string) (found bool, err error) {
	defer catch("open space", &err)()
	tx, err := s.db.Begin(false)
	if err != nil {
		return false, boltError("open space", err)
	}
	defer func() { _ = tx.Rollback() }() // of a read transaction: nothing to lose
	return tx.Bucket(bucketOf(name)) != nil, nil
}

func (s *Store) createBucket(name string) error {
	return s.commit.admin(context.Background(), func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(bucketOf(name))
		return err
	})
}

// acquire takes n from sem, waiting until ctx is done or the store closes.
func (s *Store) acquire(ctx context.Context, sem *semaphore.Weighted, n int64) error {
	if sem.TryAcquire(n) {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stop := context.AfterFunc(s.life, func() { cancel(ErrClosed) })
	defer stop()
	if sem.Acquire(ctx, n) != nil {
		return context.Cause(ctx)
	}
	return nil
}

// SpaceStat describes one space.
type SpaceStat struct {
	Name       string
	Durability Durability // of a space on disk that is not open: Sync
	Open       bool       // Space was called for it since Open
	Keys       int        // as far as on disk, or in memory for Memory
	Bytes      int64      // of the pages in use for it, or of keys and records for Memory
	Watches    int        // open watches
}

// Spaces lists all spaces by name. It reads all keys' pages of every space, so it is for people and not for a hot path.
func (s *Store) Spaces() (stats []SpaceStat, err error) {
	if s.closing.Load() {
		return nil, ErrClosed
	}
	s.spacesMu.Lock()
	open := make([]*Space, 0, len(s.spaces))
	for _, sp := range s.spaces {
		open = append(open, sp)
	}
	s.spacesMu.Unlock()
	disk, err := s.diskSpaces()
	if err != nil {
		return nil, err
	}
	for _, sp := range open {
		st := SpaceStat{Name: sp.name, Durability: sp.Durability(), Open: true, Watches: sp.watches.count()}
		if at := slices.IndexFunc(disk, func(d SpaceStat) bool { return d.Name == sp.name }); at >= 0 {
			st.Keys, st.Bytes = disk[at].Keys, disk[at].Bytes
			disk = slices.Delete(disk, at, at+1)
		}
		if st.Durability == Memory {
			st.Keys, st.Bytes = sp.memorySize()
		}
		disk = append(disk, st)
	}
	slices.SortFunc(disk, func(a, b SpaceStat) int { return strings.Compare(a.Name, b.Name) })
	return disk, nil
}

func (s *Store) diskSpaces() (stats []SpaceStat, err error) {
	defer catch("list spaces", &err)()
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, boltError("list spaces", err)
	}
	defer func() { _ = tx.Rollback() }() // of a read transaction: nothing to lose
	err = tx.ForEach(func(bucket []byte, b *bbolt.Bucket) error {
		if name, ok := spaceOfBucket(bucket); ok {
			st := b.Stats()
			used := st.BranchAlloc + st.LeafAlloc + st.InlineBucketInuse
			stats = append(stats, SpaceStat{Name: name, Keys: st.KeyN, Bytes: int64(used)})
		}
		return nil
	})
	return stats, err
}

// diskNames lists the spaces on disk.
func (s *Store) diskNames() (names []string, err error) {
	defer catch("list spaces", &err)()
	tx, err := s.db.Begin(false)
	if err != nil {
		return nil, boltError("list spaces", err)
	}
	defer func() { _ = tx.Rollback() }() // of a read transaction: nothing to lose
	err = tx.ForEach(func(bucket []byte, _ *bbolt.Bucket) error {
		if name, ok := spaceOfBucket(bucket); ok {
			names = append(names, name)
		}
		return nil
	})
	return names, err
}

// Drop deletes a space with all its keys, for good, on disk when it returns. Its *Space, watches and waiting lockers get
// ErrDropped. ErrSpaceNotFound when it does not exist.
func (s *Store) Drop(name string) error {
	s.spacesMu.Lock()
	defer s.spacesMu.Unlock()
	if s.closing.Load() {
		return ErrClosed
	}
	onDisk, err := s.hasBucket(name)
	if err != nil {
		return err
	}
	sp := s.spaces[name]
	if !onDisk && sp == nil {
		return fmt.Errorf("drop space %q: %w", name, ErrSpaceNotFound)
	}
	var release func(error)
	if sp != nil {
		release = sp.beginDrop() // no write is under way from here on
	}
	if onDisk {
		err = s.commit.admin(context.Background(), func(tx *bbolt.Tx) error { return tx.DeleteBucket(bucketOf(name)) })
	}
	if release != nil {
		release(err)
	}
	if err != nil {
		return fmt.Errorf("drop space %q: %w", name, err)
	}
	delete(s.spaces, name)
	return nil
}
