package kvstore

import (
	"bytes"

	"go.etcd.io/bbolt"
)

// Bounds of what a scan copies at a time, out of the file or the table.
const (
	scanEntries = 256
	scanBytes   = 1 << 20
)

// Scan calls fn for the keys with the prefix (nil: all) in order, starting strictly after the key `after` (nil: at the
// beginning), until fn returns false. The slices are valid only within fn, which may call anything, also write to this space.
//
// A scan is not a snapshot: every key that is there from beginning to end is seen exactly once, one that comes or goes meanwhile at
// most once. At a damaged value it stops with a *CorruptError; to go on behind it, scan again after its Key.
func (sp *Space) Scan(prefix, after []byte, fn func(key, value []byte) bool) error {
	var p scanPage
	for {
		if err := sp.usable(); err != nil {
			return err
		}
		more, err := sp.readPage(&p, prefix, after)
		if err != nil {
			return err
		}
		for i := range p.entries {
			e := &p.entries[i]
			value, ok := sp.seal.decode(e.key, e.rec)
			if !ok {
				return sp.corrupt(e.key)
			}
			if !fn(e.key, value) {
				return nil
			}
		}
		if !more {
			return nil
		}
		// Its own copy: fn was lent the original, and the page is reused.
		after = bytes.Clone(p.last)
	}
}

// scanPage is one step of a scan, copied out so that neither a transaction nor a lock spans a callback.
type scanPage struct {
	entries []entry
	arena   []byte
	size    int    // bytes of keys and records
	last    []byte // the last key of the page
}

// add takes an entry of the table, whose slices are immutable.
func (p *scanPage) add(e entry) {
	p.entries = append(p.entries, e)
	p.size += len(e.key) + len(e.rec)
}

// copy takes an entry of the file, whose slices end with the transaction.
func (p *scanPage) copy(key, rec []byte) {
	at := len(p.arena)
	p.arena = append(append(p.arena, key...), rec...)
	b := p.arena[at:]
	p.add(entry{key: b[:len(key):len(key)], rec: b[len(key):]})
}

func (p *scanPage) full() bool { return len(p.entries) >= scanEntries || p.size >= scanBytes }

// readPage fills p with what follows after and reports whether there may be more.
func (sp *Space) readPage(p *scanPage, prefix, after []byte) (more bool, err error) {
	p.entries, p.arena, p.size = p.entries[:0], p.arena[:0], 0
	switch sp.Durability() {
	case Memory:
		sp.mu.RLock()
		defer sp.mu.RUnlock()
		more = sp.merge(p, prefix, after, &sp.table, nil)
	case Batched:
		// Under mu, so that what moves from the table to the file is seen in one of them.
		sp.mu.RLock()
		defer sp.mu.RUnlock()
		more, err = sp.readDiskPage(p, prefix, after, &sp.table)
	case Sync:
		more, err = sp.readDiskPage(p, prefix, after, nil)
	}
	if err != nil || len(p.entries) == 0 {
		return false, err
	}
	for i := range p.entries {
		// A page that changed under the open file could lead backwards, and a scan would never end.
		key := p.entries[i].key
		if i > 0 && bytes.Compare(key, p.entries[i-1].key) <= 0 || i == 0 && after != nil && bytes.Compare(key, after) <= 0 {
			return false, damaged("space %q: key %q is out of order; restart the daemon to have the file checked", sp.name, key)
		}
	}
	p.last = p.entries[len(p.entries)-1].key
	return more, nil
}

func (sp *Space) readDiskPage(p *scanPage, prefix, after []byte, over *table) (more bool, err error) {
	defer catch("scan", &err)()
	tx, err := sp.store.db.Begin(false)
	if err != nil {
		return false, boltError("scan", err)
	}
	defer func() { _ = tx.Rollback() }() // of a read transaction: nothing to lose
	b, err := sp.bucketIn(tx)
	if err != nil {
		return false, err
	}
	return sp.merge(p, prefix, after, over, b.Cursor()), nil
}

// start returns the first key a scan may see.
func start(prefix, after []byte) []byte {
	if bytes.Compare(prefix, after) > 0 {
		return prefix
	}
	return after
}

// fileEntries is the side of a merge that comes from the file; without a cursor it is empty.
type fileEntries struct {
	c        *bbolt.Cursor
	prefix   []byte
	key, rec []byte // the next entry; nil at the end
}

func (f *fileEntries) seek(from, after []byte) {
	if f.c == nil {
		return
	}
	f.set(f.c.Seek(from))
	if f.key != nil && after != nil && bytes.Equal(f.key, after) {
		f.next()
	}
}

func (f *fileEntries) next() { f.set(f.c.Next()) }

func (f *fileEntries) set(key, rec []byte) {
	if !bytes.HasPrefix(key, f.prefix) {
		key = nil
	}
	f.key, f.rec = key, rec
}

// takeBefore moves entries before bound (nil: all) into p until it is full.
func (f *fileEntries) takeBefore(bound []byte, p *scanPage) {
	for f.key != nil && !p.full() && (bound == nil || bytes.Compare(f.key, bound) < 0) {
		p.copy(f.key, f.rec)
		f.next()
	}
}

// merge fills p from table and file, walked side by side; the table wins, and its tombstones hide. t is nil for a Sync space, c for a
// Memory space. The caller holds mu when there is a table.
func (sp *Space) merge(p *scanPage, prefix, after []byte, t *table, c *bbolt.Cursor) (more bool) {
	from := start(prefix, after)
	file := fileEntries{c: c, prefix: prefix}
	file.seek(from, after)
	if t != nil {
		t.walk(from, func(e entry) bool {
			if !bytes.HasPrefix(e.key, prefix) {
				return false
			}
			if after != nil && bytes.Equal(e.key, after) {
				return true
			}
			file.takeBefore(e.key, p)
			if p.full() {
				return false
			}
			if file.key != nil && bytes.Equal(file.key, e.key) {
				file.next()
			}
			if e.rec != nil {
				p.add(e)
			}
			return !p.full()
		})
	}
	file.takeBefore(nil, p)
	return p.full()
}
