package pool

import (
	"context"
	"errors"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

var errEnough = errors.New("enough")

// TestLife compares a life with the context that it stands for, in whatever order it is asked and ended.
func TestLife(t *testing.T) {
	for _, c := range []struct {
		name string
		use  func(l *life, end func()) // calls end once
	}{
		{"asked after the end", func(_ *life, end func()) { end() }},
		{"channel asked for before the end", func(l *life, end func()) { l.Done(); end() }},
		{"ended twice", func(l *life, end func()) { end(); l.end(errors.New("late")) }},
		{"a child of it", func(l *life, end func()) {
			child, cancel := context.WithCancel(l)
			defer cancel()
			if child.Err() != nil {
				t.Error("the child is over before its parent")
			}
			end()
			<-child.Done()
			if !errors.Is(context.Cause(child), errEnough) {
				t.Errorf("the child's cause is %v", context.Cause(child))
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := new(life)
			if l.Err() != nil || context.Cause(l) != nil {
				t.Fatal("it is over before its end")
			}
			c.use(l, func() { l.end(errEnough) })
			<-l.Done()
			if !errors.Is(l.Err(), context.Canceled) || !errors.Is(context.Cause(l), errEnough) {
				t.Errorf("Err %v, cause %v", l.Err(), context.Cause(l))
			}
		})
	}
}

// TestLifeIsUsedAgain only when nobody has the channel, which could tell of another invocation's end.
func TestLifeIsUsedAgain(t *testing.T) {
	l := new(life)
	l.end(errEnough)
	if l.Err() == nil {
		t.Error("it goes on after its end")
	}
	if !l.over() || l.Err() != nil {
		t.Errorf("a life that nobody waits for cannot be used again, or has ended: %v", l.Err())
	}
	done := l.Done()
	if l.over() {
		t.Error("a life whose channel is known is used again")
	}
	<-done // whoever has the channel does not wait for ever
	if l.Err() == nil {
		t.Error("it goes on")
	}
}

// TestLifeAllocates nothing for an invocation that only looks at its context.
func TestLifeAllocates(t *testing.T) {
	l := new(life)
	if n := testing.AllocsPerRun(100, func() {
		_ = l.Err()
		l.end(errEnough)
		_ = l.Err()
		l.over()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// idler makes a worker without a thread, for which no call ever begins.
func idler(w *watch) *worker {
	one := &worker{pool: &Pool{}, life: new(life)}
	one.ends.Store(never)
	w.add(one)
	return one
}

// run starts an invocation's clock as begin does.
func (w *worker) run(watch *watch, until time.Time) {
	w.mu.Lock()
	w.expired = nil
	w.ends.Store(watch.moment(until))
	w.mu.Unlock()
	watch.expect(watch.moment(until))
}

func newWatch() *watch {
	w := &watch{base: time.Now(), workers: make(map[*worker]struct{})}
	w.armed.Store(never)
	return w
}

// TestWatch ends what is over and nothing else, whatever the order in which the ends were told.
func TestWatch(t *testing.T) {
	hour := time.Now().Add(time.Hour)
	for name, order := range map[string][]int{"earliest first": {0, 1, 2}, "earliest last": {2, 1, 0}, "earliest in between": {1, 0, 2}} {
		t.Run(name, func(t *testing.T) {
			w := newWatch()
			workers := []*worker{idler(w), idler(w), idler(w)}
			ends := []time.Time{time.Now().Add(time.Millisecond), time.Now().Add(3 * time.Millisecond), hour}
			for _, n := range order {
				workers[n].run(w, ends[n])
			}
			for _, one := range workers[:2] {
				<-one.life.Done() // else the test does not end
				if !errors.Is(context.Cause(one.life), invoke.ErrTimeout) {
					t.Errorf("ended for %v", context.Cause(one.life))
				}
			}
			if time.Now().Before(ends[1]) {
				t.Error("ended before its time")
			}
			if workers[2].life.Err() != nil {
				t.Error("one that has an hour left is ended")
			}
		})
	}
}

// TestWatchFindsEverything tells ends from many goroutines while the watch looks.
func TestWatchFindsEverything(t *testing.T) {
	w := newWatch()
	const rounds = 200
	ended := make(chan struct{})
	for range 8 {
		one := idler(w)
		go func() {
			defer func() { ended <- struct{}{} }()
			for n := range rounds {
				one.run(w, time.Now().Add(time.Duration(n%7)*50*time.Microsecond))
				<-one.life.Done()
				one.finishAlone()
			}
		}()
	}
	for range 8 {
		<-ended // an end that is forgotten makes the test hang
	}
}

// finishAlone is finish without a pool.
func (w *worker) finishAlone() {
	w.mu.Lock()
	w.ends.Store(never)
	w.mu.Unlock()
	w.life = new(life)
}
