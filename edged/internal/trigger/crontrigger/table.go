package crontrigger

import (
	"container/heap"
	"math"
	"strings"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

const (
	// never is behind the time of any wake-up.
	never = time.Duration(math.MaxInt64)
	// setBy is from what difference on the wall clock was set: the two are read one after the other, and are steered alike.
	setBy = 20 * time.Millisecond
	// toldFrom is from what difference on that is worth a line in the log, and a clock that was not believed is: less may be a
	// correction of a clock that is wrong by years, or be no setting at all, but two readings far apart.
	toldFrom = 2 * time.Second
	// doubtFor is how long a clock is not believed that only the last time kept speaks against: that may have been wrong.
	doubtFor = time.Hour
	// doubtPoll is how often it is asked meanwhile whether the kernel has synchronised the clock.
	doubtPoll = time.Minute
)

// seenKey is where the last known time is kept; no timer's name is like it.
const seenKey = "clock"

// table is the timers and what is known of the clock. It makes no calls and reads no clock: everything follows from what
// advance is given.
type table struct {
	timers map[ID]*timer
	heap   timerHeap
	busy   map[ID]bool      // runs that have not ended, of removed timers too
	kept   map[string]state // of timers that are not set (yet)
	drop   []string         // kept entries to remove

	now      Reading
	begun    bool // now is set
	built    time.Time
	seen     time.Time // the last time kept
	believed bool
	doubt    time.Duration // since when the clock is not believed
	told     bool          // that it is not
}

// round is what follows from looking at the clock.
type round struct {
	runs    []Run
	changes map[string][]byte // to be kept before the runs are begun
	wait    time.Duration     // until the next look
	jump    time.Duration     // by which the clock was set; 0: not, or not by much
	doubted bool              // the clock is not believed from now on
	known   time.Time         // what it is behind of
	skipped []ID
	missed  []missed
}

type missed struct {
	id     ID
	count  uint64
	policy Missed
}

func newTable(built time.Time, kept map[string][]byte) table {
	t := table{
		timers: make(map[ID]*timer), busy: make(map[ID]bool), kept: make(map[string]state, len(kept)), built: built,
	}
	for key, text := range kept {
		if s := decodeState(text); s != nil {
			t.kept[key] = *s
		}
	}
	t.seen = t.kept[seenKey].Last
	delete(t.kept, seenKey)
	return t
}

// set replaces the timers of an app.
func (t *table) set(app invoke.AppName, timers []Timer) {
	gone := make(map[ID]*timer)
	for id, x := range t.timers {
		if id.App == app {
			gone[id] = x
		}
	}
	for _, spec := range timers {
		if before := gone[spec.ID]; before != nil && before.Text == spec.Text {
			before.Missed = spec.Missed // the only thing that may change and leave it the same timer
			delete(gone, spec.ID)
			continue
		}
		t.add(spec)
	}
	for id, x := range gone {
		heap.Remove(&t.heap, x.index)
		if t.timers[id] == x {
			delete(t.timers, id)
		}
		t.drop = append(t.drop, id.String()) // what is added under the same name writes its own
	}
	for key := range t.kept { // of what the app had when it last served
		if strings.HasPrefix(key, string(app)+"/") {
			t.drop = append(t.drop, key)
			delete(t.kept, key)
		}
	}
}

// add sets a timer that is looked at in the next round.
func (t *table) add(spec Timer) {
	x := &timer{Timer: spec, index: -1, running: t.busy[spec.ID]}
	if s, ok := t.kept[spec.ID.String()]; ok {
		x.kept = &s
		delete(t.kept, spec.ID.String())
	}
	x.at = math.MinInt64
	t.timers[spec.ID] = x
	heap.Push(&t.heap, x)
}

// advance looks at the clock: it is the whole of what happens as time goes by.
func (t *table) advance(now Reading) round {
	r := round{changes: make(map[string][]byte)}
	t.look(now, &r)
	for _, key := range t.drop {
		r.changes[key] = nil
	}
	t.drop = t.drop[:0]
	for len(t.heap) > 0 && t.heap[0].at <= now.Steady {
		x := t.heap[0]
		if x.Schedule == nil {
			t.period(x, &r)
		} else {
			t.schedule(x, &r)
		}
		heap.Fix(&t.heap, x.index)
	}
	if len(r.changes) > 0 && t.believed {
		t.see(r.changes)
	}
	r.wait = never
	if len(t.heap) > 0 {
		r.wait = max(t.heap[0].at-now.Steady, 0)
	}
	return r
}

// look compares the clocks, and finds out whether the wall clock can be believed.
func (t *table) look(now Reading, r *round) {
	before := t.now
	t.now = now
	if !t.begun {
		t.begun, t.doubt = true, now.Steady
	} else if jump := now.Wall.Sub(before.Wall) - (now.Steady - before.Steady); jump.Abs() >= setBy {
		if jump.Abs() >= toldFrom {
			r.jump = jump
		}
		t.jumped(jump)
	}
	known := t.seen
	if t.believed || known.Before(t.built) {
		known = t.built
	}
	if now.Wall.Before(t.built) {
		t.believed = false
	} else if !t.believed {
		t.believed = !now.Wall.Before(known) || now.Synced || now.Steady-t.doubt >= doubtFor
		if t.believed {
			t.again()
		}
	}
	if !t.believed && !t.told && t.schedules() {
		t.told, r.doubted, r.known = true, true, known
	}
	t.told = t.told && !t.believed
}

// jumped is called when the wall clock has been set: whoever did so by much knew the time.
func (t *table) jumped(by time.Duration) {
	if t.now.Wall.Before(t.built) {
		return // no true clock shows this; what was handled stays handled
	}
	t.believed = t.believed || by.Abs() >= toldFrom
	for _, x := range t.timers {
		if x.Schedule != nil && !x.last.IsZero() && by > 0 {
			x.jumped = true
		}
	}
	t.again()
}

// again has every schedule looked at in this round.
func (t *table) again() {
	for _, x := range t.timers {
		if x.Schedule != nil {
			x.at = t.now.Steady
			heap.Fix(&t.heap, x.index)
		}
	}
}

func (t *table) schedules() bool {
	for _, x := range t.timers {
		if x.Schedule != nil {
			return true
		}
	}
	return false
}

// schedule looks at a cron timer and says when to look again.
func (t *table) schedule(x *timer, r *round) {
	wall := t.now.Wall
	if !t.believed {
		x.at = t.now.Steady + doubtPoll
		return
	}
	if x.last.IsZero() && x.resume(wall) {
		t.keep(x, x.last, r)
	}
	x.rewind(wall)
	moments, missedNow := x.due(wall)
	if missedNow > 0 {
		x.missed += missedNow
		r.missed = append(r.missed, missed{x.ID, missedNow, x.Missed})
	}
	if len(moments) > 0 {
		t.queue(x, moments, r)
	}
	if !x.running && len(x.backlog) > 0 {
		moment := x.backlog[0]
		x.backlog = x.backlog[1:]
		late := wall.Sub(moment) > grace
		x.making = late || len(x.backlog) > 0
		t.begin(x, moment, late, r)
		t.keep(x, moment, r)
	}
	x.at = never
	if !x.next.IsZero() {
		x.at = t.now.Steady + x.next.Sub(wall)
	}
}

// queue takes moments that are to be run. One whose run before has not ended is skipped, unless what runs makes up for missed
// ones: then that they come too late is our doing.
func (t *table) queue(x *timer, moments []time.Time, r *round) {
	if x.running && !x.making && t.now.Wall.Sub(moments[0]) <= grace {
		x.skip(uint64(len(moments)), r)
		return
	}
	x.backlog = append(x.backlog, moments...)
	most := 1
	if x.Missed == MissedAll {
		most = MaxCatchUp
	}
	if over := len(x.backlog) - most; over > 0 {
		x.missed += uint64(over)
		x.backlog = append(x.backlog[:0:0], x.backlog[over:]...)
	}
}

// skip counts moments at which the run before had not ended; only the first in a row is told.
func (x *timer) skip(n uint64, r *round) {
	x.skipped += n
	if !x.lagging {
		r.skipped = append(r.skipped, x.ID)
	}
	x.lagging = true
}

// period looks at a timer with a period and says when to look again. What went by unnoticed is one run.
func (t *table) period(x *timer, r *round) {
	if x.at == math.MinInt64 {
		t.firstPeriod(x, r)
		return
	}
	over := (t.now.Steady - x.at) / x.Every
	x.missed += uint64(over)
	x.at += (over + 1) * x.Every
	if x.running {
		x.skip(1, r)
		return
	}
	t.begin(x, t.now.Wall, false, r)
	if x.Every >= keptEvery && t.believed {
		t.keep(x, t.now.Wall, r)
	}
}

// firstPeriod says when a timer that was just set runs first: a period after its last run when that is known, else after now.
func (t *table) firstPeriod(x *timer, r *round) {
	kept := x.kept
	x.kept = nil
	x.at = t.now.Steady + x.Every
	if x.Every < keptEvery || !t.believed {
		return
	}
	if kept == nil || kept.Text != x.Text {
		t.keep(x, t.now.Wall, r)
		return
	}
	if since := t.now.Wall.Sub(kept.Last); since >= 0 {
		x.at = t.now.Steady + max(x.Every-since, 0)
	}
}

// begin counts a timer as running and adds its run.
func (t *table) begin(x *timer, moment time.Time, late bool, r *round) {
	x.running, x.begun, x.lagging = true, t.now.Wall, false
	t.busy[x.ID] = true
	r.runs = append(r.runs, Run{Timer: x.ID, EventID: x.eventID(moment), Moment: moment.UTC(), Missed: late})
}

// keep adds a timer's state to what is written.
func (t *table) keep(x *timer, last time.Time, r *round) {
	r.changes[x.ID.String()] = state{Text: x.Text, Last: last.UTC(), Rewound: x.rewound}.encode()
}

// see keeps the time beside what is written anyway.
func (t *table) see(changes map[string][]byte) {
	t.seen = t.now.Wall.UTC()
	changes[seenKey] = state{Last: t.seen}.encode()
}

// last returns what is written at the end: the time, for the sake of schedules.
func (t *table) last(now Reading) map[string][]byte {
	changes := make(map[string][]byte)
	if t.believed && t.schedules() {
		t.now = now
		t.see(changes)
	}
	return changes
}

// ended notes the end of a run. It reports whether there is something to do at once, and whether it is the first failure in
// a row.
func (t *table) ended(id ID, err error) (more, news bool) {
	delete(t.busy, id)
	x := t.timers[id]
	if x == nil || !x.running {
		return false, err != nil // removed meanwhile
	}
	x.running = false
	x.runs++
	before := x.err
	x.err = ""
	if err != nil {
		x.failed++
		x.err = err.Error()
		news = before == ""
	}
	if len(x.backlog) == 0 {
		x.making = false
		return false, news
	}
	x.at = t.now.Steady
	heap.Fix(&t.heap, x.index)
	return true, news
}

func (t *table) status(x *timer) Status {
	s := Status{
		Timer: x.Timer, Last: x.begun, Running: x.running, Waiting: len(x.backlog), Runs: x.runs, Failed: x.failed,
		Skipped: x.skipped, Missed: x.missed, Error: x.err,
	}
	switch {
	case !t.begun || x.at == math.MinInt64:
	case x.Schedule == nil:
		s.Next = t.now.Wall.Add(x.at - t.now.Steady)
	case t.believed:
		s.Next = x.next
	}
	return s
}

// timerHeap orders timers by when to look at them.
type timerHeap []*timer

// Len implements heap.Interface.
func (h timerHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }

// Swap implements heap.Interface.
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	one := x.(*timer)
	one.index = len(*h)
	*h = append(*h, one)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	old := *h
	one := old[len(old)-1]
	one.index = -1
	*h = old[:len(old)-1]
	return one
}
