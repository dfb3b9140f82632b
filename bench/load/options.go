package load

import (
	"fmt"
	"net/netip"
	"time"
)

// Class is a kind of request.
type Class struct {
	Name     string
	Request  []byte        // whole, head and body; see Request
	Expect   []byte        // body of a right answer; nil accepts all
	Deadline time.Duration // within which an answer is of use; 0 for ever. Measured here; to tell the server is the request's business
	Weight   float64       // share of the class in its stream; 0 counts as 1
}

// Stream is a source of requests with connections of its own.
type Stream struct {
	Name        string
	Connections int
	Rate        float64       // requests a second of an open stream; 0 makes it closed
	Constant    bool          // an open stream sends at equal distances; else as a Poisson process does
	Reconnect   bool          // a new connection for every request
	Pause       time.Duration // that a connection of a closed stream rests after 429 or 503, as Retry-After asks for
	Classes     []Class       // which one a request is of is drawn by weight
}

// Options say what to run. Nothing in them is changed.
type Options struct {
	Address  string        // host:port, the host an IP address
	Warmup   time.Duration // before anything is counted
	Duration time.Duration // of what is counted
	Drain    time.Duration // how long to wait at the end for answers at most; 0 is 3 s
	CPU      int           // core of the thread; negative for any
	Seed     uint64        // of the random choices; equal seeds draw equal ones
	Streams  []Stream
	Begin    func() // called when counting begins and
	End      func() // when it ends, on the thread; nil for nothing
}

const defaultDrain = 3 * time.Second

func (o *Options) validate() (netip.AddrPort, error) {
	address, err := netip.ParseAddrPort(o.Address)
	if err != nil {
		return address, fmt.Errorf("%w: address: %w", ErrOptions, err)
	}
	if o.Duration <= 0 {
		return address, fmt.Errorf("%w: duration %v", ErrOptions, o.Duration)
	}
	if len(o.Streams) == 0 {
		return address, fmt.Errorf("%w: no stream", ErrOptions)
	}
	for i := range o.Streams {
		s := &o.Streams[i]
		if s.Connections < 1 || s.Rate < 0 || len(s.Classes) == 0 {
			return address, fmt.Errorf("%w: stream %q has %d connections, rate %v, %d classes", ErrOptions, s.Name, s.Connections, s.Rate, len(s.Classes))
		}
		for _, c := range s.Classes {
			if len(c.Request) == 0 || c.Weight < 0 {
				return address, fmt.Errorf("%w: class %q has a request of %d bytes, weight %v", ErrOptions, c.Name, len(c.Request), c.Weight)
			}
		}
	}
	return address, nil
}

// Request returns the bytes of a request; fields are whole header fields without line ends. With a body it is a POST, else a GET.
func Request(target string, body []byte, fields ...string) []byte {
	method := "GET"
	if body != nil {
		method = "POST"
	}
	b := fmt.Appendf(nil, "%s %s HTTP/1.1\r\nHost: bench\r\n", method, target)
	for _, field := range fields {
		b = append(append(b, field...), "\r\n"...)
	}
	if body != nil {
		b = fmt.Appendf(b, "Content-Length: %d\r\n", len(body))
	}
	return append(append(b, "\r\n"...), body...)
}
