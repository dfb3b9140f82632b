package hostfn

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
)

// sizeCursor is the size of a cursor of kv_scan: id u64, check u64.
const sizeCursor = 16

// scanLook is after how many entries a scan looks at the deadline.
const scanLook = 1024

// scans are the positions of an invocation's scans. The guest holds only a number and a check for each, so that a position
// needs no trust and a key of any length.
type scans struct {
	open []*scan
	last uint64 // id given out last
	tick uint64 // counts uses, to know the one used longest ago
}

// scan is where one scan goes on.
type scan struct {
	id, check, used uint64
	prefix, after   []byte
}

func (s *scans) reset() { *s = scans{open: s.open[:0]} }

// at returns the scan of a cursor, nil when it is none.
func (s *scans) at(id, check uint64) *scan {
	for _, sc := range s.open {
		if sc.id == id && sc.check == check {
			return sc
		}
	}
	return nil
}

// add opens a scan and, above the limit, gives up the one that was used longest ago.
func (s *scans) add(prefix []byte, limit int) *scan {
	if len(s.open) >= limit {
		s.drop(slices.MinFunc(s.open, func(a, b *scan) int { return int(int64(a.used - b.used)) }))
	}
	s.last++
	sc := &scan{id: s.last, prefix: slices.Clone(prefix)}
	s.open = append(s.open, sc)
	return sc
}

func (s *scans) drop(sc *scan) {
	s.open = slices.DeleteFunc(s.open, func(other *scan) bool { return other == sc })
}

// kvScan lists entries whose key begins with a prefix, in key order, as many as fit. Entries written or deleted between two
// calls may be seen or not.
//
// Parameters: prefix, pl; cursor_ptr, 16 bytes {id u64, check u64}, zeros to begin, which the call replaces to go on from,
// zeros when there is no more; buf, cap, where entries go, each
//
//	kl u32 | key | vl u32 | value
//
// Result: bytes used. A number above cap is the room that the next entry needs: nothing was copied and the cursor stands
// where it was. Invalid for a cursor that is none of this invocation's, that belongs to another prefix, that was used
// already, or that was given up because more than Limits.Scans are in use.
func kvScan(e *Env, p []uint64) (Result, error) {
	prefix, err := e.bytes("prefix", p[0], p[1])
	if err != nil {
		return 0, err
	}
	cursor, err := e.bytes("cursor_ptr", p[2], sizeCursor)
	if err != nil {
		return 0, err
	}
	buf, err := e.bytes("buf", p[3], p[4])
	if err != nil {
		return 0, err
	}
	if e.space() == nil {
		return Denied, nil
	}
	id, check := binary.LittleEndian.Uint64(cursor), binary.LittleEndian.Uint64(cursor[8:])
	var sc *scan
	if id|check != 0 {
		if sc = e.scans.at(id, check); sc == nil || string(sc.prefix) != string(prefix) {
			return Invalid, nil
		}
	}
	var after []byte
	if sc != nil {
		after = sc.after
	}
	got, err := e.fill(buf[:min(len(buf), math.MaxInt32)], prefix, after)
	if err != nil {
		return e.result(err), nil
	}
	if got.needs > 0 {
		return Result(got.needs), nil
	}
	e.advance(cursor, sc, prefix, got)
	return Result(got.used), nil
}

// page is what one kv_scan found.
type page struct {
	used  int  // bytes of the buffer
	needs int  // room for the first entry, when even that does not fit
	more  bool // there are further entries
	last  []byte
}

// fill copies entries into buf. The store's slices end with each step, so that last is a copy.
func (e *Env) fill(buf, prefix, after []byte) (page, error) {
	var got page
	var over error
	steps := 0
	space, reads := unfiltered(e.space())
	err := space.Scan(prefix, after, func(key, value []byte) bool {
		if steps++; steps%scanLook == 0 {
			if over = e.over(); over != nil {
				return false
			}
		}
		if reads != nil && !reads(key) {
			return true
		}
		size := 8 + len(key) + len(value)
		if size > len(buf)-got.used {
			got.more = true
			if got.used == 0 {
				got.needs = size
			}
			return false
		}
		out := binary.LittleEndian.AppendUint32(buf[:got.used], uint32(len(key)))
		out = append(out, key...)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(value)))
		out = append(out, value...)
		got.used = len(out)
		got.last = append(got.last[:0], key...)
		return true
	})
	if err == nil {
		err = over
	}
	return got, err
}

// advance keeps where the scan goes on, and tells the guest.
func (e *Env) advance(cursor []byte, sc *scan, prefix []byte, got page) {
	if !got.more {
		if sc != nil {
			e.scans.drop(sc)
		}
		clear(cursor)
		return
	}
	if sc == nil {
		sc = e.scans.add(prefix, e.app.Limits.Scans)
	}
	e.scans.tick++
	sc.used, sc.check, sc.after = e.scans.tick, rand.Uint64()|1, got.last //nolint:gosec // tells a stale cursor, guards no secret
	binary.LittleEndian.PutUint64(cursor, sc.id)
	binary.LittleEndian.PutUint64(cursor[8:], sc.check)
}
