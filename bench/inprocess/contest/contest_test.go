package contest

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"
)

// contestantArgument makes the test binary a contestant of these tests.
const contestantArgument = "contestant-of-test"

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == contestantArgument {
		if err := Serve(os.Stdin, os.Stdout, perform); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

var calls int

// perform answers with how often this process has been asked, or does what the job's name says.
func perform(job string, count int) (Round, error) {
	switch job {
	case "fail":
		return Round{}, errors.New("the reason")
	case "crash":
		fmt.Fprintln(os.Stderr, "the last words")
		os.Exit(3)
	case "cores":
		cpus, err := CPUs()
		return Round{Ops: len(cpus), Check: fmt.Sprint(cpus)}, err
	}
	calls++
	return Round{Ops: count, Wall: int64(calls), Check: job}, nil
}

func startField(t *testing.T, contestants ...Contestant) *Field {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for i := range contestants {
		contestants[i].Command = []string{self, contestantArgument}
	}
	field, err := Start(t.Context(), contestants)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = field.Close() })
	return field
}

func TestRounds(t *testing.T) {
	field := startField(t, Contestant{Name: "a", CPU: -1}, Contestant{Name: "b", CPU: -1})
	turns := []Turn{{"a", "one", 10}, {"b", "two", 20}, {"a", "three", 30}}
	var progress []string
	results, err := field.Rounds(turns, 3, func(done, total int) { progress = append(progress, fmt.Sprint(done, "/", total)) })
	if err != nil {
		t.Fatal(err)
	}
	// Round 0 warms up; round 1 begins with the second turn, round 2 with the third, round 3 with the first.
	want := [][]int64{{4, 6, 7}, {2, 3, 4}, {3, 5, 8}}
	for i, rounds := range results {
		var order []int64
		for _, round := range rounds {
			order = append(order, round.Wall)
			if round.Ops != turns[i].Count || round.Check != turns[i].Job {
				t.Errorf("turn %d: %+v", i, round)
			}
		}
		if !slices.Equal(order, want[i]) {
			t.Errorf("turn %d was the %v-th job of its process, want %v", i, order, want[i])
		}
	}
	if got := strings.Join(progress, " "); got != "0/3 1/3 2/3 3/3" {
		t.Errorf("progress: %s", got)
	}
	if err := field.Close(); err != nil {
		t.Error(err)
	}
}

func TestFailures(t *testing.T) {
	for job, want := range map[string]string{"fail": "contestant a, job fail: the reason", "crash": "the last words"} {
		field := startField(t, Contestant{Name: "a", CPU: -1})
		_, err := field.Rounds([]Turn{{"a", job, 1}}, 1, nil)
		if !errors.Is(err, ErrContestant) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", job, err)
		}
	}
	field := startField(t)
	if _, err := field.Rounds([]Turn{{"nobody", "one", 1}}, 1, nil); !errors.Is(err, ErrContestant) {
		t.Errorf("a contestant that was not started: %v", err)
	}
	if _, err := Start(t.Context(), []Contestant{{Name: "x", Command: []string{"/nonexistent/program"}, CPU: -1}}); err == nil {
		t.Error("a program that is not there was started")
	}
}

func TestCores(t *testing.T) {
	cpus, err := CPUs()
	if err != nil || len(cpus) == 0 {
		t.Fatal(cpus, err)
	}
	last := cpus[len(cpus)-1]
	field := startField(t, Contestant{Name: "one", CPU: last}, Contestant{Name: "all", CPU: -1})
	results, err := field.Rounds([]Turn{{"one", "cores", 1}, {"all", "cores", 1}}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := results[0][0].Check; got != fmt.Sprint([]int{last}) {
		t.Errorf("a contestant for core %d may use %s", last, got)
	}
	if got := results[1][0].Check; got != fmt.Sprint(cpus) {
		t.Errorf("a contestant for all of %v may use %s: the core of the other was inherited", cpus, got)
	}
}

func TestMeter(t *testing.T) {
	meter, err := NewMeter(3)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		for begun := time.Now(); time.Since(begun) < time.Millisecond; {
		}
		meter.Lap()
	}
	round, err := meter.Round()
	if err != nil {
		t.Fatal(err)
	}
	least := int64(time.Millisecond)
	if round.Ops != 3 || round.P50 < least || round.Max < round.P99 || round.P99 < round.P50 || round.Wall < 3*least || round.CPU <= 0 {
		t.Errorf("%+v", round)
	}
	if round.PerOp() < float64(least) || (Round{}).PerOp() != 0 {
		t.Errorf("an operation took %v", round.PerOp())
	}
}

func FuzzServe(f *testing.F) {
	f.Add("run one 3\n")
	f.Add("run one\n")
	f.Add("\n\nstop")
	f.Add("run " + strings.Repeat("x", 1<<17) + " 1\n")
	f.Fuzz(func(t *testing.T, commands string) {
		jobs := 0
		err := Serve(strings.NewReader(commands), io.Discard, func(job string, _ int) (Round, error) {
			if job == "" || strings.ContainsAny(job, " \n") {
				t.Errorf("job %q", job)
			}
			jobs++
			return Round{}, nil
		})
		if err == nil && jobs != strings.Count(strings.TrimSuffix(commands, "\n")+"\n", "\n") && commands != "" {
			t.Errorf("%d jobs of %q without an error", jobs, commands)
		}
	})
}
