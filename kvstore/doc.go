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
//   - Events: every change that a rule matches makes a delivery, and every delivery belongs to a change that was made. It is handed over
//     until its listener ends it, also after a crash: at least once, with the same ID, and for one rule in the order of the changes.
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
// transaction commits (deliveries are written there, in the same transaction) and after it has.
//
// # Events
//
// Outbox.SetRules says which changes of which keys somebody wants to be told of. The rules of a space are an immutable set; a write to a
// space without rules costs one atomic load more. A write that matches makes a Delivery for each rule, which is counted against the rule's
// limit first: above it the write is refused with a *BacklogError, so a listener that is too slow makes its writers wait and not the memory
// grow. A delivery is handed over after its commit (Sync) or with its acceptance (Batched, Memory), as long as the rule's window has
// room; else it stays in the file and is read from there when there is. That is why the records of one rule are next to each other.
//
// A Batched delivery that ends before its change is flushed is never written. What ends later is removed by the next commit, or by one of
// its own after BatchDelay, so a step in a chain of events costs one fsync. Until then a crash makes it come again. Deliveries of Memory
// spaces are in memory only. Dropping a space does not take away what its changes have made, but for changes that were not on disk yet.
//
// A delivery that is given up becomes a dead letter, on disk for every class, DeadLimit of them a rule. They can be listed, made deliveries
// again and dropped. An import triggers nothing, and an export has neither deliveries nor dead letters: they are of this store's rules.
//
// # File format
//
// A bbolt file of 4 KiB pages. Root bucket: "meta" (records "format", "fence" and "epoch"), one bucket "s/NAME" a space, and once there was
// an event "events" and "dead", whose keys and values are described in outboxrecord.go and sealed like those of spaces named "/events" and
// "/dead". Versions without events refuse a file that has these two. A value is a record, checksums little-endian CRC-32C, which detects every single flipped bit and every burst up to 32 bits:
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
// Order, outermost first: Outbox.setMu, Store.spacesMu, Space.classMu, Space.mu, bbolt's own. committer.mu, Outbox.mu, Watch.mu,
// lockTable.mu and watchList.mu are leaves. The committer takes no Space lock while a transaction is open.
package kvstore
