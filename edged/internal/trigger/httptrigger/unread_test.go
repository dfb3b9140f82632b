package httptrigger_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"edged.dev/edge/edged/internal/invoke"
	"edged.dev/edge/edged/internal/trigger/httptrigger"
)

// TestUnreadResponsesAreBounded: clients that ask and do not read are cut off before they fill the memory; who reads is
// served, then and afterwards.
func TestUnreadResponsesAreBounded(t *testing.T) {
	transports(t, func(t *testing.T, unix bool) {
		const answer, limit, clients = 8 << 20, 64 << 20, 16
		large := strings.Repeat("r", answer)
		s := serve(t, setup{
			unix: unix,
			opts: httptrigger.Options{Limits: httptrigger.Limits{UnreadBytes: limit}},
			guests: map[invoke.FunctionName]guest{"large": func(*invoke.Invocation) invoke.Result {
				return invoke.Result{Body: []byte(large)}
			}},
		})
		var silent []*client
		for range clients {
			c := s.dial(t)
			c.send("%s", get("/t/large"))
			silent = append(silent, c)
		}
		eventually(t, "all have asked", func() bool { return s.called("large") == clients })
		eventually(t, "connections are cut", func() bool { return s.Connections() < clients })
		reader := s.dial(t)
		reader.send("%s", post("/t/echo", "hello"))
		if a := reader.expect(200); a.body != "hello" {
			t.Errorf("a client that reads gets %q", a.body)
		}
		cut := 0
		for _, c := range silent {
			response, err := http.ReadResponse(c.r, nil)
			if err == nil {
				_, err = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
			switch {
			case err == nil:
			case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, syscall.EPIPE):
				cut++
			default:
				t.Errorf("a silent client: %v", err)
			}
		}
		if cut == 0 || cut == clients {
			t.Errorf("%d of %d were cut off", cut, clients)
		}
		for range limit/answer + 2 { // the room is there again
			c := s.dial(t)
			c.send("%s", get("/t/large"))
			if a := c.expect(200); len(a.body) != answer {
				t.Errorf("%d bytes", len(a.body))
			}
		}
	})
}
