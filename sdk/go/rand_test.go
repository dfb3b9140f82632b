package edged

import (
	"testing"

	"edged.dev/edge/sdk/go/internal/abi"
)

// seeded is a host that only gives random numbers, the same each time.
type seeded struct {
	abi.Host
	byte
}

func (s seeded) Random(buf []byte) int32 {
	for i := range buf {
		buf[i] = s.byte
	}
	return 0
}

// TestRestored draws before and after a restore: what was drawn before must not go on.
func TestRestored(t *testing.T) {
	restored()
	draw := func(seed byte) (n uint64) {
		abi.Use(seeded{byte: seed}, func() { n = Rand().Uint64() })
		return n
	}
	first, next := draw(1), draw(1)
	if first == next {
		t.Fatalf("two draws in a row are both %d", first)
	}
	restored()
	if got := draw(1); got != first {
		t.Errorf("with the same seed after a restore: %d, want %d", got, first)
	}
	restored()
	if got := draw(2); got == first {
		t.Errorf("with another seed after a restore: still %d", got)
	}
	restored()
}
