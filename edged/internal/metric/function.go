package metric

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/VictoriaMetrics/metrics"

	"edged.dev/edge/edged/internal/invoke"
)

// sources are the values of the trigger label, in the order of Function.ended.
var sources = [...]invoke.Source{
	invoke.SourceHTTP, invoke.SourceUDS, invoke.SourceKV, invoke.SourceCron, invoke.SourceCall, invoke.SourceCLI,
}

// statuses are the statuses with a series of their own. A guest may answer with any number; the others are counted by
// their class ("2xx"), so that no guest can make hundreds of series.
var statuses = [...]int{
	200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 415,
	416, 418, 422, 425, 426, 428, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 508,
}

// classes are where other statuses are counted: 1xx to 5xx, and anything that is no status.
var classes = [...]string{"other", "1xx", "2xx", "3xx", "4xx", "5xx"}

const slotCount = len(statuses) + len(classes)

// Function is the counters of one deployed function. It may be used from any goroutine.
type Function struct {
	app   invoke.AppName
	fn    invoke.FunctionName
	set   *metrics.Set
	ended [len(sources)][slotCount]atomic.Pointer[metrics.Counter] // nil until first used
	load  load

	mu      sync.Mutex
	names   []string // guarded by mu; series in the set
	removed bool     // guarded by mu
}

// Ended counts an invocation that came from source and was answered with the HTTP status (0 counts as 200, as it does in
// a result). Only the first of its kind formats a name. An unknown source is not counted.
func (f *Function) Ended(source invoke.Source, status int) {
	if status == 0 {
		status = 200
	}
	row := sourceIndex(source)
	if row < 0 {
		return
	}
	slot := statusSlot(status)
	counter := f.ended[row][slot].Load()
	if counter == nil {
		counter = f.create(row, slot)
	}
	counter.Inc()
}

// create registers the series for a row and slot. After removal it returns a counter that nobody writes.
func (f *Function) create(row, slot int) *metrics.Counter {
	f.mu.Lock()
	defer f.mu.Unlock()
	if counter := f.ended[row][slot].Load(); counter != nil {
		return counter
	}
	counter := &metrics.Counter{}
	if !f.removed {
		name := fmt.Sprintf("edged_invocations_total{app=%q,fn=%q,trigger=%q,code=%q}",
			f.app, f.fn, sources[row], slotLabel(slot))
		counter = f.set.GetOrCreateCounter(name)
		f.names = append(f.names, name)
	}
	f.ended[row][slot].Store(counter)
	return counter
}

// remove takes the series out of the set.
func (f *Function) remove() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.removed = true
	for _, name := range f.names {
		f.set.UnregisterMetric(name)
	}
	f.names = nil
}

// sourceIndex returns the place of a source in sources, or -1.
func sourceIndex(source invoke.Source) int {
	for i, known := range sources {
		if known == source {
			return i
		}
	}
	return -1
}

// statusSlot returns the counter's index for a status: its own, or its class behind those.
func statusSlot(status int) int {
	for i, known := range statuses {
		if known == status {
			return i
		}
	}
	class := status / 100
	if class < 1 || class >= len(classes) {
		class = 0
	}
	return len(statuses) + class
}

// slotLabel returns the code label of a slot.
func slotLabel(slot int) string {
	if slot < len(statuses) {
		return strconv.Itoa(statuses[slot])
	}
	return classes[slot-len(statuses)]
}
