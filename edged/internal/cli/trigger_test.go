package cli

import (
	"context"
	"strings"
	"testing"
	"time"

	"edged.dev/edge/edged/internal/admin"
	"edged.dev/edge/edged/internal/admin/admintest"
)

func TestTriggerListTimers(t *testing.T) {
	next := time.Date(2026, 12, 24, 18, 0, 0, 0, time.UTC)
	deps := daemon(t, &admintest.Service{
		TriggersFunc: func(context.Context) ([]admin.TriggerSummary, error) {
			return []admin.TriggerSummary{
				{App: "a", Function: "keys", Kind: "kv", On: "k_{}"},
				{App: "a", Function: "tick", Kind: "cron", On: "cron @daily", Next: next, Timer: &admin.TimerSummary{
					Policy: "once", Runs: 17, Failed: 2, Skipped: 3, Missed: 4, Error: "broken",
				}},
			}, nil
		},
	})
	got := run(t, deps, "trigger", "ls")
	_, timers, found := strings.Cut(got.out, "TIMER")
	if got.code != 0 || !found || strings.Contains(timers, "keys") {
		t.Fatalf("%+v", got)
	}
	for _, want := range []string{"a/tick", next.Local().Format(time.RFC3339), "17", "2", "3", "4", "broken"} {
		if !strings.Contains(timers, want) {
			t.Errorf("%q is missing in\n%s", want, timers)
		}
	}
	if got := run(t, deps, "trigger", "ls", "--json"); got.code != 0 || !strings.Contains(got.out, `"skipped": 3`) {
		t.Errorf("%+v", got)
	}
}

func TestTriggerListWithoutTimers(t *testing.T) {
	deps := daemon(t, &admintest.Service{
		TriggersFunc: func(context.Context) ([]admin.TriggerSummary, error) {
			return []admin.TriggerSummary{{App: "a", Function: "keys", Kind: "kv", On: "k_{}"}}, nil
		},
	})
	if got := run(t, deps, "trigger", "ls"); got.code != 0 || strings.Contains(got.out, "TIMER") {
		t.Errorf("%+v", got)
	}
}
