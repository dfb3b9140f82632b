package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// color is an SGR parameter.
type color string

// The colours in use; each has a meaning of its own everywhere.
const (
	red    color = "31" // wrong
	green  color = "32" // right
	yellow color = "33" // worth a look
	dim    color = "2"  // beside the point
)

// style paints text, or leaves it alone where colours are not wanted.
type style struct{ on bool }

func (p *program) outStyle() style { return style{p.StdoutTerminal && !p.NoColor} }
func (p *program) errStyle() style { return style{p.StderrTerminal && !p.NoColor} }

func (s style) paint(c color, text string) string {
	if !s.on || text == "" || c == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

// printf prints to standard output. A reader that has gone ends the process by SIGPIPE, so the error says nothing new.
func (p *program) printf(format string, args ...any) { _, _ = fmt.Fprintf(p.Stdout, format, args...) }

// printJSON prints a value for programs.
func (p *program) printJSON(value any) error {
	encoder := json.NewEncoder(p.Stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// safe makes what came from a guest or the daemon harmless on a terminal: control characters other than line end and tab
// become visible, so a log line cannot move the cursor or set the window's title.
func (p *program) safe(text string, terminal bool) string {
	if !terminal {
		return text
	}
	return visible(text)
}

func visible(text string) string {
	clean := func(r rune) bool { return r == '\n' || r == '\t' || (unicode.IsPrint(r) && r != utf8.RuneError) }
	if strings.IndexFunc(text, func(r rune) bool { return !clean(r) }) < 0 {
		return text
	}
	var out strings.Builder
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		if clean(r) {
			out.WriteString(text[i : i+size])
		} else {
			quoted := strconv.QuoteToASCII(text[i : i+size])
			out.WriteString(quoted[1 : len(quoted)-1])
		}
		i += size
	}
	return out.String()
}

// oneLine is visible for a text that has to stay on its line.
func oneLine(text string) string {
	return strings.ReplaceAll(strings.ReplaceAll(visible(text), "\n", `\n`), "\t", `\t`)
}

// table prints rows in aligned columns with a heading. Cells are made visible before they are measured.
type table struct {
	head []string
	rows [][]cell
}

type cell struct {
	text  string
	color color // empty: none
}

// row adds a row of plain cells.
func (t *table) row(texts ...string) {
	cells := make([]cell, len(texts))
	for i, text := range texts {
		cells[i] = cell{text: text}
	}
	t.rows = append(t.rows, cells)
}

func (t *table) write(w io.Writer, s style) {
	heading := make([]cell, len(t.head))
	for i, text := range t.head {
		heading[i] = cell{text, dim}
	}
	rows := append([][]cell{heading}, t.rows...)
	widths := make([]int, len(t.head))
	for _, row := range rows {
		for i := range row {
			row[i].text = strings.ReplaceAll(visible(row[i].text), "\n", `\n`)
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	for _, row := range rows {
		var line strings.Builder
		for i, c := range row {
			line.WriteString(s.paint(c.color, c.text))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c.text)+2))
			}
		}
		_, _ = fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}

// sizeText shows a number of bytes in the largest unit that keeps it at 1 or more.
func sizeText(n int64) string {
	const units = "KMGTPE"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, unit := float64(n)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// ageText shows how long ago a moment was, in its one or two largest units.
func ageText(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh%dm", int(d.Hours()), int(d.Minutes())%60)
	default:
		return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
	}
}

// durationText shows a duration without the zeros that Go's own form ends in: 5m, not 5m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// orDash shows an empty text as "-", so that a column is never blank.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
