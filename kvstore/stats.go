package kvstore

import (
	"sync/atomic"
	"time"
)

// counters are the live numbers behind Stats.
type counters struct {
	gets, writes, corrupt           atomic.Uint64
	commits, failures, parts        atomic.Uint64
	changes, bytes, commitNanos     atomic.Uint64
	largestGroup, longestCommit     atomic.Int64
	eventsLost, scrubbed, scrubRuns atomic.Uint64
}

// Stats are numbers for metrics. The counters grow from Open on.
type Stats struct {
	Gets          uint64        // values asked for by Get
	Writes        uint64        // Set, Delete, CompareAndSwap and Apply calls
	Commits       uint64        // transactions brought to disk
	CommitErrors  uint64        // transactions the disk refused
	Grouped       uint64        // requests and flushes in all committed transactions: Grouped/Commits is the mean group
	LargestGroup  int64         // requests and flushes
	Changes       uint64        // keys set or deleted on disk
	BytesWritten  uint64        // keys and records committed, without bbolt's own pages
	CommitTime    time.Duration // writing and fsync of all commits
	LongestCommit time.Duration
	CorruptValues uint64 // times a value was refused because of its checksum
	EventsLost    uint64 // watch events dropped because a watcher was too slow
	Scrubs        uint64 // complete runs
	ScrubbedKeys  uint64
	FileBytes     int64 // size of the file in use
	QueuedWrites  int   // requests waiting for the committer now
	DirtySpaces   int   // Batched spaces with writes not on disk yet
	Failed        bool  // writes answer ErrFailed until a restart
}

// Stats returns the current numbers. It does no I/O and may be called at any time, also after Close.
func (s *Store) Stats() Stats {
	c := &s.counters
	st := Stats{
		Gets: c.gets.Load(), Writes: c.writes.Load(), Commits: c.commits.Load(), CommitErrors: c.failures.Load(),
		Grouped: c.parts.Load(), LargestGroup: c.largestGroup.Load(), Changes: c.changes.Load(), BytesWritten: c.bytes.Load(),
		CommitTime: time.Duration(c.commitNanos.Load()), LongestCommit: time.Duration(c.longestCommit.Load()),
		CorruptValues: c.corrupt.Load(), EventsLost: c.eventsLost.Load(), Scrubs: c.scrubRuns.Load(), ScrubbedKeys: c.scrubbed.Load(),
		Failed: s.commit.failed.Load() != nil,
	}
	s.commit.mu.Lock()
	st.QueuedWrites, st.DirtySpaces = len(s.commit.queue), len(s.commit.dirty)
	s.commit.mu.Unlock()
	if tx, err := s.db.Begin(false); err == nil { // else closed: no size to tell
		st.FileBytes = tx.Size()
		_ = tx.Rollback() // of a read transaction: nothing to lose
	}
	return st
}

func describe(g *group, sets []changeSet) Commit {
	info := Commit{Requests: g.parts()}
	for _, set := range sets {
		info.Changes += len(set.changes)
		for _, ch := range set.changes {
			info.Bytes += int64(len(ch.key) + len(ch.rec))
		}
	}
	return info
}

// report counts a commit. Only the committer calls it, so the maxima need no loop.
func (c *committer) report(info Commit) {
	n := &c.store.counters
	if info.Err != nil {
		n.failures.Add(1)
	} else {
		n.commits.Add(1)
		n.parts.Add(uint64(info.Requests))
		n.changes.Add(uint64(info.Changes))
		n.bytes.Add(uint64(info.Bytes))
		n.commitNanos.Add(uint64(info.Duration))
		n.largestGroup.Store(max(n.largestGroup.Load(), int64(info.Requests)))
		n.longestCommit.Store(max(n.longestCommit.Load(), int64(info.Duration)))
	}
	if c.store.opts.OnCommit != nil {
		c.store.opts.OnCommit(info)
	}
}
