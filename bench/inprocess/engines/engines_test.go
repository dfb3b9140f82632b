package engines

import (
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

func TestExchangeChecks(t *testing.T) {
	right := func(x *exchange, calls int) {
		var answer [exchangeBytes]byte
		for i, b := range x.request {
			answer[i] = (b ^ 0x5a) + byte(calls)
		}
		x.take(answer[:])
	}
	for name, tc := range map[string]struct {
		serve func(x *exchange)
		ok    bool
	}{
		"right":                 {func(x *exchange) { right(x, 1) }, true},
		"no answer":             {func(*exchange) {}, false},
		"one byte wrong":        {func(x *exchange) { right(x, 1); x.answer[700]++ }, false},
		"one byte short":        {func(x *exchange) { right(x, 1); x.answered-- }, false},
		"the guest's 2nd call":  {func(x *exchange) { right(x, 2) }, false},
		"the request unchanged": {func(x *exchange) { x.take(x.request[:]) }, false},
	} {
		x := newExchange()
		perform := x.fresh(func() error { tc.serve(x); return nil })
		round, err := perform("request", 3)
		if tc.ok && (err != nil || round.Ops != 3) {
			t.Errorf("%s: %+v, %v", name, round, err)
		}
		if !tc.ok && !errors.Is(err, errWrongAnswer) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestExchangeDiffers(t *testing.T) {
	x := newExchange()
	seen := make(map[string]bool)
	perform := x.fresh(func() error {
		seen[string(x.request[:])] = true
		x.take(x.right[:])
		return nil
	})
	if _, err := perform("request", 300); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 300 {
		t.Errorf("%d different requests of 300", len(seen))
	}
}

func TestTurnsJob(t *testing.T) {
	for job, want := range map[string]struct {
		kernel string
		how    stopping
		slice  time.Duration
	}{
		"lu/turns/1000":      {"lu", inTurns, time.Millisecond},
		"gemm/none/0":        {"gemm", never, 0},
		"floyd/self/2000":    {"floyd", byItself, 2 * time.Millisecond},
		"seidel2d/signal/50": {"seidel2d", bySignal, 50 * time.Microsecond},
	} {
		kernel, how, slice, err := turnsJob(job)
		if kernel != want.kernel || how != want.how || slice != want.slice || err != nil {
			t.Errorf("%s: %s %v %v %v", job, kernel, how, slice, err)
		}
	}
	for _, job := range []string{"", "lu", "lu/turns", "lu/perhaps/1", "lu/turns/soon", "lu/turns/1/2"} {
		if _, _, _, err := turnsJob(job); !errors.Is(err, ErrUnknown) {
			t.Errorf("%q: %v", job, err)
		}
	}
}

func TestServeRefuses(t *testing.T) {
	for name, argument := range map[string]string{"no contestant": `{"kind":"nobody"}`, "no setup": "nonsense"} {
		if err := Serve(argument, strings.NewReader(""), io.Discard); err == nil {
			t.Errorf("%s: served", name)
		}
	}
}
