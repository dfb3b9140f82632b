package crontrigger

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/cronspec"
)

var (
	built = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	begun = time.Date(2026, 6, 1, 11, 58, 30, 0, time.UTC)
)

// world is a machine with timers: its clocks, its disk, and what was started on it.
type world struct {
	t       *testing.T
	table   table
	disk    map[string][]byte
	timers  []Timer
	now     Reading
	wait    time.Duration
	runs    []Run
	ids     map[string]bool
	running map[ID]bool
	hold    bool // runs do not end by themselves
	lost    uint64
}

func cronTimer(t testing.TB, name, spec, zone string, missed Missed) Timer {
	t.Helper()
	z, err := time.LoadLocation(zone)
	if err != nil {
		t.Fatal(err)
	}
	s, err := cronspec.Parse(spec, z)
	if err != nil {
		t.Fatal(err)
	}
	return Timer{ID: ID{App: "a", Function: "f", Index: len(name)}, Text: spec + " " + zone, Schedule: s, Missed: missed}
}

func everyTimer(period time.Duration) Timer {
	return Timer{ID: ID{App: "a", Function: "every"}, Text: period.String(), Every: period, Missed: MissedOnce}
}

func newWorld(t *testing.T, timers ...Timer) *world {
	t.Helper()
	w := &world{
		t: t, disk: make(map[string][]byte), timers: timers, ids: make(map[string]bool), now: Reading{Wall: begun},
	}
	w.boot(0)
	return w
}

// boot starts the daemon on what is on disk, off after the last reading.
func (w *world) boot(off time.Duration) {
	w.now = Reading{Wall: w.now.Wall.Add(off), Steady: time.Duration(len(w.runs)) * time.Second}
	w.table = newTable(built, w.disk)
	w.table.set("a", w.timers)
	w.running = make(map[ID]bool)
	w.look()
}

// look lets the timers look at the clock until nothing more is to be done.
func (w *world) look() {
	w.t.Helper()
	for {
		r := w.table.advance(w.now)
		for key, value := range r.changes {
			if value == nil {
				delete(w.disk, key)
			} else {
				w.disk[key] = value
			}
		}
		for _, m := range r.missed {
			w.lost += m.count
		}
		w.wait = r.wait
		more := false
		for _, run := range r.runs {
			more = w.begin(run) || more
		}
		if !more {
			return
		}
	}
}

func (w *world) begin(run Run) (more bool) {
	w.t.Helper()
	if w.running[run.Timer] {
		w.t.Fatalf("%s runs twice at a time", run.EventID)
	}
	if w.ids[run.EventID] {
		w.t.Fatalf("%s has been run before", run.EventID)
	}
	w.ids[run.EventID] = true
	w.runs = append(w.runs, run)
	w.running[run.Timer] = true
	if w.hold {
		return false
	}
	return w.end(run.Timer)
}

func (w *world) end(id ID) bool {
	delete(w.running, id)
	more, _ := w.table.ended(id, nil)
	return more
}

// pass lets time go by, with the alarms that the timers ask for.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for d > 0 {
		step := min(d, w.wait)
		w.now.Wall, w.now.Steady = w.now.Wall.Add(step), w.now.Steady+step
		d -= step
		w.look()
	}
}

// sleep is a machine that sleeps: time goes by, and nobody looks.
func (w *world) sleep(d time.Duration) {
	w.t.Helper()
	w.now.Wall, w.now.Steady = w.now.Wall.Add(d), w.now.Steady+d
	w.look()
}

// jump sets the wall clock.
func (w *world) jump(d time.Duration) {
	w.t.Helper()
	w.now.Wall = w.now.Wall.Add(d)
	w.look()
}

func (w *world) count(want int, what string) {
	w.t.Helper()
	if len(w.runs) != want {
		w.t.Fatalf("%s: %d runs, want %d: %+v", what, len(w.runs), want, w.runs)
	}
}

func (w *world) lastRun() Run { return w.runs[len(w.runs)-1] }

func TestScheduleRunsAtItsMoments(t *testing.T) {
	w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce))
	w.pass(89 * time.Second)
	w.count(0, "before")
	w.pass(time.Second)
	w.count(1, "at noon")
	if got, want := w.lastRun().EventID, "a/f/0@2026-06-01T12:00:00Z"; got != want {
		t.Errorf("event %q, want %q", got, want)
	}
	w.pass(time.Hour)
	w.count(13, "an hour later")
	if w.lost != 0 || w.lastRun().Missed {
		t.Errorf("%d missed, the last run %+v", w.lost, w.lastRun())
	}
}

func TestPeriodRunsOnItsGrid(t *testing.T) {
	w := newWorld(t, everyTimer(100*time.Millisecond))
	w.pass(time.Second)
	w.count(10, "a second")
	w.jump(365 * 24 * time.Hour)
	w.jump(-2 * 365 * 24 * time.Hour)
	w.count(10, "the wall clock is not its clock")
	w.pass(time.Second)
	w.count(20, "another second")
	w.sleep(time.Hour)
	w.count(21, "after a sleep")
	if len(w.disk) != 0 {
		t.Errorf("kept %q, a short period needs nothing", w.disk)
	}
}

func TestLongPeriodSurvivesRestarts(t *testing.T) {
	w := newWorld(t, everyTimer(24*time.Hour))
	for day := range 5 {
		w.pass(10 * time.Hour)
		w.boot(14 * time.Hour) // never up for a whole period
		w.count(day+1, "a day of which 14 hours off")
	}
}

func TestMissedWhileOff(t *testing.T) {
	for _, c := range []struct {
		policy Missed
		off    time.Duration
		runs   int
		lost   uint64
	}{
		{MissedOnce, time.Minute, 0, 0},
		{MissedOnce, 2 * time.Minute, 1, 0},
		{MissedOnce, time.Hour, 1, 11},
		{MissedSkip, time.Hour, 0, 12},
		{MissedSkip, 2 * time.Minute, 1, 0}, // just now: not missed
		{MissedAll, time.Hour, 12, 0},
		{MissedAll, 300 * 24 * time.Hour, 100, 1},
	} {
		for _, how := range []string{"off", "asleep"} {
			t.Run(fmt.Sprintf("%s %v %s", c.policy, c.off, how), func(t *testing.T) {
				w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", c.policy))
				if how == "off" {
					w.boot(c.off)
				} else {
					w.sleep(c.off)
				}
				w.count(c.runs, "after")
				if w.lost < c.lost || c.lost < 100 && c.policy != MissedAll && w.lost != c.lost {
					t.Errorf("%d missed, want %d", w.lost, c.lost)
				}
				w.boot(0)
				w.boot(0)
				w.count(c.runs, "restarts repeat nothing")
			})
		}
	}
}

func TestOverlapIsSkipped(t *testing.T) {
	w := newWorld(t, cronTimer(t, "", "* * * * *", "UTC", MissedAll))
	w.hold = true
	w.pass(3 * time.Minute)
	w.count(1, "the first has not ended")
	if got := w.table.status(w.table.timers[w.timers[0].ID]); got.Skipped != 2 || !got.Running {
		t.Errorf("status %+v, want 2 skipped and running", got)
	}
	w.end(w.timers[0].ID)
	w.look()
	w.count(1, "skipped ones are not made up for")
	w.pass(time.Minute)
	w.count(2, "the next moment")
}

func TestCatchingUpGoesOnAfterACrash(t *testing.T) {
	w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedAll))
	w.hold = true
	w.boot(time.Hour)
	for range 4 {
		w.end(w.timers[0].ID)
		w.look()
	}
	w.count(5, "four ended, the fifth runs")
	w.boot(0)
	w.count(6, "the fifth was interrupted and is not repeated")
	w.hold = false
	w.end(w.timers[0].ID)
	w.look()
	w.count(12, "all")
}

func TestClockJumps(t *testing.T) {
	const day, year = 24 * time.Hour, 365 * 24 * time.Hour
	daily := func(missed Missed) Timer { return cronTimer(t, "", "0 12 * * *", "UTC", missed) }
	minutely := cronTimer(t, "", "* * * * *", "UTC", MissedAll)
	t.Run("a year forward", func(t *testing.T) {
		for _, timer := range []Timer{daily(MissedAll), minutely} {
			w := newWorld(t, timer)
			w.jump(year)
			w.count(1, "not a year of runs")
		}
		w := newWorld(t, daily(MissedSkip))
		w.jump(year)
		w.count(0, "none is wanted")
	})
	t.Run("forward over nothing", func(t *testing.T) {
		w := newWorld(t, daily(MissedOnce))
		w.jump(time.Minute)
		w.count(0, "a minute")
		w.pass(30 * time.Second)
		w.count(1, "noon by the new clock")
	})
	t.Run("back by less than a period", func(t *testing.T) {
		w := newWorld(t, daily(MissedOnce))
		w.pass(time.Hour)
		w.count(1, "noon")
		w.jump(-2 * time.Hour)
		w.pass(2 * time.Hour)
		w.count(1, "noon comes again, the run does not")
		w.pass(day)
		w.count(2, "the next day")
	})
	t.Run("back by more", func(t *testing.T) {
		w := newWorld(t, minutely)
		w.pass(2 * time.Minute)
		w.count(2, "before")
		w.jump(-year)
		// The time that it shows now is before the clock's own floor: nothing can be told of it.
		w.pass(10 * time.Minute)
		w.count(2, "a clock that cannot be right")
		w.jump(year)
		w.pass(2 * time.Minute)
		w.count(5, "it went on for 12 minutes, and missed 10 of them")
		w.jump(-30 * day)
		w.pass(10 * time.Minute)
		w.count(15, "it runs on by the new clock")
		if !strings.HasSuffix(w.lastRun().EventID, "Z+1") {
			t.Errorf("event %q does not say that the clock was put back", w.lastRun().EventID)
		}
	})
	t.Run("back and forth", func(t *testing.T) {
		w := newWorld(t, daily(MissedOnce))
		w.pass(time.Hour)
		w.jump(-60 * day)
		w.jump(60 * day)
		w.count(1, "noon has been")
		w.pass(day)
		w.count(2, "the next day")
	})
}

func TestClockThatCannotBeRight(t *testing.T) {
	boot := func(t *testing.T) *world {
		w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce), everyTimer(time.Hour))
		w.pass(time.Hour)
		w.count(13, "an hour")
		w.now.Wall = time.Unix(1000, 0).UTC()
		w.boot(0)
		w.pass(3 * time.Hour)
		w.count(16, "only the period runs")
		return w
	}
	t.Run("set by a time service", func(t *testing.T) {
		w := boot(t)
		w.now.Wall = begun.Add(4 * time.Hour)
		w.look()
		w.count(17, "one for all that was missed")
	})
	t.Run("behind the last time kept", func(t *testing.T) {
		w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce))
		w.pass(10 * time.Hour)
		before := len(w.runs)
		w.boot(-5 * time.Hour)
		w.pass(59 * time.Minute)
		w.count(before, "it may have lost its time")
		w.pass(10 * time.Minute)
		if len(w.runs) == before {
			t.Error("it does not begin again, though nobody contradicts")
		}
	})
	t.Run("behind, and its readings are apart", func(t *testing.T) {
		w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce))
		w.pass(10 * time.Hour)
		before := len(w.runs)
		w.boot(-5 * time.Hour)
		for range 20 {
			w.jump(setBy)
			w.pass(time.Minute)
			w.jump(setBy - toldFrom)
		}
		w.count(before, "that nobody has set it")
		w.jump(toldFrom)
		w.pass(5 * time.Minute)
		w.count(before+1, "that it has been set")
	})
	t.Run("behind, but synchronised", func(t *testing.T) {
		w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce))
		w.pass(10 * time.Hour)
		before := len(w.runs)
		w.boot(-5 * time.Hour)
		w.now.Synced = true
		w.pass(10 * time.Minute)
		w.count(before+2, "it goes by the clock")
	})
}

func TestRedeploy(t *testing.T) {
	first := cronTimer(t, "", "0 12 * * *", "UTC", MissedOnce)
	w := newWorld(t, first)
	w.hold = true
	w.pass(2 * time.Minute)
	w.count(1, "noon")
	w.table.set("a", []Timer{first})
	w.look()
	w.pass(time.Hour)
	w.count(1, "the same timer goes on")

	second := cronTimer(t, "", "*/10 * * * *", "UTC", MissedOnce)
	w.table.set("a", []Timer{second})
	w.look()
	w.pass(10 * time.Minute)
	w.count(1, "another in its place waits for the run to end")
	w.end(first.ID)
	w.pass(10 * time.Minute)
	w.count(2, "then it runs")
	w.table.set("a", nil)
	w.look()
	if w.wait != never || len(w.table.timers) != 0 {
		t.Errorf("removed timers wait for %v", w.wait)
	}
	delete(w.disk, seenKey)
	if len(w.disk) != 0 {
		t.Errorf("removed timers leave %q", w.disk)
	}
}

func TestEnded(t *testing.T) {
	w := newWorld(t, everyTimer(time.Minute))
	w.hold = true
	id := w.timers[0].ID
	failure := errors.New("broken")
	for n, c := range []struct {
		err  error
		news bool
	}{{failure, true}, {failure, false}, {nil, false}, {failure, true}} {
		w.pass(time.Minute)
		delete(w.running, id)
		if _, news := w.table.ended(id, c.err); news != c.news {
			t.Errorf("end %d: told %v, want %v", n, news, c.news)
		}
	}
	if s := w.table.status(w.table.timers[id]); s.Runs != 4 || s.Failed != 3 || s.Error != "broken" {
		t.Errorf("status %+v", s)
	}
}

// TestRandomTimes lets time go by in every way that it can, and looks at what must hold whatever happens: no run twice (begin
// looks for that), never two at a time, no flood after a jump, and no timer that stops.
func TestRandomTimes(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 1))
		policies := []Missed{MissedOnce, MissedSkip, MissedAll}
		minutely := cronTimer(t, "", "* * * * *", "UTC", policies[r.IntN(3)])
		w := newWorld(t,
			minutely,
			cronTimer(t, "1", "30 2 * * *", "Europe/Berlin", policies[r.IntN(3)]),
			cronTimer(t, "22", "*/7 1-5,20-23 * * 1-5", "America/New_York", policies[r.IntN(3)]),
			everyTimer(time.Duration(1+r.IntN(7200))*time.Second),
		)
		for range 60 {
			action := r.IntN(7)
			if w.hold = r.IntN(4) == 0; action == 3 || action == 4 {
				w.hold = false
				w.finish() // what is waiting to be made up for is not of the jump
			}
			before := len(w.runs)
			span := time.Duration(r.Int64N(int64(100 * 24 * time.Hour)))
			if r.IntN(2) == 0 {
				span = time.Duration(r.Int64N(int64(10 * time.Minute)))
			}
			switch action {
			case 0, 1, 2:
				w.pass(time.Duration(r.Int64N(int64(3 * time.Hour))))
			case 3:
				believed := w.table.believed // else the machine was off, and only now it is known for how long
				w.jump(span)
				if n := len(w.runs) - before; believed && n > 3 || n > 3*MaxCatchUp {
					t.Fatalf("seed %d: %d runs after the clock was put forward", seed, n)
				}
			case 4:
				believed := w.table.believed
				w.jump(-span)
				if n := len(w.runs) - before; believed && n > 0 || n > 3*MaxCatchUp {
					t.Fatalf("seed %d: %d runs after the clock was put back", seed, n)
				}
			case 5:
				w.sleep(span)
			case 6:
				w.boot(span - time.Hour)
			}
			if r.IntN(2) == 0 || !w.hold {
				w.finish()
			}
		}
		w.hold = false
		w.finish()
		if w.now.Wall.Before(built) {
			w.jump(built.AddDate(1, 0, 0).Sub(w.now.Wall))
		}
		w.pass(doubtFor + time.Minute)
		before := len(w.runs)
		w.pass(10 * time.Minute)
		n := 0
		for _, run := range w.runs[before:] {
			if run.Timer == minutely.ID {
				n++
			}
		}
		if n != 10 {
			t.Fatalf("seed %d: a timer of every minute ran %d times in ten minutes", seed, n)
		}
	}
}

// FuzzState starts timers with any state: a damaged one must neither stop the daemon nor a timer.
func FuzzState(f *testing.F) {
	f.Add([]byte(`{"timer":"* * * * * UTC","last":"2026-06-01T11:00:00Z","rewound":1}`))
	f.Add([]byte(`{"timer":"* * * * * UTC","last":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte(`{"timer":"* * * * * UTC","last":"0001-01-01T00:00:00.5Z","rewound":-5}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		w := newWorld(t, cronTimer(t, "", "* * * * *", "UTC", MissedAll))
		w.disk = map[string][]byte{"a/f/0": text, seenKey: text}
		w.boot(0)
		w.pass(doubtFor + time.Minute)
		before := len(w.runs)
		w.pass(2 * time.Minute)
		if n := len(w.runs) - before; n != 2 {
			t.Errorf("%d runs in two minutes", n)
		}
	})
}

func (w *world) finish() {
	w.t.Helper()
	for _, timer := range w.timers {
		if w.running[timer.ID] {
			w.end(timer.ID)
		}
	}
	w.look()
}

func BenchmarkAdvance(b *testing.B) {
	var timers []Timer
	for n := range 500 {
		timer := cronTimer(b, "", fmt.Sprintf("%d * * * *", n%60), "Europe/Berlin", MissedOnce)
		timer.ID.Index = n
		timers = append(timers, timer)
	}
	t := newTable(built, nil)
	t.set("a", timers)
	now := Reading{Wall: begun}
	for b.Loop() {
		r := t.advance(now)
		for _, run := range r.runs {
			t.ended(run.Timer, nil)
		}
		now.Wall, now.Steady = now.Wall.Add(r.wait), now.Steady+r.wait
	}
}
