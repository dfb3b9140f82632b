package hostfn

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"edged.dev/edge/kvstore"
)

// The limits of the state that a node has copies of, an app.
const (
	maxStateBytes   = 64 << 20
	maxStateCopies  = 4096
	maxStateWaiters = 4096
)

// stateCost is counted for a copy beside its bytes.
const stateCost = 128

// states are the node's copies of an app's Faasm state, and their locks. The zero value is ready. Any goroutine may use it;
// only lock waits.
type states struct {
	mu      sync.Mutex
	copies  map[string]*stateCopy
	locks   map[string]*stateLock
	bytes   int    // of all copies, with their cost
	clock   uint64 // counts uses, to know the copy used longest ago
	waiters int
}

// stateCopy is the node's copy of one state.
type stateCopy struct {
	data    []byte
	written uint64 // when it was last written to and not pushed since; 0 when it is as in the space
	used    uint64
}

// heldState is a lock that an invocation holds.
type heldState struct {
	key   string
	write bool
}

// stateLock is the lock of one state. Who comes first is served first, so that readers cannot keep a writer out.
type stateLock struct {
	readers int
	writer  bool
	queue   []*stateTurn
}

type stateTurn struct {
	write bool
	ready chan struct{} // closed when the lock is its
}

func (s *states) has(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.copies[key] != nil
}

// add keeps a copy of what the space holds, which it takes over, unless there is a copy by now.
func (s *states) add(key string, value []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.copies[key] != nil {
		return nil
	}
	c, err := s.room(key, len(value))
	if err == nil {
		c.data = value
	}
	return err
}

// replace makes a copy of value the node's copy. written says that it differs from what the space holds.
func (s *states) replace(key string, value []byte, written bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	c, err := s.room(key, len(value))
	if err != nil {
		return err
	}
	c.data, c.written = slices.Clone(value), 0
	if written {
		c.written = c.used
	}
	return nil
}

// read copies what there is of the state from an offset on, and returns the state's size.
func (s *states) read(key string, offset uint64, buf []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.copies[key]
	if c == nil { // given up between this call and the one that loaded it
		return 0, errors.New("the node has no room for more states; push those that are written")
	}
	s.clock++
	c.used = s.clock
	copy(buf, c.data[min(offset, uint64(len(c.data))):])
	return len(c.data), nil
}

// write makes the state total bytes long and replaces a part of it, which must lie inside.
func (s *states) write(key string, total, offset uint64, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if total > kvstore.MaxValueBytes {
		return fmt.Errorf("a state of %d bytes is above the limit of %d: %w", total, kvstore.MaxValueBytes, kvstore.ErrTooLarge)
	}
	c, err := s.room(key, int(total))
	if err != nil {
		return err
	}
	if uint64(len(c.data)) != total {
		grown := make([]byte, total)
		copy(grown, c.data)
		c.data = grown
	}
	copy(c.data[offset:], data)
	c.written = c.used
	return nil
}

// room returns the copy of a key, new if need be, after having made room for it to be size bytes long. Copies that are as in
// the space give way, the one used longest ago first. mu is held.
func (s *states) room(key string, size int) (*stateCopy, error) {
	if size > kvstore.MaxValueBytes {
		return nil, fmt.Errorf("a state of %d bytes is above the limit of %d: %w", size, kvstore.MaxValueBytes, kvstore.ErrTooLarge)
	}
	c, more := s.copies[key], size+stateCost
	if c != nil {
		more -= len(c.data) + stateCost
	}
	for s.bytes+more > maxStateBytes || c == nil && len(s.copies) >= maxStateCopies {
		if !s.giveUp(key) {
			return nil, fmt.Errorf("the node's copies of states would be above the limits of %d bytes and %d copies an app, and none of them "+
				"is as in the space; push those that are written", maxStateBytes, maxStateCopies)
		}
	}
	if c == nil {
		if s.copies == nil {
			s.copies = make(map[string]*stateCopy)
		}
		c = new(stateCopy)
		s.copies[key] = c
	}
	s.bytes += more
	s.clock++
	c.used = s.clock
	return c, nil
}

// giveUp drops the unwritten copy that was used longest ago, but for one key's. It returns false when there is none.
func (s *states) giveUp(but string) bool {
	oldest := ""
	for key, c := range s.copies {
		if c.written == 0 && key != but && (oldest == "" || c.used < s.copies[oldest].used) {
			oldest = key
		}
	}
	if oldest == "" {
		return false
	}
	s.bytes -= len(s.copies[oldest].data) + stateCost
	delete(s.copies, oldest)
	return true
}

// changed returns what a push has to store and when it was written; 0 when there is nothing to push.
func (s *states) changed(key string) (value []byte, written uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.copies[key]
	if c == nil || c.written == 0 {
		return nil, 0
	}
	return append([]byte{}, c.data...), c.written
}

// pushed notes that the space holds what was written at that moment.
func (s *states) pushed(key string, written uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.copies[key]; c != nil && c.written == written {
		c.written = 0
	}
}

// lock waits for a lock until the context ends, whose error it returns then.
func (s *states) lock(ctx context.Context, wanted heldState) error {
	s.mu.Lock()
	l := s.locks[wanted.key]
	if l == nil {
		if s.locks == nil {
			s.locks = make(map[string]*stateLock)
		}
		l = new(stateLock)
		s.locks[wanted.key] = l
	}
	if len(l.queue) == 0 && l.take(wanted.write) {
		s.mu.Unlock()
		return nil
	}
	if s.waiters >= maxStateWaiters {
		s.mu.Unlock()
		return fmt.Errorf("%d invocations wait for locks already: %w", maxStateWaiters, kvstore.ErrTooManyWaiters)
	}
	turn := &stateTurn{wanted.write, make(chan struct{})}
	l.queue = append(l.queue, turn)
	s.waiters++
	s.mu.Unlock()
	select {
	case <-turn.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := slices.Index(l.queue, turn); at >= 0 {
		l.queue = slices.Delete(l.queue, at, at+1)
		s.waiters--
	} else {
		l.release(wanted.write) // it came at the same moment
	}
	s.pass(wanted.key, l)
	return ctx.Err()
}

// unlock gives up a lock that is held.
func (s *states) unlock(held heldState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.locks[held.key]
	l.release(held.write)
	s.pass(held.key, l)
}

// pass gives the lock to those whose turn it is, and forgets a lock that nobody wants. mu is held.
func (s *states) pass(key string, l *stateLock) {
	for len(l.queue) > 0 && l.take(l.queue[0].write) {
		close(l.queue[0].ready)
		l.queue = l.queue[1:]
		s.waiters--
	}
	if len(l.queue) == 0 && l.readers == 0 && !l.writer {
		delete(s.locks, key)
	}
}

// take takes the lock when it is free.
func (l *stateLock) take(write bool) bool {
	if l.writer || write && l.readers > 0 {
		return false
	}
	if write {
		l.writer = true
	} else {
		l.readers++
	}
	return true
}

func (l *stateLock) release(write bool) {
	if write {
		l.writer = false
	} else {
		l.readers--
	}
}
