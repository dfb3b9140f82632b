package engines

import (
	"fmt"
	"strings"

	"edged.dev/edge/bench/inprocess/contest"
)

// greeting is one request to the stock Go guest and its answer.
type greeting struct {
	request, answer []byte
	right           string
}

func newGreeting() *greeting {
	return &greeting{
		request: []byte(strings.Repeat("edge functions at the edge ", 8) + "end"),
		right:   "call 1: hello, 41 words, 5 different, 16 times edge\n",
	}
}

// fresh returns a Perform whose every operation is one request to a guest that has just started. serve leaves the answer in
// the greeting.
func (g *greeting) fresh(serve func() error) contest.Perform {
	return func(_ string, count int) (contest.Round, error) {
		meter, err := contest.NewMeter(count)
		if err != nil {
			return contest.Round{}, err
		}
		for i := range count {
			if err := serve(); err != nil {
				return contest.Round{}, err
			}
			if string(g.answer) != g.right {
				return contest.Round{}, fmt.Errorf("request %d: %w: %q, want %q", i, errWrongAnswer, g.answer, g.right)
			}
			meter.Lap()
		}
		return meter.Round()
	}
}
