package suite

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// table is a Markdown table with what has to be said about it.
type table struct {
	title   string
	notes   []string // paragraphs above the table
	columns []string // a name that ends in ":" is aligned to the right
	rows    [][]string
}

func (t *table) add(cells ...string) { t.rows = append(t.rows, cells) }

// names are those of the columns, as they are shown.
func (t *table) names() []string {
	list := make([]string, len(t.columns))
	for i, name := range t.columns {
		list[i] = strings.TrimSuffix(name, ":")
	}
	return list
}

// write writes it as Markdown with columns padded, so that it can be read as text too.
func (t *table) write(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "### %s\n\n", t.title)
	for _, note := range t.notes {
		fmt.Fprintf(&b, "%s\n\n", note)
	}
	width := make([]int, len(t.columns))
	header := t.names()
	for i := range t.columns {
		width[i] = len(header[i])
		for _, row := range t.rows {
			width[i] = max(width[i], len(row[i]))
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", width[i]-len(cell))
			if strings.HasSuffix(t.columns[i], ":") {
				cell = pad + cell
			} else {
				cell += pad
			}
			b.WriteString("| " + cell + " ")
		}
		b.WriteString("|\n")
	}
	line(header)
	for i, name := range t.columns {
		rule := strings.Repeat("-", width[i]+2)
		if strings.HasSuffix(name, ":") {
			rule = rule[1:] + ":"
		}
		b.WriteString("|" + rule)
	}
	b.WriteString("|\n")
	for _, row := range t.rows {
		line(row)
	}
	b.WriteString("\n")
	_, err := io.WriteString(w, b.String())
	return err
}

// thousands writes a number of requests with separators.
func thousands(v float64) string {
	text := strconv.FormatFloat(v, 'f', 0, 64)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// duration writes microseconds with three digits that count.
func duration(us float64) string {
	switch {
	case us <= 0:
		return "-"
	case us < 1000:
		return digits(us) + " us"
	case us < 1e6:
		return digits(us/1000) + " ms"
	default:
		return digits(us/1e6) + " s"
	}
}

func digits(v float64) string {
	switch {
	case v < 10:
		return strconv.FormatFloat(v, 'f', 2, 64)
	case v < 100:
		return strconv.FormatFloat(v, 'f', 1, 64)
	default:
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
}

func percent(share float64) string { return strconv.FormatFloat(100*share, 'f', 2, 64) + " %" }

func mebibytes(bytes float64) string { return digits(bytes/(1<<20)) + " MiB" }

// spread writes a ratio with the smallest and the largest of the rounds.
func spread(mid, low, high float64) string {
	if mid == 0 {
		return "-"
	}
	return fmt.Sprintf("%.2f (%.2f to %.2f)", mid, low, high)
}
