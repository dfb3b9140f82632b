package crontrigger

import (
	"encoding/json"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/cronspec"
	"edged.dev/edge/edged/internal/invoke"
)

// ID names a timer: the place where its manifest has it.
type ID struct {
	App      invoke.AppName
	Function invoke.FunctionName
	Index    int // in the function's list of triggers
}

// String returns "app/function/index".
func (id ID) String() string { return fmt.Sprintf("%s/%s/%d", id.App, id.Function, id.Index) }

// Missed says what becomes of moments that were missed.
type Missed string

// The policies for missed moments.
const (
	MissedOnce Missed = "once" // one run for all of them
	MissedSkip Missed = "skip" // none
	MissedAll  Missed = "all"  // one for each of the newest MaxCatchUp
)

// MaxCatchUp is how many missed moments [MissedAll] makes up for.
const MaxCatchUp = 100

// Timer is what a manifest asks for. Either Schedule or Every is set.
type Timer struct {
	ID       ID
	Text     string // the schedule or the period, and what else makes it another timer: the same text is the same timer
	Schedule *cronspec.Schedule
	Every    time.Duration
	Missed   Missed // of a schedule; the others are MissedOnce
}

const (
	// grace is how late a run of a moment may begin that is not missed.
	grace = time.Minute
	// keptEvery is from what period on it is kept when the last run was. Of a shorter one little is lost with a restart, and
	// a write for every run would wear out a flash disk.
	keptEvery = time.Hour
)

// timer is a timer that runs.
type timer struct {
	Timer

	at    time.Duration // when to look at it next, on the clock that cannot be set
	index int           // in the heap; -1: not in it

	// Of a schedule.
	last    time.Time // the last moment that has been handled; zero before the clock is believed
	next    time.Time // the one after it
	high    time.Time // the latest of what has ever been last
	rewound int       // how often the clock was put back behind last
	jumped  bool      // the clock was put forward since it was looked at

	kept *state // what was on disk when it was set, until it is used

	running bool
	backlog []time.Time // missed moments to be made up for, one after another
	making  bool        // what runs is one of those
	lagging bool        // a moment was skipped since the last run was begun

	begun                         time.Time
	runs, failed, skipped, missed uint64
	err                           string
}

// state is what is kept of a timer.
type state struct {
	Text    string    `json:"timer"`
	Last    time.Time `json:"last"`
	Rewound int       `json:"rewound,omitempty"`
}

func decodeState(text []byte) *state {
	var s state
	if json.Unmarshal(text, &s) != nil {
		return nil // as if there were none: the timer begins anew
	}
	return &s
}

func (s state) encode() []byte {
	text, err := json.Marshal(s)
	if err != nil {
		return nil // a year above 9999: not kept
	}
	return text
}

// handled notes that moments up to last need nothing more.
func (x *timer) handled(last time.Time) {
	x.last = last
	x.next = x.Schedule.Next(last)
	if last.After(x.high) {
		x.high = last
	}
}

// resume begins with what is kept, or else with now. It reports whether there is something new to be kept.
func (x *timer) resume(wall time.Time) bool {
	kept := x.kept
	x.kept = nil
	if kept == nil || kept.Text != x.Text || kept.Last.IsZero() {
		x.rewound = 0
		x.handled(wall)
		return true
	}
	x.rewound = kept.Rewound
	x.handled(kept.Last)
	return false
}

// rewind looks whether the clock was put back behind what has been handled. By less than the time to the next moment: then
// nothing is due before that, and nothing is run again. By more: then waiting could take years, so that it goes by the new
// clock, and its runs are other runs although they are named after the same moments.
func (x *timer) rewind(wall time.Time) {
	if back := x.last.Sub(wall); back > 0 && back > x.next.Sub(x.last) {
		x.rewound++
		x.handled(wall)
		x.missed += uint64(len(x.backlog))
		x.backlog = nil // moments of a clock that was wrong
	}
}

// due takes the moments that have come and returns those to run now, oldest first, and how many are not run.
func (x *timer) due(wall time.Time) (run []time.Time, missed uint64) {
	jumped := x.jumped
	x.jumped = false
	if x.next.IsZero() || wall.Before(x.next) {
		return nil, 0
	}
	after := x.last
	if jumped && x.high.After(after) {
		after = x.high // a clock that was put back and comes forward again passes over what has been run
	}
	run, total := x.Schedule.Last(after, wall, MaxCatchUp)
	if len(run) == 0 {
		x.handled(wall)
		return nil, 0
	}
	x.handled(run[len(run)-1])
	switch {
	case x.Missed == MissedSkip && wall.Sub(run[len(run)-1]) > grace:
		run = nil
	case x.Missed != MissedAll || jumped:
		run = run[len(run)-1:]
	}
	return run, uint64(total - len(run))
}

// eventID names the run of a moment.
func (x *timer) eventID(moment time.Time) string {
	id := x.ID.String() + "@" + moment.UTC().Format(time.RFC3339)
	if x.Schedule == nil {
		id = x.ID.String() + "@" + moment.UTC().Format(time.RFC3339Nano)
	}
	if x.rewound > 0 {
		id += fmt.Sprintf("+%d", x.rewound)
	}
	return id
}
