package crontrigger

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/internal/testutil"
)

// bubbleClock is the clock of a synctest bubble, in which the wall clock can be set.
type bubbleClock struct {
	mu    sync.Mutex
	off   time.Duration
	begun time.Time
	set   chan struct{}
}

func newBubbleClock() *bubbleClock { // inside of the bubble
	return &bubbleClock{begun: time.Now(), off: time.Until(begun), set: make(chan struct{}, 1)}
}

func (c *bubbleClock) Now() Reading {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Reading{Wall: time.Now().Add(c.off).Round(0), Steady: time.Since(c.begun)}
}

func (c *bubbleClock) Set() <-chan struct{} { return c.set }

func (c *bubbleClock) Close() {}

func (c *bubbleClock) jump(d time.Duration) {
	c.mu.Lock()
	c.off += d
	c.mu.Unlock()
	c.set <- struct{}{}
}

// memoryStore keeps in memory.
type memoryStore struct {
	kept  map[string][]byte
	saves int
	err   error // of reading
	full  error // of writing
}

func (s *memoryStore) Load() (map[string][]byte, error) { return s.kept, s.err }

func (s *memoryStore) Save(changes map[string][]byte) error {
	s.saves++
	if s.full != nil {
		return s.full
	}
	maps.Copy(s.kept, changes)
	return nil
}

// runner starts runs and notes them.
type runner struct {
	mu   sync.Mutex
	runs []Run
	done []func(error)
	hold bool
	err  error
}

func (r *runner) start(run Run, done func(error)) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.runs = append(r.runs, run)
	if r.err != nil {
		return r.err
	}
	if r.hold {
		r.done = append(r.done, done)
		return nil
	}
	done(nil)
	return nil
}

func (r *runner) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.runs)
}

func start(t *testing.T, r *runner, store *memoryStore, logs io.Writer, clock Clock, timers ...Timer) *Timers {
	t.Helper()
	x, err := New(Options{Store: store, Start: r.start, Built: built, Clock: clock, Logger: slog.New(slog.NewTextHandler(logs, nil))})
	if err != nil {
		t.Fatal(err)
	}
	x.Set("a", timers)
	x.Start()
	return x
}

func TestTimersRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, store, clock := &runner{}, &memoryStore{kept: make(map[string][]byte)}, newBubbleClock()
		x := start(t, r, store, io.Discard, clock, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce), everyTimer(time.Second))
		<-time.After(time.Hour + time.Millisecond) // of the bubble: it takes no time
		synctest.Wait()
		if got := r.count(); got != 3600+12 {
			t.Errorf("%d runs, want 3600 and 12", got)
		}
		if store.saves != 13 {
			t.Errorf("%d writes, want one for the new timer and one for each run of the schedule", store.saves)
		}
		list := x.List()
		if len(list) != 2 || list[0].Runs != 3600 || list[1].Runs != 12 || list[1].Next.IsZero() {
			t.Errorf("status %+v", list)
		}
		clock.jump(10 * time.Minute) // nothing is due before the alarm: only being told helps
		synctest.Wait()
		if got := r.count(); got != 3600+13 {
			t.Errorf("%d runs after the clock was set, want one more", got)
		}
		x.Close()
		x.Close()
		if store.saves != 15 {
			t.Errorf("%d writes, want a last one", store.saves)
		}
	})
}

func TestTimersSleepUntilSomethingIsDue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		clock := &countingClock{bubbleClock: newBubbleClock()}
		x := start(t, &runner{}, &memoryStore{kept: make(map[string][]byte)}, io.Discard, clock, cronTimer(t, "", "0 0 1 1 *", "UTC", MissedOnce))
		defer x.Close()
		<-time.After(100 * 24 * time.Hour)
		synctest.Wait()
		if clock.reads > 2 {
			t.Errorf("looked at the clock %d times in 100 days", clock.reads)
		}
	})
}

type countingClock struct {
	*bubbleClock
	reads int
}

func (c *countingClock) Now() Reading {
	c.reads++
	return c.bubbleClock.Now()
}

func TestFailuresAreToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		r := &runner{err: errors.New("the queue is full")}
		x := start(t, r, &memoryStore{kept: make(map[string][]byte)}, &logs, newBubbleClock(), everyTimer(time.Second))
		<-time.After(time.Minute + time.Millisecond)
		synctest.Wait()
		x.Close()
		if s := x.List()[0]; s.Failed != 60 || s.Error != "the queue is full" {
			t.Errorf("status %+v", s)
		}
		if n := strings.Count(logs.String(), "the queue is full"); n != 1 {
			t.Errorf("told %d times:\n%s", n, logs.String())
		}
	})
}

// TestFullQueue: a run for which there is no room is tried again for a minute, and is one run all the same.
func TestFullQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &runner{}
		refuse := func(err error) {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.err, r.runs = err, nil
		}
		x := start(t, r, &memoryStore{kept: make(map[string][]byte)}, io.Discard, newBubbleClock(), everyTimer(time.Hour))
		defer x.Close()
		full := &invoke.Error{Kind: invoke.ErrQueueFull}
		refuse(full)
		<-time.After(time.Hour + 30*time.Second + time.Millisecond)
		synctest.Wait()
		if s := x.List()[0]; r.count() != 31 || !s.Running || s.Failed != 0 {
			t.Errorf("while the queue is full: %d attempts, %+v", r.count(), s)
		}
		id := r.runs[0].EventID
		refuse(nil)
		<-time.After(time.Minute)
		synctest.Wait()
		if s := x.List()[0]; r.count() != 1 || r.runs[0].EventID != id || s.Running || s.Runs != 1 || s.Failed != 0 {
			t.Errorf("when there is room: %d attempts at %+v, %+v", r.count(), r.runs, s)
		}
		refuse(full)
		<-time.After(time.Hour + time.Minute)
		synctest.Wait()
		if s := x.List()[0]; r.count() != 61 || s.Running || s.Runs != 2 || s.Failed != 1 {
			t.Errorf("when there is none for a minute: %d attempts, %+v", r.count(), s)
		}
		refuse(full)
		<-time.After(time.Hour - 2*time.Minute)
		synctest.Wait()
		if s := x.List()[0]; !s.Running {
			t.Errorf("no run waits: %+v", s)
		}
		x.Set("a", nil)
		refuse(nil)
		<-time.After(time.Minute)
		synctest.Wait()
		if n := r.count(); n != 0 {
			t.Errorf("%d runs of a timer that was removed", n)
		}
	})
}

func TestFullDiskStopsNoTimer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs bytes.Buffer
		r, store := &runner{}, &memoryStore{kept: make(map[string][]byte)}
		store.full = errors.New("no space left")
		x := start(t, r, store, &logs, newBubbleClock(), cronTimer(t, "", "* * * * *", "UTC", MissedOnce))
		<-time.After(3 * time.Minute)
		synctest.Wait()
		x.Close()
		if r.count() != 3 || !strings.Contains(logs.String(), "no space left") {
			t.Errorf("%d runs, want 3, and the log:\n%s", r.count(), logs.String())
		}
	})
}

func TestLoadFails(t *testing.T) {
	failure := errors.New("damaged")
	if _, err := New(Options{Store: &memoryStore{err: failure}}); !errors.Is(err, failure) {
		t.Errorf("error %v, want %v", err, failure)
	}
}

func TestDamagedStateBeginsAnew(t *testing.T) {
	w := newWorld(t, cronTimer(t, "", "*/5 * * * *", "UTC", MissedOnce))
	w.disk["a/f/0"] = []byte("{")
	w.disk[seenKey] = nil
	w.boot(time.Hour)
	w.count(0, "nothing is known of the time before")
	w.pass(5 * time.Minute)
	w.count(1, "it runs")
}

// TestClocksReadTogether has the thread lose its core between the readings of two clocks.
func TestClocksReadTogether(t *testing.T) {
	for name, c := range map[string]struct {
		lost []time.Duration // before each reading of the wall clock
		most time.Duration   // the clocks are apart by
	}{
		"at once":      {[]time.Duration{0}, 0},
		"a little":     {[]time.Duration{togetherBy}, togetherBy / 2},
		"twice":        {[]time.Duration{time.Second, 20 * time.Millisecond, 0}, 0},
		"all the time": {append([]time.Duration{time.Minute, time.Second}, slices.Repeat([]time.Duration{time.Hour}, readings-2)...), time.Second / 2},
	} {
		now, read := time.Duration(0), 0
		got := together(func() time.Duration { return now }, func() time.Time {
			now += c.lost[read]
			read++
			return built.Add(now)
		})
		if apart := got.Wall.Sub(built) - got.Steady; apart.Abs() > c.most || read != len(c.lost) {
			t.Errorf("%s: %v apart after %d readings, want %v after %d", name, apart, read, c.most, len(c.lost))
		}
	}
}

// TestMachineClock uses the real clocks. It sets the wall clock, by a billionth of a second and back: that is all that makes the
// kernel say so.
func TestMachineClock(t *testing.T) {
	testutil.NoLeaks(t)
	c := openClock(slog.New(slog.DiscardHandler))
	defer c.Close()
	if c.watch == nil {
		t.Fatal("the kernel does not tell when the clock is set")
	}
	one, other := c.Now(), c.Now()
	if other.Steady < one.Steady || one.Steady == 0 || one.Wall.Before(built) {
		t.Errorf("the clocks show %+v and then %+v", one, other)
	}
	on := unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, Time: unix.Timeval{Usec: 1}}
	testutil.Require(t, "the right to set the clock", func() error {
		_, err := unix.Adjtimex(&on)
		return err
	})
	back := unix.Timex{Modes: unix.ADJ_SETOFFSET | unix.ADJ_NANO, Time: unix.Timeval{Sec: -1, Usec: 999_999_999}}
	if _, err := unix.Adjtimex(&back); err != nil {
		t.Error(err)
	}
	select {
	case <-c.Set():
	case <-time.After(time.Minute):
		t.Error("nobody was told that the clock was set")
	}
}
