package suite

import (
	"encoding/csv"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"edged.dev/edge/bench/load"
	"edged.dev/edge/bench/server"
)

// sample is one measurement of one class of requests on one side.
type sample struct {
	workload, setup, side, class string
	round                        int
	elapsed                      time.Duration
	tally                        *load.Tally
	usage                        server.Usage // of the whole server in the measurement
	requests                     uint64       // of all classes, which share usage
	busy                         float64      // share of its core that the generator used
}

func (s *sample) rate() float64 { return float64(s.tally.OK) / s.elapsed.Seconds() }

// cost returns the server's CPU seconds for 10,000 requests.
func (s *sample) cost() float64 {
	if s.requests == 0 {
		return 0
	}
	return s.usage.CPU.Seconds() / float64(s.requests) * 10_000
}

func (s *sample) quantile(q float64) float64 { return micros(s.tally.Latency.Quantile(q)) }

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

func columns() []string {
	return []string{
		"workload", "setup", "side", "class", "round", "seconds", "requests_per_second", "p50_us", "p90_us", "p99_us", "p999_us", "max_us",
		"cpu_s_per_10k", "server_cpu_s", "peak_rss_kib", "switches", "ok", "late", "late_by_a_tenth", "rejected_429", "timed_out_504", "errors",
		"unanswered", "generator_busy",
	}
}

func (s *sample) record() []string {
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	t := s.tally
	return []string{
		s.workload, s.setup, s.side, s.class, strconv.Itoa(s.round), number(s.elapsed.Seconds()), number(s.rate()), number(s.quantile(.5)),
		number(s.quantile(.9)), number(s.quantile(.99)), number(s.quantile(.999)), number(micros(t.Latency.Max())),
		number(s.cost()), number(s.usage.CPU.Seconds()), itoa(s.usage.PeakRSS >> 10), itoa(s.usage.Switches), itoa(t.OK), itoa(t.Late), itoa(t.FarLate),
		itoa(t.Rejected), itoa(t.TimedOut), itoa(t.Errors()), itoa(t.Unanswered), number(s.busy),
	}
}

// create makes the CSV file of a workload and writes its first line.
func (l *Lab) create(workload string, columns []string) error {
	if err := os.MkdirAll(l.options.Results, 0o750); err != nil {
		return err
	}
	var err error
	if l.file, err = os.Create(filepath.Join(l.options.Results, workload+".csv")); err != nil {
		return err
	}
	l.csv = csv.NewWriter(l.file)
	return l.csv.Write(columns)
}

// end closes the CSV file. A workload that kept no samples gets its tables there.
func (l *Lab) end(workload string, tables []*table) error {
	for _, t := range tables {
		if l.options.Results == "" || (l.csv != nil && l.sampled) {
			break
		}
		if l.csv == nil {
			if err := l.create(workload, t.names()); err != nil {
				return err
			}
		}
		if err := l.csv.WriteAll(t.rows); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	if l.csv == nil {
		return nil
	}
	l.csv.Flush()
	err := errors.Join(l.csv.Error(), l.file.Close())
	l.csv, l.sampled = nil, false
	return err
}

// keep writes samples to the CSV file of their workload.
func (l *Lab) keep(samples []*sample) error {
	for _, s := range samples {
		if l.options.Results == "" {
			return nil
		}
		if l.csv == nil {
			if err := l.create(s.workload, columns()); err != nil {
				return err
			}
			l.sampled = true
		}
		if err := l.csv.Write(s.record()); err != nil {
			return fmt.Errorf("write results: %w", err)
		}
	}
	return nil
}

// pick returns the samples with these properties; empty strings fit all.
func pick(samples []*sample, setup, side, class string) []*sample {
	fits := func(want, have string) bool { return want == "" || want == have }
	var list []*sample
	for _, s := range samples {
		if fits(setup, s.setup) && fits(side, s.side) && fits(class, s.class) {
			list = append(list, s)
		}
	}
	return list
}

// median of a property of samples; 0 of none.
func median(samples []*sample, of func(*sample) float64) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	return middle(values)
}

func middle(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// sum of a count over samples.
func sum(samples []*sample, of func(*sample) uint64) uint64 {
	var n uint64
	for _, s := range samples {
		n += of(s)
	}
	return n
}

// ratio returns the median of a's value over b's in the same round, with the smallest and the largest.
func ratio(a, b []*sample, of func(*sample) float64) (mid, low, high float64) {
	var values []float64
	for _, x := range a {
		for _, y := range b {
			if x.round == y.round && of(y) > 0 {
				values = append(values, of(x)/of(y))
			}
		}
	}
	if len(values) == 0 {
		return 0, 0, 0
	}
	return middle(values), slices.Min(values), slices.Max(values)
}
