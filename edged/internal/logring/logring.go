// Package logring keeps the last log lines of every app in memory, bounded in lines and bytes, and lets any number of
// readers follow them.
//
// A writer never waits for a reader: it takes one short lock, drops the oldest lines if it must, and wakes who waits. A
// reader keeps a position, not a buffer, so a slow one costs nothing; when lines it has not seen were dropped, it is told
// how many. Nothing is written to disk.
//
// Lock order: Log.mu before Ring.mu.
package logring

import (
	"context"
	"iter"
	"sync"
	"time"
	"unicode/utf8"

	"edged.dev/edge/edged/internal/invoke"
)

// Level is how serious a line is, in the numbers of the guest interface.
type Level uint8

// The levels.
const (
	LevelDebug Level = 0
	LevelInfo  Level = 1
	LevelWarn  Level = 2
	LevelError Level = 3
)

// String returns the level as it is shown: "debug", "info", "warn" or "error". Numbers above are errors.
func (l Level) String() string {
	switch l {
	case LevelDebug:
		return "debug"
	case LevelInfo:
		return "info"
	case LevelWarn:
		return "warn"
	case LevelError:
	}
	return "error"
}

// Entry is one line a guest logged. The text has no line end.
type Entry struct {
	Time       time.Time
	App        invoke.AppName
	Function   invoke.FunctionName
	Invocation uint64
	Level      Level
	Text       string
}

// Record is an entry as a reader gets it.
type Record struct {
	Entry
	// Lost is how many entries were dropped between the one before and this one because the reader was too slow.
	Lost uint64
}

// entryOverhead is what an entry costs beside its text: the struct and two string headers, rounded up.
const entryOverhead = 128

// Options bound what is kept for one app. A zero field takes its default.
type Options struct {
	Lines     int // default 10,000
	Bytes     int // texts and their overhead; default 2 MiB
	LineBytes int // a longer text is cut at a whole rune and ends in "..."; default 16 KiB
}

// EnsureDefaults returns o with zero and negative fields set to their defaults.
func (o Options) EnsureDefaults() Options {
	if o.Lines <= 0 {
		o.Lines = 10_000
	}
	if o.Bytes <= 0 {
		o.Bytes = 2 << 20
	}
	if o.LineBytes <= 0 {
		o.LineBytes = 16 << 10
	}
	return o
}

// Log holds a ring for every app. It may be used from any goroutine.
type Log struct {
	options Options

	mu    sync.RWMutex
	rings map[invoke.AppName]*Ring // guarded by mu
}

// New returns a log without entries.
func New(options Options) *Log {
	return &Log{options: options.EnsureDefaults(), rings: make(map[invoke.AppName]*Ring)}
}

// Ring returns the app's ring, making it when there is none. A function that logs often keeps it.
func (l *Log) Ring(app invoke.AppName) *Ring {
	l.mu.RLock()
	ring, ok := l.rings[app]
	l.mu.RUnlock()
	if ok {
		return ring
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if ring, ok = l.rings[app]; !ok {
		ring = newRing(l.options)
		l.rings[app] = ring
	}
	return ring
}

// Remove drops the app's entries; those who follow them reach the end. Without such an app it does nothing.
func (l *Log) Remove(app invoke.AppName) {
	l.mu.Lock()
	ring := l.rings[app]
	delete(l.rings, app)
	l.mu.Unlock()
	if ring != nil {
		ring.close()
	}
}

// Close ends every ring. It is idempotent; a ring asked for afterwards is a new, open one.
func (l *Log) Close() error {
	l.mu.Lock()
	rings := l.rings
	l.rings = make(map[invoke.AppName]*Ring)
	l.mu.Unlock()
	for _, ring := range rings {
		ring.close()
	}
	return nil
}

// Ring is the last entries of one app. It may be used from any goroutine.
type Ring struct {
	options Options

	mu      sync.Mutex
	entries []Entry       // guarded by mu; a circular buffer that grows up to Options.Lines
	head    int           // guarded by mu; index of the oldest entry
	count   int           // guarded by mu
	bytes   int           // guarded by mu
	first   uint64        // guarded by mu; sequence number of the oldest entry
	wake    chan struct{} // guarded by mu; closed by the next Append or close, nil while nobody waits
	closed  bool          // guarded by mu
}

// NewRing returns an empty ring of its own, outside any [Log].
func NewRing(options Options) *Ring { return newRing(options.EnsureDefaults()) }

func newRing(options Options) *Ring { return &Ring{options: options} }

// Append adds an entry and drops the oldest ones that no longer fit. It waits for nobody. After the ring was removed it
// does nothing.
func (r *Ring) Append(e Entry) {
	e.Text = cut(e.Text, r.options.LineBytes)
	size := len(e.Text) + entryOverhead
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		return
	}
	for r.count > 0 && (r.count == r.options.Lines || r.bytes+size > r.options.Bytes) {
		r.dropOldest()
	}
	if r.count == len(r.entries) {
		r.grow()
	}
	r.entries[(r.head+r.count)%len(r.entries)] = e
	r.count++
	r.bytes += size
	r.wakeAll()
}

// dropOldest removes the oldest entry. Preconditions: r.mu is held and the ring is not empty.
func (r *Ring) dropOldest() {
	r.bytes -= len(r.entries[r.head].Text) + entryOverhead
	r.entries[r.head] = Entry{} // let go of the text
	r.head = (r.head + 1) % len(r.entries)
	r.count--
	r.first++
}

// end returns the sequence number of the next entry. Preconditions: r.mu is held.
func (r *Ring) end() uint64 {
	return r.first + uint64(r.count)
}

// grow doubles the buffer up to the limit of lines, so that an app that logs little costs little. Preconditions: r.mu is
// held and the buffer is full, which the limit of lines keeps from happening at the limit.
func (r *Ring) grow() {
	entries := make([]Entry, min(max(16, 2*len(r.entries)), r.options.Lines))
	for i := range r.count {
		entries[i] = r.entries[(r.head+i)%len(r.entries)]
	}
	r.entries, r.head = entries, 0
}

// wakeAll wakes the readers that wait. Preconditions: r.mu is held.
func (r *Ring) wakeAll() {
	if r.wake != nil {
		close(r.wake)
		r.wake = nil
	}
}

// close ends the ring for its writers and readers.
func (r *Ring) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.entries, r.count, r.bytes = nil, 0, 0
	r.wakeAll()
}

// Tail yields the entries not older than since that are kept now, oldest first, and ends.
func (r *Ring) Tail(since time.Time) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		r.mu.Lock()
		next, end := r.first, r.end()
		r.mu.Unlock()
		r.walk(next, since, func(seq uint64, rec Record) bool { return seq < end && yield(rec) })
	}
}

// Follow yields the entries not older than since that are kept now, then those to come, until ctx is done, the ring is
// removed, or the caller stops.
func (r *Ring) Follow(ctx context.Context, since time.Time) iter.Seq[Record] {
	return func(yield func(Record) bool) {
		r.mu.Lock()
		next := r.first
		r.mu.Unlock()
		for {
			var more bool
			next, more = r.walk(next, since, func(_ uint64, rec Record) bool { return ctx.Err() == nil && yield(rec) })
			if !more || !r.wait(ctx, next) {
				return
			}
		}
	}
}

// walkBatch is how many entries are copied under one lock: enough to be cheap, few enough that a writer waits only
// microseconds.
const walkBatch = 64

// walk yields the entries from sequence number next on, and returns the number after the last one and whether the caller
// wants more. Entries are yielded without the lock.
func (r *Ring) walk(next uint64, since time.Time, yield func(uint64, Record) bool) (uint64, bool) {
	var batch [walkBatch]Entry
	for {
		start, n, lost := r.read(next, batch[:])
		if n == 0 {
			return start, true
		}
		next = start + uint64(n)
		for i, e := range batch[:n] {
			if e.Time.Before(since) {
				continue
			}
			if !yield(start+uint64(i), Record{Entry: e, Lost: lost}) {
				return next, false
			}
			lost = 0
		}
	}
}

// read copies entries from number next on into batch. It returns the number of the first one, which is above next when
// entries were lost, how many there are, and how many were lost.
func (r *Ring) read(next uint64, batch []Entry) (start uint64, n int, lost uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if next < r.first {
		lost, next = r.first-next, r.first
	}
	skip := int(next - r.first)
	for n < len(batch) && skip+n < r.count {
		batch[n] = r.entries[(r.head+skip+n)%len(r.entries)]
		n++
	}
	return next, n, lost
}

// wait returns true once there may be an entry of number next or above, false when ctx is done or the ring is closed.
func (r *Ring) wait(ctx context.Context, next uint64) bool {
	r.mu.Lock()
	if r.closed {
		r.mu.Unlock()
		return false
	}
	if next < r.end() {
		r.mu.Unlock()
		return true
	}
	if r.wake == nil {
		r.wake = make(chan struct{})
	}
	wake := r.wake
	r.mu.Unlock()
	select {
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}

// cut shortens a text to at most limit bytes plus the mark, at the start of a rune. The copy lets go of the long text.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "..."
}
