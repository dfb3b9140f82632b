package load

import (
	"math/rand/v2"
	"time"

	"golang.org/x/sys/unix"
)

// conn is one connection. At most one request is in flight on it.
type conn struct {
	fd       int
	stream   *stream
	reader   reader
	pending  []byte // of the request in flight: not taken by the kernel yet
	busy     bool
	class    int           // of the request in flight
	intended time.Duration // when it was meant to be sent, since the run's start
}

// stream is a Stream while it runs.
type stream struct {
	Stream
	rand    *rand.Rand
	weights []float64 // cumulative
	tallies []*Tally
	idle    []*conn
	resting []rest        // closed: after 429 or 503, those that end first in front
	next    time.Duration // open: when the next request is to be sent
	backlog []arrival     // open: requests whose time has come while no connection was idle
	taken   int           // of backlog
}

// rest is a connection that waits before its next request.
type rest struct {
	conn  *conn
	until time.Duration
}

// wake makes connections idle that have rested.
func (s *stream) wake(now time.Duration) {
	for len(s.resting) > 0 && s.resting[0].until <= now {
		s.idle = append(s.idle, s.resting[0].conn)
		s.resting = s.resting[1:]
	}
}

// arrival is a request of an open stream.
type arrival struct {
	class    int
	intended time.Duration
}

func newStream(s Stream, seed uint64) *stream {
	st := &stream{Stream: s, rand: rand.New(rand.NewPCG(seed, uint64(len(s.Name))))} //nolint:gosec // repeatable on purpose
	sum := 0.0
	for _, c := range s.Classes {
		if c.Weight == 0 {
			c.Weight = 1
		}
		sum += c.Weight
		st.weights = append(st.weights, sum)
		st.tallies = append(st.tallies, &Tally{Name: c.Name})
	}
	if st.open() {
		st.next = st.interval()
	}
	return st
}

func (s *stream) open() bool { return s.Rate > 0 }

// draw returns the class of a request.
func (s *stream) draw() int {
	if len(s.weights) == 1 {
		return 0
	}
	x := s.rand.Float64() * s.weights[len(s.weights)-1]
	for i, w := range s.weights {
		if x < w {
			return i
		}
	}
	return len(s.weights) - 1
}

// interval returns the time from one request of an open stream to the next.
func (s *stream) interval() time.Duration {
	mean := float64(time.Second) / s.Rate
	if s.Constant {
		return time.Duration(mean)
	}
	return time.Duration(s.rand.ExpFloat64() * mean)
}

// arrive puts the requests whose time has come into the backlog.
func (s *stream) arrive(now, end time.Duration) {
	for s.next <= now && s.next < end {
		s.backlog = append(s.backlog, arrival{s.draw(), s.next})
		s.next += s.interval()
	}
}

// waiting returns the next request of the backlog.
func (s *stream) waiting() (arrival, bool) {
	if s.taken == len(s.backlog) {
		s.backlog, s.taken = s.backlog[:0], 0
		return arrival{}, false
	}
	a := s.backlog[s.taken]
	s.taken++
	return a, true
}

// count puts the answer to a request into the tally of its class.
func (t *Tally) count(c Class, r response, latency time.Duration) {
	switch {
	case r.status == 429:
		t.Rejected++
	case r.status == 504:
		t.TimedOut++
	case r.status != 200:
		t.Status++
	case c.Expect != nil && string(c.Expect) != string(r.body):
		t.Wrong++
	default:
		t.OK++
		t.Latency.Record(latency)
		if c.Deadline > 0 && latency > c.Deadline {
			t.Late++
			if latency > c.Deadline+c.Deadline/10 {
				t.FarLate++
			}
		}
	}
}

// write sends as much of what is pending as the kernel takes; the rest goes when the socket is writable.
func (c *conn) write() error {
	for len(c.pending) > 0 {
		n, err := unix.Write(c.fd, c.pending)
		switch err {
		case nil:
			c.pending = c.pending[n:]
		case unix.EAGAIN:
			return nil
		case unix.EINTR:
		default:
			return err
		}
	}
	return nil
}
