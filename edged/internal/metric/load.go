package metric

import (
	"cmp"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// load is what a function counts beside its answers, for those who watch it live. What event loops write and what workers
// write are on cache lines of their own, so that they do not wait for each other.
type load struct {
	latency  Latency
	admitted atomic.Uint64

	_          [64]byte
	released   atomic.Uint64
	coreNanos  atomic.Uint64 // time that its invocations had a core
	coldStarts atomic.Uint64
	_          [64]byte
}

// Admitted counts an invocation in: from now on it is in flight. A nil Function counts nothing, here and below.
func (f *Function) Admitted() {
	if f != nil {
		f.load.admitted.Add(1)
	}
}

// Released counts an invocation out. It is called once for every Admitted.
func (f *Function) Released() {
	if f != nil {
		f.load.released.Add(1)
	}
}

// ColdStart counts an instance that was made and started the long way for an invocation of the function.
func (f *Function) ColdStart() {
	if f != nil {
		f.load.coldStarts.Add(1)
	}
}

// Ran adds time for which an invocation of the function had a core: without what it waited in the queue, was parked, or
// waited in a host function. It may be called several times for one invocation.
func (f *Function) Ran(core time.Duration) {
	if f != nil && core > 0 {
		f.load.coreNanos.Add(uint64(core))
	}
}

// ObserveStamps adds the time from arrival to answer of an invocation that has run. One that was refused, or whose time
// was up before its turn, is not counted: it would make a function look fast that is not.
func (f *Function) ObserveStamps(s *invoke.Stamps) {
	if f != nil && !s.Picked.IsZero() && !s.Sent.IsZero() {
		f.load.latency.Observe(s.Sent.Sub(s.Arrived))
	}
}

// FunctionCounts are the numbers of one function since its app was deployed or the daemon started. The caller owns them.
type FunctionCounts struct {
	App      invoke.AppName
	Function invoke.FunctionName
	Answered uint64 // invocations, whatever the status
	Errors   uint64 // of them, those with a status of 500 or above
	Refused  uint64 // of them, those with status 429

	InFlight   int           // admitted and not yet ended
	ColdStarts uint64        // instances made the long way
	Core       time.Duration // time on cores

	LatencyFirst int      // see [Latency.Counts]
	Latency      []uint64 // from arrival to answer
}

// FunctionCounts returns the numbers of every function by app and name. It reads while others count: numbers of one
// function may be some updates apart.
func (r *Registry) FunctionCounts() []FunctionCounts {
	functions := r.byName()
	counts := make([]FunctionCounts, len(functions))
	for i, f := range functions {
		counts[i] = f.counts()
	}
	return counts
}

// byName returns the functions by app and name.
func (r *Registry) byName() []*Function {
	r.mu.Lock()
	functions := slices.Collect(maps.Values(r.functions))
	r.mu.Unlock()
	slices.SortFunc(functions, func(a, b *Function) int {
		return cmp.Or(cmp.Compare(a.app, b.app), cmp.Compare(a.fn, b.fn))
	})
	return functions
}

// counts reads the numbers of the function.
func (f *Function) counts() FunctionCounts {
	released := f.load.released.Load() // before admitted, of which there are at least as many
	c := FunctionCounts{
		App: f.app, Function: f.fn, InFlight: int(f.load.admitted.Load() - released), ColdStarts: f.load.coldStarts.Load(),
		Core: time.Duration(f.load.coreNanos.Load()),
	}
	c.LatencyFirst, c.Latency = f.load.latency.Counts()
	for row := range f.ended {
		for slot := range f.ended[row] {
			counter := f.ended[row][slot].Load()
			if counter == nil {
				continue
			}
			n := counter.Get()
			c.Answered += n
			switch {
			case isError(slot):
				c.Errors += n
			case slot < len(statuses) && statuses[slot] == 429:
				c.Refused += n
			}
		}
	}
	return c
}

// isError reports whether a slot counts answers with a status of 500 or above.
func isError(slot int) bool {
	if slot < len(statuses) {
		return statuses[slot] >= 500
	}
	return classes[slot-len(statuses)] == "5xx"
}

// Rejected returns how many invocations were not admitted for the reason.
func (r *Registry) Rejected(reason Rejection) uint64 {
	if reason >= rejectionCount {
		return 0
	}
	return r.rejected[reason].Get()
}

// Rejections lists the reasons there are.
func Rejections() []Rejection {
	reasons := make([]Rejection, rejectionCount)
	for i := range reasons {
		reasons[i] = Rejection(i)
	}
	return reasons
}
