package main

import (
	"bytes"
	"encoding/csv"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"edged.dev/edge/bench/inprocess/contest"
	"edged.dev/edge/bench/polybench"
	"edged.dev/edge/internal/testutil"
)

// TestMain lets the test binary be its own contestants and compilers.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") {
		if err := run(os.Args[1:]); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestQuick runs benchmarks with one round each: every contestant must answer every request rightly. What they measure is not
// looked at. The one with a guest of stock Go is left out, which takes a minute to compile, and the one of all kernels.
func TestQuick(t *testing.T) {
	testutil.RequireCommand(t, "gcc")
	testutil.Require(t, "a C compiler for guests", func() error {
		return exec.CommandContext(t.Context(), "../../scripts/install-guest-toolchain.sh", "--check").Run()
	})
	dir := t.TempDir()
	var stdout, stderr bytes.Buffer
	names := []string{"b2", "b8", "b19"}
	if err := measure(t.Context(), append([]string{"--quick", "--rounds", "1", "--csv", dir}, names...), &stdout, &stderr); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	for name, rows := range map[string]int{"b2": 10, "b8": len(modes()), "b19": 2} {
		text, err := os.ReadFile(filepath.Join(dir, name+".csv"))
		if err != nil {
			t.Fatal(err)
		}
		records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
		if err != nil || len(records) != rows+1 {
			t.Errorf("%s: %d records, %v\n%s", name, len(records), err, text)
		}
	}
	rounds, err := os.ReadFile(filepath.Join(dir, "b19-rounds.csv"))
	if got := strings.Count(string(rounds), "\n"); err != nil || got != 3 { // the head, and one round of each of two turns
		t.Errorf("%d lines of rounds, %v\n%s", got, err, rounds)
	}
	if got := strings.Count(stdout.String(), "\n### "); got != len(names)-1 {
		t.Errorf("%d sections after the first:\n%s", got, &stdout)
	}
}

func TestChoose(t *testing.T) {
	for name, tc := range map[string]struct {
		arguments []string
		want      int // 0: an error
	}{
		"all":     {[]string{"all"}, len(order())},
		"two":     {[]string{"b4", "b2"}, 2},
		"none":    {nil, 0},
		"unknown": {[]string{"b2", "b3"}, 0},
	} {
		chosen, err := choose(tc.arguments)
		if len(chosen) != tc.want && err == nil || (err != nil) != (tc.want == 0) {
			t.Errorf("%s: %v, %v", name, chosen, err)
		}
		for _, name := range chosen {
			if benchmarks()[name] == nil {
				t.Errorf("there is no %s", name)
			}
		}
	}
}

// TestComputeTable makes up rounds in which every runner takes twice as long as the one before it.
func TestComputeTable(t *testing.T) {
	runners := []runner{{name: native}, {name: edgedPreempted}, {name: wasmtimeEpochs}, {name: edgedPreemptedSIMD}}
	var results [][]contest.Round
	for range polybench.Kernels() {
		for i := range runners {
			wall := int64(1e6) << i
			results = append(results, []contest.Round{
				{Ops: 1, Wall: wall, CPU: wall, Check: "a"},
				{Ops: 1, Wall: 10 * wall, CPU: wall, Check: "a"}, // a disturbed round, which disturbed all alike
			})
		}
	}
	table, err := computeTable(runners, results)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []float64{2, 0.5, 8} {
		if got := table.Verdicts[i].Got; got < want*0.999 || got > want*1.001 {
			t.Errorf("%s: %v, want %v", table.Verdicts[i].What, got, want)
		}
	}
	results[2][1].Check = "b"
	if _, err := computeTable(runners, results); err == nil || !strings.Contains(err.Error(), wasmtimeEpochs) {
		t.Errorf("a runner that computed something else: %v", err)
	}
}

// TestRelative compares rounds with the rounds next to them, not medians with medians.
func TestRelative(t *testing.T) {
	base := []contest.Round{{Ops: 1, Wall: 100}, {Ops: 1, Wall: 200}, {Ops: 1, Wall: 400}}
	other := []contest.Round{{Ops: 2, Wall: 220}, {Ops: 2, Wall: 440}, {Ops: 2, Wall: 8000}}
	if got := relative(other, base, contest.Round.PerOp); got != 1.1 {
		t.Errorf("%v, want 1.1", got)
	}
}
