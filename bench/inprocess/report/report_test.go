package report

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestVerdict(t *testing.T) {
	for name, tc := range map[string]struct {
		verdict Verdict
		met     bool
	}{
		"less is better, below":  {Verdict{Got: 0.7, Target: 0.8}, true},
		"less is better, equal":  {Verdict{Got: 0.8, Target: 0.8}, true},
		"less is better, above":  {Verdict{Got: 0.81, Target: 0.8}, false},
		"more is better, below":  {Verdict{Got: 1.8, Target: 1.9, AtLeast: true}, false},
		"more is better, higher": {Verdict{Got: 1.95, Target: 1.9, AtLeast: true}, true},
	} {
		if got := tc.verdict.Met(); got != tc.met {
			t.Errorf("%s: %v", name, got)
		}
		if text := tc.verdict.String(); strings.Contains(text, "missed") == tc.met {
			t.Errorf("%s: %q", name, text)
		}
	}
}

func table() *Table {
	table := &Table{Name: "x", Title: "X: y", Columns: []string{"what", "us", "spread", "kind"}, Notes: []string{"A note."}}
	table.Add("first, with a comma", 0.1234, "3.0 %", 1)
	table.Add("second", 12345.6, "-", "two")
	table.Add("third", 0.0, "", "")
	table.Verdicts = append(table.Verdicts, Verdict{What: "ratio", Got: 0.5, Target: 0.8})
	return table
}

func TestMarkdown(t *testing.T) {
	const want = `### X: y

| what                |    us | spread | kind |
|---------------------|------:|-------:|------|
| first, with a comma |  0.12 |  3.0 % | 1    |
| second              | 12346 |      - | two  |
| third               |     - |        |      |

- ratio: 0.5 (target <= 0.8): met

A note.

`
	var got strings.Builder
	if err := table().Markdown(&got); err != nil || got.String() != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got.String(), want)
	}
}

func TestSave(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	if err := table().Save(dir); err != nil {
		t.Fatal(err)
	}
	const want = "what,us,spread,kind\n\"first, with a comma\",0.12,3.0 %,1\nsecond,12346,-,two\nthird,-,,\n"
	if got, err := os.ReadFile(filepath.Join(dir, "x.csv")); err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
}
