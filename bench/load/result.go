package load

import "time"

// Tally counts the requests of a class that belong to the counted time: those of a closed stream that ended in it, and
// those of an open stream that were meant to be sent in it.
type Tally struct {
	Name       string
	OK         uint64    // answered with 200 and the expected body
	Late       uint64    // of OK: after the deadline
	FarLate    uint64    // of Late: by more than a tenth of it
	Rejected   uint64    // answered with 429
	TimedOut   uint64    // answered with 504
	Status     uint64    // answered with another status
	Wrong      uint64    // answered with 200 and another body
	Broken     uint64    // the connection ended, or what came was not HTTP
	Unanswered uint64    // of an open stream: not answered when the drain was over; of a closed one: not answered at the end, and the deadline gone
	Latency    Histogram // of OK
}

// Total returns how many requests were counted.
func (t *Tally) Total() uint64 { return t.Admitted() + t.Rejected }

// Admitted returns how many requests were not turned away with 429.
func (t *Tally) Admitted() uint64 {
	return t.OK + t.TimedOut + t.Status + t.Wrong + t.Broken + t.Unanswered
}

// Errors returns how many requests failed in a way that no limit or deadline explains.
func (t *Tally) Errors() uint64 { return t.Status + t.Wrong + t.Broken }

// Met returns how many requests were answered rightly and in time.
func (t *Tally) Met() uint64 { return t.OK - t.Late }

// MetShare returns which share of the admitted requests met the deadline; 0 when there was none.
func (t *Tally) MetShare() float64 {
	if t.Admitted() == 0 {
		return 0
	}
	return float64(t.Met()) / float64(t.Admitted())
}

// Add counts all that other has counted.
func (t *Tally) Add(other *Tally) {
	t.OK += other.OK
	t.Late += other.Late
	t.FarLate += other.FarLate
	t.Rejected += other.Rejected
	t.TimedOut += other.TimedOut
	t.Status += other.Status
	t.Wrong += other.Wrong
	t.Broken += other.Broken
	t.Unanswered += other.Unanswered
	t.Latency.Add(&other.Latency)
}

// Result is what a run has found.
type Result struct {
	Elapsed time.Duration       // of the counted time, as measured
	CPU     time.Duration       // that the generator's thread used in it, without waiting in a loop for the next time to send
	Streams map[string][]*Tally // by stream, in the order of its classes
}

// Tally returns what was counted of one class of a stream; a class or stream that was not in the options is empty.
func (r *Result) Tally(stream, class string) *Tally {
	for _, t := range r.Streams[stream] {
		if t.Name == class {
			return t
		}
	}
	return &Tally{Name: class}
}

// Stream returns the sum over a stream's classes.
func (r *Result) Stream(name string) *Tally {
	sum := &Tally{Name: name}
	for _, t := range r.Streams[name] {
		sum.Add(t)
	}
	return sum
}

// Rate returns right answers a second.
func (r *Result) Rate(t *Tally) float64 { return float64(t.OK) / r.Elapsed.Seconds() }

// Saturated reports whether the generator itself was at the end of its core, so that it and not the server may have set the rate.
func (r *Result) Saturated() bool { return r.CPU > r.Elapsed*95/100 }
