package kvtrigger

import (
	"errors"
	"fmt"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/kvstore"
)

// errRemoved is why events of a trigger that is gone become dead letters.
var errRemoved = errors.New("its trigger is not there any more: the app was removed, or its manifest does not list it now")

// refused is the end of a delivery that was not admitted.
func (p *Dispatcher) refused(l *line, d *kvstore.Delivery, inv *invoke.Invocation, err error) {
	if errors.Is(err, invoke.ErrDepth) {
		p.dead(l, d, inv, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.putBack(l)
}

// putBack makes a delivery wait for another try that does not count as one: nothing was wrong with it. The trigger takes a rest.
func (p *Dispatcher) putBack(l *line) {
	q := l.queue
	q.inFlight--
	q.ready = append([]*line{l}, q.ready...)
	if q.removed {
		p.retire(q)
		return
	}
	if q.paused || p.closed {
		return
	}
	q.paused = true
	pause := q.pause
	q.pause = min(q.pause*2, lastPause)
	time.AfterFunc(pause, func() {
		p.mu.Lock()
		q.paused = false
		p.mu.Unlock()
		p.poke()
	})
}

// ended is the Done of an invocation.
func (p *Dispatcher) ended(l *line, d *kvstore.Delivery, inv *invoke.Invocation, result invoke.Result) {
	p.options.Observe(inv, result)
	err := failure(result)
	switch {
	case err == nil:
		p.options.Outbox.Done(d)
		p.forward(l, Done)
	case errors.Is(err, invoke.ErrQueueFull) || errors.Is(err, invoke.ErrDraining):
		p.mu.Lock()
		p.putBack(l)
		p.mu.Unlock()
	default:
		p.options.Outbox.Failed(d)
		if !p.again(l, d) {
			p.dead(l, d, inv, err)
		}
	}
}

// failure returns why a result is a failed attempt, nil when it is none. A function that is triggered says by its status that it wants the
// event again: 429, or one of 5xx.
func failure(result invoke.Result) error {
	switch {
	case result.Err != nil:
		return result.Err
	case result.Status == 429 || result.Status >= 500:
		text := string(result.Body[:min(len(result.Body), 512)])
		return fmt.Errorf("the function answered %d: %s", result.Status, text)
	}
	return nil
}

// again lets a failed delivery rest until its next attempt; false when there is none.
func (p *Dispatcher) again(l *line, d *kvstore.Delivery) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	q := l.queue
	if d.Attempts > q.Retries || q.removed {
		return false
	}
	q.inFlight--
	q.pause = firstPause
	q.counts[Failed]++
	time.AfterFunc(q.backoff(d.Attempts), func() {
		p.mu.Lock()
		if !l.gone {
			q.ready = append(q.ready, l)
		}
		p.mu.Unlock()
		p.poke()
	})
	p.poke()
	return true
}

// dead gives a delivery up.
func (p *Dispatcher) dead(l *line, d *kvstore.Delivery, inv *invoke.Invocation, err error) {
	p.options.Logger.Warn("event given up", "app", inv.App, "function", inv.Function, "event", inv.Event.ID, "space", d.Space, "key", d.Key,
		"attempts", d.Attempts, "error", err)
	p.options.Outbox.Bury(d, err)
	p.forward(l, Dead)
}

// forward goes on to the next delivery of a key.
func (p *Dispatcher) forward(l *line, outcome Outcome) {
	p.mu.Lock()
	q := l.queue
	q.inFlight--
	q.counts[outcome]++
	if outcome == Done {
		q.pause = firstPause
	}
	key := l.list[0].Key
	l.list[0] = nil
	l.list = l.list[1:]
	if len(l.list) == 0 {
		delete(q.lines, key)
	} else {
		q.ready = append(q.ready, l)
	}
	p.retire(q)
	p.mu.Unlock()
	p.poke()
}

// retire buries what is left of a removed trigger once nothing of it is in flight. The caller holds mu.
func (p *Dispatcher) retire(q *queue) {
	if !q.removed || q.retiring || q.inFlight > 0 || p.closed {
		return
	}
	q.retiring = true
	var left []*kvstore.Delivery
	for _, l := range q.lines {
		left, l.gone = append(left, l.list...), true
	}
	q.lines, q.ready = make(map[string]*line), nil
	p.running.Go(func() {
		for _, d := range left {
			p.options.Outbox.Bury(d, errRemoved)
		}
		p.options.Retire(q.ID)
		p.mu.Lock()
		defer p.mu.Unlock()
		q.retiring = false
		if q.removed { // it has not come back meanwhile
			delete(p.queues, q.ID)
			p.turn = 0
			for i, other := range p.order {
				if other == q {
					p.order = append(p.order[:i:i], p.order[i+1:]...)
					break
				}
			}
		}
	})
}
