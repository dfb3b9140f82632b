package gate

import (
	"cmp"
	"slices"
)

// joinBytes is the longest run of zeros between two pieces of data that is written out to make one of them. Go's linker
// leaves out every run of 32 zeros or so, 57,000 times in a program of 6 MB.
const joinBytes = 64

// stripData takes the active data out of a module in which nothing refers to a segment by its number, so that apps built
// from one language engine have the same code. The result is a copy without empty segments.
func (m *module) stripData() []Segment {
	if m.usesDataIndex || slices.ContainsFunc(m.data, func(s dataSegment) bool { return s.mode != segmentActive }) {
		return nil
	}
	data := slices.DeleteFunc(m.data, func(s dataSegment) bool { return len(s.bytes) == 0 })
	m.data = nil
	if sorted, disjoint := sortData(data); disjoint {
		return joinData(sorted, joinBytes)
	}
	return joinData(data, -1) // what overlaps must stay as it is and in its order
}

// end returns the address behind the segment.
func (s dataSegment) end() int64 { return int64(s.offset) + int64(len(s.bytes)) }

// sortData returns the segments by address, and whether no two of them overlap, so that their order is of no account.
func sortData(data []dataSegment) ([]dataSegment, bool) {
	sorted := slices.SortedFunc(slices.Values(data), func(a, b dataSegment) int { return cmp.Compare(a.offset, b.offset) })
	for i := 1; i < len(sorted); i++ {
		if int64(sorted[i].offset) < sorted[i-1].end() {
			return nil, false
		}
	}
	return sorted, true
}

// joinData copies segments and makes one of neighbours with at most so many bytes between them; below 0, of none.
func joinData(data []dataSegment, apart int64) []Segment {
	size, runs := int64(0), 0
	joins := make([]int64, len(data)) // the zeros before a segment that continues the last run, or -1
	for i, s := range data {
		joins[i] = -1
		if i > 0 {
			if gap := int64(s.offset) - data[i-1].end(); gap >= 0 && gap <= apart {
				joins[i] = gap
				size += gap
			}
		}
		if joins[i] < 0 {
			runs++
		}
		size += int64(len(s.bytes))
	}
	if runs == 0 {
		return nil
	}
	segments := make([]Segment, 0, runs)
	arena := make([]byte, 0, size) // exactly what is needed: it never moves
	start := 0
	for i, s := range data {
		if joins[i] < 0 {
			start = len(arena)
			segments = append(segments, Segment{Offset: s.offset})
		} else {
			arena = append(arena, make([]byte, joins[i])...)
		}
		arena = append(arena, s.bytes...)
		segments[len(segments)-1].Bytes = arena[start:len(arena):len(arena)]
	}
	return segments
}
