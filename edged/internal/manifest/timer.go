package manifest

import (
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/cronspec"
)

// Missed says what becomes of the moments of a schedule that went by while nothing could run.
type Missed string

// The policies for missed moments.
const (
	MissedOnce Missed = "once" // one run for all of them
	MissedSkip Missed = "skip" // none
	MissedAll  Missed = "all"  // one run for each, up to a hundred
)

// The bounds of a period: below, starting invocations would be all that the box does; above, nobody would live to see it.
const (
	minEvery = 10 * time.Millisecond
	maxEvery = 366 * 24 * time.Hour
)

// Schedule returns the schedule of a cron trigger; nil for another kind. The error says what is wrong with the text.
func (t *Trigger) Schedule() (*cronspec.Schedule, error) {
	if t.Cron == "" {
		return nil, nil
	}
	zone, err := zoneOf(t.TZ)
	if err != nil {
		return nil, err
	}
	return cronspec.Parse(t.Cron, zone)
}

// zoneOf returns a time zone by its name in the time zone database. The machine's own zone is not one: what a manifest says is to
// mean the same on every box.
func zoneOf(name string) (*time.Location, error) {
	if name == "Local" {
		return nil, fmt.Errorf("%q is another zone on every machine", name)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%q is no known time zone", name)
	}
	return zone, nil
}

// timer checks what a trigger says of time.
func (c *checker) timer(at string, t *Trigger) {
	if t.Cron == "" {
		c.require(t.TZ == "", at+".tz", "only a schedule (cron) goes by the clock of a place", "remove it")
		c.require(t.Missed == "", at+".missed", "only a schedule (cron) has moments that can be missed", "remove it")
	} else {
		c.cron(at, t)
	}
	if t.Every != 0 {
		c.require(t.Every >= minEvery && t.Every <= maxEvery, at+".every", fmt.Sprintf("a period of %v is outside what is possible", t.Every),
			fmt.Sprintf("give %v to %v", minEvery, maxEvery))
	}
	if t.Cron != "" || t.Every != 0 {
		c.require(t.Retries == DefaultRetries && t.Backoff == DefaultBackoff && t.Backlog == DefaultBacklog, at,
			"a timer's run is not tried again and does not wait: retries, backoff and backlog are for kv", "remove them")
	}
}

func (c *checker) cron(at string, t *Trigger) {
	c.oneOf(at+".missed", string(t.Missed), string(MissedOnce), string(MissedSkip), string(MissedAll))
	zone, err := zoneOf(t.TZ)
	if err != nil {
		c.require(false, at+".tz", err.Error(), "write a name such as Europe/Berlin, or leave it out for UTC")
		zone = time.UTC
	}
	if _, err := cronspec.Parse(t.Cron, zone); err != nil {
		c.require(false, at+".cron", err.Error(), `minute hour day month weekday, such as "*/5 * * * *" or "@daily"`)
	}
}
