package admin

import (
	"context"
	"net/http"
	"time"

	"edged.dev/edge/edged/internal/invoke"
)

// Load says what the daemon is doing, for those who watch it.
type Load interface {
	// Top returns counters and states of this moment. It keeps nothing for the caller: who wants rates takes two and
	// subtracts, so that any number may watch at any interval.
	Top(ctx context.Context) (Top, error)
}

// Top is what the daemon has counted up to one moment. Counters only grow while Started stays the same, those of a
// function while its app stays deployed; the other numbers are of this moment.
type Top struct {
	Node    string        `json:"node"`
	Version string        `json:"version"`
	PID     int           `json:"pid"`
	Started time.Time     `json:"started"`
	Time    time.Time     `json:"time"`
	Uptime  time.Duration `json:"uptime_ns"` // monotonic: the difference of two is the interval, whatever the clock does

	Draining      bool  `json:"draining,omitempty"`
	Queued        int   `json:"queued"`
	LiveInstances int   `json:"live_instances"`
	Connections   int   `json:"connections"`
	MemoryBytes   int64 `json:"memory_bytes"` // resident set of the daemon

	DeadlineMisses uint64            `json:"deadline_misses"` // counter
	Rejected       map[string]uint64 `json:"rejected"`        // counters by reason: what was not admitted

	// LatencyBounds are the upper ends of the buckets of every Latency; the last is the longest duration there is.
	LatencyBounds []time.Duration `json:"latency_bounds_ns"`
	Cores         []CoreLoad      `json:"cores"`
	Functions     []FunctionLoad  `json:"functions"` // by app and name
}

// CoreLoad is one core that runs functions.
type CoreLoad struct {
	Core    int      `json:"core"`
	CPU     int      `json:"cpu"` // of the machine; -1 when it is not bound to one
	Running *Running `json:"running,omitempty"`
	Queued  int      `json:"queued"`  // in its run queue
	Parked  int      `json:"parked"`  // interrupted in the middle
	Blocked int      `json:"blocked"` // waiting in a host function, the core given to others
	Threads int      `json:"threads"`

	Busy        time.Duration `json:"busy_ns"`     // counter: for how long an invocation had the core
	Preemptions uint64        `json:"preemptions"` // counter: parked for another
	Resumes     uint64        `json:"resumes"`     // counter: parked ones that went on
	Steals      uint64        `json:"steals"`      // counter: taken over from other cores
}

// Running is the invocation that has a core.
type Running struct {
	App      invoke.AppName      `json:"app"`
	Function invoke.FunctionName `json:"function"`
	For      time.Duration       `json:"for_ns"`
	Long     bool                `json:"long,omitempty"` // it has used up what its function usually takes
}

// FunctionLoad is one deployed function.
type FunctionLoad struct {
	App        invoke.AppName      `json:"app"`
	Function   invoke.FunctionName `json:"function"`
	Answered   uint64              `json:"answered"`    // counter
	Errors     uint64              `json:"errors"`      // counter: of them with status 500 or above
	Refused    uint64              `json:"refused"`     // counter: of them with status 429
	ColdStarts uint64              `json:"cold_starts"` // counter: instances made without a template
	Core       time.Duration       `json:"core_ns"`     // counter: time on cores
	InFlight   int                 `json:"in_flight"`   // admitted and not yet ended

	// Latency counts the times from arrival to answer of those that ran. Latency[i] belongs to bucket LatencyFirst+i of
	// LatencyBounds; the buckets before and behind are empty.
	LatencyFirst int      `json:"latency_first,omitempty"`
	Latency      []uint64 `json:"latency,omitempty"`
}

// Top returns what the daemon has counted up to now.
func (c *Client) Top(ctx context.Context) (Top, error) {
	return ask[Top](ctx, c, http.MethodGet, "/v1/top", nil)
}

func (s *Server) top(w http.ResponseWriter, r *http.Request) error {
	top, err := s.options.Service.Top(r.Context())
	if err != nil {
		return err
	}
	top.Cores, top.Functions = orEmpty(top.Cores), orEmpty(top.Functions)
	return answer(w, top)
}
