package httptrigger

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestTimersModel arms, disarms and expires timers at random and compares with a map of ends.
func TestTimersModel(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 4))
	s := New(Options{Timeouts: Timeouts{Header: 5, Body: 7, Idle: 11, Write: 13, Linger: 3}})
	l := &loop{server: s, now: time.Unix(0, 0)}
	timers := make([]timer, 20)
	ends := map[*timer]time.Time{}
	kinds := map[*timer]timerClass{}
	for range 20000 {
		x := &timers[rnd.IntN(len(timers))]
		switch rnd.IntN(4) {
		case 0:
			l.set(x, timeNone, false)
			delete(ends, x)
		case 1, 2:
			class, again := timerClass(rnd.IntN(int(classes))), rnd.IntN(2) == 0
			l.set(x, class, again)
			if _, armed := ends[x]; !armed || kinds[x] != class || again {
				ends[x], kinds[x] = l.now.Add(s.opts.Timeouts.after(class)), class
			}
		default:
			l.now = l.now.Add(time.Duration(rnd.IntN(6)))
			for class := range l.timers {
				for y := l.timers[class].due(l.now); y != nil; y = l.timers[class].due(l.now) {
					if end, armed := ends[y]; !armed || end.After(l.now) || kinds[y] != timerClass(class) {
						t.Fatalf("expired in class %d: armed %v, end %v, now %v", class, armed, end, l.now)
					}
					l.timers[class].remove(y)
					delete(ends, y)
				}
			}
			for y, end := range ends {
				if !end.After(l.now) || !y.armed {
					t.Fatalf("left: end %v, now %v, armed %v", end, l.now, y.armed)
				}
			}
		}
	}
}
