package httptrigger_test

import (
	"testing"
	"time"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// forgetful promises a flush with every answer and never keeps it.
type forgetful struct{ *workers }

func (f forgetful) Submit(inv *invoke.Invocation) error {
	done := inv.Done
	inv.Done = func(inv *invoke.Invocation, res invoke.Result) {
		res.More = true
		done(inv, res)
	}
	return f.workers.Submit(inv)
}

// TestForgottenFlush: an answer that nobody flushes is sent all the same, by the next tick.
func TestForgottenFlush(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		s := serve(t, setup{
			unix: unix,
			opts: httptrigger.Options{Timeouts: httptrigger.Timeouts{Linger: 20 * time.Millisecond}}, // sets the tick
			wrap: func(w *workers) trigger.Submitter { return forgetful{w} },
		})
		c := s.dial(t)
		for range 5 {
			c.send("%s", get("/t/echo"))
			c.expect(200)
		}
	})
}

// TestFlushOutsideServing: Flush does nothing before Start and after Close.
func TestFlushOutsideServing(t *testing.T) {
	httptrigger.New(httptrigger.Options{}).Flush()
	s := serve(t, setup{})
	s.Flush()
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.Flush()
}
