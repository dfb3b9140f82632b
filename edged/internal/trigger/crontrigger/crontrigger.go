// Package crontrigger starts functions at times: at the moments of a cron schedule, or again and again after a period.
//
// # What is kept
//
// Of a cron timer, the last moment whose run was begun; of a period of an hour or more, when its last run was begun. It is on
// disk before the run begins: a run is begun at most once, whatever happens to the daemon, and one that a crash interrupts is not
// begun again. When it cannot be written, the run is begun all the same. Shorter periods keep nothing: they begin anew with the daemon.
//
// # What is missed
//
// The moments of a schedule that went by while the daemon did not run, the machine slept or the clock was put forward are handled
// as the timer says: [MissedOnce] makes one run for all of them, [MissedSkip] none, [MissedAll] one for each of the newest
// [MaxCatchUp], one after another; but only one when it was the clock that jumped, for no time has passed then. A moment is
// missed when it is more than a minute ago.
//
// # The clock
//
// Periods go by a clock that counts the time asleep and cannot be set. Schedules go by the wall clock. Setting it shows as a
// difference between the two, and wakes the timers at once. When it is put back by less than the time between two moments of a
// timer, that timer runs nothing again; when by more, it goes by the new clock, and the identities of its runs say so. A clock that
// is behind what is known of the time ([Options.Built], the last time kept) is not believed, and schedules wait, until it has been
// set, the kernel says that it is synchronised, or an hour has passed.
//
// # Cost
//
// One goroutine, one heap. It wakes for the next timer, and when the clock is set. Timers that are due together are one write.
package crontrigger

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Store keeps the state of timers. It is called by one goroutine at a time and may block.
type Store interface {
	// Load returns everything that is kept.
	Load() (map[string][]byte, error)
	// Save changes entries together; a nil value removes one.
	Save(changes map[string][]byte) error
}

// Run is one run of a timer.
type Run struct {
	Timer   ID
	EventID string    // the same run has the same, no other has it: "app/function/index@moment"
	Moment  time.Time // when it was due, in UTC; for a period, when it is begun
	Missed  bool      // it makes up for what was missed
}

// Options configures [New]. All fields but Logger and Clock are required.
type Options struct {
	Store Store
	// Start begins a run. It must not block. After nil, done is called exactly once, from any goroutine, perhaps before Start
	// returns; after an error it is not called, and the run has failed. After invoke.ErrQueueFull the same run is tried again
	// for a minute.
	Start  func(run Run, done func(error)) error
	Built  time.Time // no true clock shows an earlier time
	Logger *slog.Logger
	Clock  Clock // nil: the machine's
}

// Timers runs timers. New, then Set and Start in any order, then Close. All methods may be called from any goroutine.
type Timers struct {
	options Options
	poke    chan struct{} // capacity 1: look again
	stop    context.CancelFunc
	ended   chan struct{} // closed when the goroutine has ended; nil before Start

	mu    sync.Mutex
	table table // guarded by mu
}

// New returns timers without any, with the state that is kept.
func New(options Options) (*Timers, error) {
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	kept, err := options.Store.Load()
	if err != nil {
		return nil, err
	}
	t := &Timers{options: options, poke: make(chan struct{}, 1)}
	t.table = newTable(options.Built, kept)
	return t, nil
}

// Set makes these the timers of an app, in place of those that it had. A timer that is the same as before goes on as it is.
func (t *Timers) Set(app invoke.AppName, timers []Timer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.set(app, timers)
	t.wake()
}

// Start begins to run timers. It may be called once.
func (t *Timers) Start() {
	clock := t.options.Clock
	if clock == nil {
		clock = openClock(t.options.Logger)
	}
	ctx, stop := context.WithCancel(context.Background())
	t.stop, t.ended = stop, make(chan struct{})
	go t.loop(ctx, clock)
}

// Close begins no more runs and waits until nothing is written any more. Runs that have begun are not waited for. A second
// Close, and one before Start, do nothing.
func (t *Timers) Close() {
	if t.stop != nil {
		t.stop()
		<-t.ended
	}
}

// Status is a timer at one moment.
type Status struct {
	Timer
	Next    time.Time // zero when it waits for a clock that can be believed
	Last    time.Time // when its last run was begun; zero: none since the daemon started
	Running bool      // or it waits for room in the queue
	Waiting int       // missed runs to be made up for
	Runs    uint64    // ended, since the daemon started, failed ones included
	Failed  uint64
	Skipped uint64 // moments at which the run before had not ended
	Missed  uint64 // moments without a run, see Missed
	Error   string // of the last run; empty when it ended well
}

// List returns all timers by app, function and index.
func (t *Timers) List() []Status {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]Status, 0, len(t.table.timers))
	for _, x := range t.table.timers {
		list = append(list, t.table.status(x))
	}
	slices.SortFunc(list, func(a, b Status) int { return a.ID.compare(b.ID) })
	return list
}

// compare orders timers.
func (id ID) compare(other ID) int {
	if c := strings.Compare(string(id.App), string(other.App)); c != 0 {
		return c
	}
	if c := strings.Compare(string(id.Function), string(other.Function)); c != 0 {
		return c
	}
	return id.Index - other.Index
}

// wake makes the goroutine look again. It does not block.
func (t *Timers) wake() {
	select {
	case t.poke <- struct{}{}:
	default: // that is asked for already
	}
}

func (t *Timers) loop(ctx context.Context, clock Clock) {
	defer close(t.ended)
	defer clock.Close()
	var refused []refusal
	for ctx.Err() == nil {
		now := clock.Now()
		t.mu.Lock()
		round := t.table.advance(now)
		t.mu.Unlock()
		t.tell(round)
		t.save(round.changes)
		refused = t.beginAll(refused, round.runs, now.Steady)
		wait := round.wait
		for _, r := range refused {
			wait = min(wait, r.again-now.Steady)
		}
		alarm := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-t.poke:
		case <-clock.Set():
		case <-alarm.C:
		}
		alarm.Stop()
	}
	t.mu.Lock()
	changes := t.table.last(clock.Now())
	t.mu.Unlock()
	t.save(changes)
}

// save writes what changes; what is to be begun must have been written.
func (t *Timers) save(changes map[string][]byte) {
	if len(changes) == 0 {
		return
	}
	if err := t.options.Store.Save(changes); err != nil {
		t.options.Logger.Error("state of timers not written; after a restart a run may be repeated", "error", err)
	}
}

// retryEvery is how long after a run was refused it is tried again.
const retryEvery = time.Second

// refusal is a run for which there was no room in the queue: one for each timer at most, which counts as running.
type refusal struct {
	run          Run
	again, until time.Duration // when it is tried next, and from when on no more, by the steady clock
}

// beginAll begins runs, those that were refused before first. It returns those for which there is no room yet.
func (t *Timers) beginAll(refused []refusal, runs []Run, now time.Duration) []refusal {
	var left []refusal
	for _, r := range refused {
		if now >= r.again {
			r.again = now + retryEvery
			if !t.retry(r.run, now < r.until) {
				continue
			}
		}
		left = append(left, r)
	}
	for _, run := range runs {
		if t.begin(run, true) {
			left = append(left, refusal{run: run, again: now + retryEvery, until: now + grace})
		}
	}
	return left
}

// retry is begin for a run that was refused; that of a timer that was removed meanwhile is given up.
func (t *Timers) retry(run Run, patient bool) (refused bool) {
	t.mu.Lock()
	gone := t.table.timers[run.Timer] == nil
	if gone {
		t.table.ended(run.Timer, nil)
	}
	t.mu.Unlock()
	return !gone && t.begin(run, patient)
}

// begin starts a run whose timer counts as running already. It reports whether it is to be tried again, because the queue is full; when
// not patient, it has failed then.
func (t *Timers) begin(run Run, patient bool) (refused bool) {
	done := func(err error) {
		t.mu.Lock()
		more, news := t.table.ended(run.Timer, err)
		t.mu.Unlock()
		if news {
			t.options.Logger.Warn("timer failed; not told again until it has run well", "timer", run.Timer.String(), "event", run.EventID, "error", err)
		}
		if more {
			t.wake()
		}
	}
	err := t.options.Start(run, done)
	if refused = patient && errors.Is(err, invoke.ErrQueueFull); err != nil && !refused {
		done(err)
	}
	return refused
}

// tell logs what an operator should know of a round.
func (t *Timers) tell(round round) {
	if round.jump != 0 {
		t.options.Logger.Info("the clock was set", "by", round.jump)
	}
	if round.doubted {
		t.options.Logger.Warn("the clock is behind what is known of the time; schedules wait until it is set", "known", round.known)
	}
	for _, id := range round.skipped {
		t.options.Logger.Warn("timer skipped: its run before has not ended; further ones are only counted", "timer", id.String())
	}
	for _, m := range round.missed {
		t.options.Logger.Warn("timer missed moments", "timer", m.id.String(), "moments", m.count, "policy", string(m.policy))
	}
}
