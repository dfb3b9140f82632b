package httptrigger_test

import (
	"strings"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// TestBodiesInWorkAreBounded: bodies count until their request is answered, so that slow functions and many clients do
// not fill the memory. Small ones are served all the same, and the memory is there again afterwards.
func TestBodiesInWorkAreBounded(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		const body = 1 << 20
		release := make(chan struct{})
		s := serve(t, setup{
			unix: unix,
			opts: httptrigger.Options{Limits: httptrigger.Limits{UploadBytes: 3*body + body/2}},
			guests: map[invoke.FunctionName]guest{"hold": func(inv *invoke.Invocation) invoke.Result {
				<-release
				return invoke.Result{Body: inv.Request.Body[:4]}
			}},
			jobs: 5,
		})
		var held []*client
		for n := range 3 {
			c := s.dial(t)
			c.send("%s", post("/t/hold", strings.Repeat("x", body)))
			eventually(t, "the function is called", func() bool { return s.called("hold") == n+1 })
			held = append(held, c)
		}
		gone := held[2] // a client that leaves does not make room: the worker still has the body
		_ = gone.Close()
		c := s.dial(t)
		c.send("%s", post("/t/hold", strings.Repeat("x", body)))
		if a := c.expect(503); a.Header.Get("Retry-After") == "" || !strings.Contains(a.body, "large requests") {
			t.Errorf("refused with %v: %s", a.Header, a.body)
		}
		small := s.dial(t)
		small.send("%s", post("/t/echo", strings.Repeat("y", 8<<10)))
		small.expect(200)
		close(release)
		for _, c := range held[:2] {
			if a := c.expect(200); a.body != "xxxx" {
				t.Errorf("got %q", a.body)
			}
		}
		for range 8 { // one after another, so that a leak would show
			c := s.dial(t)
			c.send("%s", post("/t/echo", strings.Repeat("z", body)))
			if a := c.expect(200); len(a.body) != body {
				t.Errorf("echoed %d bytes", len(a.body))
			}
		}
	})
}
