package gate

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"edged.dev/edge/wasmedge"
)

// Provided is one host function as an app may or may not use it.
type Provided struct {
	Module, Name string
	Type         wasmedge.FuncType
	// Denied says why the app may not import it ("the manifest grants no hosts"), or is empty when it may.
	Denied string
}

// Status says what became of an import.
type Status string

// The statuses of an import.
const (
	StatusProvided  Status = "provided"
	StatusMissing   Status = "missing"    // no host function has this name
	StatusDenied    Status = "denied"     // the app lacks a grant for it
	StatusWrongType Status = "wrong type" // the host function of this name has another type
)

// Row is the fate of one import.
type Row struct {
	Module string `json:"module"`
	Name   string `json:"name"`
	Status Status `json:"status"`
	// Found is the type in the module.
	Found string `json:"found"`
	// Expected is the type of the host function, or empty when there is none.
	Expected string `json:"expected,omitempty"`
	// Note says why it is denied, or which name was perhaps meant.
	Note string `json:"note,omitempty"`
}

// Table is the import table of a module, in the order of its imports.
type Table []Row

// Bind matches imports with what is provided, by name and exact type. The table is complete in every case; the error is
// nil when every import is provided, else it wraps [ErrImports] and names the first that are not.
func Bind(imports []Import, provided []Provided) (Table, error) {
	type key struct{ module, name string }
	known := make(map[key]Provided, len(provided))
	for _, p := range provided {
		known[key{p.Module, p.Name}] = p
	}
	table := make(Table, 0, len(imports))
	for _, i := range imports {
		row := Row{Module: i.Module, Name: i.Name, Status: StatusProvided, Found: typeText(i.Type)}
		p, found := known[key{i.Module, i.Name}]
		if found {
			row.Expected = typeText(p.Type)
		}
		switch {
		case i.Kind != KindFunction || !found:
			row.Status, row.Note = StatusMissing, suggestion(i, provided)
		case !p.Type.Equal(i.Type):
			row.Status = StatusWrongType
		case p.Denied != "":
			row.Status, row.Note = StatusDenied, p.Denied
		}
		table = append(table, row)
	}
	return table, table.err()
}

// namedImports bounds how many imports an error names; the table has them all.
const namedImports = 3

func (t Table) err() error {
	var causes []string
	refused := 0
	for _, row := range t {
		if row.Status == StatusProvided {
			continue
		}
		if refused++; refused <= namedImports {
			causes = append(causes, row.cause())
		}
	}
	if refused == 0 {
		return nil
	}
	if more := refused - len(causes); more > 0 {
		causes = append(causes, fmt.Sprintf("and %d more", more))
	}
	return fmt.Errorf("%w (%d of %d): %s", ErrImports, refused, len(t), strings.Join(causes, "; "))
}

// cause says in one line why the import is not provided.
func (r Row) cause() string {
	text := printable(r.Module) + "." + printable(r.Name)
	if r.Status == StatusWrongType {
		text += " has the type " + r.Found + " and edged provides " + r.Expected
	} else {
		text += " is " + string(r.Status)
	}
	if r.Note != "" {
		text += ": " + r.Note
	}
	return text
}

// String returns the table for a terminal: aligned columns, a line an import, no control characters.
func (t Table) String() string {
	nameWidth, statusWidth := 0, 0
	for _, row := range t {
		nameWidth = max(nameWidth, utf8.RuneCountInString(printable(row.Module)+"."+printable(row.Name)))
		statusWidth = max(statusWidth, len(row.Status))
	}
	var text strings.Builder
	for _, row := range t {
		name := printable(row.Module) + "." + printable(row.Name)
		fmt.Fprintf(&text, "%-*s  %-*s  %s", nameWidth, name, statusWidth, row.Status, row.Found)
		if row.Status == StatusWrongType {
			text.WriteString("  expected " + row.Expected)
		}
		if row.Note != "" {
			text.WriteString("  " + row.Note)
		}
		text.WriteByte('\n')
	}
	return text.String()
}

// printable returns a plain name as it is and any other one quoted: a guest's names must not steer a terminal.
func printable(name string) string {
	if quoted := shown(name); quoted != `"`+name+`"` {
		return quoted
	}
	return name
}

// suggestion returns a hint at the provided function whose name is nearest to what i asks for, or nothing when none is
// near. The same name in another module is nearest of all.
func suggestion(i Import, provided []Provided) string {
	const longest = 64 // of any provided name; comparing costs the product of both lengths
	if len(i.Name) > longest {
		return ""
	}
	best, bestDistance := Provided{}, 1+len(i.Name)/3
	for _, p := range provided {
		if p.Name == i.Name {
			return "did you mean " + p.Module + "." + p.Name + "?"
		}
		if p.Module != i.Module || abs(len(p.Name)-len(i.Name)) >= bestDistance {
			continue
		}
		if distance := editDistance(i.Name, p.Name); distance < bestDistance {
			best, bestDistance = p, distance
		}
	}
	if best.Name == "" {
		return ""
	}
	return "did you mean " + best.Module + "." + best.Name + "?"
}

func abs(n int) int { return max(n, -n) }

// editDistance returns how many bytes must be inserted, removed or replaced to turn a into b.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
