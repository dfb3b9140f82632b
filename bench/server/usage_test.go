package server

import (
	"strings"
	"testing"
	"time"
)

func TestParseTimes(t *testing.T) {
	const after = " S 1 2 3 0 -1 4194560 1 2 3 4 "
	for _, c := range []struct {
		name, stat string
		want       time.Duration
		fails      bool
	}{
		{"all four", "12 (edged)" + after + "100 20 3 4 20 0 1", 1270 * time.Millisecond, false},
		{"a name with a parenthesis", "12 (a) b)" + after + "1 0 0 0 20", 10 * time.Millisecond, false},
		{"cut off", "12 (edged)" + after + "1 2", 0, true},
		{"no number", "12 (edged)" + after + "1 x 0 0", 0, true},
		{"nothing", "", 0, true},
	} {
		got, err := parseTimes([]byte(c.stat))
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}

func TestParseField(t *testing.T) {
	status := []byte("Name:\tx\nVmHWM:\t  123 kB\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t8\n")
	for name, want := range map[string]int64{"VmHWM:": 123, "voluntary_ctxt_switches:": 7, "nonvoluntary_ctxt_switches:": 8, "Name:": 0, "VmRSS:": 0} {
		if got := parseField(status, name); got != want {
			t.Errorf("%s %d, want %d", name, got, want)
		}
	}
}

// FuzzParse checks that nothing in /proc can stop a measurement.
func FuzzParse(f *testing.F) {
	f.Add([]byte("12 (edged) S 1 2 3 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1"))
	f.Add([]byte("VmHWM:\t"))
	f.Fuzz(func(_ *testing.T, text []byte) {
		_, _ = parseTimes(text)
		_ = parseField(text, "VmHWM:")
	})
}

func TestStart(t *testing.T) {
	log := t.TempDir() + "/log"
	script := func(text string) Options { return Options{Command: []string{"sh", "-c", text}, Log: log} }
	s, err := Start(t.Context(), script(`echo '{"event":"ready","http":"127.0.0.1:1"}'; while :; do :; done`))
	if err != nil {
		t.Fatal(err)
	}
	if s.Address() != "127.0.0.1:1" {
		t.Errorf("address %q", s.Address())
	}
	if err := s.ResetPeak(); err != nil {
		t.Error(err)
	}
	for u := (Usage{}); u.CPU == 0; { // it computes, so this ends
		if u, err = s.Usage(); err != nil || u.RSS == 0 || u.PeakRSS < u.RSS/2 {
			t.Fatalf("%+v, %v", u, err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if err := s.Close(); err != nil {
		t.Error("the second time:", err)
	}
	if _, err := s.Usage(); err == nil {
		t.Error("a process that has ended uses something")
	}
	if _, err := Start(t.Context(), script("echo what went wrong >&2; exit 3")); err == nil || !strings.Contains(err.Error(), "what went wrong") {
		t.Errorf("of a server that does not start: %v", err)
	}
}

func TestAllReady(t *testing.T) {
	for _, c := range []struct {
		name, list   string
		ready, fails bool
	}{
		{"none", "[]", true, false},
		{"ready", `[{"name":"a","state":"ready"}]`, true, false},
		{"one is being optimised", `[{"name":"a","state":"ready"},{"name":"b","state":"optimising"}]`, false, false},
		{"one has failed", `[{"name":"a","state":"failed"}]`, false, true},
		{"no list", "x", false, true},
	} {
		if got, err := allReady([]byte(c.list)); got != c.ready || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, got, err)
		}
	}
}
