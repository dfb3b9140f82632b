package kvstore

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"io"
)

// The part of bbolt's file format that is checked, all little-endian (both supported architectures are):
//
//	page        id u64, flags u16, count u16, overflow u32, then elements, then keys and values without gaps
//	leaf elem   flags u32 (1 = bucket), pos u32 (from the element), ksize u32, vsize u32
//	branch elem pos u32, ksize u32, pgid u64
//	meta        at 16: magic u32, version u32, page size u32, flags u32, root u64, sequence u64, freelist u64,
//	            high-water pgid u64, txid u64, fnv1a-64 of the 56 bytes before
//	bucket      (value of a bucket element) root u64, sequence u64, and when root is 0 a leaf page follows inline
const (
	pageSize       = 4096
	pageHeader     = 16
	elemSize       = 16
	metaSum        = 56
	metaEnd        = pageHeader + metaSum + 8
	boltMagic      = 0xED0CDAED
	boltVersion    = 2
	branchFlag     = 0x01
	leafFlag       = 0x02
	metaFlag       = 0x04
	freelistFlag   = 0x10
	bucketHeader   = 16
	maxDepth       = 64 // a tree of 2^64 keys is shallower
	maxBucketName  = 2 + 63
	freelistCount2 = 0xFFFF // the count is in the first element
)

// fileCheck walks a closed file and proves that bbolt can be let at it: both metas are valid; every page below the
// high-water mark is used exactly once, by a tree, by the freelist or as a free page; every page is packed without gaps, its keys are
// in order and within what its parent says; and every key matches the key sum in its record. Values are left to the reads.
// Time is linear in the pages with keys (pages of large values are not read), memory is one bit a page.
type fileCheck struct {
	f    io.ReaderAt
	size int64
	hwm  uint64
	seen []uint64 // bitmap of pages
	// bucket seals the records of the bucket being walked; nil in the root bucket.
	bucket *seal
}

type meta struct{ root, freelist, hwm, txid uint64 }

func damaged(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

// checkFile verifies the structure of the file. Errors match ErrCorrupt, except those of reading it.
func checkFile(f io.ReaderAt, size int64) error {
	if size < 4*pageSize {
		return damaged("file has %d bytes: truncated, or not an edged key-value file", size)
	}
	m0, err := readMeta(f, 0)
	if err != nil {
		return err
	}
	m1, err := readMeta(f, 1)
	if err != nil {
		return err
	}
	m := m0
	if m1.txid > m0.txid {
		m = m1
	}
	if m.hwm < 4 || m.hwm > uint64(size)/pageSize {
		return damaged("file has %d bytes but uses %d pages: truncated", size, m.hwm)
	}
	c := &fileCheck{f: f, size: size, hwm: m.hwm, seen: make([]uint64, m.hwm/64+1)}
	c.seen[0] = 3 // the metas
	if err := c.freelist(m.freelist); err != nil {
		return err
	}
	if err := c.tree(m.root, nil, nil, 0); err != nil {
		return err
	}
	for id := range c.hwm {
		if c.seen[id/64]&(1<<(id%64)) == 0 {
			return damaged("page %d is neither used nor free", id)
		}
	}
	return nil
}

func readMeta(f io.ReaderAt, id uint64) (meta, error) {
	b := make([]byte, metaEnd)
	if _, err := f.ReadAt(b, int64(id)*pageSize); err != nil {
		return meta{}, fmt.Errorf("read meta page %d: %w", id, err)
	}
	le := binary.LittleEndian
	p := b[pageHeader:]
	h := fnv.New64a()
	_, _ = h.Write(p[:metaSum]) // a hash never fails
	switch {
	case le.Uint32(p) != boltMagic || le.Uint32(p[4:]) != boltVersion:
		return meta{}, damaged("meta page %d: not an edged key-value file", id)
	case le.Uint64(p[metaSum:]) != h.Sum64():
		return meta{}, damaged("meta page %d: wrong checksum", id)
	case le.Uint32(p[8:]) != pageSize:
		return meta{}, damaged("meta page %d: pages of %d bytes, not an edged key-value file", id, le.Uint32(p[8:]))
	case le.Uint64(b) != id || le.Uint16(b[8:]) != metaFlag:
		return meta{}, damaged("meta page %d: wrong header", id)
	}
	return meta{root: le.Uint64(p[16:]), freelist: le.Uint64(p[32:]), hwm: le.Uint64(p[40:]), txid: le.Uint64(p[48:])}, nil
}

// claim marks pages first..first+overflow as used and fails when one of them already is.
func (c *fileCheck) claim(first, overflow uint64) error {
	if first >= c.hwm || overflow >= c.hwm-first {
		return damaged("page %d (and %d more) lies beyond the end", first, overflow)
	}
	for id := first; id <= first+overflow; id++ {
		if c.seen[id/64]&(1<<(id%64)) != 0 {
			return damaged("page %d is used twice", id)
		}
		c.seen[id/64] |= 1 << (id % 64)
	}
	return nil
}

// page is one run of pages: the first is in buf, the rest is read when needed.
type page struct {
	id    uint64
	f     io.ReaderAt
	off   int64 // of buf in the file
	size  int   // of the whole run
	buf   []byte
	flags uint16
	count int
}

// open claims and reads the page id.
func (c *fileCheck) open(id uint64) (*page, error) {
	if id < 2 || id >= c.hwm {
		return nil, damaged("reference to page %d, the file has %d", id, c.hwm)
	}
	p := &page{id: id, f: c.f, off: int64(id) * pageSize, buf: make([]byte, pageSize)}
	if _, err := c.f.ReadAt(p.buf, p.off); err != nil {
		return nil, fmt.Errorf("read page %d: %w", id, err)
	}
	le := binary.LittleEndian
	if got := le.Uint64(p.buf); got != id {
		return nil, damaged("page %d says it is page %d", id, got)
	}
	overflow := uint64(le.Uint32(p.buf[12:]))
	if err := c.claim(id, overflow); err != nil {
		return nil, err
	}
	p.size = int(overflow+1) * pageSize
	p.flags, p.count = le.Uint16(p.buf[8:]), int(le.Uint16(p.buf[10:]))
	return p, nil
}

// at returns n bytes from off on; the caller has checked that they are inside the run.
func (p *page) at(off, n int) ([]byte, error) {
	if off+n <= len(p.buf) {
		return p.buf[off : off+n : off+n], nil
	}
	b := make([]byte, n)
	if _, err := p.f.ReadAt(b, p.off+int64(off)); err != nil {
		return nil, fmt.Errorf("read page %d: %w", p.id, err)
	}
	return b, nil
}

func (c *fileCheck) freelist(id uint64) error {
	p, err := c.open(id)
	if err != nil {
		return err
	}
	if p.flags != freelistFlag {
		return damaged("page %d should be the freelist", id)
	}
	off, count := pageHeader, uint64(p.count)
	if p.count == freelistCount2 {
		b, err := p.at(off, 8)
		if err != nil {
			return err
		}
		off, count = off+8, binary.LittleEndian.Uint64(b)
	}
	if count > uint64(p.size-off)/8 {
		return damaged("freelist of %d pages does not fit into page %d", count, id)
	}
	list, err := p.at(off, int(count)*8)
	if err != nil {
		return err
	}
	last := uint64(1)
	for i := 0; i < len(list); i += 8 {
		free := binary.LittleEndian.Uint64(list[i:])
		if free <= last {
			return damaged("freelist is out of order at page %d", free)
		}
		if err := c.claim(free, 0); err != nil {
			return err
		}
		last = free
	}
	return nil
}

// tree walks the page and everything below it. Keys must be in [low, high); nil means no bound.
func (c *fileCheck) tree(id uint64, low, high []byte, depth int) error {
	if depth > maxDepth {
		return damaged("page %d: tree deeper than %d", id, maxDepth)
	}
	p, err := c.open(id)
	if err != nil {
		return err
	}
	switch p.flags {
	case leafFlag:
		if p.count == 0 && depth > 0 {
			return damaged("page %d: empty leaf", id)
		}
		return c.leaf(p, low, high)
	case branchFlag:
		return c.branch(p, low, high, depth)
	default:
		return damaged("page %d: type %#x in a tree", id, p.flags)
	}
}

// elements checks that the page is packed and its keys are in order and in [low, high), and calls fn for each element.
// off is where the key starts, size the length of what follows it.
func (p *page) elements(low, high []byte, fn func(i int, elem, key []byte, valueOff, valueSize int) error) error {
	le := binary.LittleEndian
	data := pageHeader + p.count*elemSize
	if data > p.size {
		return damaged("page %d: %d elements do not fit", p.id, p.count)
	}
	elems, err := p.at(pageHeader, p.count*elemSize)
	if err != nil {
		return err
	}
	var last []byte
	for i := range p.count {
		e := elems[i*elemSize : (i+1)*elemSize]
		pos, ksize, vsize := int(le.Uint32(e)), int(le.Uint32(e[4:])), 0
		if p.flags == leafFlag {
			pos, ksize, vsize = int(le.Uint32(e[4:])), int(le.Uint32(e[8:])), int(le.Uint32(e[12:]))
		}
		if pageHeader+i*elemSize+pos != data || ksize == 0 || ksize > MaxKeyBytes || ksize+vsize > p.size-data {
			return damaged("page %d: element %d is out of place", p.id, i)
		}
		key, err := p.at(data, ksize)
		if err != nil {
			return err
		}
		if (i > 0 && bytes.Compare(key, last) <= 0) || bytes.Compare(key, low) < 0 || (high != nil && bytes.Compare(key, high) >= 0) {
			return damaged("page %d: key %d (%q) is out of order", p.id, i, key)
		}
		if err := fn(i, e, key, data+ksize, vsize); err != nil {
			return err
		}
		data, last = data+ksize+vsize, key
	}
	return nil
}

func (c *fileCheck) branch(p *page, low, high []byte, depth int) error {
	if p.count == 0 {
		return damaged("page %d: empty branch", p.id)
	}
	keys, children := make([][]byte, 0, p.count), make([]uint64, 0, p.count)
	err := p.elements(low, high, func(_ int, e, key []byte, _, _ int) error {
		keys, children = append(keys, key), append(children, binary.LittleEndian.Uint64(e[8:]))
		return nil
	})
	if err != nil {
		return err
	}
	for i, child := range children {
		end := high
		if i+1 < len(keys) {
			end = keys[i+1]
		}
		if err := c.tree(child, keys[i], end, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (c *fileCheck) leaf(p *page, low, high []byte) error {
	return p.elements(low, high, func(i int, e, key []byte, off, size int) error {
		flags := binary.LittleEndian.Uint32(e)
		if c.bucket == nil {
			if flags != 1 || size < bucketHeader {
				return damaged("page %d: element %d should be a space", p.id, i)
			}
			return c.space(p, key, off, size)
		}
		if flags != 0 || size < recordHeader || size > recordHeader+MaxValueBytes {
			return damaged("page %d: element %d should be a value", p.id, i)
		}
		head, err := p.at(off, recordHeader)
		if err != nil {
			return err
		}
		if !c.bucket.keyMatches(key, head) {
			return damaged("page %d: key %d (%q) does not match its checksum", p.id, i, key)
		}
		return nil
	})
}

// space walks one bucket, which is either inline in the value at off or a tree of its own.
func (c *fileCheck) space(p *page, bucket []byte, off, size int) error {
	name, ok := sealOfBucket(bucket)
	if !ok {
		return damaged("page %d: bucket %q is not one of ours", p.id, bucket)
	}
	if size > pageSize {
		return damaged("page %d: bucket %q: header of %d bytes", p.id, bucket, size)
	}
	value, err := p.at(off, size)
	if err != nil {
		return err
	}
	s := newSeal(name)
	c.bucket = &s
	defer func() { c.bucket = nil }()
	if root := binary.LittleEndian.Uint64(value); root != 0 {
		if size != bucketHeader {
			return damaged("page %d: bucket %q: header of %d bytes", p.id, bucket, size)
		}
		return c.tree(root, nil, nil, 0)
	}
	inline := value[bucketHeader:]
	if len(inline) < pageHeader || binary.LittleEndian.Uint16(inline[8:]) != leafFlag {
		return damaged("page %d: bucket %q: inline page is not a leaf", p.id, bucket)
	}
	in := &page{id: p.id, f: c.f, size: len(inline), buf: inline, flags: leafFlag, count: int(binary.LittleEndian.Uint16(inline[10:]))}
	return c.leaf(in, nil, nil)
}
