package kvstore

import (
	"bytes"
	"slices"
	"sort"
)

// chunkMax is the number of entries at which a chunk is split: small enough that an insert moves a few cache lines, large
// enough that a million keys need only a few thousand chunks.
const chunkMax = 256

// entry is one key of a table. Neither slice is ever modified, so readers may keep them after the lock is released.
type entry struct {
	key []byte
	rec []byte // nil: a tombstone that hides the key in the file below
	seq uint64 // of the write that put it there
}

// table is an ordered map as a list of sorted chunks. A sorted slice of slices was preferred over a tree: inserts and
// lookups are two binary searches, ordered iteration is a walk over memory, and it is short enough to be seen to be right.
// It is not safe for concurrent use; Space.mu guards it.
type table struct {
	chunks [][]entry // none empty, ordered
	count  int
	bytes  int64
}

// locate returns the chunk that holds key or would hold it, and the position in it.
func (t *table) locate(key []byte) (chunk, pos int, found bool) {
	// The last chunk whose first key is not behind key.
	chunk = sort.Search(len(t.chunks), func(i int) bool { return bytes.Compare(t.chunks[i][0].key, key) > 0 }) - 1
	if chunk < 0 {
		return 0, 0, false
	}
	pos, found = slices.BinarySearchFunc(t.chunks[chunk], key, func(e entry, k []byte) int { return bytes.Compare(e.key, k) })
	return chunk, pos, found
}

func (t *table) find(key []byte) (entry, bool) {
	chunk, pos, found := t.locate(key)
	if !found {
		return entry{}, false
	}
	return t.chunks[chunk][pos], true
}

// put inserts or replaces e.key.
func (t *table) put(e entry) {
	chunk, pos, found := t.locate(e.key)
	if found {
		old := &t.chunks[chunk][pos]
		t.bytes += int64(len(e.rec) - len(old.rec))
		*old = e
		return
	}
	t.count++
	t.bytes += int64(len(e.key) + len(e.rec))
	if len(t.chunks) == 0 {
		t.chunks = append(t.chunks, []entry{e})
		return
	}
	c := slices.Insert(t.chunks[chunk], pos, e)
	if len(c) < chunkMax {
		t.chunks[chunk] = c
		return
	}
	half := len(c) / 2
	right := append(make([]entry, 0, chunkMax), c[half:]...)
	clear(c[half:])
	t.chunks[chunk] = c[:half]
	t.chunks = slices.Insert(t.chunks, chunk+1, right)
}

func (t *table) remove(key []byte) bool {
	chunk, pos, found := t.locate(key)
	if !found {
		return false
	}
	c := t.chunks[chunk]
	t.count--
	t.bytes -= int64(len(c[pos].key) + len(c[pos].rec))
	if len(c) == 1 {
		t.chunks = slices.Delete(t.chunks, chunk, chunk+1)
		return true
	}
	t.chunks[chunk] = slices.Delete(c, pos, pos+1)
	return true
}

// walk calls fn for every entry from the first key >= from on, in order, until fn returns false.
func (t *table) walk(from []byte, fn func(entry) bool) {
	if len(t.chunks) == 0 {
		return
	}
	chunk, pos, _ := t.locate(from)
	for ; chunk < len(t.chunks); chunk++ {
		for ; pos < len(t.chunks[chunk]); pos++ {
			if !fn(t.chunks[chunk][pos]) {
				return
			}
		}
		pos = 0
	}
}
