package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"
)

// TestSlowAppLeavesRoom fills every place that an app can have with requests that wait and do not end: other apps answer beside it.
func TestSlowAppLeavesRoom(t *testing.T) {
	d := startDaemon(t, "cores: 1\n")
	module := innocent(t, 1)
	d.must(t, "deploy", app(t, "slow", module, "limits: {timeout: 4m}"))
	d.must(t, "deploy", app(t, "quick", module))
	ctx, cancel := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	const calls = 100
	for n := range calls {
		callers.Go(func() {
			_, _ = d.clients[n%2].call(ctx, http.MethodPost, "/slow/hold", fmt.Appendf(nil, "%d", n)) // ends with the daemon
		})
	}
	eventually(t, "the slow app has all places it can have", func() error {
		var status struct {
			Running int `json:"running"`
			Queued  int `json:"queue_length"`
		}
		text := d.must(t, "status", "--json")
		if err := json.Unmarshal([]byte(text), &status); err != nil {
			return err
		}
		if status.Running+status.Queued != calls || status.Queued == 0 {
			return fmt.Errorf("%d have begun and %d wait", status.Running, status.Queued)
		}
		return nil
	})
	for i := range 50 {
		if got := d.clients[i%2].ok(t, "/quick/which", nil); got != "v1" {
			t.Fatalf("the quick app answers %q", got)
		}
	}
	d.kill()
	cancel()
	callers.Wait()
}
