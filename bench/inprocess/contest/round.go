package contest

import (
	"fmt"
	"slices"
	"syscall"
	"time"

	"edged.dev/edge/bench/inprocess/stats"
)

// Round is what a contestant says about one run of a job. Times are in nanoseconds.
type Round struct {
	Ops   int   `json:"ops"`
	Wall  int64 `json:"wall"`  // of all operations together
	CPU   int64 `json:"cpu"`   // of the whole process and of children it has waited for, in that time
	Clock int64 `json:"clock"` // the part of CPU of a thread on another core that only counted time slices
	// P50, P99 and Max are of single operations; 0 when those were not timed one by one.
	P50 int64 `json:"p50"`
	P99 int64 `json:"p99"`
	Max int64 `json:"max"`
	// Check is a hash of what was computed, empty when the contestant has compared every result itself.
	Check string `json:"check"`
	// Switches counts how often a guest was stopped and went on.
	Switches int64 `json:"switches"`
	// Error says why there are no numbers.
	Error string `json:"error,omitempty"`
}

// PerOp returns the wall time of one operation.
func (r Round) PerOp() float64 { return float64(r.Wall) / float64(max(r.Ops, 1)) }

// CPUPerOp returns the CPU time of one operation.
func (r Round) CPUPerOp() float64 { return float64(r.CPU) / float64(max(r.Ops, 1)) }

// OwnCPUPerOp is CPUPerOp without the thread that counts time slices.
func (r Round) OwnCPUPerOp() float64 { return float64(r.CPU-r.Clock) / float64(max(r.Ops, 1)) }

// Meter times the operations of one round. It belongs to one goroutine.
type Meter struct {
	laps       []int64
	begun, lap time.Time
	cpu        int64
}

// NewMeter starts the clock of a round of count operations.
func NewMeter(count int) (*Meter, error) {
	m := &Meter{laps: make([]int64, 0, count)}
	var err error
	if m.cpu, err = CPUTime(); err != nil {
		return nil, err
	}
	m.begun = time.Now()
	m.lap = m.begun
	return m, nil
}

// Lap ends one operation; the next one begins. It reads one clock.
func (m *Meter) Lap() {
	now := time.Now()
	m.laps = append(m.laps, int64(now.Sub(m.lap)))
	m.lap = now
}

// Round ends the round: all time since NewMeter belongs to the operations.
func (m *Meter) Round() (Round, error) {
	wall := m.lap.Sub(m.begun)
	cpu, err := CPUTime()
	if err != nil {
		return Round{}, err
	}
	slices.Sort(m.laps)
	return Round{
		Ops: len(m.laps), Wall: int64(wall), CPU: cpu - m.cpu,
		P50: stats.Percentile(m.laps, 0.5), P99: stats.Percentile(m.laps, 0.99), Max: stats.Percentile(m.laps, 1),
	}, nil
}

// CPUTime returns the CPU time in nanoseconds, user and system, of this process with all its threads and of the children
// that it has waited for.
func CPUTime() (int64, error) {
	total := int64(0)
	for _, who := range []int{syscall.RUSAGE_SELF, syscall.RUSAGE_CHILDREN} {
		var usage syscall.Rusage
		if err := syscall.Getrusage(who, &usage); err != nil {
			return 0, fmt.Errorf("read the CPU time: %w", err)
		}
		total += usage.Utime.Nano() + usage.Stime.Nano()
	}
	return total, nil
}
