// Package cronspec reads schedules in the form that cron made common, and tells when they are due.
//
// # Form
//
// Five fields: minute (0-59), hour (0-23), day of the month (1-31), month (1-12 or jan-dec), day of the week (0-7 or sun-sat; 0
// and 7 are Sunday). A field is a list, separated by commas, of *, numbers and ranges a-b, each perhaps with a step: */15, 8-18/2.
// When both days are restricted, one of them has to match, as in every cron. Or one of @yearly (@annually), @monthly, @weekly,
// @daily (@midnight), @hourly.
//
// # Daylight saving time
//
// A schedule whose hour begins with * goes by elapsed time: it runs in both copies of an hour that is there twice, and not in
// one that is left out. Any other schedule names times of the day: each runs once a day. A time that is there twice is the first
// of the two; a time that is left out is the moment at which the clock jumps over it, and several of those are one.
package cronspec

import (
	"errors"
	"fmt"
	"math/bits"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // a box need not have the time zone database
)

// MaxBytes is the longest text that Parse looks at.
const MaxBytes = 256

// Schedule is a set of moments, whole minutes of a zone's clock. It is immutable.
type Schedule struct {
	minute, hour, day, month, weekday uint64 // a bit for each value
	anyDay, anyWeekday                bool   // the field does not restrict
	elapsed                           bool   // the hour begins with *
	zone                              *time.Location
}

// field is what one of the five may hold.
type field struct {
	name     string
	low, top int
	names    []string // of the values from low on
}

// The fields in their order. The weekday goes to 7, which is folded into 0.
func fields() [5]field {
	return [5]field{
		{name: "minute", top: 59},
		{name: "hour", top: 23},
		{name: "day of the month", low: 1, top: 31},
		{name: "month", low: 1, top: 12, names: []string{"jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"}},
		{name: "day of the week", top: 7, names: []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}},
	}
}

// named returns what an @name stands for.
func named(name string) (string, bool) {
	switch name {
	case "@yearly", "@annually":
		return "0 0 1 1 *", true
	case "@monthly":
		return "0 0 1 * *", true
	case "@weekly":
		return "0 0 * * 0", true
	case "@daily", "@midnight":
		return "0 0 * * *", true
	case "@hourly":
		return "0 * * * *", true
	}
	return "", false
}

// errNever is for schedules such as the 30th of February.
var errNever = errors.New("this moment never comes")

// Parse reads a schedule; zone is whose clock it goes by. The error is a sentence that says what is wrong with the text.
func Parse(text string, zone *time.Location) (*Schedule, error) {
	if len(text) > MaxBytes {
		return nil, fmt.Errorf("a schedule has at most %d bytes, this has %d", MaxBytes, len(text))
	}
	spec := strings.ToLower(strings.TrimSpace(text))
	if strings.HasPrefix(spec, "@") {
		full, ok := named(spec)
		if !ok {
			return nil, fmt.Errorf("%q is not known; there are @yearly, @monthly, @weekly, @daily and @hourly", text)
		}
		spec = full
	}
	parts := strings.Fields(spec)
	if len(parts) > 0 && strings.Contains(parts[0], "=") {
		return nil, fmt.Errorf("%q: the time zone is a key of its own, tz", text)
	}
	if len(parts) != 5 {
		return nil, fmt.Errorf("a schedule has five fields (minute hour day month weekday), %q has %d", text, len(parts))
	}
	var masks [5]uint64
	for i, f := range fields() {
		mask, err := f.parse(parts[i])
		if err != nil {
			return nil, err
		}
		masks[i] = mask
	}
	if masks[4]&(1<<7) != 0 {
		masks[4] = masks[4]&^(1<<7) | 1
	}
	s := &Schedule{
		minute: masks[0], hour: masks[1], day: masks[2], month: masks[3], weekday: masks[4],
		anyDay: unrestricted(parts[2]), anyWeekday: unrestricted(parts[4]), elapsed: strings.HasPrefix(parts[1], "*"), zone: zone,
	}
	if s.Next(time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
		return nil, fmt.Errorf("%q: %w", text, errNever)
	}
	return s, nil
}

func unrestricted(part string) bool { return part == "*" || part == "*/1" }

// parse reads one field into its bits.
func (f field) parse(text string) (uint64, error) {
	var mask uint64
	for item := range strings.SplitSeq(text, ",") {
		values, steps, stepped := strings.Cut(item, "/")
		low, top, err := f.bounds(values, stepped)
		if err != nil {
			return 0, err
		}
		step := 1
		if stepped {
			if step, err = strconv.Atoi(steps); err != nil || step < 1 || step > f.top {
				return 0, fmt.Errorf("%q in the %s: a step is a number from 1 to %d", item, f.name, f.top)
			}
		}
		for value := low; value <= top; value += step {
			mask |= 1 << value
		}
	}
	return mask, nil
}

// bounds reads *, a or a-b. A single number with a step goes on to the end, as in every cron.
func (f field) bounds(text string, stepped bool) (low, top int, err error) {
	if text == "*" {
		if top = f.top; top == 7 {
			top = 6 // 7 is the same day as 0: with a step it must not count twice
		}
		return f.low, top, nil
	}
	from, to, isRange := strings.Cut(text, "-")
	if low, err = f.value(from); err != nil {
		return 0, 0, err
	}
	switch {
	case isRange:
		top, err = f.value(to)
	case stepped:
		top = f.top
	default:
		top = low
	}
	if err == nil && top < low {
		err = fmt.Errorf("%q in the %s: the range ends before it begins", text, f.name)
	}
	return low, top, err
}

func (f field) value(text string) (int, error) {
	for i, name := range f.names {
		if text == name {
			return f.low + i, nil
		}
	}
	value, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return 0, fmt.Errorf("%q in the %s is not a number%s", text, f.name, f.alternatives())
	}
	if int(value) < f.low || int(value) > f.top {
		return 0, fmt.Errorf("%s in the %s is outside %d to %d", text, f.name, f.low, f.top)
	}
	return int(value), nil
}

func (f field) alternatives() string {
	if len(f.names) == 0 {
		return ""
	}
	return fmt.Sprintf(" or a name from %s to %s", f.names[0], f.names[len(f.names)-1])
}

// has reports whether a value is in a field.
func has(mask uint64, value int) bool { return mask&(1<<value) != 0 }

// each calls yield for the values in a field in order, until it returns false.
func each(mask uint64, yield func(int) bool) bool {
	for ; mask != 0; mask &= mask - 1 {
		if !yield(bits.TrailingZeros64(mask)) {
			return false
		}
	}
	return true
}
