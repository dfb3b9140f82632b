package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/invoke"
)

// manyCores and manyFunctions make a sample larger than windows are.
func manyCores(s *topSample, n int) {
	for i := len(s.Cores); i < n; i++ {
		s.Cores = append(s.Cores, topCore{Core: i, CPU: i, Busy: float64(i) / float64(n), Threads: 2, Steals: 1})
	}
}

func manyFunctions(s *topSample, n int) {
	for i := len(s.Functions); i < n; i++ {
		s.Functions = append(s.Functions, topFunction{App: "app", Function: invoke.FunctionName(fmt.Sprintf("f%03d", i))})
	}
}

func TestTopGolden(t *testing.T) {
	before, now := topPair()
	cases := []struct {
		name   string
		view   topView
		change func(*topSample)
	}{
		{"plain", topView{order: byCPU}, func(*topSample) {}},
		{"80x24", topView{order: byCPU, width: 80, height: 24}, func(*topSample) {}},
		{"120x24-colours", topView{order: byRate, width: 120, height: 24, style: style{on: true}}, func(*topSample) {}},
		{"40x16", topView{order: byP99, width: 40, height: 16}, func(*topSample) {}},
		{"100x24-large", topView{order: byName, width: 100, height: 24, first: 3}, func(s *topSample) {
			manyCores(s, 64)
			manyFunctions(s, 210)
		}},
		{"80x10-unreachable", topView{order: byCPU, width: 80, height: 10, notice: "no answer since 03:01:02, asking on"}, func(s *topSample) { s.Draining = true }},
		{"80x12-nothing", topView{order: byCPU, width: 80, height: 12}, func(s *topSample) { s.Cores, s.Functions = nil, nil }},
		{"80x16-first", topView{order: byCPU, width: 80, height: 16}, func(s *topSample) { *s = *newTopSample(nil, &now) }},
		{"100x14-bound", topView{order: byCPU, width: 100, height: 14}, func(s *topSample) { s.Cores[0].CPU, s.Cores[1].CPU = 2, 3 }},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := newTopSample(&before, &now)
			tc.change(s)
			s.sortBy(tc.view.order)
			lines := tc.view.lines(s)
			got := strings.Join(lines, "\n") + "\n"
			golden := filepath.Join("testdata", "top", tc.name+".txt")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil || string(want) != got {
				t.Errorf("%v; differs from %s (go test -update rewrites it):\n%s", err, golden, got)
			}
			if tc.view.height > 0 && len(lines) != tc.view.height {
				t.Errorf("%d lines in a window of %d", len(lines), tc.view.height)
			}
		})
	}
}

// TestTopFitsEveryWindow draws into windows of every size and looks for lines that do not fit.
func TestTopFitsEveryWindow(t *testing.T) {
	before, now := topPair()
	now.Node = strings.Repeat("long", 20)
	for height := 1; height <= 40; height++ {
		for width := 1; width <= 140; width++ {
			s := newTopSample(&before, &now)
			manyCores(s, height%9)
			manyFunctions(s, width%31)
			view := topView{order: byCPU, width: width, height: height, first: width - 5, notice: strings.Repeat("!", (width%3)*40)}
			lines := view.lines(s)
			if len(lines) != height {
				t.Fatalf("%dx%d: %d lines", width, height, len(lines))
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) > width || strings.HasSuffix(line, " ") {
					t.Fatalf("%dx%d: line %q", width, height, line)
				}
			}
			if view.first < 0 || view.first > len(s.Functions) {
				t.Fatalf("%dx%d: the first function is %d of %d", width, height, view.first, len(s.Functions))
			}
		}
	}
}

func TestTopColoursAddNothingElse(t *testing.T) {
	before, now := topPair()
	for width := range 130 {
		s := newTopSample(&before, &now)
		plain := topView{order: byCPU, width: width, height: 24}
		painted := topView{order: byCPU, width: width, height: 24, style: style{on: true}}
		bare := strings.Join(painted.lines(s), "\n")
		for _, c := range []color{red, green, yellow, dim} {
			bare = strings.ReplaceAll(bare, "\x1b["+string(c)+"m", "")
		}
		if bare = strings.ReplaceAll(bare, "\x1b[0m", ""); bare != strings.Join(plain.lines(s), "\n") {
			t.Fatalf("width %d: colours change the text:\n%s", width, bare)
		}
	}
}

func TestTopShowsNoControlCharacters(t *testing.T) {
	s := newTopSample(nil, &admin.Top{
		Node: "evil\x1b]0;title\x07", Version: "v\n1", Functions: []admin.FunctionLoad{{App: "a\x1b[2J", Function: "f\r"}},
		Cores: []admin.CoreLoad{{Running: &admin.Running{App: "\x9b2J"}}},
	})
	view := topView{width: 200, height: 20}
	if text := strings.Join(view.lines(s), ""); strings.ContainsAny(text, "\x1b\x07\r\n") || strings.Contains(text, "\x9b") {
		t.Errorf("%q", text)
	}
}

func TestNumbersOfTop(t *testing.T) {
	for rate, want := range map[float64]string{
		0: "0", 0.001: "<0.1", 0.05: "0.05", 0.5: "0.5", 1: "1.0", 9.994: "9.99", 9.996: "10.0", 41.23: "41.2", 99.96: "100", 999.4: "999",
		999.6: "1.0k", 41200: "41.2k", 999600: "1.0M", 2.5e9: "2.5G", 1e13: "10000G",
	} {
		if got := rateText(rate, true); got != want {
			t.Errorf("rate %v is %q, want %q", rate, got, want)
		}
	}
	if got := rateText(5, false); got != "-" {
		t.Errorf("an unknown rate is %q", got)
	}
	for d, want := range map[time.Duration]string{
		0: "-", 512: "0.51us", 1820: "1.82us", 112345: "112us", 999499: "999us", 999501: "1.0ms", 18200 * time.Microsecond: "18.2ms",
		999600 * time.Microsecond: "1.0s", 59 * time.Second: "59.0s", 192 * time.Second: "3m12s",
	} {
		if got := latencyText(d); got != want {
			t.Errorf("%d ns is %q, want %q", d, got, want)
		}
	}
	for part, want := range map[float64]string{0: "[          ]", 0.04: "[          ]", 0.61: "[||||||    ]", 1: "[||||||||||]"} {
		if got := bar(part); got != want {
			t.Errorf("bar of %v is %q, want %q", part, got, want)
		}
	}
}
