package scheduler

import "testing"

// FuzzParse reads names of policies and of kinds of preemption: what is accepted is what String writes.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"edf", "fifo", "sjf", "arrival", "timer", "off", "", "EDF"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if p, err := ParsePolicy(name); err == nil && p.String() != name {
			t.Errorf("%q is read as %v", name, p)
		}
		if p, err := ParsePreemption(name); err == nil && p.String() != name {
			t.Errorf("%q is read as %v", name, p)
		}
	})
}

func TestParse(t *testing.T) {
	for p := EDF; p <= SJF; p++ {
		if got, err := ParsePolicy(p.String()); err != nil || got != p {
			t.Errorf("%v is read as %v, %v", p, got, err)
		}
	}
	for p := OnArrival; p <= Off; p++ {
		if got, err := ParsePreemption(p.String()); err != nil || got != p {
			t.Errorf("%v is read as %v, %v", p, got, err)
		}
	}
}
