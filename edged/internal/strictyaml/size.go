package strictyaml

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Size is a number of bytes, written with a unit: "64MiB". Its zero value stands for "not given".
type Size uint64

// The units of [Size].
const (
	Byte Size = 1
	KiB       = 1024 * Byte
	MiB       = 1024 * KiB
	GiB       = 1024 * MiB
)

// units lists the units from large to small, so that the first that divides a size is the one to print.
func units() []struct {
	name string
	size Size
} {
	return []struct {
		name string
		size Size
	}{{"GiB", GiB}, {"MiB", MiB}, {"KiB", KiB}, {"B", Byte}}
}

// ParseSize reads a size such as "64MiB", "512 KiB" or "100B". Only powers of 1024 are units, spelled exactly so, that
// nobody wonders which "M" was meant.
func ParseSize(text string) (Size, error) {
	digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
	unit := strings.TrimPrefix(text[digits:], " ")
	n, err := strconv.ParseUint(text[:digits], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a size; write a whole number and B, KiB, MiB or GiB, such as 64MiB", text)
	}
	for _, u := range units() {
		if unit != u.name {
			continue
		}
		switch {
		case n == 0:
			return 0, fmt.Errorf("%q: a size is above zero", text)
		case n > math.MaxInt64/uint64(u.size):
			return 0, fmt.Errorf("%q is too large", text)
		default:
			return Size(n) * u.size, nil
		}
	}
	return 0, fmt.Errorf("%q is not a size; the unit is B, KiB, MiB or GiB, such as %dMiB", text, max(n, 1))
}

// String returns the size in the largest unit that divides it.
func (s Size) String() string {
	for _, u := range units() {
		if s != 0 && s%u.size == 0 {
			return strconv.FormatUint(uint64(s/u.size), 10) + u.name
		}
	}
	return "0B"
}

// Expected says what a size looks like, for messages.
func (*Size) Expected() string { return "a size such as 64MiB" }

// UnmarshalText is [ParseSize] for decoders.
func (s *Size) UnmarshalText(text []byte) error {
	n, err := ParseSize(string(text))
	if err == nil {
		*s = n
	}
	return err
}

// MarshalText is [Size.String] for encoders.
func (s Size) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
