package kvstore

import (
	"errors"
	"fmt"
)

// Errors of reading and writing.
var (
	// ErrNotFound is returned by Get when the key is absent.
	ErrNotFound = errors.New("key not found")
	// ErrConflict is returned when a compare-and-swap found another value than expected.
	ErrConflict = errors.New("value is not the expected one")
	// ErrTooLarge matches every *LimitError.
	ErrTooLarge = errors.New("too large")
	// ErrEmptyKey is returned for a key of no bytes.
	ErrEmptyKey = errors.New("key is empty: a key has 1 to 1024 bytes")
	// ErrBadOp is returned for an operation whose kind is unknown.
	ErrBadOp = errors.New("unknown operation")
	// ErrFull is returned when the disk, a quota, a file size limit or Options.MemoryBytes refused a write. Nothing was applied; the system's
	// errno is wrapped too. Reads keep working, and so do writes once there is space.
	ErrFull = errors.New("no space for the key-value store: free some space or raise the quota, then retry")
	// ErrBacklog matches every *BacklogError.
	ErrBacklog = errors.New("too many events wait")
	// ErrFailed is returned to writers after the disk failed in the middle of a commit, or bbolt panicked in one. What the
	// failed group wrote may or may not be there after a reopen. Reads keep working.
	ErrFailed = errors.New("key-value store stopped writing after a failed commit: check the disk, then restart the daemon")
)

// Errors of the store and of its spaces.
var (
	// ErrCorrupt is returned when the file, a page or a value is not what was written. Every *CorruptError matches it.
	ErrCorrupt = errors.New("key-value data is damaged")
	// ErrLocked is returned by Open when another process has the file open.
	ErrLocked = errors.New("key-value file is in use by another process: stop it first, or use another data directory")
	// ErrClosed is returned by everything after Close.
	ErrClosed = errors.New("key-value store is closed")
	// ErrBadName is returned for a space name that does not match [a-z0-9][a-z0-9_.-]{0,62}.
	ErrBadName = errors.New("bad space name: want 1 to 63 of a-z 0-9 _ . - starting with a letter or digit")
	// ErrSpaceNotFound is returned by Drop and Export for a space that does not exist.
	ErrSpaceNotFound = errors.New("no such space")
	// ErrDurability is returned when a space on disk is asked for as Memory or the other way round.
	ErrDurability = errors.New("space exists with another durability: drop it first")
	// ErrDropped is returned by a Space, and by its watches, after Drop.
	ErrDropped = errors.New("space was dropped")
)

// Errors of leased locks and of the export format.
var (
	// ErrNotHeld is returned by Unlock when the token does not hold the lock (any more).
	ErrNotHeld = errors.New("lock is not held with this token")
	// ErrBadTTL is returned by Lock for a lease outside MinLockTTL..MaxLockTTL.
	ErrBadTTL = errors.New("bad lock lease: want 1 ms to 24 h")
	// ErrTooManyWaiters is returned by Lock when maxLockWaiters callers already wait for that key.
	ErrTooManyWaiters = errors.New("too many callers wait for this lock")
	// ErrTooManyLocks is returned by Lock when maxLeases keys of the space are locked already.
	ErrTooManyLocks = errors.New("too many keys of this space are locked")
	// ErrBadExport is returned by Import for a stream that is not a complete, undamaged export.
	ErrBadExport = errors.New("not a complete key-value export")
)

// LimitError says which limit was exceeded and by what. It matches ErrTooLarge.
type LimitError struct {
	What  string // "key", "value", "batch operations", "batch" or "batch result"
	Size  int64  // bytes (operations for "batch operations") that were asked for
	Limit int64  // in the same unit
}

// Error names the limit and the size.
func (e *LimitError) Error() string {
	return fmt.Sprintf("%s too large: %d, the limit is %d", e.What, e.Size, e.Limit)
}

// Is makes errors.Is(err, ErrTooLarge) hold.
func (e *LimitError) Is(target error) bool { return target == ErrTooLarge }

// CorruptError names a stored value that does not match its checksum. It matches ErrCorrupt.
type CorruptError struct {
	Space string
	Key   []byte // a copy, owned by the error
}

// Error says where the damage is and what to do.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("value of key %q in space %q is damaged: write or delete the key, or restore it from a backup", e.Key, e.Space)
}

// Is makes errors.Is(err, ErrCorrupt) hold.
func (e *CorruptError) Is(target error) bool { return target == ErrCorrupt }

// OpError says which operation made an Apply fail. It unwraps to the cause.
type OpError struct {
	Index int // position in the ops given to Apply
	Err   error
}

// Error names the operation.
func (e *OpError) Error() string { return fmt.Sprintf("operation %d: %v", e.Index, e.Err) }

// Unwrap returns the cause, for example ErrConflict.
func (e *OpError) Unwrap() error { return e.Err }

// BacklogError says that a write was refused because it would have made one more event for a rule that has as many as it may.
// Nothing was applied. It matches ErrBacklog.
type BacklogError struct {
	Rule  string
	Limit int64
}

// Error names the rule and its limit and says what helps.
func (e *BacklogError) Error() string {
	return fmt.Sprintf("too many events wait: %s has %d, its limit; retry when its function has worked some off, and see 'edged trigger ls'", e.Rule, e.Limit)
}

// Is makes errors.Is(err, ErrBacklog) hold.
func (e *BacklogError) Is(target error) bool { return target == ErrBacklog }
