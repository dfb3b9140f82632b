package pool

import (
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/hostfn"
)

// TestStreamEndsWithTheTimeout: a client that reads slowly must not keep a worker longer than the app's timeout, also when
// the invocation has no deadline of its own or a later one.
func TestStreamEndsWithTheTimeout(t *testing.T) {
	now := time.Now()
	for _, row := range []struct {
		name       string
		own, until time.Time
		want       time.Time
	}{
		{"no deadline", time.Time{}, now.Add(time.Second), now.Add(time.Second)},
		{"a later deadline", now.Add(time.Hour), now.Add(time.Second), now.Add(time.Second)},
		{"an earlier deadline", now.Add(time.Millisecond), now.Add(time.Second), now.Add(time.Millisecond)},
	} {
		t.Run(row.name, func(t *testing.T) {
			var seen time.Time
			inv := &invoke.Invocation{Deadline: row.own}
			inv.Stream = func(inv *invoke.Invocation, _ int, _ []invoke.Header, _ []byte) error {
				seen = inv.Deadline
				return nil
			}
			w := &worker{inv: inv, until: row.until}
			if err := w.part(200, []hostfn.Header{{Name: "A", Value: "b"}}, []byte("part")); err != nil {
				t.Fatal(err)
			}
			if !seen.Equal(row.want) {
				t.Errorf("the trigger waits until %v, want %v", seen, row.want)
			}
		})
	}
}
