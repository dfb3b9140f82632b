package cronspec

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/robfig/cron/v3"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func TestNext(t *testing.T) {
	for _, c := range []struct{ name, spec, zone, after, want string }{
		{"every five minutes", "*/5 * * * *", "UTC", "2026-03-01T10:02:30Z", "2026-03-01T10:05:00Z"},
		{"strictly after", "*/5 * * * *", "UTC", "2026-03-01T10:05:00Z", "2026-03-01T10:10:00Z"},
		{"a name", "@daily", "Europe/Berlin", "2026-03-01T10:05:00Z", "2026-03-01T23:00:00Z"},
		{"list and range", "0 8-10,22 * * *", "UTC", "2026-03-01T10:00:00Z", "2026-03-01T22:00:00Z"},
		{"either day", "0 0 13 * fri", "UTC", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"},
		{"seven is Sunday", "0 0 * * 7", "UTC", "2026-03-02T00:00:00Z", "2026-03-08T00:00:00Z"},
		{"to Sunday", "0 0 * * 5-7", "UTC", "2026-03-07T00:00:00Z", "2026-03-08T00:00:00Z"},
		{"leap day over 2100", "0 0 29 2 *", "UTC", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
		{"last day of some months", "59 23 31 * *", "UTC", "2026-03-31T23:59:00Z", "2026-05-31T23:59:00Z"},
		{"a number with a step", "10/20 * * * *", "UTC", "2026-03-01T10:31:00Z", "2026-03-01T10:50:00Z"},

		{"left out: at the jump", "30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"left out: once", "0,30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		{"the day after the jump", "30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"there twice: the first", "30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"there twice: not again", "30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"every hour: both copies", "30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z"},
		{"every hour: none is left out", "30 * * * *", "Europe/Berlin", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z"},
		{"half an hour left out", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"},
		{"no midnight", "0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"},
		{"a day that was left out", "0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2011-12-30T10:00:00Z"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Parse(c.spec, zone(t, c.zone))
			if err != nil {
				t.Fatal(err)
			}
			after, _ := time.Parse(time.RFC3339, c.after)
			if got := s.Next(after).UTC().Format(time.RFC3339); got != c.want {
				t.Errorf("%s after %s: %s, want %s", c.spec, c.after, got, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct{ spec, want string }{
		{"", "five fields"},
		{"* * * *", "has 4"},
		{"* * * * * *", "has 6"},
		{"60 * * * *", "60 in the minute is outside 0 to 59"},
		{"* 24 * * *", "24 in the hour is outside 0 to 23"},
		{"* * 0 * *", "0 in the day of the month is outside 1 to 31"},
		{"* * * foo *", "or a name from jan to dec"},
		{"* * * * 8", "8 in the day of the week is outside 0 to 7"},
		{"*/0 * * * *", "a step is a number from 1"},
		{"*/ * * * *", "a step is a number from 1"},
		{"30-10 * * * *", "ends before it begins"},
		{"1,,2 * * * *", "is not a number"},
		{"-1 * * * *", "is not a number"},
		{"0 0 30 2 *", "never comes"},
		{"@reboot", "@hourly"},
		{"@every 5s", "@hourly"},
		{"TZ=Asia/Tokyo 0 0 * * *", "a key of its own, tz"},
		{strings.Repeat("1,", 200) + "1 * * * *", "at most 256 bytes"},
	} {
		if _, err := Parse(c.spec, time.UTC); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want an error with %q", c.spec, err, c.want)
		}
	}
}

// TestAgainstAnotherReader compares with a cron in wide use, in UTC, where both mean the same.
func TestAgainstAnotherReader(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 3000 {
		spec := randomSpec(r)
		ours, err := Parse(spec, time.UTC)
		theirs, theirErr := cron.ParseStandard(spec)
		if theirErr != nil {
			t.Fatalf("%q: %v", spec, theirErr)
		}
		at := time.Unix(r.Int64N(3e9), r.Int64N(1e9)).UTC()
		if err != nil {
			if next := theirs.Next(at); !next.IsZero() {
				t.Fatalf("%q: %v, but it is due at %v", spec, err, next)
			}
			continue
		}
		for range 5 {
			got, want := ours.Next(at), theirs.Next(at)
			if !got.Equal(want) {
				if want.IsZero() && got.Sub(at) > 4*365*24*time.Hour {
					break // it looks five years ahead only
				}
				t.Fatalf("%q after %v: %v, want %v", spec, at, got, want)
			}
			at = got
		}
	}
}

func randomSpec(r *rand.Rand) string {
	parts := make([]string, 5)
	for i, f := range fields() {
		top := f.top
		if top == 7 {
			top = 6 // the other reader has no 7
		}
		number := func() int { return f.low + r.IntN(top-f.low+1) }
		switch r.IntN(6) {
		case 0, 1:
			parts[i] = "*"
		case 2:
			parts[i] = fmt.Sprintf("*/%d", 1+r.IntN(top))
		case 3:
			low := number()
			parts[i] = fmt.Sprintf("%d-%d/%d", low, low+r.IntN(top-low+1), 1+r.IntN(5))
		case 4:
			parts[i] = fmt.Sprintf("%d,%d", number(), number())
		default:
			parts[i] = fmt.Sprint(number())
		}
	}
	return strings.Join(parts, " ")
}

// TestMomentsAcrossTheYear walks a year of zones with all kinds of jumps: named times come exactly once on every day, in order.
func TestMomentsAcrossTheYear(t *testing.T) {
	for _, name := range []string{"UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Santiago", "Africa/Casablanca", "Asia/Kathmandu"} {
		z := zone(t, name)
		for _, spec := range []string{"30 2 * * *", "0 0 * * *", "15 1 * * *"} {
			s, err := Parse(spec, z)
			if err != nil {
				t.Fatal(err)
			}
			at := time.Date(2026, 1, 1, 12, 0, 0, 0, z)
			for day := range 365 {
				next := s.Next(at)
				want := time.Date(2026, 1, 2+day, 0, 0, 0, 0, time.UTC)
				if y, m, d := next.In(z).Date(); y != want.Year() || m != want.Month() || d != want.Day() {
					t.Fatalf("%s in %s after %v: %v, want a time on %v", spec, name, at, next, want)
				}
				at = next
			}
		}
	}
}

func TestLast(t *testing.T) {
	for _, c := range []struct {
		name, spec  string
		back        time.Duration
		n           int
		want, total int
	}{
		{"none", "@hourly", 10 * time.Minute, 100, 0, 0},
		{"some", "*/5 * * * *", 31 * time.Minute, 100, 7, 7},
		{"the newest", "* * * * *", 10 * time.Hour, 100, 100, 101},
		{"of a year", "@daily", 365 * 24 * time.Hour, 1000, 365, 365},
		{"of a long time", "* * * * *", 100 * 365 * 24 * time.Hour, 1, 1, 2},
	} {
		s, err := Parse(c.spec, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		until := time.Date(2026, 5, 5, 12, 30, 30, 0, time.UTC)
		if c.name == "none" {
			until = until.Add(-10 * time.Minute)
		}
		got, total := s.Last(until.Add(-c.back), until, c.n)
		if len(got) != c.want || min(total, c.n+1) != c.total {
			t.Errorf("%s: %d of %d, want %d of %d", c.name, len(got), total, c.want, c.total)
		}
		if len(got) > 0 && s.Next(got[len(got)-1]).Before(until) {
			t.Errorf("%s: %v is not the last", c.name, got[len(got)-1])
		}
	}
}

// FuzzParse looks for panics, endless searches, and moments that do not lie ahead.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"*/5 * * * *", "@daily", "0 0 29 2 *", "TZ= ", "1-2-3 * * * *", "*/99999999999999999999 * * * *", "0 0 31 2-11/2 7"} {
		f.Add(seed, int64(1_800_000_000))
	}
	berlin := zone(f, "Europe/Berlin")
	f.Fuzz(func(t *testing.T, spec string, unix int64) {
		s, err := Parse(spec, berlin)
		if err != nil {
			return
		}
		at := time.Unix(unix%4e9, 0)
		for range 3 {
			next := s.Next(at)
			if !next.After(at) || next.Second() != 0 {
				t.Fatalf("%q after %v: %v", spec, at, next)
			}
			at = next
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, spec := range []string{"* * * * *", "*/5 * * * *", "30 2 * * *", "0 0 29 2 *"} {
		b.Run(strings.ReplaceAll(spec, " ", "_"), func(b *testing.B) {
			s, err := Parse(spec, zone(b, "Europe/Berlin"))
			if err != nil {
				b.Fatal(err)
			}
			at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			for b.Loop() {
				at = s.Next(at)
				if at.Year() > 2090 {
					at = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
				}
			}
		})
	}
}
