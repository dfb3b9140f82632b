package gate

import (
	"bytes"
	"errors"
	"math"
	"math/big"
	"testing"
)

// FuzzCheck: whatever is uploaded, Check does not panic, allocates in proportion, and refuses with its own kind of error;
// what it accepts it writes in a form that passes Recheck, and the engine's loader reads it and its
// validator survives it.
func FuzzCheck(f *testing.F) {
	for _, src := range corpus() {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var m *Module
		var err error
		if got, limit := allocated(func() { m, err = Check(src, Limits{}) }), allocationLimit(len(src)); got > limit {
			t.Errorf("allocates %d bytes for %d", got, len(src))
		}
		if err != nil {
			var refused *Error
			if !errors.As(err, &refused) || refused.Kind == nil || refused.Reason == "" {
				t.Errorf("refused with %#v", err)
			}
			return
		}
		checkRewriting(t, src)
		checkFixedPoint(t, src, Limits{})
		for _, s := range m.Data {
			if uint64(s.Offset)+uint64(len(s.Bytes)) > uint64(m.MemoryMin)*pageBytes {
				t.Errorf("segment at %d of %d bytes is outside of %d pages", s.Offset, len(s.Bytes), m.MemoryMin)
			}
		}
		if err := loadAndValidate(m.Code); errors.Is(err, errLoad) {
			t.Errorf("the engine cannot load what the gate wrote: %v", err)
		}
	})
}

// FuzzNumbers compares the LEB128 reader with arithmetic on big integers, and the writer with both.
func FuzzNumbers(f *testing.F) {
	for _, seed := range []string{
		"\x00", "\x7f", "\x80\x00", "\xff\xff\xff\xff\x0f", "\xff\xff\xff\xff\x1f", "\x80\x80\x80\x80\x78", "\x80\x80\x80\x80\x70",
		"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", "\x80\x80\x80\x80\x80\x00", "\x80", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		for _, width := range []int{32, 33, 64} {
			r := reader{src: src, end: len(src)}
			got := r.signed(width)
			want, n := bigLEB(src, width, true)
			if r.failed() != (n == 0) || (n > 0 && (big.NewInt(got).Cmp(want) != 0 || r.pos != n)) {
				t.Errorf("signed %d of %x: got %d (%v), want %v in %d bytes", width, src, got, r.err, want, n)
			}
			checkShortest(t, appendSigned(nil, got), func(r *reader) int64 { return r.signed(width) }, got, n)
		}
		r := reader{src: src, end: len(src)}
		got := r.u32()
		want, n := bigLEB(src, 32, false)
		if r.failed() != (n == 0) || (n > 0 && (big.NewInt(int64(got)).Cmp(want) != 0 || r.pos != n)) {
			t.Errorf("unsigned of %x: got %d (%v), want %v in %d bytes", src, got, r.err, want, n)
		}
		checkShortest(t, appendU32(nil, got), func(r *reader) int64 { return int64(r.u32()) }, int64(got), n)
	})
}

// checkShortest checks that written reads back as value, takes no more bytes than the n it came from (0: not a number),
// and cannot lose its last byte.
func checkShortest(t *testing.T, written []byte, read func(*reader) int64, value int64, n int) {
	t.Helper()
	r := reader{src: written, end: len(written)}
	if back := read(&r); r.failed() || back != value || r.pos != len(written) {
		t.Errorf("%x reads back as %d (%v), not %d", written, back, r.err, value)
	}
	if n > 0 && len(written) > n {
		t.Errorf("%x is longer than the %d bytes it came from", written, n)
	}
	if len(written) > 1 {
		shorter := bytes.Clone(written[:len(written)-1])
		shorter[len(shorter)-1] &= 0x7f
		r := reader{src: shorter, end: len(shorter)}
		if read(&r) == value {
			t.Errorf("%x is longer than needed", written)
		}
	}
}

// bigLEB reads a LEB128 number by its definition and returns it with the bytes it took, or 0 bytes when it does not fit
// the width, takes more than ceil(width/7) bytes, or does not end.
func bigLEB(src []byte, width int, signed bool) (*big.Int, int) {
	value := new(big.Int)
	for i, b := range src {
		if i >= (width+6)/7 {
			return nil, 0
		}
		value.Or(value, new(big.Int).Lsh(big.NewInt(int64(b&0x7f)), uint(7*i)))
		if b >= 0x80 {
			continue
		}
		low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), uint(width))
		if signed {
			if b&0x40 != 0 {
				value.Sub(value, new(big.Int).Lsh(big.NewInt(1), uint(7*(i+1))))
			}
			high.Rsh(high, 1)
			low.Neg(high)
		}
		if value.Cmp(low) < 0 || value.Cmp(high) >= 0 {
			return nil, 0
		}
		return value, i + 1
	}
	return nil, 0
}

func TestNumberBounds(t *testing.T) {
	for _, v := range []int64{0, 1, -1, 63, 64, -64, -65, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64} {
		written := appendSigned(nil, v)
		r := reader{src: written, end: len(written)}
		if got := r.signed(64); got != v || r.failed() {
			t.Errorf("%d reads back as %d (%v)", v, got, r.err)
		}
	}
}
