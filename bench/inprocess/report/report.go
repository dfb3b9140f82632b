// Package report writes what a benchmark found: a table and its verdicts as Markdown for readers, the same table as CSV for
// programs.
package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Verdict is one number that has a target.
type Verdict struct {
	What   string
	Got    float64
	Target float64
	// AtLeast says that more is better; else less is.
	AtLeast bool
	Unit    string
}

// Met reports whether the target is reached.
func (v Verdict) Met() bool {
	if v.AtLeast {
		return v.Got >= v.Target
	}
	return v.Got <= v.Target
}

// String returns the verdict as a sentence.
func (v Verdict) String() string {
	sign, outcome := "<=", "met"
	if v.AtLeast {
		sign = ">="
	}
	if !v.Met() {
		outcome = "**missed**"
	}
	return fmt.Sprintf("%s: %.3g%s (target %s %.3g%s): %s", v.What, v.Got, v.Unit, sign, v.Target, v.Unit, outcome)
}

// Table is the outcome of one benchmark.
type Table struct {
	Name     string // of its file
	Title    string
	Notes    []string // what a reader must know to judge the numbers
	Columns  []string
	Rows     [][]string
	Verdicts []Verdict
}

// Add appends a row; numbers are written with three significant digits.
func (t *Table) Add(cells ...any) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = format(cell)
	}
	t.Rows = append(t.Rows, row)
}

func format(cell any) string {
	number, ok := cell.(float64)
	if !ok {
		return fmt.Sprint(cell)
	}
	switch {
	case number == 0:
		return "-"
	case number >= 100 || number <= -100:
		return fmt.Sprintf("%.0f", number)
	case number >= 10:
		return fmt.Sprintf("%.1f", number)
	default:
		return fmt.Sprintf("%.2f", number)
	}
}

// Markdown writes the whole table as a section, padded so that it can be read as text too.
func (t *Table) Markdown(w io.Writer) error {
	var text strings.Builder
	fmt.Fprintf(&text, "### %s\n\n", t.Title)
	widths, right := make([]int, len(t.Columns)), make([]bool, len(t.Columns))
	for i, column := range t.Columns {
		widths[i], right[i] = utf8.RuneCountInString(column), len(t.Rows) > 0
		for _, row := range t.Rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
			right[i] = right[i] && isNumber(row[i])
		}
	}
	line := func(cells []string) {
		for i, cell := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				cell = pad + cell
			} else {
				cell += pad
			}
			text.WriteString("| " + cell + " ")
		}
		text.WriteString("|\n")
	}
	line(t.Columns)
	for i, width := range widths {
		rule := "|" + strings.Repeat("-", width+1)
		if right[i] {
			text.WriteString(rule + ":")
		} else {
			text.WriteString(rule + "-")
		}
	}
	text.WriteString("|\n")
	for _, row := range t.Rows {
		line(row)
	}
	for _, verdict := range t.Verdicts {
		fmt.Fprintf(&text, "\n- %s", verdict)
	}
	if len(t.Verdicts) > 0 {
		text.WriteString("\n")
	}
	for _, note := range t.Notes {
		fmt.Fprintf(&text, "\n%s\n", note)
	}
	_, err := io.WriteString(w, text.String()+"\n")
	return err
}

// isNumber reports whether a cell holds a number, with or without a unit of one letter, or none at all.
func isNumber(cell string) bool {
	cell = strings.TrimSuffix(cell, " %")
	_, err := strconv.ParseFloat(cell, 64)
	return err == nil || cell == "-" || cell == ""
}

// CSV writes columns and rows.
func (t *Table) CSV(w io.Writer) error {
	writer := csv.NewWriter(w)
	if err := writer.WriteAll(append([][]string{t.Columns}, t.Rows...)); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	return nil
}

// Save writes Name.csv into a folder, which it makes.
func (t *Table) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	var text strings.Builder
	if err := t.CSV(&text); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, t.Name+".csv"), []byte(text.String()), 0o600); err != nil {
		return fmt.Errorf("write %s: %w", t.Name, err)
	}
	return nil
}
