// Package kvstore keeps the spaces of functions: ordered key-value namespaces over one bbolt file, with group commit,
// checksums and a durability class a space.
//
// # Guarantees
//
//   - Sync: a write that returned nil is on disk (fsynced). A write that returned an error was not applied, except when the
//     error is ErrFailed: the disk failed while the commit record was written and the outcome is known only after a reopen.
//     A context error always means "not applied".
//   - Batched: a write that returned nil is visible to every reader at once and reaches the disk within Options.BatchDelay
//     and the length of one commit; a crash loses at most that window, and never a part of one Apply.
//   - Memory: the same semantics, never on disk, gone at Close.
//   - One writer's failure is its own: a conflict, a failing Apply or a request that does not fit on a full disk fails
//     alone, whatever else is in its group.
//   - A stored value whose bytes changed, or which ended under another key or space, is ErrCorrupt, counted, never served.
//   - Nothing panics out of this package because of what is in the file: Open checks the whole tree before bbolt sees it
//     and every later access turns panics and memory faults into ErrCorrupt.
//   - A store nobody writes to writes nothing.
//
// # Write path
//
// Sync writes are queued, bounded by Options.QueueBytes (a full queue blocks until the context is done). One committer
// goroutine takes everything queued, up to a count and a byte bound, evaluates each request inside one bbolt transaction in
// arrival order, commits it, and wakes the writers. A request whose context ends while it is queued is withdrawn; once
// the committer has taken it the writer waits for the outcome, so an outcome is never unknown.
//
// Batched and Memory writes are evaluated by the caller under the space's lock against an ordered table in memory
// (table.go). For Batched that table lies over the file and the accepted changes are also kept as a log, which the committer
// writes when the delay is over or along with any commit that happens anyway. When the disk refuses it, accepted writes stay
// in memory and are retried, and new Batched writes are refused with that error.
//
// committer.beforeCommit and committer.afterCommit are the two places where a group's change set is known: before the
// transaction commits (durable events will be written there, in the same transaction) and after it has.
//
// # File format
//
// A bbolt file of 4 KiB pages. Root bucket: "meta" (records "format" and "fence") and one bucket "s/NAME" a space. A value is
// a record, checksums little-endian CRC-32C, which detects every single flipped bit and every burst up to 32 bits:
//
//	byte 0     record version, 1
//	byte 1-4   key sum:   crc(len(space) space key)
//	byte 5-8   value sum: crc continued from the key sum over (uint32 length, value)
//	byte 9-    the value
//
// The key sum lets Open verify every key without reading large values: a key with a flipped bit would otherwise read as
// "not found", which is a wrong answer and not an error. 32 bits suffice because the sum defends against decay and
// misplacement, not against an adversary, and the hardware computes it at memory speed.
//
// # How bbolt is used
//
// The freelist is kept on disk, as a hash map in memory: only then can Open prove that no page is both in use and free, and
// bbolt never has to rebuild it in a goroutine of its own, where a panic could not be caught. The first 1 GiB of address space is
// mapped at once, so that a growing file rarely waits for readers to be remapped. The file is grown with fsync (bbolt's
// default). Both meta pages must be valid: they share one disk sector each, so a power cut leaves the old or the new one,
// and falling back to the older one would silently undo an acknowledged commit. Read transactions never outlive one call
// into this package and never span a callback, so a callback may write.
//
// # Locks
//
// Order, outermost first: Store.spacesMu, Space.classMu, Space.mu, bbolt's own. committer.mu, Watch.mu, lockTable.mu and
// watchList.mu are leaves. The committer takes no Space lock while a transaction is open.
package kvstore
