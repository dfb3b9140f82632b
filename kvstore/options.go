package kvstore

import (
	"time"
)

// Limits of keys, values and batches, in bytes unless said otherwise.
const (
	// MaxKeyBytes is the longest key.
	MaxKeyBytes = 1024
	// MaxValueBytes is the largest value.
	MaxValueBytes = 16 << 20
	// MaxBatchBytes bounds the keys and values of one Apply together: it is held in memory several times over while it commits.
	MaxBatchBytes = 64 << 20
	// MaxResultBytes bounds the values that one Apply reads, together: a few bytes of operations can name large values again
	// and again.
	MaxResultBytes = 64 << 20
	// MaxBatchOps bounds the number of operations of one Apply.
	MaxBatchOps = 65536
)

// Durability is what an acknowledged write of a space survives.
type Durability uint8

// The durability classes.
const (
	Sync    Durability = iota // acknowledged = fsynced
	Batched                   // acknowledged = visible; on disk after a bounded delay
	Memory                    // never on disk
)

// String returns the class as manifests spell it.
func (d Durability) String() string {
	switch d {
	case Sync:
		return "sync"
	case Batched:
		return "batched"
	case Memory:
		return "memory"
	default:
		return "unknown"
	}
}

// Options tunes a Store. The zero value and nil mean the defaults; Open copies it.
type Options struct {
	// LockTimeout bounds how long Open waits for another process to release the file. Default 1 s.
	LockTimeout time.Duration
	// BatchDelay bounds how long an acknowledged Batched write stays in memory only. Default 50 ms.
	BatchDelay time.Duration
	// QueueBytes bounds the writes waiting for the committer, and separately the Batched writes not yet on disk. A writer
	// that does not fit blocks until its context is done. At least MaxBatchBytes, which is the default.
	QueueBytes int64
	// GroupBytes bounds the writes of one commit, so that a writer never waits behind an endless one. A larger single
	// request is a group of its own. Default 8 MiB.
	GroupBytes int64
	// GroupRequests bounds the requests of one commit. Default 1024.
	GroupRequests int
	// MemoryBytes bounds what one Memory space holds: keys, values and 128 bytes for each of them. A write that would
	// exceed it gets ErrFull. Default 256 MiB.
	MemoryBytes int64
	// ScrubBytesPerSecond bounds how fast Scrub reads. Default 32 MiB/s; negative means no limit.
	ScrubBytesPerSecond int64
	// OnCommit, when set, is called by the committer after every commit, successful or not. It must not block and must
	// not call into the Store.
	OnCommit func(Commit)
}

// Commit describes one commit of the committer.
type Commit struct {
	Requests int           // requests and flushes in the group
	Changes  int           // keys set or deleted
	Bytes    int64         // keys and records written
	Duration time.Duration // writing and fsync, without waiting in the queue
	Err      error         // nil when it is on disk
}

// weightOverhead is charged for each request on top of its bytes, so that the byte bounds also bound the count.
const weightOverhead = 256

func (o *Options) withDefaults() Options {
	var out Options
	if o != nil {
		out = *o
	}
	if out.LockTimeout <= 0 {
		out.LockTimeout = time.Second
	}
	if out.BatchDelay <= 0 {
		out.BatchDelay = 50 * time.Millisecond
	}
	out.QueueBytes = max(out.QueueBytes, MaxBatchBytes)
	if out.GroupBytes <= 0 {
		out.GroupBytes = 8 << 20
	}
	if out.GroupRequests <= 0 {
		out.GroupRequests = 1024
	}
	if out.MemoryBytes <= 0 {
		out.MemoryBytes = 256 << 20
	}
	if out.ScrubBytesPerSecond == 0 {
		out.ScrubBytesPerSecond = 32 << 20
	}
	return out
}
