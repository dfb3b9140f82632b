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

func TestSave(t *testing.T) {
	table := &Table{Name: "x", Title: "X: y", Columns: []string{"what", "us"}, Notes: []string{"A note."}}
	table.Add("first, with a comma", 0.1234)
	table.Add("second", 12345.6)
	table.Add("third", 0.0)
	table.Verdicts = append(table.Verdicts, Verdict{What: "ratio", Got: 0.5, Target: 0.8})
	dir := filepath.Join(t.TempDir(), "new")
	if err := table.Save(dir); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"x.csv": "what,us\n\"first, with a comma\",0.12\nsecond,12346\nthird,-\n",
		"x.md": "## X: y\n\n" +
			"| what                | us    |\n|---------------------|-------|\n" +
			"| first, with a comma | 0.12  |\n| second              | 12346 |\n| third               | -     |\n" +
			"\n- ratio: 0.5 (target <= 0.8): met\n\nA note.\n\n",
	} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || string(got) != want {
			t.Errorf("%s: %v\n%s\nwant\n%s", name, err, got, want)
		}
	}
}
