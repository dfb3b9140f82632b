package httptrigger

import "time"

// timerClass is what a connection is waited for. Timers of one class all run equally long, so a list in the order of
// arming is ordered by end: arming, disarming and expiring cost the same however many connections there are.
type timerClass uint8

const (
	timeHeader timerClass = iota
	timeBody
	timeIdle
	timeLinger
	timeWrite
	classes
	timeNone
)

// after returns how long timers of a class run.
func (t *Timeouts) after(class timerClass) time.Duration {
	switch class {
	case timeHeader:
		return t.Header
	case timeBody:
		return t.Body
	case timeIdle:
		return t.Idle
	case timeLinger:
		return t.Linger
	case timeWrite, classes, timeNone:
	}
	return t.Write
}

// timer is an entry of a list; it is part of its connection.
type timer struct {
	conn       *conn
	prev, next *timer
	at         time.Time
	class      timerClass
	armed      bool
}

// timerList is a list of timers ordered by end. The zero value is empty.
type timerList struct{ first, last *timer }

func (l *timerList) push(t *timer, at time.Time) {
	t.at, t.armed = at, true
	t.prev, t.next = l.last, nil
	if l.last != nil {
		l.last.next = t
	} else {
		l.first = t
	}
	l.last = t
}

func (l *timerList) remove(t *timer) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		l.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		l.last = t.prev
	}
	t.prev, t.next, t.armed = nil, nil, false
}

// due returns the first timer that has ended at now, nil when none has.
func (l *timerList) due(now time.Time) *timer {
	if l.first == nil || l.first.at.After(now) {
		return nil
	}
	return l.first
}

// set arms t for class, or disarms it for timeNone. One that runs for that class already goes on, unless again is set.
func (l *loop) set(t *timer, class timerClass, again bool) {
	if t.armed && (t.class != class || again) {
		l.timers[t.class].remove(t)
	}
	if class == timeNone || t.armed {
		return
	}
	t.class = class
	l.timers[class].push(t, l.now.Add(l.server.opts.Timeouts.after(class)))
}
