package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/internal/testutil"
	"edged.dev/edge/kvstore"
)

// timerApp is an app with timers, of those triggers of its function tick.
func timerApp(t *testing.T, triggers string) string {
	t.Helper()
	module := testutil.BuildCFile(t, filepath.Join("testdata", "timer.c"), append(testutil.Reactor(), "-I", filepath.Join("..", "sdk", "c"))...)
	return app(t, "clock", module, "functions:", "  tick: {on: ["+triggers+"]}", "  broken:")
}

// runs returns the event ids of the runs of the app's timers.
func (d *daemon) runs(t *testing.T) []string {
	t.Helper()
	var entries []struct{ Key string }
	if err := json.Unmarshal([]byte(d.must(t, "kv", "ls", "clock", "--json")), &entries); err != nil {
		t.Fatal(err)
	}
	var runs []string
	for _, entry := range entries {
		if entry.Key == "twice" {
			t.Fatal("a run was there twice")
		}
		if id, ok := strings.CutPrefix(entry.Key, "run/"); ok {
			runs = append(runs, id)
		}
	}
	return runs
}

func TestPeriod(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", timerApp(t, "{every: 100ms}"))
	for round := range 3 {
		before := len(d.runs(t))
		eventually(t, "the timer runs", func() error {
			if n := len(d.runs(t)) - before; n < 5 {
				return fmt.Errorf("%d times", n)
			}
			return nil
		})
		if round == 1 {
			d.stop(t)
		} else {
			d.kill()
		}
		d = h.start(t)
	}
	for _, id := range d.runs(t)[:3] {
		told := d.must(t, "kv", "get", "clock", "run/"+id)
		moment, ok := strings.CutPrefix(id, "clock/tick/0@")
		if _, err := time.Parse(time.RFC3339Nano, moment); err != nil || !ok {
			t.Errorf("event id %q", id)
		}
		if want := "cron " + moment + " 1 POST "; strings.TrimSpace(told) != strings.TrimSpace(want) {
			t.Errorf("the run was told %q, want %q", told, want)
		}
	}
	if got := d.http().must(t, http.MethodGet, "/_edged/metrics", nil); !strings.Contains(string(got.body), `edged_invocations_total{app="clock",fn="tick",trigger="cron",code="200"}`) {
		t.Error("the runs are not in the metrics")
	}
	if got := d.must(t, "inspect", "clock", "--json"); !strings.Contains(got, `"cron"`) {
		t.Errorf("inspect does not tell of the timer: %s", got)
	}
	var list []struct {
		Kind, On string
		Next     time.Time
		Timer    struct{ Runs, Failed uint64 }
	}
	if err := json.Unmarshal([]byte(d.must(t, "trigger", "ls", "--json")), &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Kind != "cron" || list[0].On != "every 100ms" || list[0].Next.IsZero() || list[0].Timer.Runs == 0 || list[0].Timer.Failed != 0 {
		t.Errorf("trigger ls: %+v", list)
	}
	if got := d.must(t, "trigger", "ls"); !strings.Contains(got, "TIMER") || !strings.Contains(got, "clock/tick") {
		t.Errorf("trigger ls:\n%s", got)
	}
	d.must(t, "rm", "clock")
	if got := d.must(t, "trigger", "ls"); strings.Contains(got, "clock/tick") {
		t.Errorf("trigger ls after rm:\n%s", got)
	}
}

// triggerRow is what the test reads of `edged trigger ls --json`.
type triggerRow struct {
	App, Function string
	Timer         struct {
		Runs, Failed, Skipped uint64
		Error                 string
	}
}

// TestSlowTimer has a timer come due while its function runs: it is never started a second time beside itself, and what was skipped is
// counted.
func TestSlowTimer(t *testing.T) {
	d := sharedDaemon(t)
	module := testutil.BuildCFile(t, filepath.Join("testdata", "timer.c"), append(testutil.Reactor(), "-I", filepath.Join("..", "sdk", "c"))...)
	d.must(t, "deploy", app(t, "slow", module, "limits: {timeout: 20s}", "functions:", "  slow: {on: [{every: 20ms}]}",
		"  broken: {on: [{every: 50ms}]}"))
	eventually(t, "the timer is skipped while it runs, and the other fails", func() error {
		var list []triggerRow
		if err := json.Unmarshal([]byte(d.must(t, "trigger", "ls", "--json")), &list); err != nil {
			return err
		}
		list = slices.DeleteFunc(list, func(x triggerRow) bool { return x.App != "slow" }) // other tests share the daemon
		if len(list) != 2 {
			return fmt.Errorf("triggers %+v", list)
		}
		broken, slow := list[0].Timer, list[1].Timer
		if slow.Runs < 2 || slow.Skipped < 3 || broken.Failed < 2 || broken.Failed != broken.Runs || !strings.Contains(broken.Error, "as it must") {
			return fmt.Errorf("triggers %+v", list)
		}
		return nil
	})
	if got := d.must(t, "kv", "ls", "slow"); strings.Contains(got, "beside") {
		t.Errorf("two runs were beside each other:\n%s", got)
	}
}

// TestMissedSchedule has a daemon find that it was off for an hour, and be killed and started again after that.
func TestMissedSchedule(t *testing.T) {
	h := newHome(t, "")
	d := h.start(t)
	d.must(t, "deploy", timerApp(t, `{cron: "*/5 * * * *", tz: Europe/Berlin}, {cron: "*/5 * * * *", missed: skip}, {cron: "*/5 * * * *", missed: all}`))
	d.stop(t)

	// The same as having been off: what is on disk is an hour old.
	store, err := kvstore.Open(h.path("data", "kv.db"), nil)
	if err != nil {
		t.Fatal(err)
	}
	space, err := store.Lookup("edged.timers")
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour).UTC()
	for n := range 3 {
		key := fmt.Appendf(nil, "clock/tick/%d", n)
		value, err := space.Get(key, nil)
		if err != nil {
			t.Fatal(err)
		}
		var state map[string]any
		if err := json.Unmarshal(value, &state); err != nil {
			t.Fatal(err)
		}
		state["last"] = old
		if value, err = json.Marshal(state); err != nil {
			t.Fatal(err)
		}
		if err := space.Set(context.Background(), key, value); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	for range 3 {
		d = h.start(t)
		eventually(t, "what was missed is made up for", func() error {
			counts := make(map[string]int)
			for _, id := range d.runs(t) {
				counts[id[:len("clock/tick/0")]]++
			}
			// An hour has 12 moments. One more may come while this looks, and the last may be less than a minute ago.
			once, skip, all := counts["clock/tick/0"], counts["clock/tick/1"], counts["clock/tick/2"]
			if once < 1 || once > 2 || skip > 1 || all < 12 || all > 13 {
				return fmt.Errorf("%d runs where one is wanted, %d where none, %d where 12", once, skip, all)
			}
			return nil
		})
		d.kill()
	}
}

func TestDaemonsOwnSpace(t *testing.T) {
	d := sharedDaemon(t)
	for _, args := range [][]string{{"kv", "set", "edged.timers", "clock", "x"}, {"kv", "rm", "edged.timers", "clock"}} {
		if got := d.cli(t, args...); got.code == 0 || !strings.Contains(got.stderr, "the daemon's own") {
			t.Errorf("%q: %+v", args, got)
		}
	}
	manifest := app(t, "thief", innocent(t, 1), "kv: {space: edged.timers}")
	if got := d.cli(t, "deploy", manifest); got.code == 0 || !strings.Contains(got.stderr, "is not a name") {
		t.Errorf("an app takes the daemon's space: %+v", got)
	}
}
