package kvstore

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// MaxEventValueBytes is the largest value an Event carries; a buffer of events stays bounded by it.
const MaxEventValueBytes = 64 << 10

// maxWatchBuffer bounds the buffer of a watch, in events.
const maxWatchBuffer = 65536

// EventKind says what happened.
type EventKind uint8

// The kinds of events.
const (
	EventSet    EventKind = iota + 1 // Key was stored
	EventDelete                      // Key was removed
	EventLost                        // events are missing here: Scan to learn the current state
)

// Event is one change. Its slices are shared and must not be modified; they may be kept.
type Event struct {
	Kind  EventKind
	Key   []byte
	Value []byte // EventSet: the value, or nil when it has more than MaxEventValueBytes
	Size  int    // EventSet: length of the value
	New   bool   // EventSet: the key was absent before
}

// Watch delivers the changes of one space. For Sync an event comes after its commit is on disk, before the writer is told; for Batched
// and Memory when the write is accepted. The events of one space come in commit order, those of one Apply in the order of its
// operations. Changes are never delayed by a slow watcher: when its buffer is full the next slot carries EventLost, and what happens
// until there is room again is not delivered.
type Watch struct {
	list   *watchList
	prefix string
	ch     chan Event // closed under mu
	buffer int

	mu      sync.Mutex
	lost    bool  // guarded by mu; the last event sent is EventLost
	closed  bool  // guarded by mu
	err     error // guarded by mu; why it ended
	release func() bool
}

// Watch subscribes to the changes of keys with the prefix (nil: all) from now on. It holds up to buffer events, 1 to 65,536, for a slow
// watcher. The watch ends, and C is closed, when ctx is done, at Close, when the space is dropped and when the store is closed.
func (sp *Space) Watch(ctx context.Context, prefix []byte, buffer int) *Watch {
	buffer = min(max(buffer, 1), maxWatchBuffer)
	// One more than buffer: there is always room for the EventLost after the last event.
	w := &Watch{list: &sp.watches, prefix: string(prefix), ch: make(chan Event, buffer+1), buffer: buffer}
	sp.watches.add(w)
	if err := sp.usable(); err != nil { // after add: a drop or close in between is not missed
		w.end(err)
		return w
	}
	stop := context.AfterFunc(ctx, func() { w.end(context.Cause(ctx)) })
	w.mu.Lock()
	w.release = stop
	w.mu.Unlock()
	return w
}

// C delivers the events and is closed when the watch has ended; what was sent before can still be received.
func (w *Watch) C() <-chan Event { return w.ch }

// Err says why the watch ended: the context's cause, ErrClosed or ErrDropped. It is nil while it runs and after Close.
func (w *Watch) Err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.err
}

// Close ends the watch. It is idempotent and never blocks.
func (w *Watch) Close() {
	w.end(nil)
	w.mu.Lock()
	release := w.release
	w.mu.Unlock()
	if release != nil {
		release()
	}
}

func (w *Watch) end(err error) {
	w.list.remove(w)
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	w.closed, w.err = true, err
	close(w.ch)
}

// send delivers one event or, once for each gap, EventLost. Nothing can be missed without being told: an event is only dropped
// while EventLost is the last thing in the channel and not yet received, and it is committed by then, so the watcher's scan sees it.
func (w *Watch) send(e Event) (delivered bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.closed:
		return true
	case len(w.ch) < w.buffer:
		w.ch <- e
		w.lost = false
		return true
	case !w.lost:
		w.ch <- Event{Kind: EventLost}
		w.lost = true
	}
	return false
}

// watchList holds the watches of one space.
type watchList struct {
	open atomic.Int32 // number of watches: writers look here first

	mu      sync.Mutex
	watches []*Watch // guarded by mu; replaced, never modified
}

func (l *watchList) any() bool  { return l.open.Load() > 0 }
func (l *watchList) count() int { return int(l.open.Load()) }

func (l *watchList) add(w *Watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.watches = append(slices.Clip(l.watches), w)
	l.open.Store(int32(len(l.watches)))
}

func (l *watchList) remove(w *Watch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.watches, w); i >= 0 {
		l.watches = slices.Delete(slices.Clone(l.watches), i, i+1)
		l.open.Store(int32(len(l.watches)))
	}
}

func (l *watchList) snapshot() []*Watch {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.watches
}

// publish sends changes to every watch. For one space it is never called twice at a time.
func (l *watchList) publish(sp *Space, changes []change) {
	if !l.any() {
		return
	}
	for _, w := range l.snapshot() {
		for _, ch := range changes {
			if strings.HasPrefix(string(ch.key), w.prefix) && !w.send(eventOf(ch)) {
				sp.store.counters.eventsLost.Add(1)
			}
		}
	}
}

func eventOf(ch change) Event {
	if ch.rec == nil {
		return Event{Kind: EventDelete, Key: ch.key}
	}
	e := Event{Kind: EventSet, Key: ch.key, Size: len(ch.rec) - recordHeader, New: ch.fresh}
	if e.Size <= MaxEventValueBytes {
		e.Value = ch.rec[recordHeader:]
	}
	return e
}

func (l *watchList) closeAll(err error) {
	for _, w := range l.snapshot() {
		w.end(err)
	}
}
