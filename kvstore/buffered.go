package kvstore

import (
	"bytes"
	"context"
	"fmt"
)

// logEntry is one accepted write of a Batched space, flushed as a whole.
type logEntry struct {
	changes    []change
	deliveries []*Delivery
	seq        uint64
	weight     int64
}

// writeBuffered evaluates and accepts a write of a Batched or Memory space. The caller holds classMu for reading.
func (sp *Space) writeBuffered(ctx context.Context, ops []op, weight int64, by author) ([]OpResult, error) {
	c := sp.store.commit
	batched := sp.Durability() == Batched
	if batched {
		if err := c.backlogError(); err != nil {
			return nil, err // the disk refuses what was accepted before; accept no more
		}
		weight = min(weight, sp.store.opts.QueueBytes)
		if err := sp.store.acquire(ctx, c.backlog, weight); err != nil {
			return nil, err
		}
	}
	results, logged, err := sp.accept(ops, weight, batched, by)
	if !batched {
		return results, err
	}
	if !logged {
		c.backlog.Release(weight)
		return results, err
	}
	c.markDirty(sp)
	return results, err
}

// accept evaluates ops against table and file and makes the effects visible, in one step. logged says that a log entry now
// accounts for weight.
func (sp *Space) accept(ops []op, weight int64, batched bool, by author) (results []OpResult, logged bool, err error) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.store.closing.Load() {
		return nil, false, ErrClosed
	}
	base := sp.findMemory
	if batched {
		base = sp.findOver
	}
	rules := sp.rules.Load()
	changes, results, err := sp.evaluate(ops, base, sp.watches.any() || rules.wantsFresh())
	if err != nil || len(changes) == 0 {
		return results, false, err
	}
	if !batched {
		if err := sp.fits(changes); err != nil {
			return nil, false, err
		}
	}
	deliveries, err := rules.match(sp, changes, by)
	if err != nil {
		return nil, false, err
	}
	sp.seq++
	for _, ch := range changes {
		if ch.rec == nil && !batched {
			sp.table.remove(ch.key)
			continue
		}
		sp.table.put(entry{key: ch.key, rec: ch.rec, seq: sp.seq})
	}
	if batched {
		sp.log = append(sp.log, logEntry{changes: changes, deliveries: deliveries, seq: sp.seq, weight: weight})
	}
	sp.watches.publish(sp, changes) // under mu: events are in the order of acceptance
	sp.store.outbox.publish(deliveries)
	return results, batched, nil
}

// entryCost is what an entry of a table takes beside its key and its record, rounded up.
const entryCost = 128

// fits returns ErrFull when the changes would make a Memory space larger than it may be. What makes it no larger is
// always accepted. The caller holds mu.
func (sp *Space) fits(changes []change) error {
	growth := int64(0)
	for _, ch := range changes {
		e, found := sp.table.find(ch.key)
		if found {
			growth -= int64(len(e.key)+len(e.rec)) + entryCost
		}
		if ch.rec != nil {
			growth += int64(len(ch.key)+len(ch.rec)) + entryCost
		}
	}
	limit := sp.store.opts.MemoryBytes
	if size := sp.table.bytes + int64(sp.table.count)*entryCost; growth > 0 && size+growth > limit {
		return fmt.Errorf("space %q would hold %d bytes in memory, %d is the limit: %w", sp.name, size+growth, limit, ErrFull)
	}
	return nil
}

func (sp *Space) findMemory(key []byte) ([]byte, error) {
	e, _ := sp.table.find(key)
	return e.rec, nil
}

// findOver looks into the table, then into the file. The record is a copy.
func (sp *Space) findOver(key []byte) (rec []byte, err error) {
	if e, hit := sp.table.find(key); hit {
		return e.rec, nil
	}
	defer catch("get", &err)()
	tx, err := sp.store.db.Begin(false)
	if err != nil {
		return nil, boltError("get", err)
	}
	defer func() { _ = tx.Rollback() }() // of a read transaction: nothing to lose
	b, err := sp.bucketIn(tx)
	if err != nil {
		return nil, err
	}
	return bytes.Clone(b.Get(key)), nil
}

// pendingFlush takes the oldest accepted writes, at most budget bytes but at least one, without removing them.
func (sp *Space) pendingFlush(budget int64) (f flush, ok bool) {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	f.sp = sp
	for _, e := range sp.log {
		if f.entries > 0 && f.weight+e.weight > budget {
			break
		}
		f.changes = append(f.changes, e.changes...)
		f.deliveries = append(f.deliveries, e.deliveries...)
		f.entries++
		f.upto, f.weight = e.seq, f.weight+e.weight
	}
	return f, f.entries > 0
}

// flushed removes what f brought to disk. removed is false when the space was dropped meanwhile and the log, with the
// room it took, is not ours any more; more says that something is still waiting.
func (sp *Space) flushed(f flush) (removed, more bool) {
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if len(sp.log) < f.entries || sp.log[f.entries-1].seq != f.upto {
		return false, len(sp.log) > 0
	}
	clear(sp.log[:f.entries])
	sp.log = sp.log[f.entries:]
	if len(sp.log) == 0 {
		sp.log = nil
	}
	for _, ch := range f.changes {
		if e, ok := sp.table.find(ch.key); ok && e.seq <= f.upto {
			sp.table.remove(ch.key)
		}
	}
	return true, len(sp.log) > 0
}

func (sp *Space) hasBacklog() bool {
	sp.mu.RLock()
	defer sp.mu.RUnlock()
	return len(sp.log) > 0
}
