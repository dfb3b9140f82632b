package cli

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// grid is a table that fits into a width: it shortens its first column, then leaves columns out, then shortens the first
// one further, then cuts. Unlike a [table] it keeps the widths of columns steady while the numbers in it change.
type grid struct {
	columns []gridColumn
	rows    [][]cell // as many cells as columns; a cell is one line
}

// gridColumn is a column of a grid.
type gridColumn struct {
	head  cell
	right bool // numbers stand at the right
	least int  // width at least, in characters
	// drop says in which order columns are left out where there is not enough room: the highest first, 0 never.
	drop int
}

// gap is between two columns.
const gap = 2

// Down to what the first column is shortened: before other columns are left out, and when none are left to leave out.
const (
	shortenFirst = 20
	shortenLast  = 12
)

// lines returns heading and rows. width 0 means as wide as it gets.
func (g *grid) lines(width int, s style) []string {
	rows := make([][]cell, 0, len(g.rows)+1)
	heading := make([]cell, len(g.columns))
	for i, column := range g.columns {
		heading[i] = column.head
	}
	for _, row := range append([][]cell{heading}, g.rows...) {
		clean := slices.Clone(row)
		for i := range clean {
			clean[i].text = oneLine(clean[i].text)
		}
		rows = append(rows, clean)
	}
	widths := g.widths(rows)
	shown := g.fit(widths, width)
	lines := make([]string, len(rows))
	for i, row := range rows {
		lines[i] = g.line(row, widths, shown, width, s)
	}
	return lines
}

func (g *grid) widths(rows [][]cell) []int {
	widths := make([]int, len(g.columns))
	for i, column := range g.columns {
		widths[i] = column.least
		for _, row := range rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i].text))
		}
	}
	return widths
}

// fit returns which columns are shown within the width, and shortens the first where that is not enough.
func (g *grid) fit(widths []int, width int) []int {
	shown := make([]int, len(g.columns))
	for i := range shown {
		shown[i] = i
	}
	if width == 0 {
		return shown
	}
	shrink := func(least int) { widths[0] = max(min(least, widths[0]), widths[0]-max(0, total(widths, shown)-width)) }
	shrink(shortenFirst)
	for total(widths, shown) > width {
		at := 0
		for i, column := range shown {
			if g.columns[column].drop > g.columns[shown[at]].drop {
				at = i
			}
		}
		if g.columns[shown[at]].drop == 0 {
			shrink(shortenLast)
			return shown
		}
		shown = slices.Delete(shown, at, at+1)
	}
	return shown
}

// total is how wide the shown columns are together.
func total(widths, shown []int) int {
	sum := gap * (len(shown) - 1)
	for _, column := range shown {
		sum += widths[column]
	}
	return sum
}

func (g *grid) line(row []cell, widths, shown []int, width int, s style) string {
	line := strip{width: width, style: s}
	for i, column := range shown {
		c := row[column]
		c.text = shorten(c.text, widths[column])
		free := widths[column] - utf8.RuneCountInString(c.text)
		if i > 0 {
			line.space(gap)
		}
		if g.columns[column].right {
			line.space(free)
			free = 0
		}
		line.put(c)
		line.space(free)
	}
	return line.text.String()
}

// strip is one line in the making, cut at a width; 0 means no limit.
type strip struct {
	width int
	style style
	text  strings.Builder
	at    int // characters written
	due   int // spaces to write before the next text, so that no line ends in some
}

// space leaves room before the next text.
func (l *strip) space(n int) { l.due += n }

// put writes a cell, or as much of it as there is room for.
func (l *strip) put(c cell) {
	if l.width > 0 {
		c.text = shorten(c.text, l.width-l.at-l.due)
	}
	if c.text == "" {
		return
	}
	l.text.WriteString(strings.Repeat(" ", l.due))
	l.text.WriteString(l.style.paint(c.color, c.text))
	l.at += l.due + utf8.RuneCountInString(c.text)
	l.due = 0
}

// shorten cuts a text to a width and marks that it did.
func shorten(text string, width int) string {
	if width <= 0 {
		return ""
	}
	if utf8.RuneCountInString(text) <= width {
		return text
	}
	return string([]rune(text)[:width-1]) + "…"
}
