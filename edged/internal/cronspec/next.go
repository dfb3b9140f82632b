package cronspec

import "time"

// horizon is how many years Next looks ahead: 29 February is up to eight years away, around a year such as 2100.
const horizon = 9

// Next returns the first moment after that one; zero when none comes within nine years.
func (s *Schedule) Next(after time.Time) time.Time {
	if s.elapsed {
		return s.nextElapsed(after)
	}
	return s.nextNamed(after)
}

// onDay reports whether the schedule is due on a day, whatever the time.
func (s *Schedule) onDay(month time.Month, day int, weekday time.Weekday) bool {
	if !has(s.month, int(month)) {
		return false
	}
	byDay, byWeekday := has(s.day, day), has(s.weekday, int(weekday))
	if s.anyDay || s.anyWeekday {
		return byDay && byWeekday
	}
	return byDay || byWeekday
}

// nextElapsed walks along real time and looks at what the zone's clock shows.
func (s *Schedule) nextElapsed(after time.Time) time.Time {
	t := after.Truncate(time.Minute).Add(time.Minute).In(s.zone)
	for end := t.AddDate(horizon, 0, 0); t.Before(end); {
		year, month, day := t.Date()
		switch {
		case !has(s.month, int(month)):
			t = later(t, time.Date(year, month+1, 1, 0, 0, 0, 0, s.zone))
		case !s.onDay(month, day, t.Weekday()):
			t = later(t, time.Date(year, month, day+1, 0, 0, 0, 0, s.zone))
		case !has(s.hour, t.Hour()):
			t = t.Add(time.Duration(60-t.Minute()) * time.Minute)
		case !has(s.minute, t.Minute()):
			t = t.Add(time.Minute)
		default:
			return t
		}
	}
	return time.Time{}
}

// later returns where a walk goes on: at target, but never back. A zone may have no midnight on a day, or two.
func later(t, target time.Time) time.Time {
	if target.After(t) {
		return target
	}
	return t.Add(time.Minute)
}

// nextNamed walks along the calendar, in which every day has the same times, and asks when each of them is. That order is the
// order of the moments, too, with moments that are the same.
func (s *Schedule) nextNamed(after time.Time) time.Time {
	local := after.In(s.zone)
	year, month, date := local.Date()
	now := time.Date(year, month, date, local.Hour(), local.Minute(), 0, 0, time.UTC) // what the clock shows
	day := time.Date(year, month, date, 0, 0, 0, 0, time.UTC)
	var found time.Time
	for end := day.AddDate(horizon, 0, 0); day.Before(end); {
		if !has(s.month, int(day.Month())) {
			day = time.Date(day.Year(), day.Month()+1, 1, 0, 0, 0, 0, time.UTC)
			continue
		}
		if s.onDay(day.Month(), day.Day(), day.Weekday()) {
			none := each(s.hour, func(hour int) bool {
				return each(s.minute, func(minute int) bool {
					shown := day.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute)
					if shown.Before(now) {
						return true
					}
					found = s.moment(shown)
					return !found.After(after)
				})
			})
			if !none {
				return found
			}
		}
		day = day.AddDate(0, 0, 1)
	}
	return time.Time{}
}

// moment returns when the zone's clock shows that time, given as if it were UTC: the first time when it does so twice, the
// moment of the jump when it never does.
func (s *Schedule) moment(shown time.Time) time.Time {
	// No zone is further than 14 hours from UTC, and none changes twice within two days.
	before, after := s.offset(shown.Add(-24*time.Hour)), s.offset(shown.Add(24*time.Hour))
	early, late := shown.Add(-before), shown.Add(-after)
	if before == after {
		return early.In(s.zone)
	}
	earlyIs, lateIs := s.offset(early) == before, s.offset(late) == after
	switch {
	case earlyIs && lateIs && late.Before(early), !earlyIs && lateIs:
		return late.In(s.zone)
	case earlyIs:
		return early.In(s.zone)
	default:
		jump, _ := early.In(s.zone).ZoneBounds()
		return jump
	}
}

// offset is how far the zone's clock is ahead of UTC at a moment.
func (s *Schedule) offset(at time.Time) time.Duration {
	_, seconds := at.In(s.zone).Zone()
	return time.Duration(seconds) * time.Second
}

// Last returns the last n moments after the first and not after the second of the given times, oldest first, and how many there
// are in all; total is exact up to n and more than n beyond it.
func (s *Schedule) Last(after, until time.Time, n int) (moments []time.Time, total int) {
	// Moments can be walked forward only. Go back in growing strides until enough of them are ahead.
	for stride := time.Hour; ; stride *= 2 {
		from := until.Add(-stride)
		whole := !from.After(after) || stride > 100*365*24*time.Hour
		if whole {
			from = after
		}
		moments, total = moments[:0], 0
		for at := s.Next(from); !at.IsZero() && !at.After(until); at = s.Next(at) {
			if total++; len(moments) == n {
				moments = append(moments[:0], moments[1:]...)
			}
			moments = append(moments, at)
		}
		if whole || total > n {
			return moments, total
		}
	}
}
