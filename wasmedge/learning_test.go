//go:build cgo

package wasmedge

import (
	"os"
	"testing"
)

// calls makes requests that write one byte in each of the pages that pick names, and reports whether all went well.
func (s *isolated) calls(tb testing.TB, rounds int, pick func(round int) []int) bool {
	tb.Helper()
	store, err := s.instance.Func("store8", s.g.types["store8"])
	if err != nil {
		tb.Error(err)
		return false
	}
	for round := range rounds {
		for _, page := range pick(round) {
			stack := [2]uint64{uint64(page) << 12, uint64(round)}
			if err := s.thread.Call(s.instance, store, nil, stack[:]); err != nil {
				tb.Error(err)
				return false
			}
		}
		if err := s.instance.Reset(); err != nil {
			tb.Error(err)
			return false
		}
	}
	if err := s.clean.same(s.instance); err != nil {
		tb.Error(err)
		return false
	}
	return true
}

func always(pages ...int) func(int) []int { return func(int) []int { return pages } }

// TestLearning follows a template through changes of what its calls write.
func TestLearning(t *testing.T) {
	if os.Getenv("EDGED_TEST_EMULATOR") != "" || os.Getpagesize() != 4096 {
		t.Skip("it counts pages of 4 KiB as the kernel shows them, which an emulator does not")
	}
	const page = 4096
	isolate(t, isolation(t), 1, func(s *isolated) {
		expect := func(when string, guarded bool, hot int64) {
			t.Helper()
			if s.template.Guarded() != guarded || s.template.HotBytes() != hot*page {
				t.Errorf("%s: guarded %v with %d hot pages; want %v, %d", when, s.template.Guarded(), s.template.HotBytes()/page, guarded, hot)
			}
		}
		expect("at first", false, 0)
		if !s.calls(t, 20, always(3, 4, 9)) {
			return
		}
		expect("after calls that write three pages", true, 3)
		if !s.calls(t, 100, always(3, 50)) {
			return
		}
		expect("when calls write another page", true, 4)
		if !s.calls(t, 100_000, always(3)) {
			return
		}
		expect("when they have stopped to", true, 1)
		anywhere := func(round int) []int { return []int{round * 37 % (isolationPages << 4)} }
		if !s.calls(t, 100, anywhere) {
			return
		}
		if s.template.Guarded() {
			t.Error("guarded although every call writes another page")
		}
		if !s.calls(t, 20_000, always(3, 4)) {
			return
		}
		expect("when they have stopped to write anywhere", true, 2)
	})
}
