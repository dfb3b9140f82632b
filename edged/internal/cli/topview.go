package cli

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// topView turns samples into lines of text.
type topView struct {
	order         topOrder
	first         int // of the functions in order, the first to show; lines keeps it in range
	width, height int // of the window; 0: without limit
	notice        string
	style         style
}

// lines returns what fits into the window. In a window the last line says which keys there are.
func (v *topView) lines(s *topSample) []string {
	lines := v.header(s)
	room := math.MaxInt
	if v.height > 0 {
		room = v.height - len(lines) - 3 // two blank lines and the keys
	}
	if len(s.Cores) > 0 {
		// Functions are what one acts on, and there may be many cores: they get half of the room.
		cores := v.cores(s, max(1, room/2-1))
		lines = append(append(lines, ""), cores...)
		room -= len(cores)
	}
	functions, last := v.functions(s, max(1, room-1))
	lines = append(append(lines, ""), functions...)
	if v.height == 0 {
		return lines
	}
	for len(lines) < v.height-1 {
		lines = append(lines, "")
	}
	return append(lines[:max(0, v.height-1)], v.footer(last, len(s.Functions)))
}

// header says how the daemon is as a whole. What matters most comes first, since a narrow window cuts the end.
func (v *topView) header(s *topSample) []string {
	known := s.Interval > 0
	perSecond := func(name string, rate float64, c color) cell {
		if rate == 0 {
			c = ""
		}
		return cell{name + " " + rateText(rate, known) + "/s", c}
	}
	state := cell{text: "serving"}
	if s.Draining {
		state = cell{"draining", yellow}
	}
	cores := ""
	if len(s.Cores) > 0 {
		cores = fmt.Sprintf(" of %d cores", len(s.Cores))
	}
	return []string{
		v.line(cell{text: "edged " + s.Version}, cell{text: "on " + s.Node}, cell{text: "up " + ageText(s.Uptime)}, state,
			cell{text: "memory " + sizeText(s.MemoryBytes)}, count("process", s.PID)),
		v.line(perSecond("requests", s.Rate, ""), cell{text: "p50 " + latencyText(s.P50)}, cell{text: "p99 " + latencyText(s.P99)},
			perSecond("errors", s.Errors, red), perSecond("429", s.Refused, yellow), perSecond("late", s.Late, yellow)),
		v.line(count("in flight", s.InFlight), count("queued", s.Queued), cell{text: "cpu " + shareText(s.CPU, known) + cores},
			count("instances", s.LiveInstances), count("connections", s.Connections)),
	}
}

func count(name string, n int) cell { return cell{text: name + " " + strconv.Itoa(n)} }

// line joins cells to a line that fits into the window.
func (v *topView) line(cells ...cell) string {
	line := strip{width: v.width, style: v.style}
	for _, c := range cells {
		c.text = oneLine(c.text)
		line.put(c)
		line.space(gap)
	}
	return line.text.String()
}

// number is a column of numbers.
func number(head string, least, drop int) gridColumn {
	return gridColumn{head: cell{head, dim}, right: true, least: least, drop: drop}
}

// cores returns the table of cores: a heading and at most room lines, the last of which then stands for all the rest.
func (v *topView) cores(s *topSample, room int) []string {
	g := grid{columns: []gridColumn{
		number("CORE", 0, 0), number("CPU", 0, 6), number("BUSY", 5, 0),
		{head: cell{"", dim}, least: barWidth, drop: 5},
		number("QUEUED", 0, 0),
		number("PARKED", 0, 0), number("BLOCKED", 0, 3), number("THREADS", 0, 4), number("PREEMPT/S", 0, 1), number("STEAL/S", 0, 2),
		{head: cell{"RUNNING", dim}},
	}}
	shown := s.Cores
	if len(shown) > room {
		shown = shown[:max(0, room-1)]
	}
	for i := range shown {
		g.rows = append(g.rows, coreRow(&shown[i], s.Interval > 0))
	}
	if rest := s.Cores[len(shown):]; len(rest) > 0 {
		g.rows = append(g.rows, restRow(rest, s.Interval > 0))
	}
	if bound := func(c topCore) bool { return c.CPU >= 0 && c.CPU != c.Core }; !slices.ContainsFunc(s.Cores, bound) {
		g.columns = slices.Delete(g.columns, 1, 2) // it would say the same twice
		for i := range g.rows {
			g.rows[i] = slices.Delete(g.rows[i], 1, 2)
		}
	}
	return g.lines(v.width, v.style)
}

func coreRow(c *topCore, known bool) []cell {
	cpu := "-"
	if c.CPU >= 0 {
		cpu = strconv.Itoa(c.CPU)
	}
	running := cell{"idle", dim}
	if r := c.Running; r != nil {
		running = cell{text: fmt.Sprintf("%s/%s %s", r.App, r.Function, latencyText(r.For))}
		if r.Long {
			running = cell{running.text + " long", yellow}
		}
	}
	return []cell{
		{text: strconv.Itoa(c.Core)},
		{text: cpu},
		{text: percentText(c.Busy, known)},
		{text: bar(c.Busy)},
		{text: strconv.Itoa(c.Queued)},
		{text: strconv.Itoa(c.Parked)},
		{text: strconv.Itoa(c.Blocked)},
		{text: strconv.Itoa(c.Threads)},
		{text: rateText(c.Preemptions, known)},
		{text: rateText(c.Steals, known)},
		running,
	}
}

// restRow sums up the cores that there is no room for; Busy is their mean.
func restRow(rest []topCore, known bool) []cell {
	sum := topCore{CPU: -1}
	running := 0
	for i := range rest {
		c := &rest[i]
		sum.Busy += c.Busy / float64(len(rest))
		sum.Queued += c.Queued
		sum.Parked += c.Parked
		sum.Blocked += c.Blocked
		sum.Threads += c.Threads
		sum.Preemptions += c.Preemptions
		sum.Steals += c.Steals
		if c.Running != nil {
			running++
		}
	}
	row := coreRow(&sum, known)
	row[0].text = fmt.Sprintf("+%d", len(rest))
	row[len(row)-1] = cell{text: fmt.Sprintf("%d running", running)}
	return row
}

// functions returns the table of functions, a heading and at most room lines, and which function is the last in it.
func (v *topView) functions(s *topSample, room int) (lines []string, last int) {
	if len(s.Functions) == 0 {
		return []string{v.line(cell{text: "no function is deployed"}, cell{"'edged deploy' adds some", dim})}, 0
	}
	v.first = max(0, min(v.first, len(s.Functions)-room))
	last = min(len(s.Functions), v.first+min(room, len(s.Functions)))
	g := grid{columns: []gridColumn{
		{head: cell{"FUNCTION", dim}, least: 16},
		number("RATE/S", 7, 0), number("P50", 6, 0), number("P99", 6, 0), number("IN-FLIGHT", 0, 3),
		number("CPU", 5, 0), number("COLD", 5, 4), number("ERR/S", 5, 1), number("429/S", 5, 2),
	}}
	for order, column := range map[topOrder]int{byName: 0, byRate: 1, byP99: 3, byCPU: 5} {
		if order == v.order {
			g.columns[column].head.color = "" // stands out among the others, which are dim
		}
	}
	for i := range s.Functions[v.first:last] {
		g.rows = append(g.rows, functionRow(&s.Functions[v.first+i], s.Interval > 0))
	}
	return g.lines(v.width, v.style), last
}

func functionRow(f *topFunction, known bool) []cell {
	cold := cell{text: strconv.FormatUint(f.ColdStarts, 10)}
	if f.ColdStartRate > 0 {
		cold.color = yellow
	}
	warn := func(rate float64, c color) cell {
		if rate == 0 {
			c = ""
		}
		return cell{rateText(rate, known), c}
	}
	return []cell{
		{text: f.name()},
		{text: rateText(f.Rate, known)},
		{text: latencyText(f.P50)},
		{text: latencyText(f.P99)},
		{text: strconv.Itoa(f.InFlight)},
		{text: percentText(f.CPU, known)},
		cold, warn(f.Errors, red), warn(f.Refused, yellow),
	}
}

// footer says which keys there are, or what is wrong.
func (v *topView) footer(last, all int) string {
	if v.notice != "" {
		return v.line(cell{v.notice, red})
	}
	cells := []cell{{"q quit", dim}, {"sort:", dim}}
	for _, key := range []struct {
		order topOrder
		text  string
	}{{byCPU, "c cpu"}, {byRate, "r rate"}, {byP99, "p p99"}, {byName, "n name"}} {
		c := cell{key.text, dim}
		if key.order == v.order {
			c.color = ""
		}
		cells = append(cells, c)
	}
	if last-v.first < all {
		cells = append(cells, cell{fmt.Sprintf("arrows scroll: %d-%d of %d", v.first+1, last, all), dim})
	}
	return v.line(cells...)
}

// barWidth is the width of a bar with its ends.
const barWidth = 12

// bar draws a part of a whole.
func bar(part float64) string {
	full := int(math.Round(part * (barWidth - 2)))
	return "[" + strings.Repeat("|", full) + strings.Repeat(" ", barWidth-2-full) + "]"
}

// rateText shows a rate in at most five characters; "-" while it is not known.
func rateText(rate float64, known bool) string {
	if !known {
		return "-"
	}
	if rate == 0 {
		return "0"
	}
	if rate < 0.05 {
		return "<0.1"
	}
	const units = " kMG"
	unit := 0
	for rate >= 999.5 && unit < len(units)-1 {
		rate /= 1000
		unit++
	}
	return threeDigits(rate) + strings.TrimSpace(units[unit:unit+1])
}

// threeDigits shows a number from 0.05 to below 1,000.
func threeDigits(x float64) string {
	switch {
	case x < 9.995:
		return strings.TrimSuffix(strconv.FormatFloat(x, 'f', 2, 64), "0")
	case x < 99.95:
		return strconv.FormatFloat(x, 'f', 1, 64)
	default:
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
}

// latencyText shows a duration with three digits: 112us, 1.82ms, 18.2s, 3m12s. None is "-".
func latencyText(d time.Duration) string {
	switch {
	case d <= 0:
		return "-"
	case d < 999500*time.Nanosecond:
		return threeDigits(float64(d)/1e3) + "us"
	case d < 999500*time.Microsecond:
		return threeDigits(float64(d)/1e6) + "ms"
	case d < time.Minute:
		return threeDigits(d.Seconds()) + "s"
	default:
		return ageText(d)
	}
}

// percentText shows a part of one core.
func percentText(part float64, known bool) string {
	if !known {
		return "-"
	}
	return strconv.FormatFloat(part*100, 'f', 0, 64) + "%"
}

// shareText shows a number of cores.
func shareText(cores float64, known bool) string {
	if !known {
		return "-"
	}
	return strconv.FormatFloat(cores, 'f', 2, 64)
}
